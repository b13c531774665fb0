//! A payout and the provider. Before it is asked, the payout is `processing`: from then on
//! only its word ends it. It is asked under the payout's id, so that however often that
//! happens, and whoever asks, a shop is paid once. An answer that does not come is no
//! outcome: the reconciler asks again, and for some days after a success whether the shop's
//! bank has sent the money back.

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use shared::ids::PayoutId;
use shared::notification::NotificationKind;
use shared::outbox;
use shared::status::{Machine as _, PayoutStatus};
use sqlx::{PgConnection, Postgres};

use super::provider::PayoutOrder;
use super::store::{self, Outgoing};
use crate::faults::{self, Step};
use crate::http::Result;
use crate::ledger::model::{Account, Kind, Transaction};
use crate::notifications::{self, News};
use crate::payments::provider::{ProviderError, Transfer, TransferState};
use crate::payments::{ASKED_AT_ONCE, Till};
use crate::webhooks::Outcome as Verdict;
use crate::{audit, ledger};

/// Why a payout has failed that the provider has never heard of, and that is too old to be
/// sent: its id may stand for nothing there any more.
const NEVER_SENT: &str = "never_sent";

/// Sends a payout that was claimed and not sent yet; one that is held back stays as it is.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn submit(till: &Till, id: PayoutId) -> Result<()> {
    let Some(order) = start(till, id).await? else {
        return Ok(());
    };
    outcome(till, id, pay_out(till, &order).await).await
}

type Told = std::result::Result<Transfer, ProviderError>;

/// Only who pays shops now is given anything to pay: an account of a former one is to be added
/// anew.
async fn pay_out(till: &Till, order: &PayoutOrder) -> Told {
    if order.provider != till.payer.provider() {
        return Ok(unsent(order, "account_of_another_provider"));
    }
    faults::around(Step::PayoutSend, till.ask(till.payer.pay_out(order))).await
}

async fn find(till: &Till, order: &PayoutOrder) -> std::result::Result<Option<Transfer>, ProviderError> {
    let payer = till.payer_of(&order.provider)?;
    faults::around(Step::PayoutFind, till.ask(payer.find_payout(order))).await
}

/// As [`submit`], for a payout that was just claimed: what fails is logged, and the reconciler
/// carries it on.
pub async fn submit_claimed(till: &Till, id: PayoutId) {
    if let Err(error) = submit(till, id).await {
        tracing::warn!(payout = %id, %error, "a payout is yet to be made");
    }
}

/// Writes that the provider is about to be asked; `None`: it is not to be.
async fn start(till: &Till, id: PayoutId) -> Result<Option<PayoutOrder>> {
    let mut tx = till.db.begin().await?;
    let started = store::start(&mut tx, id).await?;
    if started.is_some() {
        audit::record(&mut tx, None, "payout.processing", id.0, json!({"before": "creating"})).await?;
    }
    faults::around(Step::PayoutStart, tx.commit()).await?;
    Ok(started)
}

/// Asks the provider about payouts whose outcome is not known, sends those that were never
/// sent, and looks whether any that arrived came back. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn reconcile(till: &Till, limit: u32) -> Result<u64> {
    let due = {
        let mut conn = till.db.acquire().await?;
        store::take_unsettled(&mut conn, till.reconcile_after, limit.into()).await?
    };
    let found = due.len() as u64;
    let one = |(id, status)| async move {
        // One that cannot be settled must not keep the others from it.
        if let Err(error) = reconcile_one(till, id, status).await {
            tracing::warn!(payout = %id, %error, "a payout could not be reconciled");
        }
    };
    stream::iter(due).for_each_concurrent(ASKED_AT_ONCE, one).await;
    Ok(found)
}

/// Asks the provider about a payout that is with it, or may be: what fails is logged, and the
/// reconciler carries it on.
pub async fn ask_again(till: &Till, id: PayoutId) {
    if let Err(error) = reconcile_one(till, id, PayoutStatus::Processing).await {
        tracing::warn!(payout = %id, %error, "a payout's outcome is yet to be heard of");
    }
}

async fn reconcile_one(till: &Till, id: PayoutId, status: PayoutStatus) -> Result<()> {
    if status == PayoutStatus::Creating {
        return submit(till, id).await;
    }
    let order = store::order(&mut *till.db.acquire().await?, id).await?;
    let told = match find(till, &order).await {
        Ok(Some(transfer)) => Ok(transfer),
        // It was about to be asked, and never was: much may have happened since.
        Ok(None) if status == PayoutStatus::Processing => {
            if order.is_old {
                return give_up(till, id).await;
            }
            if !store::may_be_sent(&mut *till.db.acquire().await?, id).await? {
                return Ok(());
            }
            pay_out(till, &order).await
        }
        Ok(None) => Err(ProviderError::Failed("it knows nothing of it any more".into())),
        Err(error) => Err(error),
    };
    outcome(till, id, told).await
}

/// The provider has told of a payout: brings it to where it stands there.
///
/// # Errors
/// When the database fails, or the provider's amount is not ours.
pub async fn heed(till: &Till, id: PayoutId) -> Result<Verdict> {
    match store::status(&mut *till.db.acquire().await?, id).await? {
        None => return Ok(Verdict::Ignored),
        // One that has arrived may still come back.
        Some(status) if status.is_final() => return Ok(Verdict::Done),
        Some(_) => {}
    }
    let order = store::order(&mut *till.db.acquire().await?, id).await?;
    match find(till, &order).await {
        Ok(Some(transfer)) => {
            record(till, id, &transfer).await?;
            Ok(Verdict::Done)
        }
        Ok(None) => Ok(Verdict::Later("the provider knows nothing of the payout")),
        Err(error) => {
            tracing::warn!(payout = %id, %error, "the provider does not say what it has told of");
            Ok(Verdict::Later("the provider does not answer"))
        }
    }
}

/// It is at no provider and never will be, for a reason of ours.
fn unsent(order: &PayoutOrder, why: &str) -> Transfer {
    Transfer {
        reference: order.payout.to_string(),
        amount: order.amount,
        state: TransferState::Failed(why.to_owned()),
        fee: None,
    }
}

async fn outcome(till: &Till, id: PayoutId, told: Told) -> Result<()> {
    match told {
        Ok(transfer) => record(till, id, &transfer).await,
        Err(error) => {
            tracing::warn!(payout = %id, %error, "a payout's outcome is not known");
            Ok(())
        }
    }
}

/// Writes what the provider says. Whoever asks first writes it; everybody after finds it
/// written.
async fn record(till: &Till, id: PayoutId, transfer: &Transfer) -> Result<()> {
    let mut tx = till.db.begin().await?;
    let payout = store::lock(&mut tx, id).await?;
    if transfer.amount != payout.amount {
        let theirs = transfer.amount;
        return Err(anyhow::anyhow!("payout {id} is of {}, the provider has {theirs}", payout.amount).into());
    }
    let (to, code) = match (payout.status, &transfer.state) {
        (PayoutStatus::Processing, TransferState::Succeeded) => (PayoutStatus::Paid, None),
        (PayoutStatus::Processing, TransferState::Failed(code)) => (PayoutStatus::Failed, Some(code.as_str())),
        (PayoutStatus::Paid, TransferState::Failed(code)) => (PayoutStatus::Returned, Some(code.as_str())),
        _ => return Ok(()),
    };
    end(till, tx, &payout, to, Some(&transfer.reference), code).await
}

/// The provider has never heard of it, and is not asked for it any more.
async fn give_up(till: &Till, id: PayoutId) -> Result<()> {
    let mut tx = till.db.begin().await?;
    let payout = store::lock(&mut tx, id).await?;
    if payout.status != PayoutStatus::Processing {
        return Ok(());
    }
    tracing::warn!(payout = %id, "a payout was never sent");
    end(till, tx, &payout, PayoutStatus::Failed, None, Some(NEVER_SENT)).await
}

/// Writes how a locked payout has gone on, and commits it.
async fn end(
    till: &Till,
    mut tx: sqlx::Transaction<'_, Postgres>,
    payout: &Outgoing,
    to: PayoutStatus,
    reference: Option<&str>,
    code: Option<&str>,
) -> Result<()> {
    let id = payout.id;
    let Some(ended) = store::step(&mut tx, id, None, to, reference, code).await? else {
        return Ok(());
    };
    match to {
        PayoutStatus::Paid => arrived(&mut tx, &ended).await?,
        PayoutStatus::Returned => undo(&mut tx, &ended, Kind::PayoutReturned).await?,
        _ => undo(&mut tx, &ended, Kind::PayoutUndone).await?,
    }
    let detail = json!({"before": payout.status, "after": to, "failure_code": code});
    audit::record(&mut tx, None, action(to), id.0, detail).await?;
    tell(&mut tx, &ended, to, code).await?;
    faults::around(Step::PayoutRecord, tx.commit()).await?;
    outbox::hint_notifications(till.bus.as_ref()).await;
    Ok(())
}

const fn action(to: PayoutStatus) -> &'static str {
    match to {
        PayoutStatus::Paid => "payout.paid",
        PayoutStatus::Returned => "payout.returned",
        _ => "payout.failed",
    }
}

async fn tell(conn: &mut PgConnection, payout: &Outgoing, to: PayoutStatus, code: Option<&str>) -> Result<()> {
    let kind = match to {
        PayoutStatus::Paid => NotificationKind::PayoutPaid,
        _ => NotificationKind::PayoutFailed,
    };
    let news = News {
        kind,
        subject: payout.id.0,
        seller: payout.seller,
        product: None,
        order: None,
        reason: code.unwrap_or_default(),
    };
    notifications::tell(conn, payout.owner, &news).await
}

async fn arrived(conn: &mut PgConnection, payout: &Outgoing) -> Result<()> {
    let accounts = (Account::ProviderClearing, Account::PayoutsPayable);
    ledger::post(conn, &moving(payout, Kind::PayoutPaid, accounts)).await
}

/// Step: what a payout was made of waits again, and the books owe it again.
///
/// # Errors
/// When the database fails.
pub(super) async fn undo(conn: &mut PgConnection, payout: &Outgoing, kind: Kind) -> Result<()> {
    let owed = Account::SellerPayable(payout.seller);
    let accounts = match kind {
        Kind::PayoutReturned => (owed, Account::ProviderClearing),
        _ => (owed, Account::PayoutsPayable),
    };
    store::free_items(conn, payout.id).await?;
    ledger::post(conn, &moving(payout, kind, accounts)).await
}

fn moving(payout: &Outgoing, kind: Kind, accounts: (Account, Account)) -> Transaction {
    let Outgoing { id, amount, .. } = payout;
    Transaction::moving(kind, id.0, None, amount.currency, accounts, amount.minor)
}
