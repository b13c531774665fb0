//! Writing down what the provider said: one transaction for one outcome, under the locks
//! of payment, order, sales, holds and variants, in that order. Whoever asks first
//! writes it; everybody after finds it written.

use shared::ids::{PaymentId, RefundId};
use shared::outbox;
use shared::status::{Machine, PaymentStatus};
use sqlx::{Connection, PgConnection};

use super::model::Payment;
use super::provider::{Intent, IntentState};
use super::{Till, store};
use crate::faults::{self, Step};
use crate::http::Result;
use crate::ledger::model::{Account, Kind, Transaction};
use crate::orders::{self, Fulfilled};
use crate::{audit, flash, ledger, refunds};

/// What a look at the provider's word came to: the payment as it stands, and the refund
/// that follows where it was captured and its order could not take it.
type Recorded = (Payment, Option<RefundId>);

/// Records `intent`, and has money given back that no order can take.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn record(till: &Till, id: PaymentId, intent: &Intent) -> Result<Payment> {
    let (payment, refund) = record_once(till, id, intent).await?;
    if let Some(refund) = refund {
        tracing::warn!(payment = %id, order = %payment.order_id, %refund, "a payment came that its order cannot take");
        refunds::submit_decided(till, refund).await;
    }
    Ok(payment)
}

async fn record_once(till: &Till, id: PaymentId, intent: &Intent) -> Result<Recorded> {
    let mut tx = till.db.begin().await?;
    let payment = store::lock(&mut tx, id).await?;
    let succeeded = intent.state == IntentState::Succeeded;
    if payment.status.is_final() && !succeeded {
        return Ok((payment, None));
    }
    if intent.amount != payment.amount {
        let theirs = intent.amount;
        return Err(anyhow::anyhow!("payment {id} is of {}, the provider has {theirs}", payment.amount).into());
    }
    if payment.status.is_final() {
        let recorded = succeeded_after_its_end(&mut tx, payment, intent).await?;
        tx.commit().await?;
        return Ok(recorded);
    }
    let recorded = match &intent.state {
        IntentState::Processing => (
            step(&mut tx, payment, PaymentStatus::Processing, intent, None).await?,
            None,
        ),
        IntentState::RequiresAction { .. } => (
            step(&mut tx, payment, PaymentStatus::RequiresAction, intent, None).await?,
            None,
        ),
        IntentState::Succeeded => capture(&mut tx, payment, intent).await?,
        IntentState::Declined(code) => (
            fail(&mut tx, payment, PaymentStatus::Failed, intent, Some(*code)).await?,
            None,
        ),
        IntentState::Cancelled => (
            fail(&mut tx, payment, PaymentStatus::Cancelled, intent, None).await?,
            None,
        ),
    };
    faults::around(Step::PaymentRecord, tx.commit()).await?;
    outbox::hint(till.bus.as_ref()).await;
    Ok(recorded)
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
    if !payment.status.may_become(to) {
        advance(conn, payment.id, PaymentStatus::Processing, Some(intent), None).await?;
    }
    advance(conn, payment.id, to, Some(intent), code).await
}

async fn advance(
    conn: &mut PgConnection,
    id: PaymentId,
    to: PaymentStatus,
    intent: Option<&Intent>,
    code: Option<&str>,
) -> Result<Payment> {
    let reference = intent.map(|intent| intent.reference.as_str());
    let redirect = intent
        .filter(|_| to == PaymentStatus::RequiresAction)
        .and_then(Intent::redirect);
    let Some(payment) = store::step(conn, id, to, reference, code, redirect).await? else {
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

/// The money is there: the order is paid in the same transaction; or, where no order can
/// take it, it is recorded beside the order, and with it that it goes back.
async fn capture(conn: &mut PgConnection, payment: Payment, intent: &Intent) -> Result<Recorded> {
    let order = orders::lock(conn, payment.order_id, None).await?;
    let captured = step(conn, payment, PaymentStatus::Captured, intent, None).await?;
    // What the order has taken when it turns out that it cannot take all is given up again.
    let mut whole = conn.begin().await?;
    let fulfilled = orders::fulfil(&mut whole, &order, Some(captured.id)).await?;
    if fulfilled == Fulfilled::Paid {
        whole.commit().await?;
        book_fee(conn, &captured, intent).await?;
        return Ok((captured, None));
    }
    whole.rollback().await?;
    book_fee(conn, &captured, intent).await?;
    let holds = orders::holds_left(conn, order.id).await?;
    flash::payment_failed(conn, &holds).await?;
    flash::notify(conn, order.buyer, &holds).await?;
    let refund = refunds::give_back_all(conn, captured.order_id, captured.id, captured.amount).await?;
    Ok((captured, Some(refund)))
}

/// The provider says of a payment that had ended here that it has succeeded. Of a capture that
/// may be its fee, which was not known; what had failed or was called off is a capture too
/// many, whatever became of its order: all of it goes back.
async fn succeeded_after_its_end(conn: &mut PgConnection, payment: Payment, intent: &Intent) -> Result<Recorded> {
    if payment.status == PaymentStatus::Captured {
        book_fee(conn, &payment, intent).await?;
        return Ok((payment, None));
    }
    let order = orders::lock(conn, payment.order_id, None).await?;
    store::capture_surplus(conn, payment.id, &intent.reference).await?;
    let detail = serde_json::json!({ "before": payment.status, "surplus": true });
    audit::record(conn, None, "payment.captured", payment.id.0, detail).await?;
    let captured = store::lock(conn, payment.id).await?;
    book_fee(conn, &captured, intent).await?;
    let refund = refunds::give_back_all(conn, order.id, captured.id, captured.amount).await?;
    Ok((captured, Some(refund)))
}

/// Books what the provider keeps for itself of a capture, once it has told. One in another
/// currency, as where the provider's account is held in one, is not the order's to book: it
/// must not keep the money that was taken from being recorded.
async fn book_fee(conn: &mut PgConnection, payment: &Payment, intent: &Intent) -> Result<()> {
    let Some(fee) = intent.fee else {
        return Ok(());
    };
    if fee.currency != payment.amount.currency || fee.minor < 0 {
        tracing::error!(payment = %payment.id, %fee, "a provider's fee cannot be booked");
        return Ok(());
    }
    if !store::set_fee(conn, payment.id, fee.minor).await? {
        return Ok(());
    }
    let accounts = (Account::ProviderClearing, Account::ProviderFees);
    let order = Some(payment.order_id);
    let booked = Transaction::moving(
        Kind::ProviderFee,
        payment.id.0,
        order,
        fee.currency,
        accounts,
        fee.minor,
    );
    ledger::post(conn, &booked).await
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
    faults::around(Step::PaymentUnknown, tx.commit()).await?;
    Ok(payment)
}
