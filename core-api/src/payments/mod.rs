//! Paying an order: the intention is committed, then the provider is asked, then the
//! outcome is written. A crash at any point leaves a payment that a retry or the
//! reconciler carries on.
//!
//! No money without goods, by construction: an order ends only while no payment of it is
//! under way; a payment ends without money only on the provider's word; and a provider
//! that has cancelled a payment, even one it had never heard of, never charges it later.
//! Should a success meet an ended order all the same, the order is taken up again if
//! every item still can be had; else it is recorded as captured, the order stays ended,
//! and a refund of all of it follows by itself.

mod config;
pub mod event;
pub mod handlers;
pub mod model;
pub mod provider;
pub mod return_url;
mod settle;
mod store;
mod stripe;
mod test_provider;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, PaymentId, RequestId, UserId};
use shared::outbox;
use shared::status::{Machine, PaymentStatus};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::commerce::Commerce;
use crate::config::Config;
use crate::faults::{self, Step};
use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::payouts::provider::PayoutProvider;
use crate::refunds::model::{Refund, RefundKind};
use crate::webhooks::Outcome;
use crate::{audit, flash, orders};
use model::{Attempt, Kept, Means, Open, Payment};
use provider::{Intent, Provider, ProviderError};

pub use config::Providers;
pub use stripe::{Stripe, StripeConfig};
pub use test_provider::{TestProvider, pages};

/// Of how many payments, refunds or payouts a reconciler asks the provider at once: one that
/// hangs keeps few waiting, and each holds a database connection only while it writes.
pub const ASKED_AT_ONCE: usize = 8;

/// Everything it takes to be paid. Cheap to clone.
#[derive(Clone)]
pub struct Till {
    /// The truth.
    pub db: PgPool,
    /// For hints to rooms.
    pub bus: SharedBus,
    /// Who moves the money of payments that begin now.
    pub provider: Arc<dyn Provider>,
    /// Who moves it on to shops whose accounts are added now.
    pub payer: Arc<dyn PayoutProvider>,
    /// Who did so before, and may not be through with it: each row names its own.
    pub others: Vec<(Arc<dyn Provider>, Arc<dyn PayoutProvider>)>,
    /// The built-in provider, where it is the one: what happens there happens through us.
    pub built_in: Option<TestProvider>,
    /// How long the provider may take to answer.
    pub timeout: Duration,
    /// How long an unknown outcome rests before the provider is asked again.
    pub reconcile_after: Duration,
}

impl Till {
    /// A till with the built-in test provider, which tells of nothing.
    #[must_use]
    pub fn new(db: PgPool, bus: SharedBus, settings: &Commerce) -> Self {
        let provider = TestProvider::new(db.clone(), settings.test_provider_delay).charging(settings.test_provider_fee);
        Self::of(db, bus, settings, provider)
    }

    /// A till with this test provider.
    #[must_use]
    pub fn of(db: PgPool, bus: SharedBus, settings: &Commerce, provider: TestProvider) -> Self {
        Self {
            provider: Arc::new(provider.clone()),
            payer: Arc::new(provider.clone()),
            others: Vec::new(),
            built_in: Some(provider),
            db,
            bus,
            timeout: settings.provider_timeout,
            reconcile_after: settings.reconcile_after,
        }
    }

    /// The till of a service that runs as configured.
    ///
    /// # Errors
    /// When a provider cannot be asked at all.
    pub fn open(db: PgPool, bus: SharedBus, config: &Config) -> anyhow::Result<Self> {
        let settings = &config.commerce;
        let test = TestProvider::new(db.clone(), settings.test_provider_delay).charging(settings.test_provider_fee);
        let stripe = |config: &StripeConfig| Stripe::new(config, settings.provider_timeout).map(Arc::new);
        match &config.payments {
            Providers::Test { former } => {
                let test = test
                    .telling(config.webhooks.test.clone())
                    .with_pages_at(&config.mail.public_url);
                let mut till = Self::of(db, bus, settings, test);
                if let Some(former) = former {
                    let former = stripe(former)?;
                    till.others.push((former.clone(), former));
                }
                Ok(till)
            }
            Providers::Stripe(chosen) => {
                let chosen = stripe(chosen)?;
                let test = Arc::new(test);
                Ok(Self {
                    provider: chosen.clone(),
                    payer: chosen,
                    others: vec![(test.clone(), test)],
                    built_in: None,
                    db,
                    bus,
                    timeout: settings.provider_timeout,
                    reconcile_after: settings.reconcile_after,
                })
            }
        }
    }

    /// Whoever has a row's money.
    ///
    /// # Errors
    /// When it is not configured any more: then nothing is known of its rows.
    pub fn provider_of(&self, name: &str) -> std::result::Result<&dyn Provider, ProviderError> {
        let others = self.others.iter().map(|(provider, _)| provider);
        let found = std::iter::once(&self.provider)
            .chain(others)
            .find(|provider| provider.name() == name);
        found
            .map(AsRef::as_ref)
            .ok_or_else(|| ProviderError::NotConfigured(name.to_owned()))
    }

    /// The same of a payout's.
    ///
    /// # Errors
    /// The same.
    pub fn payer_of(&self, name: &str) -> std::result::Result<&dyn PayoutProvider, ProviderError> {
        let others = self.others.iter().map(|(_, payer)| payer);
        let found = std::iter::once(&self.payer)
            .chain(others)
            .find(|payer| payer.provider() == name);
        found
            .map(AsRef::as_ref)
            .ok_or_else(|| ProviderError::NotConfigured(name.to_owned()))
    }

    /// Waits for the provider, but not for ever.
    pub(crate) async fn ask<T>(
        &self,
        answer: impl Future<Output = std::result::Result<T, ProviderError>>,
    ) -> std::result::Result<T, ProviderError> {
        tokio::time::timeout(self.timeout, answer)
            .await
            .unwrap_or(Err(ProviderError::Timeout))
    }
}

/// Pays an order of `buyer`'s. A decline is an answer, not an error.
///
/// # Errors
/// `not_found`, `invalid_body`, `order_expired`, `already_paid`, `payment_in_progress`,
/// `hold_expired`, `wrong_state`.
pub async fn pay(
    till: &Till,
    buyer: UserId,
    order: OrderId,
    key: RequestId,
    means: impl Into<Means>,
) -> Result<Answer<Payment>> {
    let means = means.into();
    if !till.provider.knows(&means.token) {
        return Err(Refusal::new(ErrorCode::InvalidBody, "no such means of payment")
            .at("token")
            .into());
    }
    let act = (order, &means.token, &means.return_url);
    let kept = idempotency::once(&till.db, buyer, key, "payment.create", &act, 201, async |conn| {
        intend(conn, till, buyer, order, &means).await.map(Kept::Intended)
    })
    .await?;
    if !kept.replayed {
        // Its flash holds last longer: their owner is told while the provider works.
        outbox::hint(till.bus.as_ref()).await;
    }
    answer(till, buyer, key, kept, async |id| charge(till, id).await).await
}

/// The buyer has taken a payment's second step.
///
/// # Errors
/// `not_found`, `already_paid`, `payment_in_progress`, `wrong_state`.
pub async fn confirm(
    till: &Till,
    buyer: UserId,
    order: OrderId,
    id: PaymentId,
    key: RequestId,
) -> Result<Answer<Payment>> {
    let act = (order, id);
    let kept = idempotency::once(&till.db, buyer, key, "payment.confirm", &act, 200, async |conn| {
        let payment = store::of_buyer(conn, id, order, buyer)
            .await?
            .ok_or(ErrorCode::NotFound)?;
        match payment.status {
            PaymentStatus::RequiresAction => Ok(Kept::Intended(id)),
            PaymentStatus::Captured => Err(ErrorCode::AlreadyPaid.into()),
            PaymentStatus::Created | PaymentStatus::Processing => Err(ErrorCode::PaymentInProgress.into()),
            PaymentStatus::Failed | PaymentStatus::Cancelled => {
                Err(Refusal::new(ErrorCode::WrongState, "the payment has ended").into())
            }
        }
    })
    .await?;
    answer(till, buyer, key, kept, async |id| second_step(till, id).await).await
}

/// Carries the kept intention out, unless it was answered before, and keeps the answer.
async fn answer(
    till: &Till,
    buyer: UserId,
    key: RequestId,
    kept: Answer<Kept>,
    carry_out: impl AsyncFnOnce(PaymentId) -> Result<Payment>,
) -> Result<Answer<Payment>> {
    let Answer { status, body, replayed } = kept;
    let body = match body {
        Kept::Answered(payment) => payment,
        Kept::Intended(id) => {
            let payment = carry_out(id).await?;
            let before = Kept::Intended(id);
            // Of two that carried out the same intention, the first to get here answers.
            match idempotency::replace(&till.db, buyer, key, &before, &Kept::Answered(payment.clone())).await? {
                Kept::Answered(first) => first,
                Kept::Intended(_) => payment,
            }
        }
    };
    Ok(Answer { status, body, replayed })
}

/// Writes the intention: the payment, and its order's flash holds are being paid.
async fn intend(
    conn: &mut PgConnection,
    till: &Till,
    buyer: UserId,
    order: OrderId,
    means: &Means,
) -> Result<PaymentId> {
    let order = orders::lock_payable(conn, order, buyer).await?;
    let holds = orders::holds(conn, order.id).await?;
    // A look first: the insert would wait for an attempt that is just being settled,
    // whose outcome waits for the order's lock, which is ours.
    if store::is_under_way(conn, order.id).await? {
        return Err(ErrorCode::PaymentInProgress.into());
    }
    if !flash::start_paying(conn, &holds).await? {
        return Err(ErrorCode::HoldExpired.into());
    }
    if !holds.is_empty() {
        orders::extend(conn, order.id).await?;
        flash::tell_owner(conn, buyer, &holds).await?;
    }
    let id = store::insert(conn, order.id, till.provider.name(), order.total, means)
        .await?
        .ok_or(ErrorCode::PaymentInProgress)?;
    let detail = serde_json::json!({"before": null, "after": {"order": order.id, "amount": order.total}});
    audit::record(conn, buyer, "payment.created", id.0, detail).await?;
    Ok(id)
}

/// Asks the provider for the money, and again after a crash: under the payment's id it
/// is one charge.
async fn charge(till: &Till, id: PaymentId) -> Result<Payment> {
    let attempt = store::attempt(&mut *till.db.acquire().await?, id).await?;
    if !matches!(attempt.view.status, PaymentStatus::Created | PaymentStatus::Processing) {
        return Ok(attempt.view);
    }
    let told = send(till, &attempt).await;
    outcome(till, id, told).await
}

async fn second_step(till: &Till, id: PaymentId) -> Result<Payment> {
    let attempt = store::attempt(&mut *till.db.acquire().await?, id).await?;
    if attempt.view.status.is_final() {
        return Ok(attempt.view);
    }
    let told = confirmed(till, &attempt).await;
    outcome(till, id, told).await
}

/// The buyer thinks better of an attempt, such as one whose second step they do not take.
/// The provider decides: a success that came first stays, and what it does not tell is
/// under way until the reconciler has asked. Doing it twice is no error.
///
/// # Errors
/// `not_found`.
pub async fn cancel(till: &Till, buyer: UserId, order: OrderId, id: PaymentId) -> Result<Payment> {
    let (payment, attempt) = {
        let mut conn = till.db.acquire().await?;
        let payment = store::of_buyer(&mut conn, id, order, buyer).await?;
        (
            payment.ok_or(ErrorCode::NotFound)?,
            store::attempt(&mut conn, id).await?,
        )
    };
    if payment.status.is_final() {
        return Ok(payment);
    }
    let told = call_off(till, &attempt).await;
    outcome(till, id, told).await
}

async fn outcome(till: &Till, id: PaymentId, told: std::result::Result<Intent, ProviderError>) -> Result<Payment> {
    match told {
        Ok(intent) => settle::record(till, id, &intent).await,
        Err(error) => {
            tracing::warn!(payment = %id, %error, "a payment's outcome is not known");
            settle::unknown(till, id).await
        }
    }
}

/// A payment of an order of `buyer`'s.
///
/// # Errors
/// `not_found`.
pub async fn get(db: &PgPool, buyer: UserId, order: OrderId, id: PaymentId) -> Result<Payment> {
    let payment = store::of_buyer(&mut *db.acquire().await?, id, order, buyer).await?;
    Ok(payment.ok_or(ErrorCode::NotFound)?)
}

/// Asks the provider about payments whose outcome is not known, and calls off those
/// whose time is over: a second step at the deadline of the order or of a flash hold,
/// anything else at the order's. The units come back only on the provider's word.
/// Returns how many were asked about.
///
/// # Errors
/// When the database fails.
pub async fn reconcile(till: &Till, limit: u32) -> Result<u64> {
    let due = {
        let mut conn = till.db.acquire().await?;
        store::take_unsettled(&mut conn, till.reconcile_after, till.timeout, limit.into()).await?
    };
    let found = due.len() as u64;
    let one = |id| async move {
        // One that cannot be settled must not keep the others from it.
        if let Err(error) = reconcile_one(till, id).await {
            tracing::warn!(payment = %id, %error, "a payment could not be reconciled");
        }
    };
    stream::iter(due).for_each_concurrent(ASKED_AT_ONCE, one).await;
    Ok(found)
}

/// Asks the provider for its fees of captures where it has told none. Returns how many were
/// asked for.
///
/// # Errors
/// When the database fails.
pub async fn ask_for_fees(till: &Till, limit: u32) -> Result<u64> {
    let due = store::take_without_fee(&mut *till.db.acquire().await?, limit.into()).await?;
    for id in &due {
        if let Err(error) = heed(till, *id).await {
            tracing::warn!(payment = %id, %error, "the fee of a payment is not known");
        }
    }
    Ok(due.len() as u64)
}

async fn reconcile_one(till: &Till, id: PaymentId) -> Result<()> {
    let attempt = store::attempt(&mut *till.db.acquire().await?, id).await?;
    let status = attempt.view.status;
    if status.is_final() {
        return Ok(());
    }
    let waits_for_buyer = status == PaymentStatus::RequiresAction;
    let give_up = attempt.order_overdue || (attempt.hold_overdue && waits_for_buyer);
    let told = if give_up {
        call_off(till, &attempt).await
    } else {
        match find(till, &attempt).await {
            Ok(Some(intent)) => Ok(intent),
            // It was written and never got there. Nobody waits for it any more.
            Ok(None) => call_off(till, &attempt).await,
            Err(error) => Err(error),
        }
    };
    outcome(till, id, told).await?;
    Ok(())
}

/// The provider has told of a payment: brings it to where it stands there. Nothing is called
/// off for that: what is overdue is the reconciler's.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn heed(till: &Till, id: PaymentId) -> Result<Outcome> {
    let known = store::status(&mut *till.db.acquire().await?, id).await?;
    match known {
        // Somebody else's, who has the same provider; or nothing follows any more.
        None => return Ok(Outcome::Ignored),
        Some((PaymentStatus::Captured, true)) => return Ok(Outcome::Done),
        Some(_) => {}
    }
    let attempt = store::attempt(&mut *till.db.acquire().await?, id).await?;
    match find(till, &attempt).await {
        Ok(Some(intent)) => {
            settle::record(till, id, &intent).await?;
            Ok(Outcome::Done)
        }
        Ok(None) => Ok(Outcome::Later("the provider knows nothing of the payment")),
        Err(error) => {
            tracing::warn!(payment = %id, %error, "the provider does not say what it has told of");
            Ok(Outcome::Later("the provider does not answer"))
        }
    }
}

type Told<T> = std::result::Result<T, ProviderError>;

async fn send(till: &Till, attempt: &Attempt) -> Told<Intent> {
    let provider = till.provider_of(&attempt.provider)?;
    faults::around(Step::PaymentCharge, till.ask(provider.charge(&attempt.charge))).await
}

async fn confirmed(till: &Till, attempt: &Attempt) -> Told<Intent> {
    let provider = till.provider_of(&attempt.provider)?;
    faults::around(Step::PaymentSecondStep, till.ask(provider.confirm(&attempt.charge))).await
}

async fn find(till: &Till, attempt: &Attempt) -> Told<Option<Intent>> {
    let provider = till.provider_of(&attempt.provider)?;
    faults::around(Step::PaymentFind, till.ask(provider.find(&attempt.charge))).await
}

async fn call_off(till: &Till, attempt: &Attempt) -> Told<Intent> {
    let provider = till.provider_of(&attempt.provider)?;
    faults::around(Step::PaymentCancel, till.ask(provider.cancel(&attempt.charge))).await
}

/// Step: the payments of these orders, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_orders(conn: &mut PgConnection, orders: &[Uuid]) -> Result<HashMap<OrderId, Vec<Payment>>> {
    let mut by_order: HashMap<OrderId, Vec<Payment>> = HashMap::new();
    for payment in store::of_orders(conn, orders).await? {
        by_order.entry(payment.order_id).or_default().push(payment);
    }
    Ok(by_order)
}

/// The one that was captured and that its order has kept: not one that went back whole because
/// it came too late, or beside another.
#[must_use]
pub fn captured(payments: &[Payment], refunds: &[Refund]) -> Option<PaymentId> {
    let is_kept = |id: PaymentId| {
        let mut late = refunds.iter().filter(|refund| refund.kind == RefundKind::LatePayment);
        !late.any(|refund| refund.payment_id == Some(id))
    };
    let mut captured = payments.iter().filter(|p| p.status == PaymentStatus::Captured);
    captured.find(|p| is_kept(p.id)).map(|p| p.id)
}

/// Step: whether an attempt to pay the order is under way or has succeeded. Under the
/// order's lock the answer stays true of what begins.
///
/// # Errors
/// When the database fails.
pub async fn is_under_way(conn: &mut PgConnection, order: OrderId) -> Result<bool> {
    Ok(store::is_under_way(conn, order).await?)
}

/// Step: locks what is under way or was captured of an order, before the order itself is
/// locked; there is one at most.
///
/// # Errors
/// When the database fails.
pub async fn lock_open(conn: &mut PgConnection, order: OrderId) -> Result<Option<Open>> {
    Ok(store::lock_open(conn, order).await?)
}

/// Step: locks a payment before its order.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, id: PaymentId) -> Result<Payment> {
    Ok(store::lock(conn, id).await?)
}
