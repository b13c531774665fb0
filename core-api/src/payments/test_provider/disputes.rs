//! Disputes of the test provider: what buyers' banks do there, by a token or by the hand of
//! whoever tests, in its books and nowhere else.

use shared::ids::PaymentId;
use shared::money::{Currency, Money};
use uuid::Uuid;

use super::{TestProvider, failed, store};
use crate::payments::provider::{DisputeFound, ProviderError};

impl TestProvider {
    /// A bank disputes a payment that has succeeded: all of it, or `amount`. Returns the
    /// provider's name of the dispute.
    ///
    /// # Errors
    /// When its books fail, or have no such payment.
    pub async fn open_dispute(&self, payment: PaymentId, amount: Option<Money>) -> Result<String, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let minor = amount.map(|amount| amount.minor);
        let opened = store::open_dispute(&mut conn, payment, minor, self.tells())
            .await
            .map_err(failed)?;
        let none = || ProviderError::Failed(format!("no capture of payment {payment}"));
        Ok(opened.ok_or_else(none)?.to_string())
    }

    /// A dispute is decided, and may be decided otherwise later.
    ///
    /// # Errors
    /// When its books fail.
    pub async fn decide_dispute(&self, reference: &str, won: bool) -> Result<(), ProviderError> {
        let id = reference
            .parse()
            .map_err(|_| ProviderError::Failed(format!("no dispute {reference:?}")))?;
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let status = if won { "won" } else { "lost" };
        store::decide_dispute(&mut conn, id, status, self.tells())
            .await
            .map_err(failed)
    }

    /// What the books say of a dispute.
    pub(super) async fn look_at_dispute(&self, reference: &str) -> Result<Option<DisputeFound>, ProviderError> {
        let Ok(id) = reference.parse::<Uuid>() else {
            return Ok(None);
        };
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let row = store::find_dispute(&mut conn, id).await.map_err(failed)?;
        row.map(|row| {
            let currency = Currency::parse(&row.currency).map_err(|e| ProviderError::Failed(e.to_string()))?;
            Ok(DisputeFound {
                reference: row.id.to_string(),
                payment: Some(PaymentId(row.payment_id)),
                amount: Money::new(row.amount_minor, currency),
                status: row.status,
                reason: "general".to_owned(),
            })
        })
        .transpose()
    }
}
