//! Payouts of the test provider, with its books of them: the rows of kind `payout` in
//! `test_provider_transfers`, and nothing else. What a payout comes to is in its destination.

use super::{TestProvider, failed, store};
use crate::payments::provider::{ProviderError, Transfer};
use crate::payouts::provider::{PayoutOrder, PayoutProvider};
use async_trait::async_trait;

/// A destination and what becomes of money that is sent there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bank {
    /// Takes it at once.
    Good,
    /// Does not take it.
    Refuses,
    /// Takes it after a while.
    Slow,
    /// Takes it at once, and sends it back after a while.
    Returns,
    /// Takes it at once, but the answer is lost.
    Timeout,
}

impl Bank {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "test_bank" => Self::Good,
            "test_bank_refuses" => Self::Refuses,
            "test_bank_slow" => Self::Slow,
            "test_bank_returns" => Self::Returns,
            "test_bank_timeout" => Self::Timeout,
            _ => return None,
        })
    }

    /// As what the books open it, and why.
    const fn opens_as(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Good | Self::Returns | Self::Timeout => ("succeeded", None),
            Self::Refuses => ("failed", Some("account_closed")),
            Self::Slow => ("processing", None),
        }
    }
}

#[async_trait]
impl PayoutProvider for TestProvider {
    fn provider(&self) -> &'static str {
        "test"
    }

    fn knows_destination(&self, destination: &str) -> bool {
        Bank::read(destination).is_some()
    }

    async fn pay_out(&self, order: &PayoutOrder) -> Result<Transfer, ProviderError> {
        let unknown = || ProviderError::Failed(format!("no destination {:?}", order.destination));
        let bank = Bank::read(&order.destination).ok_or_else(unknown)?;
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let (status, code) = bank.opens_as();
        store::open_payout(&mut conn, order, status, code, self.tells())
            .await
            .map_err(failed)?;
        drop(conn);
        if bank == Bank::Timeout {
            return Err(ProviderError::Timeout);
        }
        let found = self.find_payout(order).await?;
        found.ok_or_else(|| ProviderError::Failed(format!("no payout {}", order.payout)))
    }

    async fn find_payout(&self, order: &PayoutOrder) -> Result<Option<Transfer>, ProviderError> {
        self.look_at_transfer(order.payout.0).await
    }
}
