//! Bodies of the commission routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{CategoryId, SellerId, UserId};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// What the platform keeps of lines of a shop, of a category, or of all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CommissionRule {
    /// Its id.
    pub id: Uuid,
    /// Of this shop alone.
    pub seller_id: Option<SellerId>,
    /// Of this category and all below it that have none of their own.
    pub category_id: Option<CategoryId>,
    /// Basis points of the goods at the shop's price, without tax.
    pub rate_bps: i32,
    /// From when on, until a newer one begins.
    pub valid_from: DateTime<Utc>,
    /// Who made it; null: it came with the service.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A rule to add.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"category_id": "0191e2a4-3000-7000-8000-000000000006", "rate_bps": 800}))]
pub struct NewCommissionRule {
    /// Of this shop; a rule of neither is everybody's.
    #[garde(skip)]
    #[serde(default)]
    pub seller_id: Option<SellerId>,
    /// Of this category.
    #[garde(skip)]
    #[serde(default)]
    pub category_id: Option<CategoryId>,
    /// Basis points.
    #[garde(range(min = 0, max = 10_000))]
    #[schema(minimum = 0, maximum = 10_000)]
    pub rate_bps: i32,
    /// From when on; absent: now.
    #[garde(skip)]
    #[serde(default)]
    pub valid_from: Option<DateTime<Utc>>,
}

/// Which rules.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RuleFilter {
    /// Of this shop.
    pub seller_id: Option<SellerId>,
    /// Of this category.
    pub category_id: Option<CategoryId>,
}
