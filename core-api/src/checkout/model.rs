//! Bodies of the checkout routes, and what a line is while it is priced.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{AddressId, CheckoutId, ProductId, ReservationId, SellerId, StreamId, VariantId};
use shared::money::{Currency, Money};
use shared::status::CheckoutStatus;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::pricing::ShippingRule;

/// What is to be bought, and where it goes.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewCheckout {
    /// Units from the shops' free stock, of at most 50 variants.
    #[serde(default)]
    #[garde(dive, length(max = 50))]
    pub items: Vec<NewLine>,
    /// The caller's holds of flash sales, at most 50.
    #[serde(default)]
    #[garde(length(max = 50))]
    pub reservations: Vec<ReservationId>,
    /// One of the caller's addresses.
    #[garde(skip)]
    pub address_id: AddressId,
    /// The show that it is bought in; one of the shops' own.
    #[serde(default)]
    #[garde(skip)]
    pub stream_id: Option<StreamId>,
}

/// One line of it.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewLine {
    /// What.
    #[garde(skip)]
    pub variant_id: VariantId,
    /// How many, 1 to 1,000.
    #[garde(range(min = 1, max = 1000))]
    #[schema(minimum = 1, maximum = 1000)]
    pub quantity: i32,
}

/// A priced purchase that holds its stock until it expires.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Checkout {
    /// Its id.
    pub id: CheckoutId,
    /// Its status.
    pub status: CheckoutStatus,
    /// What is bought.
    pub items: Vec<CheckoutItem>,
    /// Lines that were taken out because their flash hold lapsed; they cost nothing.
    pub lapsed: Vec<CheckoutItem>,
    /// The goods.
    pub items_total: Money,
    /// Getting them there.
    pub shipping_total: Money,
    /// What an order of it costs.
    pub total: Money,
    /// Where it goes.
    pub address: PostalAddress,
    /// The show that it is bought in.
    pub stream_id: Option<StreamId>,
    /// Until when it may be placed.
    pub expires_at: DateTime<Utc>,
}

/// A line of a checkout.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckoutItem {
    /// What.
    pub variant_id: VariantId,
    /// Of which product.
    pub product_id: ProductId,
    /// The product's title.
    pub title: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Option names and values.
    pub options: BTreeMap<String, String>,
    /// The product's picture; empty: none.
    pub image_url: String,
    /// How many.
    pub quantity: i32,
    /// The price of one.
    pub unit_price: Money,
    /// Of all of them, without shipping.
    pub total: Money,
    /// The line's share of the shipping.
    pub shipping: Money,
    /// The flash hold that it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<ReservationId>,
    /// Until when that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_expires_at: Option<DateTime<Utc>>,
}

/// Where something goes, as it was when it was decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PostalAddress {
    /// Who receives.
    pub recipient: String,
    /// Street and number.
    pub line1: String,
    /// More of it.
    pub line2: String,
    /// Town.
    pub city: String,
    /// Region, where addresses have one.
    pub region: String,
    /// Postal code.
    pub postal_code: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// For the carrier.
    pub phone: String,
}

/// A variant as it is sold now, and by whom.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The variant.
    pub variant: VariantId,
    /// Its product.
    pub product: ProductId,
    /// Its shop.
    pub seller: SellerId,
    /// Whether the shop is the buyer's own.
    pub own: bool,
    /// Whether the shop may sell.
    pub selling: bool,
    /// The shop has banned the buyer.
    pub banned: bool,
    /// Whether the product is on sale.
    pub active: bool,
    /// The product's title.
    pub title: String,
    /// Stock keeping unit.
    pub sku: String,
    /// Option names and values.
    pub options: BTreeMap<String, String>,
    /// The product's picture.
    pub image_url: String,
    /// The price of one.
    pub price: Money,
    /// How it ships.
    pub shipping: Option<ShippingRule>,
    /// Countries that it ships to; none: everywhere.
    pub regions: Vec<String>,
}

/// A flash hold of the buyer's, as a line sees it.
#[derive(Clone, Copy, Debug)]
pub struct HeldUnits {
    /// The hold.
    pub reservation: ReservationId,
    /// What is held.
    pub variant: VariantId,
    /// How many.
    pub quantity: i32,
    /// The sale's price of one.
    pub price: Money,
    /// The sale's show.
    pub stream: StreamId,
    /// Whether it still holds.
    pub alive: bool,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// A line as it is stored.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its id; lines are always in the order of their ids.
    pub id: Uuid,
    /// What, of whom.
    pub offer: Offer,
    /// The shop's name.
    pub shop_name: String,
    /// How many.
    pub quantity: i32,
    /// The price of one, as the checkout has it.
    pub unit_price: Money,
    /// Its share of the shipping.
    pub shipping: Money,
    /// The flash hold that it comes from.
    pub reservation: Option<ReservationId>,
    /// Until when that holds.
    pub hold_expires_at: Option<DateTime<Utc>>,
    /// The hold does not hold any more.
    pub hold_is_dead: bool,
    /// The checkout was repriced without it.
    pub lapsed: bool,
}

impl Line {
    /// What the line costs without shipping. It was computed once when the checkout was
    /// priced, so that it fits.
    #[must_use]
    pub fn total(&self) -> Money {
        let minor = self.unit_price.minor.saturating_mul(i64::from(self.quantity));
        Money::new(minor, self.unit_price.currency)
    }

    /// It is still part of the checkout.
    #[must_use]
    pub const fn remains(&self) -> bool {
        !self.lapsed && !self.hold_is_dead
    }

    /// What shipping it costs in a show has a cap.
    #[must_use]
    pub fn has_cap(&self) -> bool {
        self.offer.shipping.is_some_and(|rule| rule.show_cap_minor.is_some())
    }

    /// Its hold has lapsed, and the checkout has not been repriced for it.
    #[must_use]
    pub const fn newly_lapsed(&self) -> bool {
        self.hold_is_dead && !self.lapsed
    }
}

impl From<&Line> for CheckoutItem {
    fn from(line: &Line) -> Self {
        Self {
            variant_id: line.offer.variant,
            product_id: line.offer.product,
            title: line.offer.title.clone(),
            sku: line.offer.sku.clone(),
            options: line.offer.options.clone(),
            image_url: line.offer.image_url.clone(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            total: line.total(),
            shipping: line.shipping,
            reservation_id: line.reservation,
            hold_expires_at: line.hold_expires_at,
        }
    }
}

/// A checkout without its lines.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its id.
    pub id: CheckoutId,
    /// Its status.
    pub status: CheckoutStatus,
    /// Its currency.
    pub currency: Currency,
    /// Goods, in minor units.
    pub items_minor: i64,
    /// Shipping, in minor units.
    pub shipping_minor: i64,
    /// The show.
    pub stream: Option<StreamId>,
    /// Which of the buyer's addresses it goes to.
    pub address_id: AddressId,
    /// Where that is.
    pub address: PostalAddress,
    /// Until when it may be placed.
    pub expires_at: DateTime<Utc>,
}

impl Head {
    /// What it costs.
    #[must_use]
    pub const fn total(&self) -> Money {
        Money::new(self.items_minor + self.shipping_minor, self.currency)
    }

    /// The answer that shows it with `lines`.
    #[must_use]
    pub fn view(self, lines: &[Line]) -> Checkout {
        Checkout {
            id: self.id,
            status: self.status,
            items: lines.iter().filter(|l| !l.lapsed).map(Into::into).collect(),
            lapsed: lines.iter().filter(|l| l.lapsed).map(Into::into).collect(),
            items_total: Money::new(self.items_minor, self.currency),
            shipping_total: Money::new(self.shipping_minor, self.currency),
            total: self.total(),
            address: self.address,
            stream_id: self.stream,
            expires_at: self.expires_at,
        }
    }
}

/// Options as the database keeps them.
pub type Options = Json<BTreeMap<String, String>>;
