//! What a room tells everybody: numbered events, and what may be missed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Author, ChatMessage, ChatRules, DeletedBy, HostAway, LineUpCard, Millis, Private, ProductCard, SaleCard};
use crate::ids::{MessageId, SaleId, UserId};
use crate::status::StreamStatus;

/// Where a client was when it last heard a numbered event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The room's epoch.
    pub epoch: i64,
    /// The last seq received.
    pub seq: u64,
}
/// Numbered events of a room, in order: nobody misses one without being told.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NumberedFrame {
    /// The room's epoch.
    pub epoch: i64,
    /// The seq of the first event.
    pub from: u64,
    /// The seq of the last.
    pub to: u64,
    /// The server's clock.
    pub now: Millis,
    /// The events, `to - from + 1` of them.
    pub m: Vec<RoomEvent>,
}

/// What a slow reader may miss: the latest values.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EphemeralFrame {
    /// The server's clock.
    pub now: Millis,
    /// The messages.
    pub m: Vec<Ephemeral>,
}

/// A numbered event, by the field `type`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RoomEvent {
    /// Somebody said something.
    Chat(ChatMessage),
    /// A message is gone: drop it, and what answers to it quotes of it.
    MessageDeleted {
        /// The message.
        message: MessageId,
        /// In which part somebody did it.
        by: DeletedBy,
    },
    /// Other rules hold for the chat from now on.
    ChatRules(ChatRules),
    /// A product is shown.
    Featured {
        /// It, as it is now.
        product: ProductCard,
    },
    /// Nothing is shown any more.
    Unfeatured,
    /// The price or stock of the product shown has changed.
    ProductUpdated {
        /// It, as it is now.
        product: ProductCard,
    },
    /// A flash sale begins (now, or at its `opens_at`).
    SaleOpened {
        /// It.
        sale: SaleCard,
    },
    /// Its remaining units have changed.
    SaleUpdated {
        /// The sale.
        sale: SaleId,
        /// Units neither held nor sold.
        remaining: u32,
        /// Raised with every change; drop an older one.
        version: i64,
    },
    /// Nothing is left of it (holds may still lapse).
    SaleSoldOut {
        /// The sale.
        sale: SaleId,
        /// Raised with every change.
        version: i64,
    },
    /// It is over.
    SaleClosed {
        /// The sale.
        sale: SaleId,
    },
    /// Somebody has bought something.
    Purchase {
        /// Who they are, for the room's log alone: it keeps no name. Never sent.
        #[serde(skip)]
        buyer: Option<UserId>,
        /// The buyer's name, if they opted in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The product's title.
        title: String,
        /// Units.
        quantity: u32,
    },
    /// A message is pinned above the chat, in the place of any other.
    Pinned {
        /// It.
        message: ChatMessage,
    },
    /// None is pinned any more.
    Unpinned,
    /// Everybody is told something.
    Notice {
        /// Who tells it.
        author: Author,
        /// What.
        text: String,
    },
    /// What this person has said so far is taken out of view, a pinned message included.
    Moderation {
        /// Who.
        user: UserId,
    },
    /// The show is on air, or over.
    StreamStatus {
        /// Its status from now on.
        status: StreamStatus,
    },
    /// The host's connection is lost; the show ends unless they come back.
    HostAway(HostAway),
    /// They are back.
    HostBack,
    /// The show has another cover.
    Cover {
        /// Where it is; empty: there is none any more.
        cover_url: String,
    },
    /// The line-up, or its order, is another one.
    LineUp {
        /// All of it, in order.
        products: Vec<LineUpCard>,
    },
    /// Price, stock or text of a product of the line-up has changed.
    LineUpUpdated {
        /// It, as it is now.
        product: LineUpCard,
    },
}

impl RoomEvent {
    /// The value of its field `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Chat(_) => "chat",
            Self::MessageDeleted { .. } => "message_deleted",
            Self::ChatRules(_) => "chat_rules",
            Self::Featured { .. } => "featured",
            Self::Unfeatured => "unfeatured",
            Self::ProductUpdated { .. } => "product_updated",
            Self::SaleOpened { .. } => "sale_opened",
            Self::SaleUpdated { .. } => "sale_updated",
            Self::SaleSoldOut { .. } => "sale_sold_out",
            Self::SaleClosed { .. } => "sale_closed",
            Self::Purchase { .. } => "purchase",
            Self::Pinned { .. } => "pinned",
            Self::Unpinned => "unpinned",
            Self::Notice { .. } => "notice",
            Self::Moderation { .. } => "moderation",
            Self::StreamStatus { .. } => "stream_status",
            Self::HostAway(_) => "host_away",
            Self::HostBack => "host_back",
            Self::Cover { .. } => "cover",
            Self::LineUp { .. } => "line_up",
            Self::LineUpUpdated { .. } => "line_up_updated",
        }
    }
}
/// An ephemeral message, by the field `type`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Ephemeral {
    /// Reactions since the last frame, by kind.
    Reactions {
        /// Counts.
        counts: BTreeMap<String, u64>,
    },
    /// Who is in the room.
    Viewers {
        /// Connections.
        count: u64,
        /// People: accounts and guests, each once, however many connections they have.
        people: u64,
        /// In a small room, the names of some who are there, sorted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        who: Vec<String>,
    },
    /// Nothing but the frame's `now`, in a quiet room at the ping interval.
    Time,
}
/// Any frame from the server, as a client reads it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ServerFrame {
    /// Numbered events.
    Numbered(NumberedFrame),
    /// Ephemeral messages.
    Ephemeral(EphemeralFrame),
    /// A private message.
    Private(Private),
}
