//! Products, variants and movements of stock as they are shown.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::{CategoryId, OrderId, ProductId, ShippingProfileId, UserId, VariantId};
use shared::money::Money;
use shared::status::ProductStatus;
use utoipa::ToSchema;
use uuid::Uuid;

use super::input::StockReason;
use crate::media::Picture;
use crate::sellers::SellerRef;

/// Option names and values, such as size and M.
pub type Options = BTreeMap<String, String>;

/// A product as everybody sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Who sells it.
    pub seller: SellerRef,
    /// Where it stands in the tree.
    pub category_id: Option<CategoryId>,
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// What stands for it: the first of its pictures, or what was named otherwise; empty:
    /// nothing.
    pub image_url: String,
    /// Its pictures that were uploaded, in order.
    pub images: Vec<Picture>,
    /// What its variants differ in, in the order in which a buyer chooses.
    pub option_axes: Vec<String>,
    /// What its prices are in.
    pub currency: String,
    /// Its visibility.
    pub status: ProductStatus,
    /// Raised with every change; drop an older one.
    pub version: i64,
    /// What buyers say of it.
    pub rating: Rating,
    /// Its variants, in order.
    pub variants: Vec<Variant>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// One buyable form of a product.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Variant {
    /// Its id.
    pub id: VariantId,
    /// The shop's name for it.
    pub sku: String,
    /// What makes it this one.
    pub options: Options,
    /// For one unit.
    pub price: Money,
    /// What it cost before, to be shown struck through; null: nothing.
    pub compare_at: Option<Money>,
    /// Units free to buy.
    pub available: i32,
}

/// A product as its shop sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SellerProduct {
    /// Its id.
    pub id: ProductId,
    /// Who sells it.
    pub seller: SellerRef,
    /// Where it stands in the tree.
    pub category_id: Option<CategoryId>,
    /// What sending it costs; null: nothing.
    pub shipping_profile_id: Option<ShippingProfileId>,
    /// The shop's name for it in files; null: its id is.
    pub external_key: Option<String>,
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// What stands for it: the first of its pictures, or what was named otherwise; empty:
    /// nothing.
    pub image_url: String,
    /// Its pictures that were uploaded, in order.
    pub images: Vec<Picture>,
    /// What its variants differ in, in the order in which a buyer chooses.
    pub option_axes: Vec<String>,
    /// What its prices are in.
    pub currency: String,
    /// Its visibility.
    pub status: ProductStatus,
    /// Raised with every change.
    pub version: i64,
    /// What buyers say of it.
    pub rating: Rating,
    /// Its variants, in order.
    pub variants: Vec<SellerVariant>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// A variant as its shop sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SellerVariant {
    /// Its id.
    pub id: VariantId,
    /// The shop's name for it.
    pub sku: String,
    /// What makes it this one.
    pub options: Options,
    /// For one unit.
    pub price: Money,
    /// What it cost before, to be shown struck through; null: nothing.
    pub compare_at: Option<Money>,
    /// Units free to buy.
    pub available: i32,
    /// Units in the shop's hands, promised ones included.
    pub on_hand: i32,
    /// Units promised: checkouts, unpaid orders, flash sales.
    pub reserved: i32,
}

/// What buyers say of a product, in one number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rating {
    /// How many reviews are shown.
    pub count: i32,
    /// The sum of their ratings, from 1 to 5 each.
    pub sum: i64,
    /// Their mean, to two decimals; null: there is none yet.
    pub average: Option<f64>,
}

impl Rating {
    /// Of so many reviews with this sum.
    #[must_use]
    pub fn new(count: i32, sum: i64) -> Self {
        let average = (count > 0).then(|| {
            // Sums of ratings are far below what a float cannot hold.
            #[allow(clippy::cast_precision_loss, reason = "at most 5 times an i32")]
            let mean = sum as f64 / f64::from(count);
            (mean * 100.0).round() / 100.0
        });
        Self { count, sum, average }
    }
}

/// Why a variant's units in the shop's hands became more or fewer: append-only.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Movement {
    /// Its id.
    pub id: Uuid,
    /// Units that came; negative: that went.
    pub delta: i32,
    /// Why.
    pub reason: MovementReason,
    /// In the words of whoever did it.
    pub note: String,
    /// The order that took them, or gave them back.
    pub order_id: Option<OrderId>,
    /// Who did it; null: the service.
    pub actor_id: Option<UserId>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Why units came or went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum MovementReason {
    /// The first units of a new variant.
    Initial,
    /// Put right, for no reason given.
    Adjustment,
    /// Delivered to the shop.
    Received,
    /// Found otherwise when counting.
    Counted,
    /// Broken or spoilt.
    Damaged,
    /// Gone.
    Lost,
    /// Set by a file that was imported.
    Import,
    /// Paid for.
    Sold,
    /// Back from an order.
    Restocked,
}

impl From<StockReason> for MovementReason {
    fn from(reason: StockReason) -> Self {
        match reason {
            StockReason::Adjustment => Self::Adjustment,
            StockReason::Received => Self::Received,
            StockReason::Counted => Self::Counted,
            StockReason::Damaged => Self::Damaged,
            StockReason::Lost => Self::Lost,
        }
    }
}

impl MovementReason {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::Adjustment => "adjustment",
            Self::Received => "received",
            Self::Counted => "counted",
            Self::Damaged => "damaged",
            Self::Lost => "lost",
            Self::Import => "import",
            Self::Sold => "sold",
            Self::Restocked => "restocked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_two_decimals_and_needs_a_review() {
        assert_eq!(Rating::new(0, 0).average, None);
        assert_eq!(Rating::new(3, 14).average, Some(4.67));
    }
}
