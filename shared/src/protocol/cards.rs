//! Things as a room shows them: people, messages, products, sales, the show itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Millis, Quote};
use crate::ids::{MessageId, ProductId, SaleId, StreamId, UserId, VariantId};
use crate::status::StreamStatus;

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
    /// Whether it is one of its moderators.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moderator: bool,
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
    /// That message in short; absent once it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Box<Quote>>,
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
    /// The variant's price when the sale was set up.
    pub usual_price_minor: i64,
    /// What the seller took off it, in whole percent, where the price was set so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent_off: Option<u8>,
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
    /// When it is to begin: what a waiting room counts down to.
    pub scheduled_at: Millis,
    /// Since when it is on air.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// Since when it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    /// Its host's connection is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_away: Option<HostAway>,
}

/// A host who is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HostAway {
    /// Since when.
    pub since: Millis,
    /// When the show ends unless they come back.
    pub ends_at: Millis,
}

/// A product of the line-up, as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LineUpCard {
    /// The product.
    pub id: ProductId,
    /// Its title.
    pub title: String,
    /// Its picture; empty: none.
    pub image_url: String,
    /// ISO 4217.
    pub currency: String,
    /// The price of its cheapest variant, in minor units.
    pub from_minor: i64,
    /// Units free to buy, of all its variants.
    pub available: u32,
    /// Raised with every change; drop an older one.
    pub version: i64,
}
