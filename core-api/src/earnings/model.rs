//! Bodies of the earnings routes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::{EarningId, OrderId, OrderItemId, PayoutId};
use shared::money::{Currency, Money};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// What a line brought its shop, or took from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Because {
    /// It was paid.
    Sale,
    /// A part of it is refunded.
    Refund,
    /// That refund failed.
    RefundFailed,
    /// A dispute about it was lost.
    Dispute,
    /// That was decided otherwise later.
    DisputeWon,
    /// Of no line: the platform gave up what the shop owed.
    WriteOff,
}

/// Where money is on its way to its shop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum EarningState {
    /// The line is not released yet.
    Held,
    /// The buyer's bank has called the payment into question.
    Disputed,
    /// The next payout takes it.
    Available,
    /// In a payout without an outcome.
    OnItsWay,
    /// The shop has it.
    PaidOut,
}

impl EarningState {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Disputed => "disputed",
            Self::Available => "available",
            Self::OnItsWay => "on_its_way",
            Self::PaidOut => "paid_out",
        }
    }
}

/// Why a line is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum HeldBecause {
    /// It is not all on its way to its buyer, or has not arrived.
    NotDelivered,
    /// The buyer wants to send some of it back.
    ReturnOpen,
    /// The buyer says that some of it did not come.
    NotReceived,
    /// It is released at `release_after`.
    NotDue,
    /// The buyer's bank has called the payment into question.
    DisputeOpen,
}

/// What each line brought or took from its shop.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "0191e2a4-d000-7000-8000-000000000011", "because": "sale",
    "source_id": "0191e2a4-5000-7000-8000-000000000008", "order_id": "0191e2a4-5000-7000-8000-000000000008",
    "order_number": 1042, "order_item_id": "0191e2a4-6000-7000-8000-000000000009", "title": "Ash-glazed supper bowl",
    "quantity": 2, "base": {"minor": 5000, "currency": "EUR"}, "shipping": {"minor": 499, "currency": "EUR"},
    "tax": {"minor": 0, "currency": "EUR"}, "commission": {"minor": 500, "currency": "EUR"}, "commission_bps": 1000,
    "amount": {"minor": 4999, "currency": "EUR"}, "state": "available", "held_because": null, "release_after": null,
    "released_at": "2026-11-26T09:00:00Z", "payout_id": null, "created_at": "2026-11-23T18:00:03Z"
}))]
pub struct Earning {
    /// Its id.
    pub id: EarningId,
    /// Why.
    pub because: Because,
    /// What it comes from: the order of a sale, the refund, the dispute, the write-off.
    pub source_id: Uuid,
    /// The order.
    pub order_id: Option<OrderId>,
    /// Its number, for people.
    pub order_number: Option<i64>,
    /// The line.
    pub order_item_id: Option<OrderItemId>,
    /// What was sold.
    pub title: Option<String>,
    /// How many of it the line is of.
    pub quantity: Option<i32>,
    /// The goods at the shop's price, without tax: what commission is taken of.
    pub base: Money,
    /// Shipping, without tax; free of commission.
    pub shipping: Money,
    /// Tax that the shop passes on itself.
    pub tax: Money,
    /// What the platform keeps.
    pub commission: Money,
    /// Its rate, in basis points, as it was when the order was placed.
    pub commission_bps: Option<i32>,
    /// What the shop gets: base, shipping and tax, less commission.
    pub amount: Money,
    /// Where it is.
    pub state: EarningState,
    /// Why it is held or disputed; null: it is neither.
    pub held_because: Option<HeldBecause>,
    /// From when on the line may be released; null: not known yet.
    pub release_after: Option<DateTime<Utc>>,
    /// Since when the line is released.
    pub released_at: Option<DateTime<Utc>>,
    /// The payout that it is in and that counts.
    pub payout_id: Option<PayoutId>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Which earnings.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EarningFilter {
    /// Only those that are there; absent: all.
    pub state: Option<EarningState>,
}

/// What a shop has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "balances": [{"currency": "EUR", "held_minor": 12000, "disputed_minor": 0, "available_minor": 4999,
                  "on_its_way_minor": 0, "paid_out_minor": 80000, "owed_minor": 16999}],
    "payout_minimum_minor": 1000, "payout_hold": null
}))]
pub struct Balance {
    /// By currency; none that nothing was earned in.
    pub balances: Vec<CurrencyBalance>,
    /// The least that is paid out.
    pub payout_minimum_minor: i64,
    /// Why nothing is paid out at all; null: it is.
    pub payout_hold: Option<HoldNote>,
}

/// What a shop has in a currency, in its minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CurrencyBalance {
    /// The currency.
    pub currency: Currency,
    /// Of lines that are not released yet.
    pub held_minor: i64,
    /// Of payments that buyers' banks have called into question.
    pub disputed_minor: i64,
    /// What the next payout takes; less than nothing: what the shop owes.
    pub available_minor: i64,
    /// In payouts without an outcome.
    pub on_its_way_minor: i64,
    /// What the shop has got.
    pub paid_out_minor: i64,
    /// What the books owe the shop: held, disputed and available. `hawker verify` holds it against
    /// the ledger.
    pub owed_minor: i64,
}

/// Why nothing is paid out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HoldNote {
    /// An admin's words.
    pub reason: String,
    /// Since when.
    pub held_at: DateTime<Utc>,
}
