//! What REST answers, as far as a client cares. Fields that a client does not use are
//! left out; unknown ones are ignored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::Timestamp;
use shared::error::ErrorCode;
use shared::ids::{
    AddressId, CheckoutId, MessageId, OrderId, OrderItemId, PaymentId, ProductId, ReservationId, SaleId, SellerId,
    StreamId, UserId, VariantId,
};
use shared::money::{Currency, Money};
use shared::status::{
    CheckoutStatus, OrderStatus, PaymentStatus, ProductStatus, ReservationStatus, SellerStatus, StreamStatus,
};
use uuid::Uuid;

/// RFC 9457 problem details, with Hawker's fields.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable name.
    pub code: ErrorCode,
    /// The code in a few words.
    pub title: String,
    /// This occurrence.
    #[serde(default)]
    pub detail: String,
    /// The field at fault.
    #[serde(default)]
    pub field: Option<String>,
    /// To be quoted when asking for help.
    #[serde(default)]
    pub request_id: Option<String>,
    /// After how long to try again.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail)?;
        match &self.field {
            Some(field) => write!(f, " (at {field})"),
            None => Ok(()),
        }
    }
}

/// One page of a list.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct List<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    #[serde(default)]
    pub next_cursor: Option<Uuid>,
}

/// A signed-in session.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Session {
    /// Good for 15 minutes.
    pub access_token: String,
    /// Buys the next session; absent when it is in a cookie.
    #[serde(default)]
    pub refresh_token: Option<String>,
    /// Seconds that the access token is good for.
    pub expires_in: i64,
    /// Whose session it is.
    pub user: Me,
}

/// The caller.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Me {
    /// The account.
    pub id: UserId,
    /// Its address.
    pub email: String,
    /// `user` or `admin`.
    pub role: String,
    /// The name in chats.
    pub display_name: String,
    /// Opt-in: purchases in shows name the buyer.
    pub show_purchases: bool,
    /// The caller's shop.
    pub seller: Option<MySeller>,
}

/// The caller's shop.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct MySeller {
    /// The shop.
    pub id: SellerId,
    /// Its name.
    pub shop_name: String,
    /// Its standing.
    pub status: SellerStatus,
}

/// A shop.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Seller {
    /// Its id.
    pub id: SellerId,
    /// Its name.
    pub shop_name: String,
    /// Its standing, where the caller may know it.
    #[serde(default)]
    pub status: Option<SellerStatus>,
}

/// An address to be stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NewAddress {
    /// Who receives.
    pub recipient: String,
    /// Street and number.
    pub line1: String,
    /// Town.
    pub city: String,
    /// Postal code.
    pub postal_code: String,
    /// ISO 3166 alpha-2.
    pub country: String,
}

/// A stored address.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Address {
    /// Its id.
    pub id: AddressId,
    /// Who receives.
    pub recipient: String,
}

/// A product to be created.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NewProduct {
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// `active` puts it on sale at once.
    pub status: ProductStatus,
    /// Its forms.
    pub variants: Vec<NewVariant>,
}

/// A variant to be created.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NewVariant {
    /// Stock keeping unit.
    pub sku: String,
    /// Option names and values.
    pub options: BTreeMap<String, String>,
    /// Price in minor units of the seller's currency.
    pub price_minor: i64,
    /// Units in hand.
    pub on_hand: i32,
}

/// A product.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Its title.
    pub title: String,
    /// ISO 4217.
    pub currency: Currency,
    /// Its visibility.
    pub status: ProductStatus,
    /// Its forms.
    pub variants: Vec<Variant>,
}

/// One buyable form of a product.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Variant {
    /// Its id.
    pub id: VariantId,
    /// Stock keeping unit.
    pub sku: String,
    /// Option names and values.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Its price.
    pub price: Money,
    /// Units free to buy.
    pub available: i64,
}

/// A show to be scheduled or started.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct NewStream {
    /// Its title.
    pub title: String,
    /// The line-up, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product_ids: Vec<ProductId>,
    /// Goes on air at once.
    pub start: bool,
}

/// A show.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Stream {
    /// Its id.
    pub id: StreamId,
    /// Its title.
    pub title: String,
    /// Its status.
    pub status: StreamStatus,
    /// Whose it is.
    pub seller: StreamSeller,
    /// Where its cover is; empty: it has none.
    pub cover_url: String,
    /// What is shown.
    #[serde(default)]
    pub featured_product_id: Option<ProductId>,
}

/// Whose show it is.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct StreamSeller {
    /// The shop.
    pub id: SellerId,
    /// Its name.
    pub shop_name: String,
}

/// The way into a room.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Ticket {
    /// Good once, for 30 s.
    pub ticket: String,
    /// Where to use it.
    pub url: String,
}

/// A sale that was opened.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct OpenedSale {
    /// Its id.
    pub sale: SaleId,
}

/// What to check out.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NewCheckout {
    /// Lines from the shop's free stock.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<NewLine>,
    /// Holds of flash sales.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<ReservationId>,
    /// Where to send it.
    pub address_id: AddressId,
    /// The show it is bought in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<StreamId>,
}

/// One line of a checkout.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NewLine {
    /// What.
    pub variant_id: VariantId,
    /// How many.
    pub quantity: u32,
}

/// A priced purchase.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Checkout {
    /// Its id.
    pub id: CheckoutId,
    /// Its status.
    pub status: CheckoutStatus,
    /// What it costs, with shipping.
    pub total: Money,
}

/// A purchase.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Its number, for people.
    pub number: i64,
    /// Its status.
    pub status: OrderStatus,
    /// Its lines.
    pub items: Vec<OrderItem>,
    /// What it costs, with shipping.
    pub total: Money,
    /// When it was paid.
    #[serde(default)]
    pub paid_at: Option<Timestamp>,
    /// The attempts to pay it.
    #[serde(default)]
    pub payments: Vec<Payment>,
}

/// A line of a purchase.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct OrderItem {
    /// Its id.
    pub id: OrderItemId,
    /// What.
    pub variant_id: VariantId,
    /// How it was called then.
    pub title: String,
    /// How many.
    pub quantity: i64,
    /// Its price then.
    pub unit_price: Money,
}

/// An attempt to pay.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// Its status.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
    /// Why it failed.
    #[serde(default)]
    pub failure_code: Option<String>,
}

/// A hold made over REST.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Hold {
    /// The hold.
    pub reservation: ReservationId,
    /// The sale.
    pub sale: SaleId,
    /// Units.
    pub quantity: u32,
    /// Its status.
    pub status: ReservationStatus,
    /// Until when it is held.
    pub expires_at: Timestamp,
}

/// A message of a show's history.
#[derive(Clone, PartialEq, Debug, Deserialize)]
pub struct PastMessage {
    /// Its id.
    pub id: MessageId,
    /// What.
    pub text: String,
}
