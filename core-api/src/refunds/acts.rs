//! What admins do about refunds: decide one, look at them, and decide one that has failed
//! anew. Each answer is the refund as it was decided; the provider is asked after it.

use std::collections::BTreeSet;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, RefundId, RequestId, UserId};
use shared::outbox;
use shared::status::RefundStatus;
use sqlx::{PgConnection, PgPool};

use super::model::{Back, Filter, NewRefund, Refund, RefundKind};
use super::{Decision, decide, get, late_refund, lock, store};
use crate::commerce::Commerce;
use crate::http::{List, Page, Result};
use crate::idempotency::{self, Answer};
use crate::orders::{self, CallOff};
use crate::payments::Till;

/// Gives money of a paid order back.
///
/// # Errors
/// `not_found`, `invalid_body`, `payment_in_progress`, `wrong_state`, `refund_too_large`.
pub async fn create(
    till: &Till,
    settings: &Commerce,
    admin: UserId,
    order: OrderId,
    key: RequestId,
    new: &NewRefund,
) -> Result<Answer<Refund>> {
    check(new)?;
    let act = (order, new);
    let answer = idempotency::once(&till.db, admin, key, "refund.create", &act, 201, async |conn| {
        let id = decide_new(conn, settings, admin, order, new).await?;
        get(conn, id.ok_or_else(nothing_left)?).await
    })
    .await?;
    send(till, &answer).await;
    Ok(answer)
}

fn check(new: &NewRefund) -> Result<()> {
    let mut named = BTreeSet::new();
    let twice = new.items.iter().position(|item| !named.insert(item.order_item_id));
    if let Some(nth) = twice {
        let refusal = Refusal::new(ErrorCode::InvalidBody, "the line is named twice");
        return Err(refusal.at(format!("items.{nth}.order_item_id")).into());
    }
    let nothing = new.items.iter().position(|item| item.quantity == 0);
    if let Some(nth) = nothing.filter(|_| !new.shipping) {
        let refusal = Refusal::new(ErrorCode::InvalidBody, "nothing of the line is to go back");
        return Err(refusal.at(format!("items.{nth}.quantity")).into());
    }
    Ok(())
}

fn nothing_left() -> Refusal {
    Refusal::new(ErrorCode::RefundTooLarge, "nothing of it is left to be refunded")
}

async fn decide_new(
    conn: &mut PgConnection,
    settings: &Commerce,
    admin: UserId,
    order: OrderId,
    new: &NewRefund,
) -> Result<Option<RefundId>> {
    let purchase = lock(conn, order, None).await?;
    let reason = new.reason.trim();
    if new.restock {
        let units: Vec<_> = new
            .items
            .iter()
            .map(|item| (item.order_item_id, item.quantity))
            .collect();
        let call = CallOff {
            units: &units,
            seller: None,
            with_shipping: new.shipping,
            reason,
            by: admin,
        };
        return orders::call_off(conn, settings, &purchase, &call).await;
    }
    let what: Vec<Back> = new
        .items
        .iter()
        .map(|item| Back {
            item: item.order_item_id,
            units: item.quantity,
            with_shipping: new.shipping,
        })
        .collect();
    let decision = Decision {
        kind: RefundKind::Goodwill,
        reason,
        by: Some(admin),
    };
    decide(conn, &purchase, &what, &decision).await
}

/// Decides a refund anew that has failed, as far as what it was for is still to be given
/// back: a new refund, for the same units.
///
/// # Errors
/// `not_found`, `wrong_state` unless it has failed, `refund_too_large`.
pub async fn retry(till: &Till, admin: UserId, id: RefundId, key: RequestId) -> Result<Answer<Refund>> {
    let answer = idempotency::once(&till.db, admin, key, "refund.retry", &id, 201, async |conn| {
        let failed = get(conn, id).await?;
        if failed.status != RefundStatus::Failed {
            return Err(Refusal::new(ErrorCode::WrongState, "the refund has not failed").into());
        }
        let anew = decide_anew(conn, admin, &failed).await?.ok_or_else(nothing_left)?;
        store::replace_in_returns(conn, id, anew).await?;
        get(conn, anew).await
    })
    .await?;
    send(till, &answer).await;
    Ok(answer)
}

async fn decide_anew(conn: &mut PgConnection, admin: UserId, failed: &Refund) -> Result<Option<RefundId>> {
    let purchase = lock(conn, failed.order_id, None).await?;
    if failed.kind == RefundKind::LatePayment {
        let payment = purchase.payment.ok_or(ErrorCode::NotFound)?;
        if store::spoken_for(conn, payment.id).await? > 0 {
            return Ok(None);
        }
        let anew = late_refund(conn, failed.order_id, payment.id, payment.amount, Some(admin)).await?;
        return Ok(Some(anew));
    }
    let what: Vec<Back> = store::portions(conn, failed.id)
        .await?
        .into_iter()
        .map(|(item, units, parts)| Back {
            item,
            units,
            with_shipping: parts.shipping > 0 || parts.shipping_tax > 0,
        })
        .collect();
    let decision = Decision {
        kind: failed.kind,
        reason: &failed.reason,
        by: Some(admin),
    };
    decide(conn, &purchase, &what, &decision).await
}

async fn send(till: &Till, decided: &Answer<Refund>) {
    if !decided.replayed {
        outbox::hint(till.bus.as_ref()).await;
        outbox::hint_notifications(till.bus.as_ref()).await;
        super::submit_decided(till, decided.body.id).await;
    }
}

/// Refunds, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &PgPool, filter: Filter, page: &Page) -> Result<List<Refund>> {
    let mut conn = db.acquire().await?;
    let rows = store::list(&mut conn, filter.status, filter.order_id, page.cursor, page.rows()).await?;
    Ok(List::of(rows, page, |refund| refund.id.0))
}
