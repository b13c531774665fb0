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
mod reconcile;
pub mod return_url;
mod settle;
mod store;
mod stripe;
mod test_provider;
mod till;

use std::collections::HashMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, PaymentId, RequestId, UserId};
use shared::outbox;
use shared::status::{Machine, PaymentStatus};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::refunds::model::{Refund, RefundKind};
use crate::{audit, flash, orders};
use model::{Kept, Means, Open, Payment};
use provider::{Intent, Told};

pub use config::Providers;
pub use reconcile::{ASKED_AT_ONCE, ask_for_fees, heed, reconcile};
pub use stripe::{Stripe, StripeConfig};
pub use test_provider::{TestProvider, pages};
pub use till::Till;

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
    let told = till.charge(&attempt).await;
    outcome(till, id, told).await
}

async fn second_step(till: &Till, id: PaymentId) -> Result<Payment> {
    let attempt = store::attempt(&mut *till.db.acquire().await?, id).await?;
    if attempt.view.status.is_final() {
        return Ok(attempt.view);
    }
    let told = till.confirm(&attempt).await;
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
    let told = till.call_off(&attempt).await;
    outcome(till, id, told).await
}

async fn outcome(till: &Till, id: PaymentId, told: Told<Intent>) -> Result<Payment> {
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
