//! A shipping profile as it is sent and shown.

use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::ShippingProfileId;
use shared::money::Money;
use utoipa::ToSchema;

use crate::http::rules::shown;

/// What sending goods costs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShippingProfile {
    /// Its id.
    pub id: ShippingProfileId,
    /// Its name, for the shop.
    pub name: String,
    /// For the first item.
    pub base: Money,
    /// For each further item.
    pub extra_item: Money,
    /// Goods worth at least this ship free; null: never.
    pub free_from: Option<Money>,
}

/// A profile to add; amounts are in the shop's currency.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewProfile {
    /// Its name, for the shop.
    #[garde(custom(shown(1, 60)))]
    pub name: String,
    /// For the first item, in minor units.
    #[garde(range(min = 0, max = 100_000_000))]
    pub base_minor: i64,
    /// For each further item, in minor units.
    #[garde(range(min = 0, max = 100_000_000))]
    #[serde(default)]
    pub extra_item_minor: i64,
    /// Goods worth at least this ship free, in minor units; absent: never.
    #[garde(inner(range(min = 1, max = 100_000_000_000_i64)))]
    #[serde(default)]
    pub free_from_minor: Option<i64>,
}
