//! Bodies of the stream routes.

use chrono::{DateTime, TimeDelta, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{MessageId, ProductId, SaleId, StreamId, UserId};
use shared::protocol::{Feature, LineUpOrder, SaleOpen};
use shared::status::StreamStatus;
use shared::token::Part;
use utoipa::ToSchema;

use crate::http::rules::{is_picture, prose, shown};
use crate::media::Picture;
use crate::sellers::SellerRef;

/// A show to be scheduled, or started at once.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewStream {
    /// 1 to 120 characters.
    #[garde(custom(shown(1, 120)))]
    pub title: String,
    /// At most 2,000 characters.
    #[serde(default)]
    #[garde(custom(prose(2_000)))]
    pub description: String,
    /// Its picture: a path of this server or a web address.
    #[serde(default)]
    #[garde(custom(is_picture))]
    pub cover_url: String,
    /// When it is to begin, within ten years; now, without it.
    #[serde(default)]
    #[garde(inner(custom(in_reach)))]
    pub scheduled_at: Option<DateTime<Utc>>,
    /// The line-up, in order: active products of the shop.
    #[serde(default)]
    #[garde(length(max = 100))]
    pub product_ids: Vec<ProductId>,
    /// Goes on air at once.
    #[serde(default)]
    #[garde(skip)]
    pub start: bool,
}

/// A time to come, or a day ago at most, for clocks and requests that are late. Lists
/// show what comes first: a time long past would stay at their head.
fn in_reach(at: &DateTime<Utc>, (): &()) -> garde::Result {
    let ahead = at.signed_duration_since(Utc::now());
    if ahead < TimeDelta::days(-1) || ahead > TimeDelta::days(3_653) {
        return Err(garde::Error::new("must be a time to come, within ten years"));
    }
    Ok(())
}

/// The line-up of a show, in order.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct LineUp {
    /// Active products of the shop, at most 100.
    #[garde(length(max = 100))]
    pub product_ids: Vec<ProductId>,
}

/// A show.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Stream {
    /// Its id.
    pub id: StreamId,
    /// Whose it is.
    pub seller: SellerRef,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// Its picture; empty: none.
    pub cover_url: String,
    /// The same in all sizes, where it was uploaded; null: it was not.
    pub cover: Option<Picture>,
    /// Its status.
    pub status: StreamStatus,
    /// When it is to begin.
    pub scheduled_at: DateTime<Utc>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// The product that is shown.
    pub featured_product_id: Option<ProductId>,
}

/// As what to enter a room.
#[derive(Debug, Default, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewTicket {
    /// `viewer`, or `host` for the show's own shop.
    #[serde(default)]
    #[garde(skip)]
    pub part: Role,
}

/// As what to enter a room.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TicketPart)]
pub enum Role {
    /// To watch, chat, react and buy; guests watch and react.
    #[default]
    Viewer,
    /// To run the show.
    Host,
}

impl From<Role> for Part {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Host => Self::Host,
        }
    }
}

/// A way into a room, good once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Ticket {
    /// For the query of the socket's address: `?ticket=…`.
    pub ticket: String,
    /// The socket's address.
    pub url: String,
    /// Until when it may be used.
    pub expires_at: DateTime<Utc>,
    /// As what.
    pub part: Role,
}

/// A committed message of a show's chat.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatLine {
    /// Its id.
    pub id: MessageId,
    /// Its place among the room's numbered events.
    pub place: Place,
    /// Who said it.
    pub author: ChatAuthor,
    /// What.
    pub text: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Committed messages, newest first, with the word up to where they are complete.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatPage {
    /// The messages.
    pub items: Vec<ChatLine>,
    /// Give it as `cursor` for the next page; null: this was the last.
    pub next_cursor: Option<uuid::Uuid>,
    /// Everything that was said up to here is stored, and in these pages; null: nothing
    /// is stored yet.
    pub complete_to: Option<Place>,
}

/// A place in a room's numbered events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = RoomPlace)]
pub struct Place {
    /// The epoch.
    pub epoch: i64,
    /// The number in it.
    pub seq: u64,
}

/// Who said something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChatAuthor {
    /// The account.
    pub id: UserId,
    /// Its name now.
    pub name: String,
    /// Whether it is the show's host.
    pub host: bool,
}

/// The room has done what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// `done`.
    pub result: DoneWord,
}

/// The one word of [`Done`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoneWord {
    /// Done.
    Done,
}

/// A sale that was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenedSale {
    /// The sale.
    pub sale: SaleId,
}

/// Shows a product of the line-up.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
pub struct FeatureBody(#[garde(skip)] pub Feature);

/// The line-up's products, each once, in the order they are to have. The room checks them.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
pub struct OrderBody(#[garde(skip)] pub LineUpOrder);

/// Opens a flash sale. The room checks the ranges: one place for both ways there.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
pub struct SaleBody(#[garde(skip)] pub SaleOpen);
