//! Returns: a buyer asks to send units back that have arrived, the shop says whether it takes
//! them, and when it has them it says so: that decides the refund, and what of the units is on
//! sale again. While a return is open, what its line has earned is not paid out; so one that
//! is approved and never sent lapses.
//!
//! A shop that does not answer in time, or does not say that it has what was sent, decides
//! nothing by its silence: the return waits for an admin, who may do all that the shop may.
//! Taken by itself it would leave the buyer without an address to send it to, and refunded by
//! itself it would take goods from a shop that was ill for a week; until somebody decides, the
//! buyer's money is where it cannot be paid out.

pub mod handlers;
pub mod model;
mod store;

use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, RefundId, RequestId, ReturnId, SellerId, UserId};
use shared::notification::NotificationKind;
use shared::outbox;
use shared::status::ReturnStatus;
use sqlx::{PgConnection, PgPool};

use crate::commerce::Commerce;
use crate::http::{List, Page, Result};
use crate::idempotency::{self, Answer};
use crate::ledger::parts::ShippingBack;
use crate::payments::Till;
use crate::refunds::model::{Back, RefundKind};
use crate::refunds::{self, Decision, Purchase, news};
use crate::stock::{self, Units};
use crate::{audit, orders};
use model::{AdminFilter, Filter, NewReturn, Return, ReturnParcel, ReturnReceipt};
pub use store::Whose;

/// Who answers a return and takes it in: its shop's owner, or an admin.
#[derive(Clone, Copy, Debug)]
pub struct Taker {
    /// The account.
    pub user: UserId,
    /// Which returns are theirs.
    pub whose: Whose,
}

/// Asks to send units of an order of `buyer`'s back.
///
/// # Errors
/// `not_found`; `wrong_state` for units that have not arrived, are in another return, or
/// arrived too long ago.
pub async fn request(
    (db, bus): (&PgPool, &SharedBus),
    settings: &Commerce,
    buyer: UserId,
    order: OrderId,
    key: RequestId,
    new: &NewReturn,
) -> Result<Answer<Return>> {
    let act = (order, new);
    let answer = idempotency::once(db, buyer, key, "return.request", &act, 201, async |conn| {
        orders::lock(conn, order, Some(buyer)).await?;
        let found = store::returnable(conn, order, new.order_item_id, settings.return_time).await?;
        let line = found.ok_or(ErrorCode::NotFound)?;
        if new.quantity > line.units {
            let detail = format!("{} units have arrived and are in no return", line.units);
            return Err(Refusal::new(ErrorCode::WrongState, detail).into());
        }
        if line.is_late {
            return Err(Refusal::new(ErrorCode::WrongState, "the time for returns is over").into());
        }
        let id = ReturnId::new();
        store::insert(conn, id, order, line.seller, new).await?;
        let detail = serde_json::json!({
            "before": null, "after": ReturnStatus::Requested, "order": order, "item": new.order_item_id,
            "quantity": new.quantity,
        });
        audit::record(conn, buyer, "return.requested", id.0, detail).await?;
        news::return_requested(conn, id, order, line.seller, new.reason.trim()).await?;
        get(conn, id, Whose::Buyer(buyer, order)).await
    })
    .await?;
    if !answer.replayed {
        outbox::hint_notifications(bus.as_ref()).await;
    }
    Ok(answer)
}

async fn get(conn: &mut PgConnection, id: ReturnId, whose: Whose) -> Result<Return> {
    Ok(store::get(conn, id, whose).await?.ok_or(ErrorCode::NotFound)?)
}

/// The returns of an order of `buyer`'s, oldest first.
///
/// # Errors
/// `not_found`.
pub async fn of_order(db: &PgPool, buyer: UserId, order: OrderId) -> Result<List<Return>> {
    let mut conn = db.acquire().await?;
    let returns = store::of_order(&mut conn, order, buyer).await?;
    if returns.is_empty() {
        // An order without returns, or none of theirs.
        orders::view(&mut conn, buyer, order).await?;
    }
    Ok(List::whole(returns))
}

/// The buyer keeps it after all. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` once the shop has it or has refused it.
pub async fn withdraw(db: &PgPool, buyer: UserId, order: OrderId, id: ReturnId) -> Result<Return> {
    let mut tx = db.begin().await?;
    let to = (ReturnStatus::Withdrawn, None);
    let (now, _) = step(&mut tx, Whose::Buyer(buyer, order), id, to, buyer).await?;
    tx.commit().await?;
    Ok(now)
}

/// The buyer has sent it. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` unless it is approved and was not sent in another parcel.
pub async fn send(
    (db, bus): (&PgPool, &SharedBus),
    buyer: UserId,
    order: OrderId,
    id: ReturnId,
    parcel: &ReturnParcel,
) -> Result<Return> {
    let whose = Whose::Buyer(buyer, order);
    let (carrier, tracking) = (parcel.carrier.trim(), parcel.tracking.trim());
    let mut tx = db.begin().await?;
    let before = get(&mut tx, id, whose).await?;
    if !store::send(&mut tx, id, carrier, tracking).await? {
        let is_it =
            before.sent_at.is_some() && (before.carrier.as_str(), before.tracking.as_str()) == (carrier, tracking);
        if is_it {
            return Ok(before);
        }
        let detail = format!("the return is {}, or on its way", before.status);
        return Err(Refusal::new(ErrorCode::WrongState, detail).into());
    }
    let detail = serde_json::json!({"before": {"sent_at": null}, "after": parcel});
    audit::record(&mut tx, buyer, "return.sent", id.0, detail).await?;
    let sent = get(&mut tx, id, whose).await?;
    news::return_moved(&mut tx, NotificationKind::ReturnSent, (order, sent.seller_id), None).await?;
    tx.commit().await?;
    outbox::hint_notifications(bus.as_ref()).await;
    Ok(sent)
}

/// The shop takes it back. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub async fn approve(till: &Till, by: Taker, id: ReturnId, text: &str) -> Result<Return> {
    answer(till, by, id, ReturnStatus::Approved, text.trim()).await
}

/// The shop does not take it back. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub async fn reject(till: &Till, by: Taker, id: ReturnId, text: &str) -> Result<Return> {
    answer(till, by, id, ReturnStatus::Rejected, text.trim()).await
}

async fn answer(till: &Till, by: Taker, id: ReturnId, to: ReturnStatus, text: &str) -> Result<Return> {
    let mut tx = till.db.begin().await?;
    let (now, is_new) = step(&mut tx, by.whose, id, (to, Some(text)), by.user).await?;
    if is_new {
        let buyer = store::buyer_of(&mut tx, id).await?;
        news::return_answered(&mut tx, id, (now.order_id, buyer), now.seller_id, text).await?;
        tx.commit().await?;
        outbox::hint_notifications(till.bus.as_ref()).await;
    }
    Ok(now)
}

/// One step with its audit, and whether it was new.
async fn step(
    conn: &mut PgConnection,
    whose: Whose,
    id: ReturnId,
    (to, answer): (ReturnStatus, Option<&str>),
    by: UserId,
) -> Result<(Return, bool)> {
    let before = get(conn, id, whose).await?;
    if !store::step(conn, id, to, answer).await? {
        let now = get(conn, id, whose).await?;
        if now.status == to {
            return Ok((now, false));
        }
        return Err(Refusal::new(ErrorCode::WrongState, format!("the return is {}", now.status)).into());
    }
    let action = match to {
        ReturnStatus::Approved => "return.approved",
        ReturnStatus::Rejected => "return.rejected",
        _ => "return.withdrawn",
    };
    let detail = serde_json::json!({"before": before.status, "after": to, "answer": answer});
    audit::record(conn, by, action, id.0, detail).await?;
    Ok((get(conn, id, whose).await?, true))
}

/// The returns to a shop, newest first.
///
/// # Errors
/// When the database fails.
pub async fn of_shop(db: &PgPool, seller: SellerId, filter: Filter, page: &Page) -> Result<List<Return>> {
    let mut conn = db.acquire().await?;
    let rows = store::of_shop(&mut conn, seller, filter.status, page.cursor, page.rows()).await?;
    Ok(List::of(rows, page, |row| row.id.0))
}

/// The returns to all shops, newest first; with `overdue` those that wait for an admin.
///
/// # Errors
/// When the database fails.
pub async fn of_all(db: &PgPool, filter: AdminFilter, page: &Page) -> Result<List<Return>> {
    let rows = store::of_all(&mut *db.acquire().await?, filter.status, filter.overdue, page).await?;
    Ok(List::of(rows, page, |row| row.id.0))
}

/// The shop has it: its money goes back, and what of it can be sold again is on sale.
///
/// # Errors
/// `not_found`, `invalid_body` for more units than come back, `wrong_state` unless it was
/// approved, `payment_disputed`, `refund_too_large`.
pub async fn receive(
    till: &Till,
    by: Taker,
    id: ReturnId,
    key: RequestId,
    receipt: &ReturnReceipt,
) -> Result<Answer<Return>> {
    let (db, Taker { user, whose }) = (&till.db, by);
    let answer = idempotency::once(db, user, key, "return.receive", &(id, receipt), 200, async |conn| {
        let asked = get(conn, id, whose).await?;
        if receipt.restocked > asked.quantity {
            let detail = format!("{} come back", asked.quantity);
            return Err(Refusal::new(ErrorCode::InvalidBody, detail).at("restocked").into());
        }
        let purchase = refunds::lock(conn, asked.order_id, None).await?;
        take_in(conn, &purchase, &asked, receipt, user).await?;
        get(conn, id, whose).await
    })
    .await?;
    if !answer.replayed {
        outbox::hint(till.bus.as_ref()).await;
        if let Some(refund) = answer.body.refund_id {
            refunds::submit_decided(till, refund).await;
        }
    }
    Ok(answer)
}

async fn take_in(
    conn: &mut PgConnection,
    purchase: &Purchase,
    asked: &Return,
    receipt: &ReturnReceipt,
    by: UserId,
) -> Result<()> {
    let Some(line) = store::receive(conn, asked.id, receipt.restocked).await? else {
        return Err(Refusal::new(ErrorCode::WrongState, "the return is not approved").into());
    };
    if receipt.restocked > 0 {
        let back = Units {
            variant: line.variant,
            quantity: receipt.restocked,
        };
        stock::restock(conn, purchase.order.id, &[back], by).await?;
        stock::notify(conn, [line.product]).await?;
    }
    let refund = decide(conn, purchase, asked, receipt, by).await?;
    match refund {
        Some(refund) => {
            store::set_refund(conn, asked.id, refund).await?;
            if refunds::get(conn, refund).await?.amount.minor == 0 {
                refunded(conn, refund).await?;
            }
        }
        // All of its money has gone back before.
        None => drop(store::step(conn, asked.id, ReturnStatus::Refunded, None).await?),
    }
    let detail = serde_json::json!({
        "before": asked.status, "after": ReturnStatus::Received, "restocked": receipt.restocked, "refund": refund,
    });
    audit::record(conn, by, "return.received", asked.id.0, detail).await
}

async fn decide(
    conn: &mut PgConnection,
    purchase: &Purchase,
    asked: &Return,
    receipt: &ReturnReceipt,
    by: UserId,
) -> Result<Option<RefundId>> {
    let lines = refunds::lines(conn, purchase.order.id).await?;
    let left = lines.iter().find(|line| line.item == asked.order_item_id);
    let back = Back {
        item: asked.order_item_id,
        units: asked.quantity.min(left.map_or(0, refunds::model::Line::left)),
        shipping: ShippingBack::when(receipt.shipping),
    };
    let decision = Decision {
        kind: RefundKind::Return,
        reason: "",
        by: Some(by),
    };
    refunds::decide(conn, purchase, &[back], &decision).await
}

/// Step: a refund's money is with the buyer, and with it that of its return.
///
/// # Errors
/// When the database fails.
pub async fn refunded(conn: &mut PgConnection, refund: RefundId) -> Result<()> {
    if let Some(id) = store::refunded(conn, refund).await? {
        audit::record(
            conn,
            None,
            "return.refunded",
            id.0,
            serde_json::json!({"refund": refund}),
        )
        .await?;
    }
    Ok(())
}

/// Moves a batch of returns on whose time is over: one that was approved and not sent lapses,
/// and one that its shop is silent about waits for an admin from now on. Both sides hear of it.
/// On any number of processes at once, each return once. How many.
///
/// # Errors
/// When the database fails.
pub async fn lapse(db: &PgPool, bus: &SharedBus, settings: &Commerce, limit: u32) -> Result<u64> {
    let (answer, transit) = (settings.return_answer_time, settings.return_transit_time);
    let mut tx = db.begin().await?;
    let lapsed = store::withdraw_overdue(&mut tx, transit, limit.into()).await?;
    for moved in &lapsed {
        let detail = serde_json::json!({"before": ReturnStatus::Approved, "after": moved.status});
        tell_moved(&mut tx, moved, "return.lapsed", detail, NotificationKind::ReturnLapsed).await?;
    }
    let waiting = store::escalate(&mut tx, (answer, transit), limit.into()).await?;
    for moved in &waiting {
        let detail = serde_json::json!({"status": moved.status});
        tell_moved(
            &mut tx,
            moved,
            "return.escalated",
            detail,
            NotificationKind::ReturnWaits,
        )
        .await?;
    }
    tx.commit().await?;
    let count = lapsed.len().max(waiting.len());
    if count > 0 {
        outbox::hint_notifications(bus.as_ref()).await;
    }
    Ok(count as u64)
}

async fn tell_moved(
    conn: &mut PgConnection,
    moved: &store::Moved,
    action: &'static str,
    detail: serde_json::Value,
    kind: NotificationKind,
) -> Result<()> {
    audit::record(conn, None, action, moved.id.0, detail).await?;
    news::return_moved(conn, kind, (moved.order, moved.seller), Some(moved.buyer)).await
}
