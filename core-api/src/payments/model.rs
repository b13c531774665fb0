//! Bodies of the payment routes, and a payment as its steps see it.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{OrderId, PaymentId};
use shared::money::Money;
use shared::status::PaymentStatus;
use utoipa::ToSchema;

/// Pays an order.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewPayment {
    /// The provider's single-use token for the means of payment. The test provider has
    /// `test_success`, `test_decline`, `test_second_step`, `test_timeout` and
    /// `test_late_success`; and three that succeed and tell what becomes of refunds:
    /// `test_success_refund_late` takes a while over them, of `test_success_refund_fails`
    /// the first fails and later ones succeed, and of `test_success_refund_timeout` the
    /// answers are lost. Refunds of all others succeed at once.
    #[garde(length(min = 1, max = 255))]
    pub token: String,
}

/// An attempt to pay an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// What it pays.
    pub order_id: OrderId,
    /// Its status: a decline is `failed`, a second step is owed while it `requires_action`,
    /// and while it is `processing` the outcome is not known yet.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// When it was begun.
    pub created_at: DateTime<Utc>,
}

/// A payment, with what only its steps need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// What its owner sees.
    pub view: Payment,
    /// The provider's token.
    pub token: String,
    /// The order's time to be paid is over.
    pub order_overdue: bool,
    /// The time of one of its flash holds is over.
    pub hold_overdue: bool,
}

/// A payment that is under way or was captured, locked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Open {
    /// Its id.
    pub id: PaymentId,
    /// Its status.
    pub status: PaymentStatus,
    /// How much.
    pub amount: Money,
}

/// What stands beside an idempotency key: first that there is a payment, later the
/// answer. A retry that finds the first goes on with that payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// The payment is written, its outcome was not answered yet.
    Intended(PaymentId),
    /// This was answered.
    Answered(Payment),
}
