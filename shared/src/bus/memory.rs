//! The bus of one process: always up, and nothing on it is lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::local::{Servers, Subscribers};
use super::{Bus, BusError, Delivery, Request, Requests, SharedBus, Subscription, check_size, timed};

/// After so many new ends the topics are tidied, so that those without any do not pile up.
const TIDY_AFTER: usize = 256;

/// See the module.
#[derive(Default)]
pub struct MemoryBus {
    subscribers: Subscribers,
    servers: Servers,
    ends: AtomicUsize,
}

impl MemoryBus {
    /// An empty bus, ready to share.
    #[must_use]
    pub fn shared() -> SharedBus {
        Arc::new(Self::default())
    }

    fn tidy(&self) {
        if self.ends.fetch_add(1, Ordering::Relaxed) % TIDY_AFTER == TIDY_AFTER - 1 {
            self.subscribers.tidy();
            self.servers.tidy();
        }
    }
}

impl MemoryBus {
    /// See [`Bus::request`].
    async fn ask(&self, topic: &str, message: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        check_size(&message)?;
        let (sender, answer) = oneshot::channel();
        let reply = Box::new(move |message| {
            // An asker who has given up is no error.
            let _ = sender.send(message);
        });
        self.servers.give(topic, Request { message, reply })?;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(message)) => Ok(message),
            // A server that drops a request has not answered it; it may have acted on it.
            Ok(Err(_)) | Err(_) => Err(BusError::Timeout),
        }
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), BusError> {
        check_size(&message)?;
        self.subscribers.deliver(topic, Delivery::Message(message));
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Subscription, BusError> {
        self.tidy();
        Ok(self.subscribers.add(topic))
    }

    async fn request(&self, topic: &str, message: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        timed(self.ask(topic, message, timeout)).await
    }

    async fn serve(&self, topic: &str) -> Result<Requests, BusError> {
        self.tidy();
        Ok(self.servers.add(topic))
    }

    fn is_up(&self) -> bool {
        true
    }
}
