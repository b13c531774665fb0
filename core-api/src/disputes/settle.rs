//! Writing down how a dispute stands at the provider: one transaction, under the locks of
//! payment, order and the shops' accounts, in that order. Whoever asks first writes it;
//! everybody after finds it written. It converges on the provider's word, from wherever it
//! is: a dispute may be lost when we first hear of it, and won after it was lost. One that was
//! won and is lost after all is another dispute of the same name: what happens to one is booked
//! once, however often the bank changes its mind.

use serde_json::json;
use shared::ids::{DisputeId, PaymentId, SellerId};
use shared::money::Money;
use shared::outbox;
use shared::status::{DisputeStatus, Machine as _, PaymentStatus};
use sqlx::PgConnection;

use super::model::Known;
use super::{news, shares, store};
use crate::http::Result;
use crate::ledger::model::{Account, EarningKind, Entry, Kind, Share, Transaction, Way};
use crate::orders::model::Locked;
use crate::payments::Till;
use crate::payments::model::Payment;
use crate::payments::provider::DisputeFound;
use crate::webhooks::Outcome;
use crate::{audit, ledger, orders, payments, refunds};

/// A provider has told of a dispute: brings it to where it stands there.
///
/// # Errors
/// When the database fails, or the provider's amount is not what it was.
pub async fn heed(till: &Till, provider: &str, reference: &str) -> Result<Outcome> {
    let told = match till.provider_of(provider) {
        Ok(provider) => till.ask(provider.find_dispute(reference)).await,
        Err(error) => Err(error),
    };
    let found = match told {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Outcome::Later("the provider knows nothing of the dispute")),
        Err(error) => {
            tracing::warn!(dispute = reference, %error, "the provider does not say what it has told of");
            return Ok(Outcome::Later("the provider does not answer"));
        }
    };
    let Some(payment) = found.payment else {
        return Ok(Outcome::Ignored);
    };
    // That it was captured may be news as well.
    match payments::heed(till, payment).await? {
        Outcome::Done => record(till, payment, &found).await,
        not_ours_or_not_yet => Ok(not_ours_or_not_yet),
    }
}

/// Asks the provider about open disputes that it has told nothing of for an hour. Returns how
/// many.
///
/// # Errors
/// When the database fails.
pub async fn reconcile(till: &Till, limit: u32) -> Result<u64> {
    let due = store::take_open(&mut *till.db.acquire().await?, limit.into()).await?;
    for (provider, reference) in &due {
        // One that cannot be settled must not keep the others from it.
        if let Err(error) = heed(till, provider, reference).await {
            tracing::warn!(dispute = reference, %error, "a dispute could not be reconciled");
        }
    }
    Ok(due.len() as u64)
}

/// A locked payment with its order, and whose goods that has.
struct Case {
    payment: Payment,
    order: Locked,
    sellers: Vec<SellerId>,
}

async fn record(till: &Till, payment: PaymentId, found: &DisputeFound) -> Result<Outcome> {
    let mut tx = till.db.begin().await?;
    let payment = payments::lock(&mut tx, payment).await?;
    if payment.status != PaymentStatus::Captured {
        return Ok(Outcome::Later("its payment is not captured"));
    }
    let order = orders::lock(&mut tx, payment.order_id, None).await?;
    let mut sellers: Vec<SellerId> = { orders::sold_lines(&mut tx, order.id).await? }
        .iter()
        .map(|line| line.seller)
        .collect();
    sellers.sort_unstable();
    sellers.dedup();
    let case = Case {
        payment,
        order,
        sellers,
    };
    // From here on nobody is paid out what is in question.
    let ids: Vec<_> = case.sellers.iter().map(|seller| seller.0).collect();
    ledger::lock_sellers(&mut tx, &ids, case.payment.amount.currency).await?;
    let known = match store::by_reference(&mut tx, &found.reference).await? {
        Some(known) => known,
        None => open(&mut tx, &case, found).await?,
    };
    if known.payment != case.payment.id || known.amount != found.amount {
        let (ours, theirs) = (known.amount, found.amount);
        return Err(anyhow::anyhow!("dispute {} is of {ours}, the provider has {theirs}", known.id).into());
    }
    let known = match (known.status, found.status) {
        (DisputeStatus::Won, DisputeStatus::Lost) => {
            store::supersede(&mut tx, known.id).await?;
            open(&mut tx, &case, found).await?
        }
        _ => known,
    };
    // What was decided is not open again: that is an answer from before.
    if known.status.may_become(found.status) {
        decide(&mut tx, &case, &known, found.status).await?;
    }
    tx.commit().await?;
    outbox::hint_notifications(till.bus.as_ref()).await;
    Ok(Outcome::Done)
}

async fn open(conn: &mut PgConnection, case: &Case, found: &DisputeFound) -> Result<Known> {
    if found.amount.currency != case.payment.amount.currency || found.amount.minor <= 0 {
        let (id, theirs) = (case.payment.id, found.amount);
        return Err(anyhow::anyhow!("a dispute of payment {id} is of {theirs}").into());
    }
    let known = Known {
        id: DisputeId::new(),
        payment: case.payment.id,
        status: DisputeStatus::Open,
        amount: found.amount,
        covered: covered(conn, case, None, found.amount).await?,
    };
    store::insert(conn, &known, found).await?;
    let Money { minor, currency } = known.amount;
    let accounts = (Account::ProviderClearing, Account::Disputed);
    let order = Some(case.order.id);
    let opened = Transaction::moving(Kind::DisputeOpened, known.id.0, order, currency, accounts, minor);
    ledger::post(conn, &opened).await?;
    let detail = json!({"order": case.order.id, "payment": known.payment, "amount": known.amount,
                        "covered_minor": known.covered});
    audit::record(conn, None, "dispute.opened", known.id.0, detail).await?;
    orders::note(conn, case.order.id, "dispute_opened").await?;
    // Where it is decided already, that is told.
    if found.status == DisputeStatus::Open {
        news::tell(conn, known.id, DisputeStatus::Open, &case.order, &case.sellers).await?;
    }
    Ok(known)
}

/// What of `amount` the payment still has, in minor units: beside what is refunded, on its way
/// back or owed, and other disputes. A payment whose order could not take it has nothing: all
/// of it is the buyer's already.
async fn covered(conn: &mut PgConnection, case: &Case, itself: Option<DisputeId>, amount: Money) -> Result<i64> {
    if !case.order.was_paid {
        return Ok(0);
    }
    let spoken_for = refunds::spoken_for(conn, case.payment.id, itself).await?;
    let left = case.payment.amount.minor - spoken_for.minor();
    Ok(amount.minor.min(left).max(0))
}

async fn decide(conn: &mut PgConnection, case: &Case, known: &Known, to: DisputeStatus) -> Result<()> {
    let covered = match to {
        DisputeStatus::Lost => covered(conn, case, Some(known.id), known.amount).await?,
        DisputeStatus::Open | DisputeStatus::Won => known.covered,
    };
    let known = Known { covered, ..*known };
    match (known.status, to) {
        (DisputeStatus::Open, DisputeStatus::Won) => {
            let accounts = (Account::Disputed, Account::ProviderClearing);
            let Money { minor, currency } = known.amount;
            let order = Some(case.order.id);
            let won = Transaction::moving(Kind::DisputeWon, known.id.0, order, currency, accounts, minor);
            ledger::post(conn, &won).await?;
        }
        (_, DisputeStatus::Lost) => take(conn, case, &known).await?,
        (_, DisputeStatus::Won) => give_again(conn, case, &known).await?,
        (_, DisputeStatus::Open) => return Ok(()),
    }
    if !store::step(conn, known.id, to, covered).await? {
        return Err(anyhow::anyhow!("dispute {} cannot become {to} under its lock", known.id).into());
    }
    let (action, noted) = match to {
        DisputeStatus::Lost => ("dispute.lost", "dispute_lost"),
        DisputeStatus::Open | DisputeStatus::Won => ("dispute.won", "dispute_won"),
    };
    let detail = json!({"before": known.status, "after": to, "amount": known.amount, "covered_minor": covered});
    audit::record(conn, None, action, known.id.0, detail).await?;
    orders::note(conn, case.order.id, noted).await?;
    news::tell(conn, known.id, to, &case.order, &case.sellers).await
}

/// It is lost: what was covered is taken from what is left of the lines, the rest is the
/// platform's loss.
async fn take(conn: &mut PgConnection, case: &Case, known: &Known) -> Result<()> {
    let (terms, currency) = (case.order.terms, known.amount.currency);
    let lines = refunds::lines(conn, case.order.id).await?;
    let left = lines.iter().map(|line| Share {
        item: line.item,
        seller: line.seller,
        parts: line.parts.minus(&line.before.parts).at_least_nothing(),
    });
    let taken = shares::taken(&left.collect::<Vec<_>>(), known.covered, terms, currency);
    let kind = (Kind::DisputeLost, Way::TakenBack);
    let lost = moved(case, known, &taken, Account::Disputed, kind)?;
    ledger::post(conn, &lost).await?;
    ledger::earn(conn, EarningKind::Dispute, known.id.0, currency, &taken, terms).await?;
    store::insert_items(conn, known.id, &taken).await?;
    Ok(())
}

/// It was lost and is won after all: everybody has again what was taken from them.
async fn give_again(conn: &mut PgConnection, case: &Case, known: &Known) -> Result<()> {
    let taken = store::items(conn, known.id).await?;
    let kind = (Kind::DisputeWon, Way::Shared);
    let won = moved(case, known, &taken, Account::ProviderClearing, kind)?;
    ledger::post(conn, &won).await?;
    let (terms, currency) = (case.order.terms, known.amount.currency);
    ledger::earn(conn, EarningKind::DisputeWon, known.id.0, currency, &taken, terms).await
}

/// All of a dispute's amount, from `money` to where it was lost, or back: the lines' shares and
/// the platform's loss.
fn moved(case: &Case, known: &Known, taken: &[Share], money: Account, (kind, way): (Kind, Way)) -> Result<Transaction> {
    let terms = case.order.terms;
    let of_lines: i64 = taken.iter().map(|share| share.parts.paid(terms)).sum();
    if of_lines != known.covered {
        let (id, covered) = (known.id, known.covered);
        return Err(anyhow::anyhow!("of dispute {id} {covered} are covered, its lines have {of_lines}").into());
    }
    let loss = known.amount.minor - known.covered;
    let loss = match way {
        Way::TakenBack => loss,
        Way::Shared => -loss,
    };
    let entry = |account, minor| Entry {
        account,
        minor,
        item: None,
    };
    let mut entries = ledger::model::entries(taken, terms, money, way);
    if loss != 0 {
        entries.extend([entry(Account::DisputeLosses, loss), entry(money, -loss)]);
    }
    Ok(Transaction {
        kind,
        subject: known.id.0,
        order: Some(case.order.id),
        currency: known.amount.currency,
        entries,
    })
}
