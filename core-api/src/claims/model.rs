//! Bodies of the routes of claims, and a claim as it is shown.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{ClaimId, OrderId, OrderItemId, RefundId, SellerId};
use shared::status::ClaimStatus;
use utoipa::{IntoParams, ToSchema};

use crate::http::rules::shown;

/// Units of a line that were sent, and that their buyer does not have.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({
    "order_item_id": "0191e2a4-0007-7000-8000-000000000007", "quantity": 1, "reason": "Nothing came in three weeks"
}))]
pub struct NewClaim {
    /// The line.
    #[garde(skip)]
    pub order_item_id: OrderItemId,
    /// How many; at most those that were sent, have not arrived and are in no claim.
    #[garde(range(min = 1, max = 1000))]
    pub quantity: i32,
    /// What the buyer knows of it.
    #[garde(custom(shown(1, 1000)))]
    pub reason: String,
}

/// What a shop answers to a claim, or why an admin decides it so.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"answer": "DHL, JD014600006SE: handed over on 20 November, signed for"}))]
pub struct ClaimAnswer {
    /// For the other side: proof of delivery above all.
    #[garde(custom(shown(1, 1000)))]
    pub answer: String,
}

/// Which claims.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ClaimFilter {
    /// Those that are so far.
    pub status: Option<ClaimStatus>,
}

/// What a buyer says did not arrive. As long as it is open, what the line earned is held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-d000-7000-8000-000000000012", "order_id": "0191e2a4-0005-7000-8000-000000000005",
    "order_item_id": "0191e2a4-0007-7000-8000-000000000007", "seller_id": "0191e2a4-0004-7000-8000-000000000004",
    "title": "Bowl", "quantity": 1, "status": "answered", "reason": "Nothing came in three weeks",
    "answer": "DHL, JD014600006SE: handed over on 20 November", "decision": "", "refund_id": null,
    "created_at": "2026-12-14T18:00:03Z", "answered_at": "2026-12-15T09:00:00Z", "decided_at": null
}))]
pub struct Claim {
    /// Its id.
    pub id: ClaimId,
    /// The order.
    pub order_id: OrderId,
    /// The line.
    pub order_item_id: OrderItemId,
    /// The shop that sent it.
    pub seller_id: SellerId,
    /// The product's title when it was bought.
    pub title: String,
    /// How many units.
    pub quantity: i32,
    /// How far it is.
    pub status: ClaimStatus,
    /// What the buyer says.
    pub reason: String,
    /// What the shop says; empty: nothing yet.
    pub answer: String,
    /// Why an admin has decided it so; empty: none has.
    pub decision: String,
    /// Which refund it came to.
    pub refund_id: Option<RefundId>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When the shop answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub decided_at: Option<DateTime<Utc>>,
}
