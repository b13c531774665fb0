//! Products and variants as they are sent and shown.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{CategoryId, ProductId, SellerId, ShippingProfileId, VariantId};
use shared::money::Money;
use shared::status::ProductStatus;
use utoipa::{IntoParams, ToSchema};

use crate::http::rules::{is_picture, nullable, prose, shown};
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
    /// Its picture; empty: none.
    pub image_url: String,
    /// What its prices are in.
    pub currency: String,
    /// Its visibility.
    pub status: ProductStatus,
    /// Raised with every change; drop an older one.
    pub version: i64,
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
    /// Its title.
    pub title: String,
    /// What it is.
    pub description: String,
    /// Its picture; empty: none.
    pub image_url: String,
    /// What its prices are in.
    pub currency: String,
    /// Its visibility.
    pub status: ProductStatus,
    /// Raised with every change.
    pub version: i64,
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
    /// Units free to buy.
    pub available: i32,
    /// Units in the shop's hands, promised ones included.
    pub on_hand: i32,
    /// Units promised: checkouts, unpaid orders, flash sales.
    pub reserved: i32,
}

/// Which products.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Of this category and what it divides into: its id or its slug.
    pub category: Option<String>,
    /// Of this shop.
    pub seller: Option<SellerId>,
    /// With a unit free to buy (`true`), or without (`false`).
    pub in_stock: Option<bool>,
}

/// Which of one's own products.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OwnFilter {
    /// Of this status; absent: all.
    pub status: Option<ProductStatus>,
}

/// A product to add.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewProduct {
    /// Its title.
    #[garde(custom(shown(1, 120)))]
    pub title: String,
    /// What it is.
    #[garde(custom(prose(10_000)))]
    #[serde(default)]
    pub description: String,
    /// Where it stands in the tree.
    #[garde(skip)]
    #[serde(default)]
    pub category_id: Option<CategoryId>,
    /// Its picture: a path of this server or a web address.
    #[garde(custom(is_picture))]
    #[serde(default)]
    pub image_url: String,
    /// What sending it costs; absent: nothing.
    #[garde(skip)]
    #[serde(default)]
    pub shipping_profile_id: Option<ShippingProfileId>,
    /// `draft`, when absent, or `active`.
    #[garde(custom(can_begin_as))]
    #[serde(default = "draft")]
    pub status: ProductStatus,
    /// At least one.
    #[garde(length(min = 1, max = 100), dive, custom(skus_differ))]
    #[schema(min_items = 1, max_items = 100)]
    pub variants: Vec<NewVariant>,
}

fn draft() -> ProductStatus {
    ProductStatus::Draft
}

fn can_begin_as(status: &ProductStatus, (): &()) -> garde::Result {
    match status {
        ProductStatus::Draft | ProductStatus::Active => Ok(()),
        ProductStatus::Archived => Err(garde::Error::new("a product begins as draft or active")),
    }
}

fn skus_differ(variants: &[NewVariant], (): &()) -> garde::Result {
    let mut skus: Vec<&str> = variants.iter().map(|variant| variant.sku.trim()).collect();
    skus.sort_unstable();
    if skus.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(garde::Error::new("two variants have the same SKU"));
    }
    Ok(())
}

/// A variant to add.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewVariant {
    /// The shop's name for it, one in the product.
    #[garde(custom(shown(1, 64)))]
    pub sku: String,
    /// What makes it this one.
    #[garde(custom(options_fit))]
    #[serde(default)]
    pub options: Options,
    /// For one unit, in minor units of the shop's currency.
    #[garde(range(min = 0, max = PRICE_MAX))]
    #[schema(minimum = 0)]
    pub price_minor: i64,
    /// Units in the shop's hands.
    #[garde(range(min = 0, max = STOCK_MAX))]
    #[schema(minimum = 0)]
    pub on_hand: i32,
}

/// A price at most, in minor units.
const PRICE_MAX: i64 = 100_000_000_000;
/// Units that one variant may have at most.
pub(super) const STOCK_MAX: i32 = 100_000_000;

fn options_fit(options: &Options, (): &()) -> garde::Result {
    if options.len() > 5 {
        return Err(garde::Error::new("5 options are the most"));
    }
    let (name, value) = (shown(1, 40), shown(1, 80));
    for (key, text) in options {
        name(key, &())?;
        value(text, &())?;
    }
    Ok(())
}

/// A change of a product; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
pub struct Change {
    /// Its title.
    #[garde(inner(custom(shown(1, 120))))]
    #[serde(default)]
    pub title: Option<String>,
    /// What it is.
    #[garde(inner(custom(prose(10_000))))]
    #[serde(default)]
    pub description: Option<String>,
    /// Where it stands in the tree; null: nowhere.
    #[garde(skip)]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<CategoryId>)]
    pub category_id: Option<Option<CategoryId>>,
    /// Its picture.
    #[garde(inner(custom(is_picture)))]
    #[serde(default)]
    pub image_url: Option<String>,
    /// What sending it costs; null: nothing.
    #[garde(skip)]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<ShippingProfileId>)]
    pub shipping_profile_id: Option<Option<ShippingProfileId>>,
    /// Its visibility.
    #[garde(skip)]
    #[serde(default)]
    pub status: Option<ProductStatus>,
}

/// A change of a variant; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
pub struct VariantChange {
    /// For one unit, in minor units.
    #[garde(inner(range(min = 0, max = PRICE_MAX)))]
    #[serde(default)]
    pub price_minor: Option<i64>,
    /// What makes it this one.
    #[garde(inner(custom(options_fit)))]
    #[serde(default)]
    pub options: Option<Options>,
}

/// Units that came, or went.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct Adjustment {
    /// Units to add; negative: to take away. Not zero.
    #[garde(range(min = -STOCK_MAX, max = STOCK_MAX), custom(not_zero))]
    pub delta: i32,
}

fn not_zero(delta: &i32, (): &()) -> garde::Result {
    if *delta == 0 {
        return Err(garde::Error::new("must not be zero"));
    }
    Ok(())
}
