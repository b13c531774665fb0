//! What whoever moves money on to shops can do, whoever it is. The rules are those of a
//! payment provider: it is never called inside a transaction of ours, always with the id of
//! our payout, under which it pays once, and an error means that the outcome is not known.

use async_trait::async_trait;
use shared::ids::PayoutId;
use shared::money::Money;

use crate::payments::provider::{ProviderError, Transfer};

/// What is to be paid to a shop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PayoutOrder {
    /// Our payout: the idempotency key.
    pub payout: PayoutId,
    /// The provider's name for where it goes.
    pub destination: String,
    /// How much; never nothing.
    pub amount: Money,
    /// Who pays it.
    pub provider: String,
    /// The provider may have forgotten its id: it is not asked for again, only about.
    pub is_old: bool,
}

/// Pays shops.
#[async_trait]
pub trait PayoutProvider: Send + Sync + 'static {
    /// Its name in the database.
    fn provider(&self) -> &'static str;

    /// Whether it knows a destination of this name.
    fn knows_destination(&self, destination: &str) -> bool;

    /// Pays, or begins to. Asked again for the same payout, it answers with what became of it.
    async fn pay_out(&self, order: &PayoutOrder) -> Result<Transfer, ProviderError>;

    /// What became of a payout; `None`: it has never heard of it. One that had succeeded and
    /// has failed since was sent back by the shop's bank.
    async fn find_payout(&self, order: &PayoutOrder) -> Result<Option<Transfer>, ProviderError>;
}
