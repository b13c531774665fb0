//! Bodies of the return routes, and a return as it is shown.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{OrderId, OrderItemId, RefundId, ReturnId, SellerId};
use shared::status::ReturnStatus;
use utoipa::{IntoParams, ToSchema};

use crate::http::rules::{prose, shown};

/// Units of a line that their buyer wants to send back.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({
    "order_item_id": "0191e2a4-0007-7000-8000-000000000007", "quantity": 1, "reason": "Too small"
}))]
pub struct NewReturn {
    /// The line.
    #[garde(skip)]
    pub order_item_id: OrderItemId,
    /// How many; at most those that have arrived and are in no return.
    #[garde(range(min = 1, max = 1000))]
    pub quantity: i32,
    /// Why, for the shop.
    #[garde(custom(shown(1, 1000)))]
    pub reason: String,
}

/// What a shop says to a return that it takes.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"answer": "Please send it to 1 Quay Street, Hamburg"}))]
pub struct ReturnApproval {
    /// For the buyer: where to, and how.
    #[serde(default)]
    #[garde(custom(prose(1000)))]
    pub answer: String,
}

/// Why a shop does not take a return.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"answer": "Made to order"}))]
pub struct ReturnRejection {
    /// For the buyer.
    #[garde(custom(shown(1, 1000)))]
    pub answer: String,
}

/// What came back.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"restocked": 1, "shipping": false}))]
pub struct ReturnReceipt {
    /// How many of the units can be sold again.
    #[garde(range(min = 0, max = 1000))]
    pub restocked: i32,
    /// What is left of the line's shipping goes back too.
    #[serde(default)]
    #[garde(skip)]
    pub shipping: bool,
}

/// How units of a return were sent.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"carrier": "DHL", "tracking": "JD014600005SE"}))]
pub struct ReturnParcel {
    /// Who carries it.
    #[garde(custom(shown(1, 60)))]
    pub carrier: String,
    /// The parcel's number there.
    #[garde(custom(shown(1, 100)))]
    pub tracking: String,
}

/// Which returns.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Those that are so far.
    pub status: Option<ReturnStatus>,
}

/// Which returns of all shops.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AdminFilter {
    /// Those that are so far.
    pub status: Option<ReturnStatus>,
    /// Of these only those that wait for an admin, because their shop has had its time: to
    /// answer, or to say that it has what was sent.
    #[serde(default)]
    pub overdue: bool,
}

/// Units of a line that go back to their shop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-d000-7000-8000-000000000011", "seller_id": "0191e2a4-0004-7000-8000-000000000004",
    "order_id": "0191e2a4-0005-7000-8000-000000000005",
    "order_item_id": "0191e2a4-0007-7000-8000-000000000007", "title": "Bowl", "quantity": 1, "status": "requested",
    "reason": "Too small", "answer": "", "restocked": 0, "refund_id": null,
    "created_at": "2026-11-23T18:00:03Z", "answered_at": null, "sent_at": null, "carrier": "", "tracking": "",
    "received_at": null
}))]
pub struct Return {
    /// Its id.
    pub id: ReturnId,
    /// The shop that it goes back to.
    pub seller_id: SellerId,
    /// The order.
    pub order_id: OrderId,
    /// The line.
    pub order_item_id: OrderItemId,
    /// The product's title when it was bought.
    pub title: String,
    /// How many.
    pub quantity: i32,
    /// How far it is: `received` means that the money is on its way.
    pub status: ReturnStatus,
    /// Why, in the buyer's words.
    pub reason: String,
    /// What the shop says; empty: nothing yet.
    pub answer: String,
    /// How many of them can be sold again.
    pub restocked: i32,
    /// Which refund it came to.
    pub refund_id: Option<RefundId>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When the shop answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// When the buyer said that it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// Who carries it back; empty: it was not sent.
    pub carrier: String,
    /// The parcel's number there.
    pub tracking: String,
    /// When the shop had it.
    pub received_at: Option<DateTime<Utc>>,
}
