//! The built-in payment provider: deterministic, moves no real money, and keeps books
//! of its own, so that ours can be held against them.
//!
//! Its table stands for another company's database: it is reached through connections
//! of its own, in transactions of its own, never in one of ours. What a payment comes
//! to is in its token.

mod store;

use std::time::Duration;

use async_trait::async_trait;
use shared::ids::PaymentId;
use shared::money::{Currency, Money};
use sqlx::PgPool;

use super::provider::{Charge, Intent, IntentState, Provider, ProviderError};
use store::Row;

/// A token and what it comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    /// Succeeds.
    Success,
    /// Is declined.
    Decline,
    /// Needs a second step, then succeeds.
    SecondStep,
    /// Succeeds, but the answer is lost.
    Timeout,
    /// Is being processed, and succeeds after a while.
    LateSuccess,
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "test_success" => Self::Success,
            "test_decline" => Self::Decline,
            "test_second_step" => Self::SecondStep,
            "test_timeout" => Self::Timeout,
            "test_late_success" => Self::LateSuccess,
            _ => return None,
        })
    }

    /// As what the books open it.
    const fn opens_as(self) -> &'static str {
        match self {
            Self::Success | Self::Timeout => "succeeded",
            Self::Decline => "declined",
            Self::SecondStep => "requires_action",
            Self::LateSuccess => "processing",
        }
    }
}

/// The test provider.
pub struct TestProvider {
    db: PgPool,
    delay: Duration,
}

impl TestProvider {
    /// With its books in `db`; what succeeds late takes `delay`.
    #[must_use]
    pub const fn new(db: PgPool, delay: Duration) -> Self {
        Self { db, delay }
    }

    /// What the books say, after what is due by now has happened.
    async fn look(&self, payment: PaymentId) -> Result<Option<Intent>, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::succeed_late(&mut conn, payment, self.delay)
            .await
            .map_err(failed)?;
        let row = store::find(&mut conn, payment).await.map_err(failed)?;
        row.map(|row| intent(&row)).transpose()
    }

    async fn known(&self, payment: PaymentId) -> Result<Intent, ProviderError> {
        self.look(payment)
            .await?
            .ok_or_else(|| ProviderError::Failed(format!("no payment {payment}")))
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn failed(error: sqlx::Error) -> ProviderError {
    ProviderError::Failed(error.to_string())
}

fn intent(row: &Row) -> Result<Intent, ProviderError> {
    let state = match row.status.as_str() {
        "processing" => IntentState::Processing,
        "requires_action" => IntentState::RequiresAction,
        "succeeded" => IntentState::Succeeded,
        "declined" => IntentState::Declined("card_declined"),
        "cancelled" => IntentState::Cancelled,
        other => return Err(ProviderError::Failed(format!("status {other:?}"))),
    };
    let currency = Currency::parse(&row.currency).map_err(|e| ProviderError::Failed(e.to_string()))?;
    Ok(Intent {
        reference: row.id.to_string(),
        amount: Money::new(row.amount_minor, currency),
        state,
    })
}

#[async_trait]
impl Provider for TestProvider {
    fn name(&self) -> &'static str {
        "test"
    }

    fn knows(&self, token: &str) -> bool {
        Token::read(token).is_some()
    }

    async fn charge(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        let token =
            Token::read(&charge.token).ok_or_else(|| ProviderError::Failed(format!("no token {:?}", charge.token)))?;
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::open(&mut conn, charge, token.opens_as()).await.map_err(failed)?;
        drop(conn);
        if token == Token::Timeout {
            return Err(ProviderError::Timeout);
        }
        self.known(charge.payment).await
    }

    async fn confirm(&self, payment: PaymentId) -> Result<Intent, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::step(&mut conn, payment, &["requires_action"], "succeeded")
            .await
            .map_err(failed)?;
        drop(conn);
        self.known(payment).await
    }

    async fn find(&self, payment: PaymentId) -> Result<Option<Intent>, ProviderError> {
        self.look(payment).await
    }

    async fn cancel(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        // What it has never heard of is opened as cancelled, and stays so.
        store::open(&mut conn, charge, "cancelled").await.map_err(failed)?;
        store::step(
            &mut conn,
            charge.payment,
            &["processing", "requires_action"],
            "cancelled",
        )
        .await
        .map_err(failed)?;
        drop(conn);
        self.known(charge.payment).await
    }

    async fn give_back(&self, payment: PaymentId) -> Result<Intent, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::step(&mut conn, payment, &["succeeded"], "cancelled")
            .await
            .map_err(failed)?;
        drop(conn);
        self.known(payment).await
    }
}
