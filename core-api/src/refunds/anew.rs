//! Refunds that have failed: deciding one anew, or saying that its buyer has the money
//! otherwise. What is owed is in the books as on its way already, so that nothing is taken
//! from anybody for it again. Each is replaced once: a successor that fails is the next to be.

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RefundId, RequestId, UserId};
use shared::money::Money;
use shared::outbox;
use shared::status::RefundStatus;
use sqlx::PgConnection;

use super::acts::{nothing_left, send};
use super::model::{Back, OutsideSettlement, Refund};
use super::{Decision, Purchase, decide, get, lines, lock, news, spoken_for, store};
use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::ledger::model::{Account, Kind, Transaction};
use crate::ledger::parts::ShippingBack;
use crate::payments::Till;
use crate::{audit, ledger, returns};

/// Decides a refund anew that has failed: of all that is owed; of goodwill as far as that is
/// still to be given.
///
/// # Errors
/// `not_found`, `wrong_state` unless it has failed and nothing has replaced it,
/// `payment_disputed`, `refund_too_large` where nothing is left.
pub async fn retry(till: &Till, admin: UserId, id: RefundId, key: RequestId) -> Result<Answer<Refund>> {
    let answer = idempotency::once(&till.db, admin, key, "refund.retry", &id, 201, async |conn| {
        let (failed, purchase) = lock_failed(conn, id).await?;
        let anew = if failed.owed {
            require_undisputed(conn, &failed, &purchase).await?;
            again(conn, admin, &failed, None).await?
        } else {
            again_as_goodwill(conn, admin, &failed, &purchase).await?
        };
        store::hand_over(conn, id, anew).await?;
        get(conn, anew).await
    })
    .await?;
    send(till, &answer).await;
    Ok(answer)
}

/// The buyer has the money of a refund otherwise, which has failed.
///
/// # Errors
/// `not_found`, `wrong_state` unless its money is owed.
pub async fn settle_outside(
    till: &Till,
    admin: UserId,
    id: RefundId,
    key: RequestId,
    how: &OutsideSettlement,
) -> Result<Answer<Refund>> {
    let act = (id, how);
    let answer = idempotency::once(&till.db, admin, key, "refund.settle_outside", &act, 201, async |conn| {
        let (failed, purchase) = lock_failed(conn, id).await?;
        if !failed.owed {
            return Err(Refusal::new(ErrorCode::WrongState, "nothing is owed for it").into());
        }
        let anew = again(conn, admin, &failed, Some(how.reason.trim())).await?;
        let Money { minor, currency } = failed.amount;
        let accounts = (Account::PaidOutside, Account::RefundsPayable);
        let order = Some(failed.order_id);
        let paid = Transaction::moving(Kind::RefundPaid, anew.0, order, currency, accounts, minor);
        ledger::post(conn, &paid).await?;
        store::hand_over(conn, id, anew).await?;
        returns::refunded(conn, anew).await?;
        news::paid(conn, anew, &purchase.order).await?;
        get(conn, anew).await
    })
    .await?;
    if !answer.replayed {
        outbox::hint_notifications(till.bus.as_ref()).await;
    }
    Ok(answer)
}

/// A refund that has failed and that nothing has replaced, under the locks of its payment and
/// order: whoever comes second finds it replaced.
async fn lock_failed(conn: &mut PgConnection, id: RefundId) -> Result<(Refund, Purchase)> {
    let order = get(conn, id).await?.order_id;
    let purchase = lock(conn, order, None).await?;
    let failed = get(conn, id).await?;
    let refusal = if failed.status != RefundStatus::Failed {
        "the refund has not failed"
    } else if store::is_replaced(conn, id).await? {
        "another refund has replaced it"
    } else {
        return Ok((failed, purchase));
    };
    Err(Refusal::new(ErrorCode::WrongState, refusal).into())
}

/// What is owed counts as gone already; a dispute may have come for the same money since.
async fn require_undisputed(conn: &mut PgConnection, failed: &Refund, purchase: &Purchase) -> Result<()> {
    let payment = failed.payment_id.ok_or(ErrorCode::PaymentInProgress)?;
    let spoken_for = spoken_for(conn, payment, None).await?;
    if spoken_for.refunded + spoken_for.taken > purchase.order.total.minor {
        let detail = "the buyer's bank has taken money of the payment: what is owed may have gone back that way";
        return Err(Refusal::new(ErrorCode::PaymentDisputed, detail).into());
    }
    Ok(())
}

async fn again(conn: &mut PgConnection, admin: UserId, failed: &Refund, outside: Option<&str>) -> Result<RefundId> {
    let id = RefundId::new();
    let row = store::Anew {
        id,
        failed: failed.id,
        outside,
        by: admin,
    };
    store::insert_anew(conn, &row).await?;
    let action = match outside {
        Some(_) => "refund.settled_outside",
        None => "refund.decided",
    };
    let detail = json!({
        "before": {"refund": failed.id, "status": failed.status},
        "after": {"order": failed.order_id, "kind": failed.kind, "amount": failed.amount, "replaces": failed.id},
        "reason": outside,
    });
    audit::record(conn, admin, action, id.0, detail).await?;
    Ok(id)
}

/// Of goodwill that was undone, what has not gone back otherwise since.
async fn again_as_goodwill(
    conn: &mut PgConnection,
    admin: UserId,
    failed: &Refund,
    purchase: &Purchase,
) -> Result<RefundId> {
    let lines = lines(conn, failed.order_id).await?;
    let what: Vec<Back> = store::portions(conn, failed.id)
        .await?
        .into_iter()
        .filter_map(|(item, units, parts)| {
            let line = lines.iter().find(|line| line.item == item)?;
            Some(Back {
                item,
                units: units.min(line.left()),
                shipping: ShippingBack::when(parts.shipping > 0 || parts.shipping_tax > 0),
            })
        })
        .collect();
    let decision = Decision {
        kind: failed.kind,
        reason: &failed.reason,
        by: Some(admin),
    };
    let id = decide(conn, purchase, &what, &decision)
        .await?
        .ok_or_else(nothing_left)?;
    store::set_replaces(conn, id, failed.id).await?;
    Ok(id)
}
