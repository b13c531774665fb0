//! What one connection alone is told: greetings, replies, its own holds and orders.

use serde::{Deserialize, Serialize};

use super::{
    ChatMessage, ChatRules, HeldMessage, LineUpCard, Millis, Notification, Position, ProductCard, Reported, SaleCard,
    ShowSummary, Standing, StreamCard,
};
use crate::error::Refusal;
use crate::ids::{GuestId, MessageId, NodeId, OrderId, ReservationId, SaleId, UserId};
use crate::status::{OrderStatus, ReservationStatus, WaitStatus};

/// What one connection alone is told, by the field `type`. Not numbered; a join tells
/// again whatever of it still matters.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Private {
    /// The first frame of every connection, and the answer to `resume`.
    Hello(Hello),
    /// A command has succeeded.
    Reply {
        /// The command's id.
        id: u64,
        /// What it brought.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// A command was refused, or (without an id) the connection is.
    Error {
        /// The command's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
        /// Why.
        #[serde(flatten)]
        refusal: Refusal,
    },
    /// The room as it is, after a join without `since`, or after `resynced`.
    Snapshot(Box<Snapshot>),
    /// What lies between `since` and now cannot be replayed: a snapshot follows.
    Resynced,
    /// What one may do and may not has changed, or is not nothing when a join is replayed.
    Standing(Standing),
    /// One of the viewer's own holds has changed, or is open when a join is replayed.
    Reservation(Reservation),
    /// To moderators: a message was held, and waits for one of them.
    Review(HeldMessage),
    /// To moderators and its author: a held message was decided.
    Reviewed {
        /// The message.
        message: MessageId,
        /// Whether everybody sees it now.
        approved: bool,
    },
    /// To moderators: somebody has reported a message.
    Reported(Reported),
    /// The viewer's own place in a sale's wait list has moved a good deal, or the sale is
    /// over, or they are in line when a join is replayed.
    Waiting(Waiting),
    /// One of the viewer's own orders has changed, or awaits payment when a join is replayed.
    Order {
        /// The order.
        order: OrderId,
        /// Its status.
        status: OrderStatus,
    },
    /// Something new is in the person's list of notifications. Whoever was not connected
    /// finds it there.
    Notification(Box<Notification>),
    /// The service stops, and the connection is closed next. Come back after this time,
    /// which is another for everybody.
    GoingAway {
        /// How long to wait.
        resume_after_ms: u64,
    },
    /// To the host, when the show is over: what it came to.
    Summary(Box<ShowSummary>),
}

/// Greets a connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The engine's node.
    pub node: NodeId,
    /// The server's clock.
    pub now: Millis,
    /// Proves who this is when the connection has to be made again; absent before `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// The account; absent for guests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The guest; absent for accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestId>,
    /// What the server takes.
    pub limits: Limits,
}

/// What the server takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a client's frame.
    pub frame_bytes: u32,
    /// Characters of a chat message.
    pub chat_chars: u32,
    /// Reactions in one command.
    pub reaction_count: u32,
    /// How often the server pings.
    pub ping_interval_ms: u32,
}

/// What a command brought, by the field `result`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Outcome {
    /// Done; nothing more to say.
    Done,
    /// In the room, at this position; numbered events go on from it.
    Joined(Position),
    /// The message is committed.
    Said {
        /// Its id.
        message: MessageId,
        /// The room's epoch.
        epoch: i64,
        /// Its seq.
        seq: u64,
    },
    /// The message was held, committed: a moderator decides whether it is said.
    HeldForReview {
        /// Its id.
        message: MessageId,
    },
    /// Units are held, committed.
    Held(Reservation),
    /// In line for units, committed.
    Waiting(Waiting),
    /// The sale is set up.
    SaleOpened {
        /// Its id.
        sale: SaleId,
    },
    /// The socket's time is renewed.
    Renewed {
        /// Until when.
        expires_at: Millis,
    },
}

/// A hold, as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reservation {
    /// The hold.
    pub reservation: ReservationId,
    /// The sale.
    pub sale: SaleId,
    /// Units.
    pub quantity: u32,
    /// Its status.
    pub status: ReservationStatus,
    /// Until when it is held.
    pub expires_at: Millis,
    /// Whether the units were offered to one who was in the wait list.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offered: bool,
}

/// A place in a sale's wait list, as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// The sale.
    pub sale: SaleId,
    /// Units that are waited for.
    pub quantity: u32,
    /// Whether it still waits.
    pub status: WaitStatus,
    /// How many in line there are up to and including this one: 1 is next. 0: it does
    /// not wait any more.
    pub position: u32,
}

/// A room as it is, at a position.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Numbered events go on after this.
    #[serde(flatten)]
    pub at: Position,
    /// The server's clock.
    pub now: Millis,
    /// The show.
    pub stream: StreamCard,
    /// The product shown.
    pub featured: Option<ProductCard>,
    /// Sales that are open or about to.
    pub sales: Vec<SaleCard>,
    /// The line-up, in order.
    pub line_up: Vec<LineUpCard>,
    /// Connections in the room.
    pub viewers: u64,
    /// People in the room, each once.
    pub people: u64,
    /// What holds for the chat.
    pub rules: ChatRules,
    /// The last messages, oldest first.
    pub chat: Vec<ChatMessage>,
    /// The message pinned above them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<ChatMessage>,
    /// What the viewer may do and may not.
    pub standing: Standing,
    /// The viewer's own holds that are held or paying.
    pub reservations: Vec<Reservation>,
    /// The viewer's own places in wait lists.
    pub waiting: Vec<Waiting>,
    /// The viewer's own orders of this show that await payment.
    pub orders: Vec<OrderId>,
}
