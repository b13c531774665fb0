//! The live wire protocol, version 1: every frame that a client or the server sends.
//!
//! One set of types serves both formats: JSON text frames (`hawker.v1.json`) and
//! MessagePack binary frames with named fields (`hawker.v1.msgpack`). Ids are UUID text,
//! points in time whole milliseconds since the Unix epoch by the server's clock.
//! Unknown fields are ignored. The reference for people is docs/protocol.md.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, Refusal};
use crate::ids::{
    GuestId, MessageId, NodeId, OrderId, ProductId, RequestId, ReservationId, SaleId, StreamId, UserId, VariantId,
};
use crate::status::{OrderStatus, ReservationStatus, StreamStatus};

/// Milliseconds since the Unix epoch, by the server's clock.
pub type Millis = i64;

/// The longest chat message, in characters.
pub const MAX_CHAT_CHARS: usize = 500;
/// The largest frame that a client may send, in bytes.
pub const MAX_CLIENT_FRAME_BYTES: usize = 16 * 1024;
/// The reactions there are.
pub const REACTION_KINDS: [&str; 5] = ["heart", "fire", "clap", "laugh", "wow"];
/// The most of one reaction that one command may carry.
pub const MAX_REACTION_COUNT: u32 = 50;

/// How a connection's frames are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// Text frames of JSON.
    Json,
    /// Binary frames of MessagePack with named fields.
    MsgPack,
}

/// A frame could not be read or written in its format.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Json, Self::MsgPack];

    /// The WebSocket subprotocol that asks for it.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "hawker.v1.json",
            Self::MsgPack => "hawker.v1.msgpack",
        }
    }

    /// The format of a subprotocol, if it is one of ours.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.subprotocol() == name)
    }

    /// The message's bytes.
    ///
    /// # Errors
    /// Only for a type that the format cannot hold, which is a defect of ours.
    pub fn encode<T: Serialize>(self, message: &T) -> Result<Vec<u8>, FormatError> {
        match self {
            Self::Json => serde_json::to_vec(message).map_err(|e| FormatError(e.to_string())),
            Self::MsgPack => rmp_serde::to_vec_named(message).map_err(|e| FormatError(e.to_string())),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are not of the format, or not this message.
    pub fn decode<'a, T: Deserialize<'a>>(self, bytes: &'a [u8]) -> Result<T, FormatError> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|e| FormatError(e.to_string())),
            Self::MsgPack => rmp_serde::from_slice(bytes).map_err(|e| FormatError(e.to_string())),
        }
    }
}

/// What a client sends: one command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClientFrame {
    /// Correlates the reply; the client's own business.
    pub id: u64,
    /// Names the act, for commands that change something: the same when it is resent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// The command.
    #[serde(flatten)]
    pub command: ClientCommand,
}

/// Where a client was when it last heard a numbered event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The room's epoch.
    pub epoch: i64,
    /// The last seq received.
    pub seq: u64,
}

/// The commands, by the field `cmd`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub enum ClientCommand {
    /// Proves who this is, when neither a ticket nor a header did; the first frame then.
    Resume {
        /// The resume token of an earlier `hello`.
        token: String,
    },
    /// Enters the room of the stream that the ticket or token names.
    Join {
        /// The stream.
        stream: StreamId,
        /// Where to go on; without it a snapshot is sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Position>,
    },
    /// Leaves the room; the connection stays.
    Leave,
    /// Says something. Needs a request id.
    Chat {
        /// 1 to 500 characters.
        text: String,
        /// The message it answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reply_to: Option<MessageId>,
    },
    /// Reacts; a client sums up what its user tapped.
    React {
        /// One of [`REACTION_KINDS`].
        kind: String,
        /// 1 to 50.
        count: u32,
    },
    /// Asks for a hold. Needs a request id.
    Buy {
        /// The flash sale.
        sale: SaleId,
        /// Units.
        quantity: u32,
    },
    /// Gives a hold up. Needs a request id.
    Release {
        /// The hold.
        reservation: ReservationId,
    },
    /// Renews the socket's time with a fresh access token or ticket.
    Renew {
        /// The token.
        token: String,
    },
    /// Puts the show on air (host). Needs a request id.
    Start,
    /// Ends the show (host). Needs a request id.
    End,
    /// Shows a product (host). Needs a request id.
    Feature(Feature),
    /// Stops showing one (host). Needs a request id.
    Unfeature,
    /// Opens a flash sale (host). Needs a request id.
    SaleOpen(SaleOpen),
    /// Closes one (host). Needs a request id.
    SaleClose {
        /// The flash sale.
        sale: SaleId,
    },
}

/// A seller's command to a room: over the socket as part of [`ClientCommand`], over
/// REST through the bus. Both end in the room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "snake_case")]
pub enum HostCommand {
    /// Puts the show on air.
    Start,
    /// Ends the show.
    End,
    /// Shows a product.
    Feature(Feature),
    /// Stops showing one.
    Unfeature,
    /// Opens a flash sale.
    SaleOpen(SaleOpen),
    /// Closes one.
    SaleClose {
        /// The flash sale.
        sale: SaleId,
    },
}

/// Shows a product of the seller's, with one variant in front or all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Feature {
    /// The product.
    pub product: ProductId,
    /// The variant held up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantId>,
}

/// Opens a flash sale on a variant of the seller's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SaleOpen {
    /// What is sold.
    pub variant: VariantId,
    /// Units set aside for it, 1 to 1,000,000.
    pub quantity: u32,
    /// The price in minor units of the product's currency.
    pub price_minor: i64,
    /// The most one buyer may hold and have bought, 1 to 1,000.
    pub per_buyer: u32,
    /// How long a hold lasts, 1 to 3,600 s.
    pub hold_seconds: u32,
    /// How long the sale lasts once open, 1 to 86,400 s.
    pub ends_in_seconds: u32,
    /// In how many seconds it opens, at most 86,400; at once without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_in_seconds: Option<u32>,
}

/// How a command is named and to whom it is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addressed {
    /// For the connection or as a viewer.
    Viewer(ClientCommand),
    /// For the show's host.
    Host(HostCommand),
}

impl ClientCommand {
    /// Separates what only a host may do from what every viewer may.
    #[must_use]
    pub fn address(self) -> Addressed {
        match self {
            Self::Start => Addressed::Host(HostCommand::Start),
            Self::End => Addressed::Host(HostCommand::End),
            Self::Feature(feature) => Addressed::Host(HostCommand::Feature(feature)),
            Self::Unfeature => Addressed::Host(HostCommand::Unfeature),
            Self::SaleOpen(sale) => Addressed::Host(HostCommand::SaleOpen(sale)),
            Self::SaleClose { sale } => Addressed::Host(HostCommand::SaleClose { sale }),
            viewer @ (Self::Resume { .. }
            | Self::Join { .. }
            | Self::Leave
            | Self::Chat { .. }
            | Self::React { .. }
            | Self::Buy { .. }
            | Self::Release { .. }
            | Self::Renew { .. }) => Addressed::Viewer(viewer),
        }
    }
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
        /// The buyer's name, if they opted in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The product's title.
        title: String,
        /// Units.
        quantity: u32,
    },
    /// The show is on air, or over.
    StreamStatus {
        /// Its status from now on.
        status: StreamStatus,
    },
}

impl RoomEvent {
    /// The value of its field `type`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Chat(_) => "chat",
            Self::Featured { .. } => "featured",
            Self::Unfeatured => "unfeatured",
            Self::ProductUpdated { .. } => "product_updated",
            Self::SaleOpened { .. } => "sale_opened",
            Self::SaleUpdated { .. } => "sale_updated",
            Self::SaleSoldOut { .. } => "sale_sold_out",
            Self::SaleClosed { .. } => "sale_closed",
            Self::Purchase { .. } => "purchase",
            Self::StreamStatus { .. } => "stream_status",
        }
    }
}

/// Who a message is from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Author {
    /// The account.
    pub id: UserId,
    /// The display name at that time.
    pub name: String,
    /// Whether it is the show's host.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub host: bool,
}

/// A chat message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Its id.
    pub id: MessageId,
    /// Who said it.
    pub author: Author,
    /// What.
    pub text: String,
    /// The message it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// When.
    pub at: Millis,
}

/// A product as a room shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductCard {
    /// The product.
    pub id: ProductId,
    /// Its title.
    pub title: String,
    /// Its picture; empty: none.
    pub image_url: String,
    /// ISO 4217.
    pub currency: String,
    /// Raised with every change; drop an older one.
    pub version: i64,
    /// Its variants, in order.
    pub variants: Vec<VariantCard>,
    /// The variant held up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub featured_variant: Option<VariantId>,
}

/// A variant as a room shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VariantCard {
    /// The variant.
    pub id: VariantId,
    /// Option names and values, such as size and M.
    pub options: BTreeMap<String, String>,
    /// Price in minor units.
    pub price_minor: i64,
    /// Units free to buy.
    pub available: u32,
}

/// A flash sale as a room shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SaleCard {
    /// The sale.
    pub id: SaleId,
    /// The product.
    pub product: ProductId,
    /// The variant.
    pub variant: VariantId,
    /// The product's title.
    pub title: String,
    /// The product's picture.
    pub image_url: String,
    /// The price in minor units.
    pub price_minor: i64,
    /// The variant's usual price.
    pub usual_price_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// Units set aside at the start.
    pub quantity: u32,
    /// Units neither held nor sold.
    pub remaining: u32,
    /// The most one buyer may have.
    pub per_buyer: u32,
    /// How long a hold lasts.
    pub hold_seconds: u32,
    /// When it opens.
    pub opens_at: Millis,
    /// When it ends.
    pub ends_at: Millis,
    /// Raised with every change.
    pub version: i64,
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
    /// Connections in the room.
    Viewers {
        /// How many.
        count: u64,
    },
    /// Nothing but the frame's `now`, in a quiet room at the ping interval.
    Time,
}

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
    /// One of the viewer's own holds has changed.
    Reservation(Reservation),
    /// One of the viewer's own orders has changed.
    Order {
        /// The order.
        order: OrderId,
        /// Its status.
        status: OrderStatus,
    },
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
    /// Units are held, committed.
    Held(Reservation),
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
    /// Connections in the room.
    pub viewers: u64,
    /// The last messages, oldest first.
    pub chat: Vec<ChatMessage>,
    /// The viewer's own holds that are held or paying.
    pub reservations: Vec<Reservation>,
    /// The viewer's own orders of this show that await payment.
    pub orders: Vec<OrderId>,
}

/// A show as its room presents it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamCard {
    /// The stream.
    pub id: StreamId,
    /// Its title.
    pub title: String,
    /// The shop's name.
    pub shop: String,
    /// Its picture; empty: none.
    pub cover_url: String,
    /// Its status.
    pub status: StreamStatus,
    /// Since when it is on air.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
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

/// Reads a client's frame. What is no frame at all is [`ErrorCode::Malformed`] and ends
/// the connection; a frame that names no known command, or one with wrong fields, is
/// answered under its id.
///
/// # Errors
/// The refusal, with the frame's id where it has one.
pub fn read_client_frame(format: Format, bytes: &[u8]) -> Result<ClientFrame, (Option<u64>, Refusal)> {
    #[derive(Deserialize)]
    struct Envelope {
        id: Option<u64>,
        cmd: Option<String>,
    }

    let error = match format.decode::<ClientFrame>(bytes) {
        Ok(frame) => return Ok(frame),
        Err(error) => error,
    };
    let Ok(envelope) = format.decode::<Envelope>(bytes) else {
        return Err((None, Refusal::from(ErrorCode::Malformed)));
    };
    let refusal = match envelope.cmd {
        None => Refusal::new(ErrorCode::InvalidBody, "a frame needs a command").at("cmd"),
        Some(cmd) if !COMMANDS.contains(&cmd.as_str()) => Refusal::new(
            ErrorCode::UnknownCommand,
            format!("there is no command {:?}", truncated(&cmd)),
        )
        .at("cmd"),
        Some(_) if envelope.id.is_none() => Refusal::new(ErrorCode::InvalidBody, "a frame needs an id").at("id"),
        Some(_) => Refusal::new(ErrorCode::InvalidBody, truncated(&error.to_string())),
    };
    Err((envelope.id, refusal))
}

/// Every value of `cmd`.
pub const COMMANDS: [&str; 14] = [
    "resume",
    "join",
    "leave",
    "chat",
    "react",
    "buy",
    "release",
    "renew",
    "start",
    "end",
    "feature",
    "unfeature",
    "sale_open",
    "sale_close",
];

fn truncated(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roundtrip<T: Serialize + for<'a> Deserialize<'a> + PartialEq + std::fmt::Debug>(value: &T) {
        for format in Format::ALL {
            let bytes = format.encode(value).expect("encodes");
            assert_eq!(&format.decode::<T>(&bytes).expect("decodes"), value, "{format:?}");
        }
    }

    #[test]
    fn commands_read_the_same_in_both_formats() {
        for command in [
            ClientCommand::Join {
                stream: StreamId::new(),
                since: Some(Position { epoch: 3, seq: 9 }),
            },
            ClientCommand::Leave,
            ClientCommand::Chat {
                text: "hello".into(),
                reply_to: Some(MessageId::new()),
            },
            ClientCommand::Buy {
                sale: SaleId::new(),
                quantity: 2,
            },
            ClientCommand::Feature(Feature {
                product: ProductId::new(),
                variant: None,
            }),
            ClientCommand::End,
        ] {
            roundtrip(&ClientFrame {
                id: 7,
                request_id: Some(RequestId::new()),
                command,
            });
        }
    }

    #[test]
    fn frames_are_told_apart_by_their_fields() {
        let reservation = Reservation {
            reservation: ReservationId::new(),
            sale: SaleId::new(),
            quantity: 1,
            status: ReservationStatus::Held,
            expires_at: 5,
        };
        for frame in [
            ServerFrame::Numbered(NumberedFrame {
                epoch: 1,
                from: 1,
                to: 1,
                now: 0,
                m: vec![RoomEvent::Unfeatured],
            }),
            ServerFrame::Ephemeral(EphemeralFrame {
                now: 0,
                m: vec![Ephemeral::Time],
            }),
            ServerFrame::Private(Private::Reply {
                id: 1,
                outcome: Outcome::Held(reservation.clone()),
            }),
            ServerFrame::Private(Private::Reply {
                id: 1,
                outcome: Outcome::Joined(Position { epoch: 1, seq: 0 }),
            }),
            ServerFrame::Private(Private::Reservation(reservation)),
            ServerFrame::Private(Private::Resynced),
            ServerFrame::Private(Private::Error {
                id: None,
                refusal: ErrorCode::SoldOut.into(),
            }),
        ] {
            roundtrip(&frame);
        }
    }

    #[test]
    fn a_bad_frame_says_what_is_wrong_with_it() {
        let read = |text: &str| read_client_frame(Format::Json, text.as_bytes()).expect_err("refused");
        assert_eq!(read("{").1.code, ErrorCode::Malformed);
        assert_eq!(read("[]").1.code, ErrorCode::Malformed);
        let (id, refusal) = read(r#"{"id":4,"cmd":"fly"}"#);
        assert_eq!((id, refusal.code), (Some(4), ErrorCode::UnknownCommand));
        let (id, refusal) = read(r#"{"id":5,"cmd":"buy","quantity":1}"#);
        assert_eq!((id, refusal.code), (Some(5), ErrorCode::InvalidBody));
        assert!(refusal.detail.contains("sale"), "{}", refusal.detail);
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let frame = read_client_frame(Format::Json, br#"{"id":1,"cmd":"leave","later":true}"#);
        assert_eq!(frame.expect("read").command, ClientCommand::Leave);
    }

    #[test]
    fn every_command_is_listed() {
        for cmd in COMMANDS {
            let frame = format!(r#"{{"id":1,"cmd":"{cmd}"}}"#);
            let Err((_, refusal)) = read_client_frame(Format::Json, frame.as_bytes()) else {
                continue;
            };
            assert_eq!(
                refusal.code,
                ErrorCode::InvalidBody,
                "{cmd} is a command, its fields are missing"
            );
        }
    }
}
