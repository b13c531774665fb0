//! Disputes as admins see them, and as their steps do. Pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::{DisputeId, OrderId, PaymentId};
use shared::money::Money;
use shared::status::DisputeStatus;
use utoipa::{IntoParams, ToSchema};

use crate::sellers::SellerRef;

/// A capture that the buyer's bank has called into question.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Dispute {
    /// Its id.
    pub id: DisputeId,
    /// The order.
    pub order_id: OrderId,
    /// Its number, for people.
    pub order_number: i64,
    /// The payment.
    pub payment_id: PaymentId,
    /// The provider's own name for it.
    pub reference: String,
    /// How far it is. What was lost may be won after all. Should the bank take anew what was won,
    /// that is a further dispute of the same reference.
    pub status: DisputeStatus,
    /// What the bank has taken, or took until it was won.
    pub amount: Money,
    /// What of it the payment still had, beside refunds and other disputes: if it is lost, that
    /// is taken from the lines.
    pub covered: Money,
    /// What it cost the platform: what was not covered, of a lost one.
    pub loss: Money,
    /// Why, in a word of the provider's.
    pub reason: String,
    /// Since when it is known here.
    pub opened_at: DateTime<Utc>,
    /// When it was decided, the last time.
    pub closed_at: Option<DateTime<Utc>>,
}

/// A dispute with what it is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DisputeDetail {
    /// The dispute.
    #[serde(flatten)]
    pub dispute: Dispute,
    /// What was captured.
    pub captured: Money,
    /// What of it has gone back in refunds, or is on its way.
    pub refunded: Money,
    /// What was booked of it, oldest first.
    pub history: Vec<DisputeStep>,
    /// What it means to each shop of the order.
    pub shops: Vec<DisputedShop>,
}

/// Something that was booked of a dispute.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DisputeStep {
    /// What it became.
    pub status: DisputeStatus,
    /// When.
    pub at: DateTime<Utc>,
}

/// What a dispute means to a shop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DisputedShop {
    /// The shop.
    pub seller: SellerRef,
    /// What its lines of the order have earned, less what refunds and other disputes took back.
    pub earned: Money,
    /// What this dispute took back of that.
    pub taken_back: Money,
    /// What of its lines was paid out, or is on its way.
    pub paid_out: Money,
}

/// Which disputes.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Those that are so far.
    pub status: Option<DisputeStatus>,
}

/// A dispute as its steps see it, of a locked payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its id.
    pub id: DisputeId,
    /// Its payment.
    pub payment: PaymentId,
    /// How far it is.
    pub status: DisputeStatus,
    /// What the bank has taken.
    pub amount: Money,
    /// What of it the payment still had, in minor units.
    pub covered: i64,
}
