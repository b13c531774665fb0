//! Bodies of the checkout routes, and what a line is while it is priced.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{AddressId, CheckoutId, DiscountCodeId, ProductId, ReservationId, SellerId, StreamId, VariantId};
use shared::money::{BasisPoints, Currency, Money};
use shared::status::CheckoutStatus;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::pricing::{LinePrice, Price, ShippingRule};
use crate::addresses::{Address, NewAddress};
use crate::discounts::model::LineDiscount;
use crate::ledger::parts::Terms;
use crate::tax::{self, TaxLine, Taxed};

/// What is to be bought, and where it goes.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewCheckout {
    /// Units from the shops' free stock, of at most 50 variants; or `cart`.
    #[serde(default)]
    #[garde(dive, length(max = 50))]
    pub items: Vec<NewLine>,
    /// Buys what the caller's cart has. Placing the order takes it out of the cart.
    #[serde(default)]
    #[garde(skip)]
    pub cart: bool,
    /// Of the cart only what these shops sell; none: all of it.
    #[serde(default)]
    #[garde(length(max = 100))]
    pub sellers: Vec<SellerId>,
    /// The caller's holds of flash sales, at most 50.
    #[serde(default)]
    #[garde(length(max = 50))]
    pub reservations: Vec<ReservationId>,
    /// One of the caller's addresses; or `address`.
    #[serde(default)]
    #[garde(skip)]
    pub address_id: Option<AddressId>,
    /// A new address, which is kept among the caller's.
    #[serde(default)]
    #[garde(dive)]
    pub address: Option<NewAddress>,
    /// The show that it is bought in; one of the shops' own.
    #[serde(default)]
    #[garde(skip)]
    pub stream_id: Option<StreamId>,
    /// A discount code; no flash line is cheaper by it.
    #[serde(default)]
    #[garde(inner(length(max = 64)))]
    pub discount_code: Option<String>,
}

/// One line of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Validate, ToSchema)]
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
    /// The goods, before any discount.
    pub items_total: Money,
    /// The discount code; null: none.
    pub discount_code: Option<String>,
    /// What it takes off.
    pub discount_total: Money,
    /// Getting them there.
    pub shipping_total: Money,
    /// Tax, within the prices or on top of them.
    pub tax_total: Money,
    /// The prices contain the tax; else it is added.
    pub tax_included: bool,
    /// The tax by its rates.
    pub taxes: Vec<TaxLine>,
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
    /// Of all of them, without discount and shipping.
    pub total: Money,
    /// What the discount code takes off.
    pub discount: Money,
    /// The line's share of the shipping.
    pub shipping: Money,
    /// Tax of the goods, within their price or on top.
    pub tax: Money,
    /// Tax of the share of the shipping, likewise.
    pub shipping_tax: Money,
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

impl From<Address> for PostalAddress {
    fn from(address: Address) -> Self {
        Self {
            recipient: address.recipient,
            line1: address.line1,
            line2: address.line2,
            city: address.city,
            region: address.region,
            postal_code: address.postal_code,
            country: address.country,
            phone: address.phone,
        }
    }
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
    /// What is taken off.
    pub discount: LineDiscount,
    /// Its share of the shipping.
    pub shipping: Money,
    /// The rate of its tax, in basis points; 0: none.
    pub tax_bps: i32,
    /// Tax of the goods.
    pub tax: Money,
    /// Tax of its share of the shipping.
    pub shipping_tax: Money,
    /// The flash hold that it comes from.
    pub reservation: Option<ReservationId>,
    /// Until when that holds.
    pub hold_expires_at: Option<DateTime<Utc>>,
    /// The rate at which a rule has the platform take commission; `None`: no rule does.
    pub commission: Option<BasisPoints>,
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

    /// It costs what it was priced with.
    pub(super) const fn cost(&mut self, price: &LinePrice) {
        self.discount = price.discount;
        self.shipping = price.shipping;
        self.tax_bps = price.tax_bps;
        self.tax = price.tax;
        self.shipping_tax = price.shipping_tax;
    }

    /// What of it is taxed.
    #[must_use]
    pub fn taxed(&self) -> Taxed {
        Taxed {
            rate_bps: self.tax_bps,
            goods: self.total().minor - self.discount.seller_minor,
            tax: self.tax.minor,
            shipping: self.shipping.minor,
            shipping_tax: self.shipping_tax.minor,
        }
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
            discount: Money::new(line.discount.total(), line.unit_price.currency),
            shipping: line.shipping,
            tax: line.tax,
            shipping_tax: line.shipping_tax,
            reservation_id: line.reservation,
            hold_expires_at: line.hold_expires_at,
        }
    }
}

/// What a purchase comes to, in minor units of its currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sums {
    /// The goods, before any discount.
    pub items_minor: i64,
    /// What is taken off them.
    pub discount_minor: i64,
    /// Getting them there.
    pub shipping_minor: i64,
    /// Tax of both.
    pub tax_minor: i64,
    /// How it works.
    pub terms: Terms,
}

impl Sums {
    /// What the buyer pays.
    #[must_use]
    pub const fn total(&self) -> i64 {
        let added = if self.terms.tax_included { 0 } else { self.tax_minor };
        self.items_minor - self.discount_minor + self.shipping_minor + added
    }
}

impl From<&Price> for Sums {
    fn from(price: &Price) -> Self {
        Self {
            items_minor: price.items.minor,
            discount_minor: price.discount.minor,
            shipping_minor: price.shipping.minor,
            tax_minor: price.tax.minor,
            terms: price.terms,
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
    /// The discount code.
    pub discount_code: Option<String>,
    /// Which of that name it is.
    pub discount: Option<DiscountCodeId>,
    /// It is of the buyer's cart.
    pub from_cart: bool,
    /// What it comes to.
    pub sums: Sums,
    /// The show.
    pub stream: Option<StreamId>,
    /// Where it goes: the address as it was when it was priced.
    pub address: PostalAddress,
    /// Until when it may be placed.
    pub expires_at: DateTime<Utc>,
}

impl Head {
    /// What it costs.
    #[must_use]
    pub const fn total(&self) -> Money {
        Money::new(self.sums.total(), self.currency)
    }

    /// The answer that shows it with `lines`.
    #[must_use]
    pub fn view(self, lines: &[Line]) -> Checkout {
        let money = |minor| Money::new(minor, self.currency);
        let remaining = lines.iter().filter(|line| !line.lapsed);
        Checkout {
            id: self.id,
            status: self.status,
            items: lines.iter().filter(|l| !l.lapsed).map(Into::into).collect(),
            lapsed: lines.iter().filter(|l| l.lapsed).map(Into::into).collect(),
            items_total: money(self.sums.items_minor),
            discount_total: money(self.sums.discount_minor),
            shipping_total: money(self.sums.shipping_minor),
            tax_total: money(self.sums.tax_minor),
            tax_included: self.sums.terms.tax_included,
            taxes: tax::lines(self.currency, self.sums.terms.tax_included, remaining.map(Line::taxed)),
            total: self.total(),
            discount_code: self.discount_code,
            address: self.address,
            stream_id: self.stream,
            expires_at: self.expires_at,
        }
    }
}

/// Options as the database keeps them.
pub type Options = Json<BTreeMap<String, String>>;
