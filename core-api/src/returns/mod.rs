//! Returns: a buyer asks to send units back that have arrived, the shop says whether it takes
//! them, and when it has them it says so: that decides the refund, and what of the units is on
//! sale again. While a return is open, what its line has earned is not paid out; so one that
//! is approved and never comes lapses.

pub mod handlers;
pub mod model;
mod store;

use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, RefundId, RequestId, ReturnId, SellerId, UserId};
use shared::outbox;
use shared::status::ReturnStatus;
use sqlx::{PgConnection, PgPool};

use crate::commerce::Commerce;
use crate::http::{List, Page, Result, Shopkeeper};
use crate::idempotency::{self, Answer};
use crate::payments::Till;
use crate::refunds::model::{Back, RefundKind};
use crate::refunds::{self, Decision, Purchase, news};
use crate::stock::{self, Units};
use crate::{audit, orders};
use model::{Filter, NewReturn, Return, ReturnReceipt};
use store::Whose;

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
        audit::record(conn, buyer, "return.requested", id.0, serde_json::json!({})).await?;
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

/// The shop takes it back. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub async fn approve(till: &Till, shop: &Shopkeeper, id: ReturnId, text: &str) -> Result<Return> {
    answer(till, shop, id, ReturnStatus::Approved, text.trim()).await
}

/// The shop does not take it back. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state`.
pub async fn reject(till: &Till, shop: &Shopkeeper, id: ReturnId, text: &str) -> Result<Return> {
    answer(till, shop, id, ReturnStatus::Rejected, text.trim()).await
}

async fn answer(till: &Till, shop: &Shopkeeper, id: ReturnId, to: ReturnStatus, text: &str) -> Result<Return> {
    let mut tx = till.db.begin().await?;
    let whose = Whose::Shop(shop.seller);
    let (now, is_new) = step(&mut tx, whose, id, (to, Some(text)), shop.user).await?;
    if is_new {
        let buyer = store::buyer_of(&mut tx, id).await?;
        news::return_answered(&mut tx, id, (now.order_id, buyer), shop.seller, text).await?;
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
    let detail = serde_json::json!({"before": before.status, "answer": answer});
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

/// The shop has it: its money goes back, and what of it can be sold again is on sale.
///
/// # Errors
/// `not_found`, `invalid_body` for more units than come back, `wrong_state` unless it was
/// approved, `refund_too_large` where the payment is disputed.
pub async fn receive(
    till: &Till,
    shop: &Shopkeeper,
    id: ReturnId,
    key: RequestId,
    receipt: &ReturnReceipt,
) -> Result<Answer<Return>> {
    let (db, user) = (&till.db, shop.user);
    let answer = idempotency::once(db, user, key, "return.receive", &(id, receipt), 200, async |conn| {
        let whose = Whose::Shop(shop.seller);
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
    let detail = serde_json::json!({"restocked": receipt.restocked, "refund": refund});
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
        with_shipping: receipt.shipping,
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

/// Withdraws a batch of returns that were approved and not received in time. How many.
///
/// # Errors
/// When the database fails.
pub async fn lapse(db: &PgPool, settings: &Commerce, limit: u32) -> Result<u64> {
    let mut tx = db.begin().await?;
    let lapsed = store::withdraw_overdue(&mut tx, settings.return_transit_time, limit.into()).await?;
    for id in &lapsed {
        audit::record(&mut tx, None, "return.lapsed", id.0, serde_json::json!({})).await?;
    }
    tx.commit().await?;
    Ok(lapsed.len() as u64)
}
