//! The persister: numbered events go to Postgres in order, in batches that pace
//! themselves, one in flight for all rooms of this node.
//!
//! What is stored of an epoch is always a prefix without gaps: a batch is one
//! transaction, the next one waits for it, a row that the database refuses for good is
//! kept in `persist_rejects` in its place, and a room whose lease has moved on stores
//! nothing more. Offering never blocks; memory is bounded, and what does not fit is
//! refused to whoever offers it.

pub mod queue;
mod store;
pub mod sums;
pub mod work;
mod writer;

use std::sync::Arc;

use shared::Timestamp;
use shared::ids::{RequestId, StreamId};
use shared::protocol::{ChatMessage, RoomEvent};
use tokio::sync::watch;
use uuid::Uuid;

use crate::db::Db;
use crate::types::{ConnId, Sink};
use queue::Mark;
pub use queue::Queue;

/// What may wait for the database on one node, in bytes.
pub const MAX_BACKLOG_BYTES: usize = 64 * 1024 * 1024;
/// Above this, chat is refused; the rest is left to events that a commit has caused.
pub const MAX_CHAT_BACKLOG_BYTES: usize = MAX_BACKLOG_BYTES / 8 * 7;

/// One numbered event on its way to Postgres.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The room.
    pub stream: StreamId,
    /// Its epoch: the fence.
    pub epoch: i64,
    /// Its number in the epoch; a room offers its numbers in order and without a gap.
    pub seq: u64,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub row: Row,
    /// Outbox rows that caused it, marked delivered in the same transaction.
    pub outbox: Vec<Uuid>,
}

/// Where an event is stored.
#[derive(Clone, PartialEq, Debug)]
pub enum Row {
    /// In `stream_chat_messages`.
    Chat {
        /// The message.
        message: ChatMessage,
        /// How its author will know it again; none for one that was held: its review has it.
        act: Option<ChatAct>,
    },
    /// In `stream_events`.
    Event(RoomEvent),
}

/// An author's name for an act, and what tells another one under the same name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChatAct {
    /// The name.
    pub request_id: RequestId,
    /// Of what was sent.
    pub body: i64,
    /// The connection that it first came from, for logs.
    pub conn: ConnId,
}

impl Row {
    /// Where an event is stored that a commit has caused.
    #[must_use]
    pub fn of(event: RoomEvent) -> Self {
        match event {
            RoomEvent::Chat(message) => Self::Chat { message, act: None },
            event => Self::Event(event),
        }
    }
}

/// The database is so far behind that nothing more is taken. Nothing of the offer was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the backlog of events to store is full")]
pub struct Backlog;

/// Takes numbered events and stores them. Cheap to clone.
#[derive(Clone)]
pub struct Persister {
    queue: Arc<Queue>,
    settled: watch::Receiver<Mark>,
}

impl Persister {
    /// Starts storing, on the database's threads; reports go to `sink`.
    #[must_use]
    pub fn start(db: &Db, sink: Arc<dyn Sink>) -> Self {
        let queue = Arc::new(Queue::default());
        let (progress, settled) = watch::channel(Mark::default());
        let writer = writer::Writer::new(db, sink, queue.clone(), progress);
        db.spawn(writer.run());
        Self { queue, settled }
    }

    /// What waits to be stored: whoever numbers events offers them here.
    #[must_use]
    pub fn queue(&self) -> Arc<Queue> {
        self.queue.clone()
    }

    /// Takes entries, all or none, each room's in order. Never blocks.
    ///
    /// # Errors
    /// `Backlog` when they do not fit any more; chat is refused a little before the rest,
    /// so that what was committed elsewhere still finds room.
    pub fn offer(&self, entries: Vec<Entry>) -> Result<(), Backlog> {
        self.queue.offer(entries)
    }

    /// Adds to a minute's reactions of one kind. Kept in memory for up to a second.
    pub fn add_reactions(&self, stream: StreamId, kind: &str, minute: Timestamp, count: u64) {
        self.queue.add_reactions(stream, kind, minute, count);
    }

    /// What waits for the database, about, in bytes.
    #[must_use]
    pub fn backlog_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// How many events wait for the database, those on their way included.
    #[must_use]
    pub fn backlog_rows(&self) -> usize {
        self.queue.rows()
    }

    /// Waits until everything offered before is stored, fenced off or rejected, and
    /// reactions with it. For as long as the database is away: give it a deadline.
    /// Safe to cancel.
    pub async fn flush(&self) {
        let until = self.queue.request_flush();
        // The sender lives as long as the writer; an error means that it has ended.
        let reached = |mark: &Mark| mark.entries >= until.entries && mark.flushes >= until.flushes;
        let _ = self.settled.clone().wait_for(reached).await;
    }
}
