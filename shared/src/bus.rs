//! The bus between the services: publish and subscribe, request and reply.
//!
//! Messages are hints and questions, never the only copy of anything: what must not be
//! lost is in Postgres. One implementation lives in memory; another will cross machines.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{broadcast, mpsc, oneshot};

/// What a subscriber may fall behind by before it misses messages.
const SUBSCRIPTION_CAPACITY: usize = 1024;
/// How many requests may wait for one server.
const REQUEST_CAPACITY: usize = 1024;

/// Why a message did not get there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody serves the topic.
    #[error("nobody serves this topic")]
    NoServer,
    /// The server has more requests than it can take.
    #[error("the server is overloaded")]
    Overloaded,
    /// No answer in time. The request may have been carried out all the same.
    #[error("no answer in time")]
    Timeout,
    /// The bus itself is away.
    #[error("the bus is not reachable")]
    Unreachable,
}

/// Carries messages between services.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends to whoever subscribes to `topic` now; nobody is fine.
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), BusError>;

    /// Receives what is published to `topic` from now on.
    async fn subscribe(&self, topic: &str) -> Result<Subscription, BusError>;

    /// Asks the server of `topic` and waits at most `timeout`.
    async fn request(&self, topic: &str, message: Bytes, timeout: Duration) -> Result<Bytes, BusError>;

    /// Becomes the server of `topic`, until the returned receiver is dropped.
    async fn serve(&self, topic: &str) -> Result<Requests, BusError>;
}

/// A bus that services share.
pub type SharedBus = Arc<dyn Bus>;

/// Messages of one topic.
pub struct Subscription(broadcast::Receiver<Bytes>);

/// What a subscriber gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// A message.
    Message(Bytes),
    /// So many messages came too fast and are gone: look at the truth.
    Missed(u64),
}

impl Subscription {
    /// The next delivery; `None` when the bus is gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self.0.recv().await {
            Ok(message) => Some(Delivery::Message(message)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Delivery::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

/// Requests to one server.
pub struct Requests(mpsc::Receiver<Request>);

impl Requests {
    /// The next request; `None` when the bus is gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Request> {
        self.0.recv().await
    }
}

/// A request that waits for its answer.
pub struct Request {
    /// The question.
    pub message: Bytes,
    reply: oneshot::Sender<Bytes>,
}

impl Request {
    /// Answers it. An asker who has given up is no error.
    pub fn reply(self, message: Bytes) {
        let _ = self.reply.send(message);
    }
}

/// The bus of one process.
#[derive(Default)]
pub struct MemoryBus {
    topics: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
    servers: Mutex<HashMap<String, mpsc::Sender<Request>>>,
}

impl MemoryBus {
    /// An empty bus, ready to share.
    #[must_use]
    pub fn shared() -> SharedBus {
        Arc::new(Self::default())
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), BusError> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = topics.get(topic) {
            // No receiver is no error: a hint may be heard by nobody.
            let _ = sender.send(message);
        }
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Subscription, BusError> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = topics
            .entry(topic.to_owned())
            .or_insert_with(|| broadcast::channel(SUBSCRIPTION_CAPACITY).0);
        Ok(Subscription(sender.subscribe()))
    }

    async fn request(&self, topic: &str, message: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        let server = {
            let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            servers.get(topic).cloned().ok_or(BusError::NoServer)?
        };
        let (reply, answer) = oneshot::channel();
        server
            .try_send(Request { message, reply })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => BusError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => BusError::NoServer,
            })?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(message)) => Ok(message),
            // A server that drops a request has not answered it; it may have acted on it.
            Ok(Err(_)) | Err(_) => Err(BusError::Timeout),
        }
    }

    async fn serve(&self, topic: &str) -> Result<Requests, BusError> {
        let (sender, receiver) = mpsc::channel(REQUEST_CAPACITY);
        self.servers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(topic.to_owned(), sender);
        Ok(Requests(receiver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_subscriber_hears_what_is_published() {
        let bus = MemoryBus::shared();
        let (mut a, mut b) = (
            bus.subscribe("t").await.expect("a"),
            bus.subscribe("t").await.expect("b"),
        );
        bus.publish("t", Bytes::from_static(b"1")).await.expect("published");
        bus.publish("other", Bytes::from_static(b"2")).await.expect("published");
        bus.publish("t", Bytes::from_static(b"3")).await.expect("published");
        for subscription in [&mut a, &mut b] {
            assert_eq!(
                subscription.next().await,
                Some(Delivery::Message(Bytes::from_static(b"1")))
            );
            assert_eq!(
                subscription.next().await,
                Some(Delivery::Message(Bytes::from_static(b"3")))
            );
        }
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_what_it_missed() {
        let bus = MemoryBus::shared();
        let mut slow = bus.subscribe("t").await.expect("subscribed");
        for _ in 0..SUBSCRIPTION_CAPACITY + 5 {
            bus.publish("t", Bytes::new()).await.expect("published");
        }
        assert_eq!(slow.next().await, Some(Delivery::Missed(5)));
    }

    #[tokio::test]
    async fn a_request_is_answered_by_the_server_of_its_topic() {
        let bus = MemoryBus::shared();
        let wait = Duration::from_secs(5);
        assert_eq!(bus.request("t", Bytes::new(), wait).await, Err(BusError::NoServer));
        let mut requests = bus.serve("t").await.expect("serving");
        let server = tokio::spawn(async move {
            let request = requests.next().await.expect("asked");
            let message = request.message.clone();
            request.reply(message);
        });
        assert_eq!(
            bus.request("t", Bytes::from_static(b"ping"), wait).await,
            Ok(Bytes::from_static(b"ping"))
        );
        server.await.expect("served");
        assert_eq!(bus.request("t", Bytes::new(), wait).await, Err(BusError::NoServer));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_times_out() {
        let bus = MemoryBus::shared();
        let _requests = bus.serve("t").await.expect("serving");
        let answer = bus.request("t", Bytes::new(), Duration::from_millis(10)).await;
        assert_eq!(answer, Err(BusError::Timeout));
    }
}
