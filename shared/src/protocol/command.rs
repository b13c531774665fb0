//! What a client sends: commands, and how a frame of theirs is read.

use serde::{Deserialize, Serialize};

use super::{Ban, ChatAudience, ChatChange, Format, Links, Mute, Position, ReportReason, Unban};
use crate::error::{ErrorCode, Refusal};
use crate::ids::{MessageId, ProductId, RequestId, ReservationId, SaleId, StreamId, UserId, VariantId};
use crate::rights::Right;

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
        /// Where to go on: what was missed is replayed, and own open holds and orders are
        /// told again; without it a snapshot is sent.
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
    /// Takes a message back: one's own, or as a moderator anybody's. Needs a request id.
    DeleteMessage {
        /// The message.
        message: MessageId,
    },
    /// Tells moderators of a message. Needs a request id.
    Report {
        /// The message.
        message: MessageId,
        /// What is wrong with it.
        reason: ReportReason,
        /// In one's own words, at most 200 characters.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        note: String,
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
    /// Asks for a hold, or for a place in line while the units cannot be had. Needs a
    /// request id.
    Wait {
        /// The flash sale.
        sale: SaleId,
        /// Units.
        quantity: u32,
    },
    /// Leaves a wait list. Needs a request id.
    Unwait {
        /// The flash sale.
        sale: SaleId,
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
    /// Puts the line-up in another order (host). Needs a request id.
    Reorder(LineUpOrder),
    /// Opens a flash sale (host). Needs a request id.
    SaleOpen(SaleOpen),
    /// Closes one (host). Needs a request id.
    SaleClose {
        /// The flash sale.
        sale: SaleId,
    },
    /// Sets the time between two messages of one person (moderators). Needs a request id.
    SlowMode {
        /// At most 3,600; 0 ends slow mode.
        seconds: u32,
    },
    /// Sets who may chat, and what (moderators); what is absent stays. Needs a request id.
    ChatMode {
        /// Who may chat.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<ChatAudience>,
        /// Who may write links.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        links: Option<Links>,
        /// The longest message in characters, 1 to 500.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_chars: Option<u32>,
    },
    /// Lets a held message be said (moderators). Needs a request id.
    ApproveMessage {
        /// The message.
        message: MessageId,
    },
    /// Keeps a held message from being said (moderators). Needs a request id.
    RejectMessage {
        /// The message.
        message: MessageId,
    },
    /// Keeps somebody from chatting for a while (right `mute`). Needs a request id.
    Mute(Mute),
    /// The same, and takes their messages out of view (right `mute`). Needs a request id.
    Timeout(Mute),
    /// Lets them chat again (right `mute`). Needs a request id.
    Unmute {
        /// Who.
        user: UserId,
    },
    /// Bans somebody from the shop's shows (right `ban`). Needs a request id.
    Ban(Ban),
    /// Lets them in again (right `ban`). Needs a request id.
    Unban(Unban),
    /// Pins a message (right `pin`). Needs a request id.
    PinMessage {
        /// One of the show's.
        message: MessageId,
    },
    /// Pins none any more (right `pin`). Needs a request id.
    UnpinMessage,
    /// Tells everybody something (right `announce`). Needs a request id.
    Announce {
        /// 1 to 500 characters.
        text: String,
    },
}

/// A command of those who run a show, its host and its moderators: over the socket as part
/// of [`ClientCommand`], over REST through the bus. Both end in the room.
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
    /// Puts the line-up in another order.
    Reorder(LineUpOrder),
    /// Opens a flash sale.
    SaleOpen(SaleOpen),
    /// Closes one.
    SaleClose {
        /// The flash sale.
        sale: SaleId,
    },
    /// Deletes a message: also open to its author.
    DeleteMessage {
        /// The message.
        message: MessageId,
    },
    /// Changes the chat's rules.
    ChatRules(ChatChange),
    /// Decides on a held message.
    Review {
        /// The message.
        message: MessageId,
        /// Whether it is said.
        approve: bool,
    },
    /// Keeps somebody from chatting for a while.
    Mute(Mute),
    /// The same, and takes their messages out of view.
    Timeout(Mute),
    /// Lets them chat again.
    Unmute {
        /// Who.
        user: UserId,
    },
    /// Bans somebody from the shop's shows.
    Ban(Ban),
    /// Lets them in again.
    Unban(Unban),
    /// Pins a message.
    PinMessage {
        /// One of the show's.
        message: MessageId,
    },
    /// Pins none any more.
    UnpinMessage,
    /// Tells everybody something.
    Announce {
        /// 1 to 500 characters.
        text: String,
    },
}

impl HostCommand {
    /// What a moderator needs for it; `None`: it is the host's alone.
    #[must_use]
    pub const fn right(&self) -> Option<Right> {
        match self {
            // What is sold and when the show runs is the shop's business.
            Self::Start
            | Self::End
            | Self::Feature(_)
            | Self::Unfeature
            | Self::Reorder(_)
            | Self::SaleOpen(_)
            | Self::SaleClose { .. } => None,
            Self::DeleteMessage { .. } => Some(Right::DeleteMessages),
            Self::ChatRules(_) => Some(Right::ChatRules),
            Self::Review { .. } => Some(Right::Review),
            Self::Mute(_) | Self::Timeout(_) | Self::Unmute { .. } => Some(Right::Mute),
            Self::Ban(_) | Self::Unban(_) => Some(Right::Ban),
            Self::PinMessage { .. } | Self::UnpinMessage => Some(Right::Pin),
            Self::Announce { .. } => Some(Right::Announce),
        }
    }

    /// Whether everybody may do it to what is their own.
    #[must_use]
    pub const fn is_open_to_authors(&self) -> bool {
        matches!(self, Self::DeleteMessage { .. })
    }
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

/// The most products a line-up has.
pub const MAX_LINE_UP: usize = 100;

/// The line-up's products, each once, in the order they are to have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LineUpOrder {
    /// All of them, at most [`MAX_LINE_UP`].
    pub products: Vec<ProductId>,
}

/// Opens a flash sale on a variant of the seller's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SaleOpen {
    /// What is sold.
    pub variant: VariantId,
    /// Units set aside for it, 1 to 1,000,000.
    pub quantity: u32,
    /// What a unit costs: exactly one of `price_minor` and `percent_off`.
    #[serde(flatten)]
    pub price: SalePrice,
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

/// How a flash sale's price is set. It is computed once, when the sale is set up, and
/// stays whatever becomes of the variant's own price.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "Prices", into = "Prices")]
#[schema(rename_all = "snake_case")]
pub enum SalePrice {
    /// A price in minor units of the product's currency, 0 to 100,000,000,000.
    PriceMinor(i64),
    /// Whole percent off the variant's price at that time, 1 to 100; what remains is
    /// rounded half up to whole minor units.
    PercentOff(u8),
}

/// [`SalePrice`] on the wire, where both fields can be there or none.
#[derive(Serialize, Deserialize)]
struct Prices {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price_minor: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent_off: Option<u8>,
}

impl TryFrom<Prices> for SalePrice {
    type Error = &'static str;

    fn try_from(prices: Prices) -> Result<Self, Self::Error> {
        match (prices.price_minor, prices.percent_off) {
            (Some(price), None) => Ok(Self::PriceMinor(price)),
            (None, Some(percent)) => Ok(Self::PercentOff(percent)),
            _ => Err("a sale has either a price_minor or a percent_off"),
        }
    }
}

impl From<SalePrice> for Prices {
    fn from(price: SalePrice) -> Self {
        let (price_minor, percent_off) = match price {
            SalePrice::PriceMinor(price) => (Some(price), None),
            SalePrice::PercentOff(percent) => (None, Some(percent)),
        };
        Self {
            price_minor,
            percent_off,
        }
    }
}

/// How a command is named and to whom it is open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addressed {
    /// For the connection or as a viewer.
    Viewer(ClientCommand),
    /// For those who run the show.
    Host(HostCommand),
}

impl ClientCommand {
    /// Separates what only those who run a show may do from what every viewer may.
    #[must_use]
    pub fn address(self) -> Addressed {
        match self {
            Self::Start => Addressed::Host(HostCommand::Start),
            Self::End => Addressed::Host(HostCommand::End),
            Self::Feature(feature) => Addressed::Host(HostCommand::Feature(feature)),
            Self::Unfeature => Addressed::Host(HostCommand::Unfeature),
            Self::Reorder(order) => Addressed::Host(HostCommand::Reorder(order)),
            Self::SaleOpen(sale) => Addressed::Host(HostCommand::SaleOpen(sale)),
            Self::SaleClose { sale } => Addressed::Host(HostCommand::SaleClose { sale }),
            Self::DeleteMessage { message } => Addressed::Host(HostCommand::DeleteMessage { message }),
            Self::SlowMode { seconds } => Addressed::Host(HostCommand::ChatRules(ChatChange {
                slow_seconds: Some(seconds),
                ..ChatChange::default()
            })),
            Self::ChatMode {
                audience,
                links,
                max_chars,
            } => Addressed::Host(HostCommand::ChatRules(ChatChange {
                slow_seconds: None,
                audience,
                links,
                max_chars,
            })),
            Self::ApproveMessage { message } => Addressed::Host(HostCommand::Review { message, approve: true }),
            Self::RejectMessage { message } => Addressed::Host(HostCommand::Review {
                message,
                approve: false,
            }),
            Self::Mute(mute) => Addressed::Host(HostCommand::Mute(mute)),
            Self::Timeout(mute) => Addressed::Host(HostCommand::Timeout(mute)),
            Self::Unmute { user } => Addressed::Host(HostCommand::Unmute { user }),
            Self::Ban(ban) => Addressed::Host(HostCommand::Ban(ban)),
            Self::Unban(unban) => Addressed::Host(HostCommand::Unban(unban)),
            Self::PinMessage { message } => Addressed::Host(HostCommand::PinMessage { message }),
            Self::UnpinMessage => Addressed::Host(HostCommand::UnpinMessage),
            Self::Announce { text } => Addressed::Host(HostCommand::Announce { text }),
            viewer @ (Self::Resume { .. }
            | Self::Join { .. }
            | Self::Leave
            | Self::Chat { .. }
            | Self::Report { .. }
            | Self::React { .. }
            | Self::Buy { .. }
            | Self::Release { .. }
            | Self::Wait { .. }
            | Self::Unwait { .. }
            | Self::Renew { .. }) => Addressed::Viewer(viewer),
        }
    }
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
            // Cut again: what is escaped is longer.
            truncated(&format!("there is no command {:?}", truncated(&cmd))),
        )
        .at("cmd"),
        Some(_) if envelope.id.is_none() => Refusal::new(ErrorCode::InvalidBody, "a frame needs an id").at("id"),
        Some(_) => Refusal::new(ErrorCode::InvalidBody, truncated(&error.to_string())),
    };
    Err((envelope.id, refusal))
}

/// Every value of `cmd`.
pub const COMMANDS: &[&str] = &[
    "resume",
    "join",
    "leave",
    "chat",
    "react",
    "buy",
    "release",
    "wait",
    "unwait",
    "renew",
    "start",
    "end",
    "feature",
    "unfeature",
    "reorder",
    "sale_open",
    "sale_close",
    "delete_message",
    "report",
    "slow_mode",
    "chat_mode",
    "approve_message",
    "reject_message",
    "mute",
    "timeout",
    "unmute",
    "ban",
    "unban",
    "pin_message",
    "unpin_message",
    "announce",
];

fn truncated(text: &str) -> String {
    text.chars().take(120).collect()
}
