//! What the engine's parts hand to each other: connections by name, and the answers and
//! reports that come back from the database's threads.
//!
//! Plain data and one trait; no IO and no rule lives here.

use shared::Timestamp;
use shared::error::Refusal;
use shared::ids::{MessageId, OrderId, SaleId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{Notification, Outcome, Reservation, Waiting};
use shared::status::SaleStatus;
use uuid::Uuid;

/// A connection, from anywhere in the engine. The generation tells a slot's present
/// owner from an earlier one, so that a late answer never reaches a stranger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ConnId {
    /// The worker it lives on.
    pub worker: u16,
    /// Its place in the worker's slab.
    pub slot: u32,
    /// Raised each time a place is taken.
    pub generation: u32,
}

/// What became of a room's numbered events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PersistReport {
    /// Everything of the epoch up to and including `up_to` is committed.
    Committed {
        /// The room.
        stream: StreamId,
        /// Its epoch.
        epoch: i64,
        /// The last committed seq.
        up_to: u64,
    },
    /// Another epoch owns the room: nothing of this one is stored any more.
    Fenced {
        /// The room.
        stream: StreamId,
        /// The epoch that has ended.
        epoch: i64,
    },
    /// The database refuses this one row for good; it is kept in `persist_rejects`.
    Rejected {
        /// The room.
        stream: StreamId,
        /// Its epoch.
        epoch: i64,
        /// The row's seq.
        seq: u64,
    },
}

/// The answer to a viewer's `buy`, `wait`, `unwait` or `release`.
#[derive(Clone, PartialEq, Debug)]
pub struct HoldAnswer {
    /// Who asked.
    pub conn: ConnId,
    /// The command's id.
    pub id: u64,
    /// What is committed, or why nothing is.
    pub result: Result<Outcome, Refusal>,
}

/// What of a person's business in a show is open: their holds, places in line and unpaid
/// orders.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Own {
    /// Holds that are held or paying.
    pub reservations: Vec<Reservation>,
    /// Places in wait lists.
    pub waiting: Vec<Waiting>,
    /// Orders that await payment.
    pub orders: Vec<OrderId>,
}

/// A flash sale's counters after a committed change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SaleProgress {
    /// The sale.
    pub sale: SaleId,
    /// Units neither held nor sold; 0 once it is closed.
    pub remaining: u32,
    /// Raised with every change; an older one is dropped.
    pub version: i64,
    /// Whether it is still open.
    pub status: SaleStatus,
    /// When the earliest hold lapses.
    pub next_expiry: Option<Timestamp>,
}

/// Somebody who has come to a show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attendee {
    /// The account or guest.
    pub person: Uuid,
    /// Whether it is an account.
    pub account: bool,
}

/// What the moderation service has come to, about a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspected {
    /// The author.
    pub user: UserId,
    /// The message.
    pub message: MessageId,
    /// What may become of it.
    pub verdict: Verdict,
}

/// What may become of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may be said.
    Allow,
    /// It may be said with this text.
    Change(String),
    /// A moderator is to decide, for this reason.
    Hold(String),
    /// It may not be said, for this reason.
    Deny(String),
    /// Nobody knows: it may not be said now.
    Unanswered,
}

/// Somebody is told something, on all their connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notified {
    /// Who.
    pub user: UserId,
    /// What.
    pub notification: Notification,
}

/// Where answers and reports go: called from the database's threads, never blocks.
pub trait Sink: Send + Sync + 'static {
    /// Numbered events were stored, or cannot be.
    fn persisted(&self, report: PersistReport);

    /// Buyers are to be answered.
    fn hold_answers(&self, answers: Vec<HoldAnswer>);

    /// A sale's counters have moved.
    fn sale_progress(&self, stream: StreamId, progress: SaleProgress);

    /// Holds have lapsed, or were changed outside the room: their owners are to be told.
    fn holds_changed(&self, stream: StreamId, holds: Vec<(UserId, Reservation)>);

    /// The moderation service has come to something about a message.
    fn inspected(&self, stream: StreamId, inspected: Inspected);

    /// Places in wait lists have moved a good deal, or are no more: their owners are to
    /// be told.
    fn places_changed(&self, stream: StreamId, places: Vec<(UserId, Waiting)>);

    /// Somebody was shut out: their sockets are to be closed.
    fn somebody_revoked(&self);

    /// People who are connected are to be told something, wherever they are.
    fn notified(&self, news: Vec<Notified>);

    /// Undelivered outbox rows of a room, oldest first. They come again until marked.
    fn notices(&self, stream: StreamId, rows: Vec<(Uuid, RoomNotice)>);
}
