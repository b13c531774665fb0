//! A refund and the provider: asked after the decision is committed and under the refund's
//! id, so that however often it is asked, and whoever asks, the money goes back once. The
//! outcome is written under the locks of payment, order and refund; an answer that does not
//! come is no outcome, and the reconciler asks again. What a buyer's bank sends back after it
//! had arrived the provider tells by itself.

use futures_util::{StreamExt as _, stream};
use shared::ids::RefundId;
use shared::money::Money;
use shared::outbox;
use shared::status::{Machine as _, RefundStatus};
use sqlx::PgConnection;

use super::model::{Outgoing, RefundKind};
use super::{lines, news, store};
use crate::faults::{self, Step};
use crate::http::Result;
use crate::ledger::model::{Account, EarningKind, Kind, Share, Transaction, Way};
use crate::ledger::parts::Terms;
use crate::orders::model::Locked;
use crate::payments::provider::{ProviderError, RefundOrder, Transfer, TransferState};
use crate::payments::{self, ASKED_AT_ONCE, Till};
use crate::webhooks::Outcome as Verdict;
use crate::{audit, ledger, orders, returns};

/// Why a refund has failed that the provider has never heard of, and that is too old to be
/// sent: its id may stand for nothing there any more.
const NEVER_SENT: &str = "never_sent";

/// Asks the provider to give the money back, and again after a crash: under the refund's id
/// it goes once. One that has an outcome, or came to nothing, is left alone.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn submit(till: &Till, id: RefundId) -> Result<()> {
    let outgoing = store::outgoing(&mut *till.db.acquire().await?, id).await?;
    let Some(refund) = outgoing.filter(Outgoing::is_under_way) else {
        return Ok(());
    };
    let told = send(till, &refund).await;
    outcome(till, &refund, told).await
}

/// As [`submit`], for a refund that was just decided: what fails is logged, and the
/// reconciler carries it on.
pub async fn submit_decided(till: &Till, id: RefundId) {
    if let Err(error) = submit(till, id).await {
        tracing::warn!(refund = %id, %error, "a refund is yet to be made");
    }
}

/// Asks the provider about refunds whose outcome is not known, and for those that it has
/// never heard of. Returns how many.
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
            tracing::warn!(refund = %id, %error, "a refund could not be reconciled");
        }
    };
    stream::iter(due).for_each_concurrent(ASKED_AT_ONCE, one).await;
    let owed = store::count_owed(&mut *till.db.acquire().await?).await?;
    metrics::gauge!("refunds_owed").set(owed as f64);
    Ok(found)
}

async fn reconcile_one(till: &Till, id: RefundId) -> Result<()> {
    let outgoing = store::outgoing(&mut *till.db.acquire().await?, id).await?;
    let Some(refund) = outgoing.filter(Outgoing::is_under_way) else {
        return Ok(());
    };
    let told = match find(till, &refund).await {
        Ok(Some(transfer)) => Ok(transfer),
        Ok(None) if refund.is_old => return fail(till, &refund, None, NEVER_SENT).await,
        Ok(None) => send(till, &refund).await,
        Err(error) => Err(error),
    };
    outcome(till, &refund, told).await
}

/// The provider has told of a refund: brings it to where it stands there.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn heed(till: &Till, id: RefundId) -> Result<Verdict> {
    let Some(refund) = store::outgoing(&mut *till.db.acquire().await?, id).await? else {
        return Ok(Verdict::Ignored);
    };
    // One that has succeeded may still come back.
    if refund.status.is_final() {
        return Ok(Verdict::Done);
    }
    match find(till, &refund).await {
        Ok(Some(transfer)) => {
            outcome(till, &refund, Ok(transfer)).await?;
            Ok(Verdict::Done)
        }
        Ok(None) => Ok(Verdict::Later("the provider knows nothing of the refund")),
        Err(error) => {
            tracing::warn!(refund = %id, %error, "the provider does not say what it has told of");
            Ok(Verdict::Later("the provider does not answer"))
        }
    }
}

type Told<T> = std::result::Result<T, ProviderError>;

async fn send(till: &Till, refund: &Outgoing) -> Told<Transfer> {
    let provider = till.provider_of(&refund.provider)?;
    faults::around(Step::RefundSend, till.ask(provider.refund(&order_of(refund)))).await
}

async fn find(till: &Till, refund: &Outgoing) -> Told<Option<Transfer>> {
    let provider = till.provider_of(&refund.provider)?;
    faults::around(Step::RefundFind, till.ask(provider.find_refund(&order_of(refund)))).await
}

fn order_of(refund: &Outgoing) -> RefundOrder {
    RefundOrder {
        refund: refund.id,
        payment: refund.payment,
        payment_reference: refund.payment_reference.clone(),
        amount: refund.amount,
    }
}

async fn outcome(till: &Till, refund: &Outgoing, told: Told<Transfer>) -> Result<()> {
    let transfer = match told {
        Ok(transfer) => transfer,
        Err(error) => {
            tracing::warn!(refund = %refund.id, %error, "a refund's outcome is not known");
            return submitted(till, refund, None).await;
        }
    };
    if transfer.amount != refund.amount {
        let (ours, theirs) = (refund.amount, transfer.amount);
        return Err(anyhow::anyhow!("refund {} is of {ours}, the provider has {theirs}", refund.id).into());
    }
    let reference = Some(transfer.reference.as_str());
    match &transfer.state {
        TransferState::Processing => submitted(till, refund, reference).await,
        TransferState::Succeeded => succeed(till, refund, reference).await,
        TransferState::Failed(code) => fail(till, refund, reference, code).await,
    }
}

/// It is with the provider, or may be.
async fn submitted(till: &Till, refund: &Outgoing, reference: Option<&str>) -> Result<()> {
    let mut tx = till.db.begin().await?;
    if store::step(&mut tx, refund.id, RefundStatus::Submitted, reference, None).await? {
        let detail = serde_json::json!({ "before": RefundStatus::Pending });
        audit::record(&mut tx, None, "refund.submitted", refund.id.0, detail).await?;
        faults::around(Step::RefundSubmitted, tx.commit()).await?;
    }
    Ok(())
}

async fn lock(conn: &mut PgConnection, refund: &Outgoing) -> Result<Locked> {
    payments::lock(conn, refund.payment).await?;
    orders::lock(conn, refund.order, None).await
}

async fn succeed(till: &Till, refund: &Outgoing, reference: Option<&str>) -> Result<()> {
    let mut tx = till.db.begin().await?;
    let order = lock(&mut tx, refund).await?;
    // Whoever asks first writes it; everybody after finds it written.
    if !store::step(&mut tx, refund.id, RefundStatus::Succeeded, reference, None).await? {
        return Ok(());
    }
    let Money { minor, currency } = refund.amount;
    let accounts = (Account::ProviderClearing, Account::RefundsPayable);
    let paid = Transaction::moving(
        Kind::RefundPaid,
        refund.id.0,
        Some(refund.order),
        currency,
        accounts,
        minor,
    );
    ledger::post(&mut tx, &paid).await?;
    returns::refunded(&mut tx, refund.id).await?;
    let detail = serde_json::json!({ "before": refund.status });
    audit::record(&mut tx, None, "refund.succeeded", refund.id.0, detail).await?;
    news::paid(&mut tx, refund.id, &order).await?;
    faults::around(Step::RefundSucceed, tx.commit()).await?;
    outbox::hint_notifications(till.bus.as_ref()).await;
    Ok(())
}

/// The buyer had it in our books, and it is with the provider again.
async fn returned(conn: &mut PgConnection, refund: &Outgoing) -> Result<()> {
    let Money { minor, currency } = refund.amount;
    let accounts = (Account::RefundsPayable, Account::ProviderClearing);
    let order = Some(refund.order);
    let returned = Transaction::moving(Kind::RefundReturned, refund.id.0, order, currency, accounts, minor);
    ledger::post(conn, &returned).await
}

/// Its money is still owed, and waits in the books until another refund replaces it: a shop
/// never has it for goods that it did not send or has again. What was goodwill, and stands for
/// no such goods by now, is undone.
async fn fail(till: &Till, refund: &Outgoing, reference: Option<&str>, code: &str) -> Result<()> {
    let mut tx = till.db.begin().await?;
    let order = lock(&mut tx, refund).await?;
    // Since it was read it may have gone on.
    let before = store::outgoing(&mut tx, refund.id).await?.map(|refund| refund.status);
    if !store::step(&mut tx, refund.id, RefundStatus::Failed, reference, Some(code)).await? {
        return Ok(());
    }
    if before == Some(RefundStatus::Succeeded) {
        returned(&mut tx, refund).await?;
    }
    let is_undone = refund.kind == RefundKind::Goodwill && store::may_be_undone(&mut tx, refund.id).await?;
    if is_undone {
        store::set_undone(&mut tx, refund.id).await?;
        undo(&mut tx, refund, order.terms).await?;
    }
    let detail = serde_json::json!({ "before": before, "failure_code": code, "owed": !is_undone });
    audit::record(&mut tx, None, "refund.failed", refund.id.0, detail).await?;
    faults::around(Step::RefundFail, tx.commit()).await?;
    tracing::warn!(refund = %refund.id, order = %refund.order, code, is_owed = !is_undone, "a refund has failed");
    Ok(())
}

async fn undo(conn: &mut PgConnection, refund: &Outgoing, terms: Terms) -> Result<()> {
    let lines = lines(conn, refund.order).await?;
    let portions = store::portions(conn, refund.id).await?;
    let shares: Vec<Share> = portions
        .into_iter()
        .filter_map(|(item, _, parts)| {
            let line = lines.iter().find(|line| line.item == item)?;
            let seller = line.seller;
            Some(Share { item, seller, parts })
        })
        .collect();
    let currency = refund.amount.currency;
    let sellers: Vec<_> = shares.iter().map(|share| share.seller.0).collect();
    ledger::lock_sellers(conn, &sellers, currency).await?;
    let transaction = Transaction {
        kind: Kind::RefundFailed,
        subject: refund.id.0,
        order: Some(refund.order),
        currency,
        entries: ledger::model::entries(&shares, terms, Account::RefundsPayable, Way::Shared),
    };
    ledger::post(conn, &transaction).await?;
    ledger::earn(conn, EarningKind::RefundFailed, refund.id.0, currency, &shares, terms).await
}
