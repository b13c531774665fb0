//! The built-in payment provider: deterministic, moves no real money, and keeps books
//! of its own, so that ours can be held against them.
//!
//! Its table stands for another company's database: it is reached through connections
//! of its own, in transactions of its own, never in one of ours. What a payment comes
//! to is in its token.

mod disputes;
mod events;
mod page;
mod payouts;
mod store;

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use async_trait::async_trait;
use shared::config::Secret;
use shared::ids::PaymentId;
use shared::money::{Currency, Money};
use sqlx::PgPool;
use uuid::Uuid;

use super::event::{Event, Unbelieved};
use super::provider::{
    Charge, DisputeFound, Intent, IntentState, Provider, ProviderError, RefundOrder, Transfer, TransferState,
};
use crate::commerce::Fee;
use store::{Row, TransferRow};

pub use page::pages;

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
    /// Succeeds; its refunds are processed for a while.
    RefundLate,
    /// Succeeds; its first refund fails.
    RefundFails,
    /// Succeeds; the answers about its refunds are lost.
    RefundTimeout,
    /// Succeeds; after a while its buyer's bank disputes all of it, and whoever calls
    /// [`TestProvider::decide_dispute`] decides.
    Disputed,
    /// The same, and after as long again it is won.
    DisputeWon,
    /// The same, and lost.
    DisputeLost,
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "test_success" => Self::Success,
            "test_decline" => Self::Decline,
            "test_second_step" => Self::SecondStep,
            "test_timeout" => Self::Timeout,
            "test_late_success" => Self::LateSuccess,
            "test_success_refund_late" => Self::RefundLate,
            "test_success_refund_fails" => Self::RefundFails,
            "test_success_refund_timeout" => Self::RefundTimeout,
            "test_success_disputed" => Self::Disputed,
            "test_success_dispute_won" => Self::DisputeWon,
            "test_success_dispute_lost" => Self::DisputeLost,
            _ => return None,
        })
    }

    /// As what the books open it.
    const fn opens_as(self) -> &'static str {
        match self {
            Self::Success
            | Self::Timeout
            | Self::RefundLate
            | Self::RefundFails
            | Self::RefundTimeout
            | Self::Disputed
            | Self::DisputeWon
            | Self::DisputeLost => "succeeded",
            Self::Decline => "declined",
            Self::SecondStep => "requires_action",
            Self::LateSuccess => "processing",
        }
    }
}

/// The test provider. Cheap to clone.
#[derive(Clone)]
pub struct TestProvider {
    db: PgPool,
    delay: Duration,
    fee: Fee,
    /// What its events are signed with; without one it sends none.
    secret: Option<Secret>,
    /// Where the pages of its second step are, without a slash at the end; none: nowhere.
    pages_at: Option<String>,
}

impl TestProvider {
    /// With its books in `db`; what succeeds late takes `delay`.
    #[must_use]
    pub const fn new(db: PgPool, delay: Duration) -> Self {
        Self {
            db,
            delay,
            fee: Fee::NONE,
            secret: None,
            pages_at: None,
        }
    }

    /// The same, which keeps so much for itself of each capture.
    #[must_use]
    pub fn charging(self, fee: Fee) -> Self {
        Self { fee, ..self }
    }

    /// The same, whose second step has a page at this server: `https://shop.example`.
    #[must_use]
    pub fn with_pages_at(self, origin: &str) -> Self {
        let pages_at = Some(origin.to_owned());
        Self { pages_at, ..self }
    }

    /// The same, which tells of what happens by events that are signed with `secret`.
    #[must_use]
    pub fn telling(self, secret: Option<Secret>) -> Self {
        Self { secret, ..self }
    }

    const fn tells(&self) -> bool {
        self.secret.is_some()
    }

    /// What the books say, after what is due by now has happened.
    async fn look(&self, payment: PaymentId) -> Result<Option<Intent>, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::succeed_late(&mut conn, Some(payment), self.delay, 1, self.tells())
            .await
            .map_err(failed)?;
        let row = store::find(&mut conn, payment).await.map_err(failed)?;
        row.map(|row| intent(&row, self.pages_at.as_deref())).transpose()
    }

    async fn look_at_transfer(&self, our_id: Uuid) -> Result<Option<Transfer>, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::transfer_late(&mut conn, Some(our_id), self.delay, 1, self.tells())
            .await
            .map_err(failed)?;
        let row = store::find_transfer(&mut conn, our_id).await.map_err(failed)?;
        row.map(|row| transfer(&row)).transpose()
    }

    /// A second step by the provider's own name for the payment; `None`: there is none.
    async fn second_step(&self, reference: Uuid) -> Result<Option<store::Step>, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::second_step(&mut conn, reference).await.map_err(failed)
    }

    /// The buyer approves of a payment at the bank, or refuses it; too late, it is no matter.
    async fn take_second_step(&self, payment: PaymentId, approves: bool) -> Result<(), ProviderError> {
        let to = if approves { "succeeded" } else { "declined" };
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let stepped = store::step(&mut conn, payment, &["requires_action"], to, self.tells()).await;
        stepped.map_err(failed)
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

fn intent(row: &Row, pages_at: Option<&str>) -> Result<Intent, ProviderError> {
    // Whoever has nowhere to come back to is sent nowhere.
    let origin = pages_at.filter(|_| row.return_url.is_some());
    let redirect = origin.map(|origin| format!("{origin}{}/{}", page::PATH, row.id));
    let state = match row.status.as_str() {
        "processing" => IntentState::Processing,
        "requires_action" => IntentState::RequiresAction { redirect },
        "succeeded" => IntentState::Succeeded,
        "declined" if Token::read(&row.token) == Some(Token::SecondStep) => {
            IntentState::Declined("authentication_failed")
        }
        "declined" => IntentState::Declined("card_declined"),
        "cancelled" => IntentState::Cancelled,
        other => return Err(ProviderError::Failed(format!("status {other:?}"))),
    };
    let currency = Currency::parse(&row.currency).map_err(|e| ProviderError::Failed(e.to_string()))?;
    Ok(Intent {
        reference: row.id.to_string(),
        amount: Money::new(row.amount_minor, currency),
        fee: Some(Money::new(row.fee_minor, currency)).filter(|_| state == IntentState::Succeeded),
        state,
    })
}

fn transfer(row: &TransferRow) -> Result<Transfer, ProviderError> {
    let state = match row.status.as_str() {
        "processing" => TransferState::Processing,
        "succeeded" => TransferState::Succeeded,
        "failed" | "returned" => TransferState::Failed(row.failure_code.clone().unwrap_or_default()),
        other => return Err(ProviderError::Failed(format!("status {other:?}"))),
    };
    let currency = Currency::parse(&row.currency).map_err(|e| ProviderError::Failed(e.to_string()))?;
    Ok(Transfer {
        reference: row.id.to_string(),
        amount: Money::new(row.amount_minor, currency),
        state,
        fee: None,
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
        store::open(
            &mut conn,
            charge,
            token.opens_as(),
            self.fee.of(charge.amount),
            self.tells(),
        )
        .await
        .map_err(failed)?;
        drop(conn);
        if token == Token::Timeout {
            return Err(ProviderError::Timeout);
        }
        self.known(charge.payment).await
    }

    async fn confirm(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        store::step(
            &mut conn,
            charge.payment,
            &["requires_action"],
            "succeeded",
            self.tells(),
        )
        .await
        .map_err(failed)?;
        drop(conn);
        self.known(charge.payment).await
    }

    async fn find(&self, charge: &Charge) -> Result<Option<Intent>, ProviderError> {
        self.look(charge.payment).await
    }

    async fn cancel(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        // What it has never heard of is opened as cancelled, and stays so.
        store::open(&mut conn, charge, "cancelled", self.fee.of(charge.amount), self.tells())
            .await
            .map_err(failed)?;
        store::step(
            &mut conn,
            charge.payment,
            &["processing", "requires_action"],
            "cancelled",
            self.tells(),
        )
        .await
        .map_err(failed)?;
        drop(conn);
        self.known(charge.payment).await
    }

    async fn refund(&self, order: &RefundOrder) -> Result<Transfer, ProviderError> {
        let mut tx = self.db.begin().await.map_err(failed)?;
        let Some(paid) = store::lock_captured(&mut tx, order.payment).await.map_err(failed)? else {
            return Err(ProviderError::Failed(format!(
                "no capture of payment {}",
                order.payment
            )));
        };
        let token = Token::read(&paid.token);
        let left = paid.amount_minor - paid.refunded_minor;
        let (status, code) = match token {
            _ if paid.disputed_minor > 0 && order.amount.minor > left - paid.disputed_minor => {
                ("failed", Some("charge_disputed"))
            }
            _ if order.amount.minor > left || order.amount.currency.code() != paid.currency => {
                ("failed", Some("amount_too_large"))
            }
            Some(Token::RefundFails) if !paid.has_refunds => ("failed", Some("card_closed")),
            Some(Token::RefundLate) => ("processing", None),
            _ => ("succeeded", None),
        };
        store::open_refund(&mut tx, order, status, code, self.tells())
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        if token == Some(Token::RefundTimeout) {
            return Err(ProviderError::Timeout);
        }
        self.look_at_transfer(order.refund.0)
            .await?
            .ok_or_else(|| ProviderError::Failed(format!("no refund {}", order.refund)))
    }

    async fn find_refund(&self, order: &RefundOrder) -> Result<Option<Transfer>, ProviderError> {
        self.look_at_transfer(order.refund.0).await
    }

    async fn find_dispute(&self, reference: &str) -> Result<Option<DisputeFound>, ProviderError> {
        self.look_at_dispute(reference).await
    }

    fn event(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, Unbelieved> {
        let secret = self.secret.as_ref().map(|secret| secret.expose().as_bytes());
        events::read(secret, headers, body, chrono::Utc::now().timestamp())
    }
}
