//! What this process waits for from Redis: subscribers, servers and askers. Pushes are
//! sorted here, on the client's thread and without waiting.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::local::{Servers, Subscribers};
use super::super::{BusError, Delivery, Request};
use super::envelope::{Answer, Question};
use super::names::{Heard, Names};
use super::queue::{Ask, WeakQueue};

/// How many requests of one process may wait for their answers.
const PENDING: usize = 4096;

/// See the module.
pub(super) struct Ends {
    /// Who subscribes.
    pub subscribers: Subscribers,
    /// Who serves.
    pub servers: Servers,
    /// Who waits for an answer.
    pub pending: Arc<Pending>,
    names: Names,
    queue: WeakQueue,
}

impl Ends {
    /// Nobody yet.
    pub fn new(names: Names, queue: WeakQueue) -> Self {
        Self {
            subscribers: Subscribers::default(),
            servers: Servers::default(),
            pending: Arc::default(),
            names,
            queue,
        }
    }

    /// Everything that must be subscribed for them.
    pub fn channels(&self) -> Vec<String> {
        let topics = self.subscribers.topics();
        let served = self.servers.topics();
        std::iter::once(self.names.answers(self.names.end()))
            .chain(topics.iter().map(|topic| self.names.topic(topic)))
            .chain(served.iter().map(|topic| self.names.requests(topic)))
            .collect()
    }

    /// What nobody listens to any more.
    pub fn tidy(&self) -> Vec<String> {
        let topics = self.subscribers.tidy();
        let served = self.servers.tidy();
        topics
            .iter()
            .map(|topic| self.names.topic(topic))
            .chain(served.iter().map(|topic| self.names.requests(topic)))
            .collect()
    }

    /// The subscribers of one channel may have missed something.
    pub fn doubt(&self, channel: &str) {
        if let Some(Heard::Topic(topic)) = self.names.read(channel) {
            self.subscribers.deliver(topic, Delivery::Missed);
        }
    }

    /// Something came.
    pub fn hear(&self, channel: &str, message: Bytes) {
        match self.names.read(channel) {
            Some(Heard::Topic(topic)) => self.subscribers.deliver(topic, Delivery::Message(message)),
            Some(Heard::Requests(topic)) => match Question::read(&message) {
                Some(question) => self.asked(topic, question),
                None => tracing::warn!(topic, "a request on the bus cannot be read"),
            },
            Some(Heard::Answers) => match Answer::read(&message) {
                Some(answer) => self.pending.settle(answer.number, answer.result),
                None => tracing::warn!("an answer on the bus cannot be read"),
            },
            None => tracing::warn!(channel, "a message on a channel that is not ours"),
        }
    }

    fn asked(&self, topic: &str, question: Question) {
        let (channel, number) = (self.names.answers(question.end), question.number);
        let queue = self.queue.clone();
        let answer = {
            let (channel, queue) = (channel.clone(), queue.clone());
            move |message| answer(&queue, channel, number, Ok(message))
        };
        let request = Request {
            message: question.message,
            reply: Box::new(answer),
        };
        if let Err(error) = self.servers.give(topic, request) {
            self::answer(&queue, channel, number, Err(error));
        }
    }
}

fn answer(queue: &WeakQueue, channel: String, number: u64, result: Result<Bytes, BusError>) {
    let message = Answer { number, result }.write();
    if let Err(error) = queue.put(Ask::Publish { channel, message }) {
        tracing::warn!(%error, "an answer cannot be sent; its asker will wait in vain");
    }
}

/// Requests on their way, by number.
#[derive(Default)]
pub(super) struct Pending {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<Bytes, BusError>>>>,
    last: AtomicU64,
}

/// A place among them. Dropping it gives it up.
pub(super) struct Waiting {
    pending: Arc<Pending>,
    number: u64,
    answer: oneshot::Receiver<Result<Bytes, BusError>>,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<Bytes, BusError>>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more.
    ///
    /// # Errors
    /// `Overloaded`.
    pub fn open(self: &Arc<Self>) -> Result<Waiting, BusError> {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.lock();
        if waiting.len() >= PENDING {
            return Err(BusError::Overloaded);
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        waiting.insert(number, sender);
        Ok(Waiting {
            pending: self.clone(),
            number,
            answer,
        })
    }

    /// The answer to one has come. One that nobody waits for any more is dropped.
    pub fn settle(&self, number: u64, result: Result<Bytes, BusError>) {
        if let Some(sender) = self.lock().remove(&number) {
            let _ = sender.send(result);
        }
    }
}

impl Waiting {
    /// Its number.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Its answer, however long it takes.
    pub async fn answer(mut self) -> Result<Bytes, BusError> {
        (&mut self.answer).await.unwrap_or(Err(BusError::Unreachable))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.pending.lock().remove(&self.number);
    }
}
