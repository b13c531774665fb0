//! What admins decide about payouts: hold them, let them go on, make one that has failed
//! again, and give up what a shop owes. Each is in the audit log with what was before.

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{PayoutId, RequestId, SellerId, UserId};
use shared::money::Money;
use shared::status::PayoutStatus;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::model::{NewWriteOff, Payout, PayoutHold, WriteOff};
use super::store::Standing;
use super::{Claim, claim_once, store};
use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::payments::Till;
use crate::{audit, ledger};

/// Holds a shop's payouts: no new one begins, and those that the provider was not asked for
/// wait.
///
/// # Errors
/// `NotFound`, `WrongState` when they are held.
pub async fn hold(db: &PgPool, admin: UserId, seller: SellerId, reason: &str) -> Result<PayoutHold> {
    let mut tx = db.begin().await?;
    if !store::lock_shop_to_hold(&mut tx, seller).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let held = store::insert_hold(&mut tx, seller, admin, reason).await?;
    let hold = held.ok_or_else(|| Refusal::new(ErrorCode::WrongState, "Its payouts are held already"))?;
    let detail = json!({"before": null, "after": {"reason": reason}});
    audit::record(&mut tx, admin, "payouts.held", seller.0, detail).await?;
    tx.commit().await?;
    Ok(hold)
}

/// Lets a shop's payouts go on.
///
/// # Errors
/// `NotFound` when they are not held.
pub async fn release(db: &PgPool, admin: UserId, seller: SellerId) -> Result<()> {
    let mut tx = db.begin().await?;
    let reason = store::release_hold(&mut tx, seller, admin).await?;
    let detail = json!({"before": {"reason": reason.ok_or(ErrorCode::NotFound)?}, "after": null});
    audit::record(&mut tx, admin, "payouts.released", seller.0, detail).await?;
    tx.commit().await?;
    Ok(())
}

/// Makes a payout again that failed or came back: a new one, of all that may be paid out by
/// now, to where the shop wants it now.
///
/// # Errors
/// `NotFound`, `WrongState`, and those of a claim.
pub async fn retry(
    till: &Till,
    minimum_minor: i64,
    admin: UserId,
    id: PayoutId,
    key: RequestId,
) -> Result<Answer<Payout>> {
    let failed = super::get(&till.db, None, id).await?;
    let status = failed.payout.status;
    if !matches!(status, PayoutStatus::Failed | PayoutStatus::Returned) {
        return Err(Refusal::new(ErrorCode::WrongState, format!("The payout is {status}")).into());
    }
    let claim = Claim {
        seller: failed.seller.id,
        currency: failed.payout.amount.currency,
        minimum_minor,
        by: Some(admin),
        period: None,
    };
    claim_once(till, admin, key, "payout.retry", &id, &claim).await
}

/// Gives up what a shop owes in a currency, as far as nothing that is held for it will pay it.
///
/// # Errors
/// `NotFound`, `WrongState` when it owes nothing, what is held covers it, or a refund of its
/// goods is without an outcome.
pub async fn write_off(
    db: &PgPool,
    admin: UserId,
    seller: SellerId,
    key: RequestId,
    new: &NewWriteOff,
) -> Result<Answer<WriteOff>> {
    let act = (seller, new);
    idempotency::once(db, admin, key, "write_off.create", &act, 201, async |conn| {
        write_off_once(conn, admin, seller, new).await
    })
    .await
}

async fn write_off_once(
    conn: &mut PgConnection,
    admin: UserId,
    seller: SellerId,
    new: &NewWriteOff,
) -> Result<WriteOff> {
    let currency = new.currency;
    if store::lock_shop(conn, seller).await?.is_none() {
        return Err(ErrorCode::NotFound.into());
    }
    ledger::lock_sellers(conn, &[seller.0], currency).await?;
    let Standing { available, owed } = store::standing(conn, seller, currency).await?;
    // What is held comes to the shop later, and pays what it owes now.
    let lost = -available.max(owed);
    let refusal = if available >= 0 {
        Some("The shop owes nothing")
    } else if lost <= 0 {
        Some("What is held for the shop covers what it owes")
    } else if store::has_unsettled_refunds(conn, seller, currency).await? {
        Some("A refund of its goods is without an outcome, which may give it something again")
    } else {
        None
    };
    if let Some(refusal) = refusal {
        let detail = format!("{refusal} in {currency}");
        return Err(Refusal::new(ErrorCode::WrongState, detail).into());
    }
    let (id, amount) = (Uuid::now_v7(), Money::new(lost, currency));
    ledger::write_off(conn, id, seller, amount).await?;
    let detail = json!({
        "write_off": id, "currency": currency, "before": available, "after": available + lost,
        "reason": new.reason.trim(),
    });
    audit::record(conn, admin, "seller.written_off", seller.0, detail).await?;
    Ok(WriteOff {
        id,
        seller_id: seller,
        amount,
    })
}
