//! Bodies of the ledger routes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::{OrderId, OrderItemId, SellerId};
use shared::money::Money;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// An account of the books.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerAccount {
    /// Its id.
    pub id: Uuid,
    /// What it is: `provider_clearing`, `seller_payable` and the like.
    pub kind: String,
    /// Whose; null: the platform's.
    pub seller_id: Option<SellerId>,
    /// Debits less credits: what the platform owes is less than nothing.
    pub balance: Money,
}

/// Which accounts.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AccountFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this shop.
    pub seller_id: Option<SellerId>,
}

/// Something that was booked. Its entries sum to zero.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerTransaction {
    /// Its id.
    pub id: Uuid,
    /// What happened: `capture`, `refund`, `payout` and the like.
    pub kind: String,
    /// To which payment, refund, payout, dispute or write-off.
    pub subject_id: Uuid,
    /// Of which order.
    pub order_id: Option<OrderId>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// The entries.
    pub entries: Vec<LedgerEntry>,
}

/// A line of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerEntry {
    /// Where.
    pub account_id: Uuid,
    /// What that is.
    pub account: String,
    /// Whose; null: the platform's.
    pub seller_id: Option<SellerId>,
    /// How much: debits are positive, credits negative.
    pub amount: Money,
    /// For which line of the order.
    pub order_item_id: Option<OrderItemId>,
}

/// Which transactions.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TransactionFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this order.
    pub order_id: Option<OrderId>,
    /// Of this payment, refund, payout, dispute or write-off.
    pub subject_id: Option<Uuid>,
    /// With an entry in this account.
    pub account_id: Option<Uuid>,
}
