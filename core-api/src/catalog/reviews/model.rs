//! A review as it is sent and shown.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{OrderItemId, ProductId, ReviewId};
use utoipa::{IntoParams, ToSchema};

use crate::http::rules::prose;

/// A review as everybody sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Review {
    /// Its id.
    pub id: ReviewId,
    /// Of which product.
    pub product_id: ProductId,
    /// Who wrote it, by name.
    pub author: String,
    /// From 1 to 5.
    pub rating: i16,
    /// What they say.
    pub body: String,
    /// What the shop answers; null: nothing.
    pub answer: Option<Answer>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was last changed by its author.
    pub updated_at: DateTime<Utc>,
}

/// What a shop answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Answer {
    /// In its words.
    pub text: String,
    /// When.
    pub answered_at: DateTime<Utc>,
}

/// A review as its author, the shop and admins see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WholeReview {
    /// What everybody sees.
    #[serde(flatten)]
    pub review: Review,
    /// What was bought.
    pub order_item_id: OrderItemId,
    /// Whether an admin has hidden it from everybody else.
    pub hidden: bool,
}

/// A review to add.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewReview {
    /// The line of the order with which it came.
    #[garde(skip)]
    pub order_item_id: OrderItemId,
    /// From 1 to 5.
    #[garde(range(min = 1, max = 5))]
    #[schema(minimum = 1, maximum = 5)]
    pub rating: i16,
    /// What one says of it.
    #[garde(custom(prose(5_000)))]
    #[serde(default)]
    pub body: String,
}

/// A change of one's own review; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
pub struct ReviewChange {
    /// From 1 to 5.
    #[garde(inner(range(min = 1, max = 5)))]
    #[serde(default)]
    #[schema(minimum = 1, maximum = 5)]
    pub rating: Option<i16>,
    /// What one says of it.
    #[garde(inner(custom(prose(5_000))))]
    #[serde(default)]
    pub body: Option<String>,
}

/// A shop's answer.
#[derive(Deserialize, Validate, ToSchema)]
pub struct NewAnswer {
    /// In its words.
    #[garde(custom(prose(2_000)), custom(not_blank))]
    pub text: String,
}

fn not_blank(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() {
        return Err(garde::Error::new("must say something"));
    }
    Ok(())
}

/// Which reviews an admin looks at.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AdminFilter {
    /// Only hidden ones (`true`) or shown ones (`false`); absent: all.
    pub hidden: Option<bool>,
}
