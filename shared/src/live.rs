//! What core-api and live-engine say to each other: commands to a room, which the room
//! answers, and notices of committed changes, which reach it through the outbox.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Refusal;
use crate::ids::{NodeId, OrderId, ProductId, RequestId, ReservationId, SaleId, StreamId, UserId};
use crate::protocol::{HostCommand, Outcome, Reported, RoomEvent};
use crate::status::OrderStatus;

/// The bus topic on which any engine answers [`RoomRequest`]s with [`RoomReply`]s: it asks
/// the owner of the room, wherever that is.
pub const ROOM_REQUESTS: &str = "live.room";

/// The bus topic on which this engine answers [`RoomRequest`]s for the rooms it owns.
#[must_use]
pub fn requests_of(node: NodeId) -> String {
    format!("live.room.{node}")
}

/// The bus topic that hints at people whose standing has changed. A hint may be lost; the
/// rows are polled too.
pub const PEOPLE_HINTS: &str = "people.hint";
/// The bus topic that hints at new notifications. A hint may be lost; the rows are polled
/// too, and a person's list has them all.
pub const NOTIFICATION_HINTS: &str = "notifications.hint";
/// The bus topic that hints at new outbox rows. A hint may be lost; the rows are polled too.
pub const OUTBOX_HINTS: &str = "outbox.hint";

/// A command to a room, authorised by core-api: `user` owns the stream's shop or moderates
/// it. The room checks that again, and so does the command's own transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RoomRequest {
    /// Whose room.
    pub stream: StreamId,
    /// Who commands.
    pub user: UserId,
    /// The act, the same when it is resent.
    pub request_id: RequestId,
    /// What to do.
    pub command: HostCommand,
    /// The REST request that asks, by the id that its answer carries. For logs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_request: Option<Uuid>,
}

/// The room's answer.
pub type RoomReply = Result<Outcome, Refusal>;

/// A committed change that a room must hear of: the payload of an outbox row with a
/// stream. Receivers are idempotent: they read the rows it names, or apply by version.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum RoomNotice {
    /// A host's command was committed with its rows: the event it causes. The room that
    /// decided it sends it at once and marks the row with the event; a new owner finds
    /// the row unmarked after a crash and sends it then.
    Happened {
        /// Its number among the show's, in the order of the commits: what is older than
        /// what was told of the same matter is told no more.
        no: i64,
        /// The event.
        event: Box<RoomEvent>,
    },
    /// A product in the line-up has another price, stock, text or status.
    ProductChanged {
        /// It.
        product: ProductId,
    },
    /// The line-up has other products.
    LineUpChanged,
    /// The show has another cover, or none.
    CoverChanged,
    /// A flash sale's counters moved outside the room: a hold made over REST, a payment.
    SaleChanged {
        /// It.
        sale: SaleId,
    },
    /// Holds of one person changed status outside the room.
    ReservationsChanged {
        /// Whose.
        user: UserId,
        /// Which.
        reservations: Vec<ReservationId>,
    },
    /// An order of this show has another status.
    OrderChanged {
        /// Whose.
        user: UserId,
        /// Which.
        order: OrderId,
        /// Its status now.
        status: OrderStatus,
    },
    /// The shop blocks other words.
    WordsChanged,
    /// Somebody has reported a message of the show.
    MessageReported {
        /// It.
        reported: Reported,
    },
    /// Somebody was appointed, dismissed, or has other rights.
    ModeratorsChanged,
    /// A mute in this show was made or lifted.
    MuteChanged {
        /// Whose.
        user: UserId,
    },
    /// Somebody was banned from the shop's shows: what they said is taken out of view.
    Banned {
        /// Who.
        user: UserId,
    },
    /// Something was bought in this show.
    Purchased {
        /// Who, if they let purchases show their name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        buyer: Option<UserId>,
        /// Their name: added when the row is read, and never stored.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The product's title.
        title: String,
        /// Units.
        quantity: u32,
    },
}

impl RoomNotice {
    /// The outbox row's topic.
    #[must_use]
    pub const fn topic(&self) -> &'static str {
        match self {
            Self::Happened { .. } => "happened",
            Self::ProductChanged { .. } => "product_changed",
            Self::LineUpChanged => "line_up_changed",
            Self::CoverChanged => "cover_changed",
            Self::SaleChanged { .. } => "sale_changed",
            Self::ReservationsChanged { .. } => "reservations_changed",
            Self::OrderChanged { .. } => "order_changed",
            Self::WordsChanged => "words_changed",
            Self::MessageReported { .. } => "message_reported",
            Self::ModeratorsChanged => "moderators_changed",
            Self::MuteChanged { .. } => "mute_changed",
            Self::Banned { .. } => "banned",
            Self::Purchased { .. } => "purchased",
        }
    }
}
