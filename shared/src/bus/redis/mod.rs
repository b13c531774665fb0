//! The bus across machines, over one connection to Redis (RESP3, sharded pub/sub).
//!
//! The client lives on a thread of its own behind a bounded queue, so that no service's
//! runtime ever waits behind Redis. What arrives there goes out in the next pipeline, one
//! in flight at a time. When Redis is away, requests and messages are refused at once;
//! when it is back, everything is subscribed again and every subscriber is told that it
//! may have missed something. Nothing is stored in Redis.

mod ends;
mod envelope;
mod link;
mod names;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::ConnectionAddr;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::{Bus, BusError, Requests, Subscription, check_size, timed};
use crate::config::Secret;
use ends::Ends;
use envelope::Question;
use names::Names;
use queue::{Ask, Queue};

/// How long a new subscription waits to be confirmed before it is handed out as one that
/// may be missing something.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(1);

/// Where Redis is, and what our names there begin with.
#[derive(Clone)]
pub struct RedisConfig {
    client: redis::Client,
    namespace: String,
}

impl RedisConfig {
    /// A Redis at `redis://host:port/`, `redis://user:password@host/`, or `unix:///path`.
    ///
    /// # Errors
    /// What is wrong with the address, without repeating it: it may hold a password.
    pub fn new(url: &Secret, namespace: String) -> Result<Self, String> {
        let client = redis::Client::open(url.expose()).map_err(|error| {
            let detail = error.detail().unwrap_or("write redis://host:port/ or unix:///path");
            format!("is no address of a Redis: {detail}")
        })?;
        if matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. }) {
            return Err("TLS is not built in: let Redis listen in a private network".into());
        }
        // Pushes share the connection with replies only in RESP3, whatever the URL says.
        let info = client.get_connection_info().clone();
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(redis::ProtocolVersion::RESP3);
        let client = redis::Client::open(info.set_redis_settings(settings)).map_err(|error| error.to_string())?;
        Ok(Self { client, namespace })
    }
}

impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// One end of the bus over Redis. Dropping it ends its thread.
pub struct RedisBus {
    names: Names,
    ends: Arc<Ends>,
    queue: Queue,
    up: watch::Receiver<bool>,
}

impl RedisBus {
    /// Starts the thread; it connects in its own time.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(config: RedisConfig) -> std::io::Result<Self> {
        let names = Names::new(config.namespace, Uuid::now_v7());
        let (queue, asked) = queue::channel();
        let ends = Arc::new(Ends::new(names.clone(), queue.downgrade()));
        let (up, is_up) = watch::channel(false);
        link::start(config.client, ends.clone(), asked, up)?;
        Ok(Self {
            names,
            ends,
            queue,
            up: is_up,
        })
    }

    /// Waits until Redis has been reached, `patience` at most; whether it was.
    pub async fn reached(&self, patience: Duration) -> bool {
        let mut up = self.up.clone();
        let reached = tokio::time::timeout(patience, up.wait_for(|up| *up)).await;
        matches!(reached, Ok(Ok(_)))
    }

    /// Has a channel subscribed. While Redis is away that happens when it is back.
    async fn listen(&self, channel: String) -> Result<(), BusError> {
        let (done, confirmed) = oneshot::channel();
        self.queue.put(Ask::Listen { channel, done })?;
        // Not confirmed, because Redis is away or slow: its subscribers will be told that
        // they may have missed something.
        let _ = tokio::time::timeout(CONFIRM_DEADLINE, confirmed).await;
        Ok(())
    }
}

impl RedisBus {
    /// See [`Bus::request`].
    async fn ask(&self, topic: &str, message: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        check_size(&message)?;
        if !self.is_up() {
            return Err(BusError::Unreachable);
        }
        let waiting = self.ends.pending.open()?;
        let question = Question {
            end: self.names.end(),
            number: waiting.number(),
            message,
        };
        self.queue.put(Ask::Request {
            servers: self.names.servers(topic),
            number: question.number,
            question: question.write(),
        })?;
        tokio::time::timeout(timeout, waiting.answer())
            .await
            .unwrap_or(Err(BusError::Timeout))
    }
}

#[async_trait]
impl Bus for RedisBus {
    async fn publish(&self, topic: &str, message: Bytes) -> Result<(), BusError> {
        check_size(&message)?;
        if !self.is_up() {
            return Err(BusError::Unreachable);
        }
        let channel = self.names.topic(topic);
        self.queue.put(Ask::Publish { channel, message })
    }

    async fn subscribe(&self, topic: &str) -> Result<Subscription, BusError> {
        let subscription = self.ends.subscribers.add(topic);
        self.listen(self.names.topic(topic)).await?;
        Ok(subscription)
    }

    async fn request(&self, topic: &str, message: Bytes, timeout: Duration) -> Result<Bytes, BusError> {
        timed(self.ask(topic, message, timeout)).await
    }

    async fn serve(&self, topic: &str) -> Result<Requests, BusError> {
        let requests = self.ends.servers.add(topic);
        self.listen(self.names.requests(topic)).await?;
        Ok(requests)
    }

    fn is_up(&self) -> bool {
        *self.up.borrow()
    }
}
