//! Money on its way to shops: where it goes, claiming all that may be paid out, and what
//! admins decide about it.
//!
//! A claim is one transaction: it takes all available earnings of a shop in one currency, of
//! either sign, or none, under the lock of what the books owe the shop. The provider is asked
//! after it is committed: see [`settle`].

mod accounts;
pub mod admin;
pub mod admin_handlers;
pub mod handlers;
pub mod model;
pub mod provider;
pub mod schedule;
pub mod settle;
mod store;

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{PayoutId, RequestId, SellerId, UserId};
use shared::money::{Currency, Money};
use shared::status::{PayoutStatus, SellerStatus};
use sqlx::{PgConnection, PgPool};

pub(crate) use accounts::{add, change, disable, of_shop as accounts_of};
use model::{AdminPayout, Payout, PayoutFilter};

use crate::http::{List, Page, Result, Shopkeeper};
use crate::idempotency::{self, Answer};
use crate::ledger::model::{Account, Kind, Transaction};
use crate::payments::Till;
use crate::{audit, ledger};

/// What is to be claimed.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whose earnings.
    pub seller: SellerId,
    /// Of this currency.
    pub currency: Currency,
    /// The least that is paid out, in minor units; more than nothing.
    pub minimum_minor: i64,
    /// Who asks; `None`: the schedule.
    pub by: Option<UserId>,
    /// The period of the schedule.
    pub period: Option<&'a str>,
}

/// Pays a shop, at its owner's wish, all that may be paid out to it.
///
/// # Errors
/// `PayoutsHeld`, `PayoutTooSmall`, `WrongState` where no account was named.
pub async fn ask(
    till: &Till,
    minimum_minor: i64,
    shop: &Shopkeeper,
    key: RequestId,
    currency: Option<Currency>,
) -> Result<Answer<Payout>> {
    let claim = Claim {
        seller: shop.seller,
        currency: currency.unwrap_or(shop.currency),
        minimum_minor,
        by: Some(shop.user),
        period: None,
    };
    claim_once(till, shop.user, key, "payout.create", &claim.currency, &claim).await
}

/// Claims once under a key, has the provider pay, and keeps what it said as the answer. A
/// retry that finds the payout not sent yet sends it, and one that finds it without an
/// outcome asks for that.
pub(super) async fn claim_once(
    till: &Till,
    user: UserId,
    key: RequestId,
    operation: &'static str,
    act: &impl serde::Serialize,
    what: &Claim<'_>,
) -> Result<Answer<Payout>> {
    let kept = idempotency::once(&till.db, user, key, operation, act, 201, async |conn| {
        let id = claim(conn, what).await?;
        found(conn, Some(what.seller), id).await
    })
    .await?;
    if kept.body.status != PayoutStatus::Creating {
        return Ok(kept);
    }
    let id = kept.body.id;
    settle::submit_claimed(till, id).await;
    let mut now = found(&mut *till.db.acquire().await?, Some(what.seller), id).await?;
    if kept.replayed && now.status == PayoutStatus::Processing {
        settle::ask_again(till, id).await;
        now = found(&mut *till.db.acquire().await?, Some(what.seller), id).await?;
    }
    let body = idempotency::replace(&till.db, user, key, &kept.body, &now).await?;
    Ok(Answer { body, ..kept })
}

async fn found(conn: &mut PgConnection, seller: Option<SellerId>, id: PayoutId) -> Result<Payout> {
    let found = store::get(conn, seller, id).await?;
    Ok(found.ok_or(ErrorCode::NotFound)?.payout)
}

/// Step: begins a payout of all that may be paid out.
///
/// # Errors
/// `PayoutsHeld`, `PayoutTooSmall`, `WrongState` where no account was named. Nothing is
/// written then.
pub async fn claim(conn: &mut PgConnection, what: &Claim<'_>) -> Result<PayoutId> {
    let Claim { seller, currency, .. } = *what;
    may_be_paid(conn, seller).await?;
    let account = store::lock_account(conn, seller, currency).await?.ok_or_else(|| {
        let detail = format!("Say first where money in {currency} goes");
        Refusal::new(ErrorCode::WrongState, detail)
    })?;
    ledger::lock_sellers(conn, &[seller.0], currency).await?;
    let id = PayoutId::new();
    let taken = store::take(conn, id, account, what).await?;
    if !taken.made {
        let refusal = if taken.amount < what.minimum_minor {
            let (may, least) = (
                Money::new(taken.amount, currency),
                Money::new(what.minimum_minor, currency),
            );
            Refusal::new(
                ErrorCode::PayoutTooSmall,
                format!("{may} may be paid out, {least} is the least"),
            )
        } else {
            Refusal::new(ErrorCode::Conflict, "The period was paid out before")
        };
        return Err(refusal.into());
    }
    let accounts = (Account::PayoutsPayable, Account::SellerPayable(seller));
    let booked = Transaction::moving(Kind::Payout, id.0, None, currency, accounts, taken.amount);
    ledger::post(conn, &booked).await?;
    let after = json!({"seller": seller, "amount_minor": taken.amount, "currency": currency, "period": what.period});
    let detail = json!({"before": null, "after": after});
    audit::record(conn, what.by, "payout.created", id.0, detail).await?;
    Ok(id)
}

/// A hold that is being made is waited for: it counts, or comes after the claim.
async fn may_be_paid(conn: &mut PgConnection, seller: SellerId) -> Result<()> {
    let status = store::lock_shop(conn, seller).await?.ok_or(ErrorCode::NotFound)?;
    if status != SellerStatus::Approved {
        return Err(Refusal::new(ErrorCode::PayoutsHeld, format!("The shop is {status}")).into());
    }
    match store::hold_of(conn, seller).await? {
        None => Ok(()),
        Some(hold) => {
            let detail = format!("Payouts of the shop are held: {}", hold.reason);
            Err(Refusal::new(ErrorCode::PayoutsHeld, detail).into())
        }
    }
}

/// A shop's payouts, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(
    db: &PgPool,
    seller: Option<SellerId>,
    filter: PayoutFilter,
    page: &Page,
) -> Result<List<AdminPayout>> {
    let rows = store::list(&mut *db.acquire().await?, seller, filter.status, page).await?;
    Ok(List::of(rows, page, |row| row.payout.id.0))
}

/// A payout, of a shop or of any.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get(db: &PgPool, seller: Option<SellerId>, id: PayoutId) -> Result<AdminPayout> {
    let found = store::get(&mut *db.acquire().await?, seller, id).await?;
    found.ok_or(ErrorCode::NotFound.into())
}

/// Calls a payout off that the provider was not asked for yet: what it was made of waits again.
///
/// # Errors
/// `NotFound`, `WrongState`.
pub async fn cancel(db: &PgPool, shop: &Shopkeeper, id: PayoutId) -> Result<Payout> {
    let mut tx = db.begin().await?;
    let ended = store::step(&mut tx, id, Some(shop.seller), PayoutStatus::Cancelled, None, None).await?;
    let Some(payout) = ended else {
        let payout = found(&mut tx, Some(shop.seller), id).await?;
        let detail = format!("The payout is {}", payout.status);
        return Err(Refusal::new(ErrorCode::WrongState, detail).into());
    };
    settle::undo(&mut tx, &payout, Kind::PayoutUndone).await?;
    audit::record(
        &mut tx,
        shop.user,
        "payout.cancelled",
        id.0,
        json!({"before": PayoutStatus::Creating, "after": PayoutStatus::Cancelled}),
    )
    .await?;
    tx.commit().await?;
    found(&mut *db.acquire().await?, Some(shop.seller), id).await
}
