//! The bus between the services: publish and subscribe, request and reply.
//!
//! Messages are hints and questions, never the only copy of anything: what must not be
//! lost is in Postgres. One implementation lives in memory, one crosses machines over
//! Redis; one suite of tests holds for both. A subscriber is never left to believe that
//! it heard everything when it may not have: it gets [`Delivery::Missed`] then.

mod config;
mod local;
mod memory;
mod redis;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use metrics::Unit;
use tokio::sync::{broadcast, mpsc};

use crate::metric::Metric;

pub use config::{BusConfig, Unset};
pub use memory::MemoryBus;
pub use redis::{RedisBus, RedisConfig};

/// What a subscriber may fall behind by before it misses messages.
pub const SUBSCRIPTION_CAPACITY: usize = 1024;
/// How many requests may wait for one server.
pub const REQUEST_CAPACITY: usize = 1024;
/// The longest message.
pub const MAX_MESSAGE_BYTES: usize = 1024 * 1024;

/// The bus's metrics.
pub const METRICS: &[Metric] = &[Metric::histogram(
    "bus_request_seconds",
    Unit::Seconds,
    &["outcome"],
    "round trips over the bus, by what they came to: `answered`, `no_server`, `overloaded`, `timeout`, `unreachable`, `too_large`",
)
.each(&[
    "answered",
    "no_server",
    "overloaded",
    "timeout",
    "unreachable",
    "too_large",
])];

/// Why a message did not get there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody serves the topic.
    #[error("nobody serves this topic")]
    NoServer,
    /// The server, or the bus on the way to it, has more than it can take.
    #[error("the server is overloaded")]
    Overloaded,
    /// No answer in time. The request may have been carried out all the same.
    #[error("no answer in time")]
    Timeout,
    /// The bus itself is away. A request that was on its way when it went may have been
    /// carried out all the same.
    #[error("the bus is not reachable")]
    Unreachable,
    /// The message is longer than [`MAX_MESSAGE_BYTES`].
    #[error("the message is too long for the bus")]
    TooLarge,
}

/// Carries messages between services.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Sends to whoever subscribes to `topic` now; nobody is fine. It does not wait for
    /// the way there: a message that is accepted may still be lost with the bus.
    ///
    /// # Errors
    /// `Unreachable`, `Overloaded`, `TooLarge`.
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), BusError>;

    /// Receives what is published to `topic` from now on. While the bus is away there is
    /// nothing to receive; when it is back, the first delivery is [`Delivery::Missed`].
    ///
    /// # Errors
    /// `Overloaded`, `Unreachable` when the bus has ended for good.
    async fn subscribe(&self, topic: &str) -> Result<Subscription, BusError>;

    /// Asks a server of `topic` and waits at most `timeout`. Of several servers one gets
    /// the request.
    ///
    /// # Errors
    /// Any [`BusError`].
    async fn request(&self, topic: &str, message: Bytes, timeout: Duration) -> Result<Bytes, BusError>;

    /// Becomes a server of `topic`, until the returned receiver is dropped. While the bus
    /// is away nobody asks.
    ///
    /// # Errors
    /// As [`Bus::subscribe`].
    async fn serve(&self, topic: &str) -> Result<Requests, BusError>;

    /// Whether messages get through at present, as far as this end knows.
    fn is_up(&self) -> bool;
}

/// A bus that services share.
pub type SharedBus = Arc<dyn Bus>;

/// Messages of one topic.
pub struct Subscription(broadcast::Receiver<Delivery>);

/// What a subscriber gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// A message.
    Message(Bytes),
    /// Messages are gone, or may be: they came too fast, or the bus was away. Look at
    /// the truth.
    Missed,
}

impl Subscription {
    /// The next delivery; `None` when the bus is gone. Safe to cancel.
    pub async fn next(&mut self) -> Option<Delivery> {
        match self.0.recv().await {
            Ok(delivery) => Some(delivery),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Delivery::Missed),
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

/// A request that waits for its answer. Dropping it leaves the asker to its timeout.
pub struct Request {
    /// The question.
    pub message: Bytes,
    reply: Box<dyn FnOnce(Bytes) + Send>,
}

impl Request {
    /// Answers it. An asker who has given up is no error.
    pub fn reply(self, message: Bytes) {
        if message.len() > MAX_MESSAGE_BYTES {
            tracing::error!(bytes = message.len(), "an answer is too long for the bus");
            return;
        }
        (self.reply)(message);
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("message", &self.message).finish()
    }
}

impl BusError {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoServer => "no_server",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::TooLarge => "too_large",
        }
    }
}

/// Measures a round trip.
async fn timed(asking: impl Future<Output = Result<Bytes, BusError>>) -> Result<Bytes, BusError> {
    let began = Instant::now();
    let result = asking.await;
    let outcome = result.as_ref().map_or_else(|error| error.as_str(), |_| "answered");
    metrics::histogram!("bus_request_seconds", "outcome" => outcome).record(began.elapsed().as_secs_f64());
    result
}

fn check_size(message: &Bytes) -> Result<(), BusError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(BusError::TooLarge);
    }
    Ok(())
}
