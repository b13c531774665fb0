//! The ends of a bus in this process: who subscribes to a topic, and who serves it.
//! Both implementations deliver through these; neither waits here. Topics that nobody
//! listens to any more are forgotten by `tidy`, which its owner calls now and then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, mpsc};

use super::{BusError, Delivery, REQUEST_CAPACITY, Request, Requests, SUBSCRIPTION_CAPACITY, Subscription};

/// The subscribers here, by topic.
#[derive(Default)]
pub(super) struct Subscribers {
    topics: Mutex<HashMap<String, broadcast::Sender<Delivery>>>,
}

impl Subscribers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, broadcast::Sender<Delivery>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more subscriber.
    pub fn add(&self, topic: &str) -> Subscription {
        let mut topics = self.lock();
        let sender = topics
            .entry(topic.to_owned())
            .or_insert_with(|| broadcast::channel(SUBSCRIPTION_CAPACITY).0);
        Subscription(sender.subscribe())
    }

    /// Delivers to all subscribers of a topic.
    pub fn deliver(&self, topic: &str, delivery: Delivery) {
        if let Some(sender) = self.lock().get(topic) {
            // The last one may have gone: a hint may be heard by nobody.
            let _ = sender.send(delivery);
        }
    }

    /// Tells all subscribers of all topics that they may have missed something.
    pub fn interrupted(&self) {
        for sender in self.lock().values() {
            let _ = sender.send(Delivery::Missed);
        }
    }

    /// The topics.
    pub fn topics(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets topics without subscribers, and says which.
    pub fn tidy(&self) -> Vec<String> {
        let mut topics = self.lock();
        topics
            .extract_if(|_, sender| sender.receiver_count() == 0)
            .map(|(topic, _)| topic)
            .collect()
    }
}

/// The servers here, by topic.
#[derive(Default)]
pub(super) struct Servers {
    topics: Mutex<HashMap<String, Vec<mpsc::Sender<Request>>>>,
}

impl Servers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<mpsc::Sender<Request>>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more server.
    pub fn add(&self, topic: &str) -> Requests {
        let (sender, receiver) = mpsc::channel(REQUEST_CAPACITY);
        let mut topics = self.lock();
        let servers = topics.entry(topic.to_owned()).or_default();
        servers.retain(|server| !server.is_closed());
        servers.push(sender);
        Requests(receiver)
    }

    /// Gives a request to the next server of its topic that has room for it.
    pub fn give(&self, topic: &str, mut request: Request) -> Result<(), BusError> {
        let mut topics = self.lock();
        let Some(servers) = topics.get_mut(topic) else {
            return Err(BusError::NoServer);
        };
        servers.retain(|server| !server.is_closed());
        if servers.is_empty() {
            return Err(BusError::NoServer);
        }
        servers.rotate_left(1);
        for server in servers {
            request = match server.try_send(request) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(request) | mpsc::error::TrySendError::Closed(request)) => request,
            };
        }
        Err(BusError::Overloaded)
    }

    /// The topics.
    pub fn topics(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets topics without servers, and says which.
    pub fn tidy(&self) -> Vec<String> {
        let mut topics = self.lock();
        topics
            .extract_if(|_, servers| {
                servers.retain(|server| !server.is_closed());
                servers.is_empty()
            })
            .map(|(topic, _)| topic)
            .collect()
    }
}
