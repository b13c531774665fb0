//! Writing down what the provider said: one transaction for one outcome, under the locks
//! of payment, order, sales, holds and variants, in that order. Whoever asks first
//! writes it; everybody after finds it written.

use shared::ids::PaymentId;
use shared::outbox;
use shared::status::{Machine, PaymentStatus};
use sqlx::PgConnection;

use super::model::Payment;
use super::provider::{Intent, IntentState};
use super::{ORDER_GONE, Till, store};
use crate::http::Result;
use crate::orders::{self, Fulfilled};
use crate::{audit, flash};

/// What a look at the provider's word came to.
enum Recorded {
    /// The payment as it stands.
    Stands(Payment),
    /// A success that no order can take: the money goes back.
    GiveBack,
}

/// Records `intent`, and gives money back that no order can take.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn record(till: &Till, id: PaymentId, intent: &Intent) -> Result<Payment> {
    match record_once(till, id, intent).await? {
        Recorded::Stands(payment) => Ok(payment),
        Recorded::GiveBack => give_back(till, id).await,
    }
}

async fn record_once(till: &Till, id: PaymentId, intent: &Intent) -> Result<Recorded> {
    let mut tx = till.db.begin().await?;
    let payment = store::lock(&mut tx, id).await?;
    if payment.status.is_final() {
        return Ok(Recorded::Stands(payment));
    }
    if intent.amount != payment.amount {
        let theirs = intent.amount;
        return Err(anyhow::anyhow!("payment {id} is of {}, the provider has {theirs}", payment.amount).into());
    }
    let settled = match intent.state {
        IntentState::Processing => step(&mut tx, payment, PaymentStatus::Processing, intent, None).await?,
        IntentState::RequiresAction => step(&mut tx, payment, PaymentStatus::RequiresAction, intent, None).await?,
        IntentState::Succeeded => match capture(&mut tx, payment, intent).await? {
            Some(captured) => captured,
            None => {
                tx.rollback().await?;
                return Ok(Recorded::GiveBack);
            }
        },
        IntentState::Declined(code) => fail(&mut tx, payment, PaymentStatus::Failed, intent, Some(code)).await?,
        IntentState::Cancelled => fail(&mut tx, payment, PaymentStatus::Cancelled, intent, None).await?,
    };
    tx.commit().await?;
    outbox::hint(till.bus.as_ref()).await;
    Ok(Recorded::Stands(settled))
}

/// One step with its audit. What is only written has first been with the provider.
async fn step(
    conn: &mut PgConnection,
    payment: Payment,
    to: PaymentStatus,
    intent: &Intent,
    code: Option<&str>,
) -> Result<Payment> {
    if payment.status == to {
        return Ok(payment);
    }
    let reference = Some(intent.reference.as_str());
    if !payment.status.may_become(to) {
        advance(conn, payment.id, PaymentStatus::Processing, reference, None).await?;
    }
    advance(conn, payment.id, to, reference, code).await
}

async fn advance(
    conn: &mut PgConnection,
    id: PaymentId,
    to: PaymentStatus,
    reference: Option<&str>,
    code: Option<&str>,
) -> Result<Payment> {
    let Some(payment) = store::step(conn, id, to, reference, code).await? else {
        return Err(anyhow::anyhow!("payment {id} cannot become {to} under its lock").into());
    };
    let action = match to {
        PaymentStatus::Created => "payment.created",
        PaymentStatus::Processing => "payment.processing",
        PaymentStatus::RequiresAction => "payment.requires_action",
        PaymentStatus::Captured => "payment.captured",
        PaymentStatus::Failed => "payment.failed",
        PaymentStatus::Cancelled => "payment.cancelled",
    };
    audit::record(conn, None, action, id.0, serde_json::json!({ "failure_code": code })).await?;
    Ok(payment)
}

/// The money is there: the order is paid in the same transaction. `None`: no order can
/// take it, and the caller rolls back.
async fn capture(conn: &mut PgConnection, payment: Payment, intent: &Intent) -> Result<Option<Payment>> {
    if payment.failure_code.as_deref() == Some(ORDER_GONE) {
        return Ok(None);
    }
    let order = orders::lock(conn, payment.order_id, None).await?;
    let captured = step(conn, payment, PaymentStatus::Captured, intent, None).await?;
    Ok(match orders::fulfil(conn, &order, Some(captured.id)).await? {
        Fulfilled::Paid => Some(captured),
        Fulfilled::Gone => None,
    })
}

/// It ended without money: the holds are the buyer's again while they last.
async fn fail(
    conn: &mut PgConnection,
    payment: Payment,
    to: PaymentStatus,
    intent: &Intent,
    code: Option<&str>,
) -> Result<Payment> {
    let order = orders::lock(conn, payment.order_id, None).await?;
    let failed = step(conn, payment, to, intent, code).await?;
    let holds = orders::holds(conn, order.id).await?;
    flash::payment_failed(conn, &holds).await?;
    flash::notify(conn, order.buyer, &holds).await?;
    Ok(failed)
}

/// The provider did not answer: what was asked is under way until it tells.
///
/// # Errors
/// When the database fails.
pub async fn unknown(till: &Till, id: PaymentId) -> Result<Payment> {
    let mut tx = till.db.begin().await?;
    let mut payment = store::lock(&mut tx, id).await?;
    if payment.status.may_become(PaymentStatus::Processing) {
        payment = advance(&mut tx, id, PaymentStatus::Processing, None, None).await?;
    }
    tx.commit().await?;
    Ok(payment)
}

/// Voids a success that has no order. The decision is committed first: nobody who asks
/// at the same time, when the goods may be back, records a capture of money on its way
/// home. The reconciler finishes what is interrupted here.
async fn give_back(till: &Till, id: PaymentId) -> Result<Payment> {
    let mut tx = till.db.begin().await?;
    let mut payment = store::lock(&mut tx, id).await?;
    if payment.status.is_final() {
        return Ok(payment);
    }
    if payment.status == PaymentStatus::Created {
        payment = advance(&mut tx, id, PaymentStatus::Processing, None, None).await?;
    }
    store::mark(&mut tx, id, ORDER_GONE).await?;
    tx.commit().await?;
    tracing::warn!(payment = %id, order = %payment.order_id, "a payment came after its order had ended");
    match till.ask(till.provider.give_back(id)).await {
        Ok(intent) => match record_once(till, id, &intent).await? {
            Recorded::Stands(payment) => Ok(payment),
            Recorded::GiveBack => Err(anyhow::anyhow!("payment {id} was not given back").into()),
        },
        Err(error) => {
            tracing::warn!(payment = %id, %error, "a payment is yet to be given back");
            Ok(payment)
        }
    }
}
