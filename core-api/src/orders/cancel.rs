//! Calling off: an unpaid order as a whole; of a paid one whatever was not sent yet, by its
//! buyer, by the shop whose goods they are, or by an admin. The units are the shop's again
//! and their money goes back, decided in the same transaction. Once nothing of a shop's part
//! will be sent, its shipping goes back too, but for what others of the same show were spared.

use std::collections::BTreeSet;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, OrderItemId, RefundId, RequestId, SellerId, UserId};
use shared::outbox;
use shared::status::OrderStatus;
use sqlx::PgConnection;

use super::model::{Ending, Locked, Order, status_before_shipping};
use super::store::{self, cancel::Unsent};
use super::{follow_units, kept, release, tell_room, view};
use crate::audit;
use crate::commerce::Commerce;
use crate::discounts;
use crate::faults::{self, Step};
use crate::http::Result;
use crate::idempotency::{self, Answer};
use crate::payments::{self, Till};
use crate::refunds::model::{CalledOff, NewCancellation, RefundKind};
use crate::refunds::{self, Decision, Purchase};
use crate::stock::{self, Units};

/// Units that are to be called off.
#[derive(Clone, Copy, Debug)]
pub struct CallOff<'a> {
    /// So many of each line; no line twice.
    pub units: &'a [(OrderItemId, i32)],
    /// Whose lines alone they may be; none: anybody's.
    pub seller: Option<SellerId>,
    /// The shipping of these lines goes back too, whatever else is sent.
    pub with_shipping: bool,
    /// Why, in words.
    pub reason: &'a str,
    /// Who does it.
    pub by: UserId,
}

/// Calls an order off: an unpaid one, whose stock is free again and whose flash holds are
/// the buyer's until they lapse; or a paid one of which nothing was sent, whose money goes
/// back. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `payment_in_progress`, `order_expired`, `wrong_state`, `refund_too_large`,
/// `payment_disputed`.
pub async fn cancel(till: &Till, settings: &Commerce, buyer: UserId, id: OrderId) -> Result<Order> {
    let mut tx = till.db.begin().await?;
    let purchase = refunds::lock(&mut tx, id, Some(buyer)).await?;
    let refund = match purchase.order.status {
        OrderStatus::PendingPayment => {
            cancel_unpaid(&mut tx, &purchase.order).await?;
            None
        }
        OrderStatus::Paid => cancel_paid(&mut tx, settings, &purchase).await?,
        OrderStatus::Cancelled => return view(&mut tx, buyer, id).await,
        OrderStatus::Expired => return Err(ErrorCode::OrderExpired.into()),
        _ => return Err(Refusal::new(ErrorCode::WrongState, "some of it was sent").into()),
    };
    faults::around(Step::OrderCancel, tx.commit()).await?;
    tell(till).await;
    if let Some(refund) = refund {
        refunds::submit_decided(till, refund).await;
    }
    view(&mut *till.db.acquire().await?, buyer, id).await
}

async fn tell(till: &Till) {
    outbox::hint(till.bus.as_ref()).await;
    outbox::hint_notifications(till.bus.as_ref()).await;
}

async fn cancel_unpaid(conn: &mut PgConnection, order: &Locked) -> Result<()> {
    // A new payment needs the order's lock, which is ours: none begins after this look.
    if payments::is_under_way(conn, order.id).await? {
        return Err(ErrorCode::PaymentInProgress.into());
    }
    let to = status_before_shipping(false, Some(Ending::Cancelled), &[]);
    if !store::step(conn, order.id, to, Some(order.buyer)).await? {
        return Err(ErrorCode::WrongState.into());
    }
    release(conn, &[order.id.0]).await?;
    let detail = serde_json::json!({"before": order.status, "after": to});
    audit::record(conn, order.buyer, "order.cancelled", order.id.0, detail).await?;
    tell_room(conn, order, to).await
}

async fn cancel_paid(conn: &mut PgConnection, settings: &Commerce, purchase: &Purchase) -> Result<Option<RefundId>> {
    let lines = store::cancel::unsent(conn, purchase.order.id).await?;
    let units: Vec<_> = lines.iter().map(|line| (line.item, line.unsent)).collect();
    let call = CallOff {
        units: &units,
        seller: None,
        with_shipping: false,
        reason: "",
        by: purchase.order.buyer,
    };
    call_off(conn, settings, purchase, &call).await
}

/// Who calls units of one line off.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// Who has bought them.
    Buyer(UserId),
    /// Whose goods they are.
    Shop(UserId, SellerId),
}

/// Calls units of a line of a paid order off that were not sent; their money goes back.
///
/// # Errors
/// `not_found`, `payment_in_progress`, `wrong_state`, `refund_too_large`,
/// `payment_disputed`.
pub async fn cancel_item(
    till: &Till,
    settings: &Commerce,
    who: Who,
    (id, item): (OrderId, OrderItemId),
    key: RequestId,
    new: &NewCancellation,
) -> Result<Answer<CalledOff>> {
    let (by, buyer, seller) = match who {
        Who::Buyer(user) => (user, Some(user), None),
        Who::Shop(user, seller) => (user, None, Some(seller)),
    };
    let act = (id, item, seller, new);
    let answer = idempotency::once(&till.db, by, key, "order.cancel_item", &act, 200, async |conn| {
        let purchase = refunds::lock(conn, id, buyer).await?;
        let call = CallOff {
            units: &[(item, new.quantity)],
            seller,
            with_shipping: false,
            reason: new.reason.trim(),
            by,
        };
        let refund = match call_off(conn, settings, &purchase, &call).await? {
            Some(refund) => Some(refunds::get(conn, refund).await?),
            None => None,
        };
        Ok(CalledOff {
            order_item_id: item,
            quantity: new.quantity,
            refund,
        })
    })
    .await?;
    if !answer.replayed {
        tell(till).await;
        if let Some(refund) = &answer.body.refund {
            refunds::submit_decided(till, refund.id).await;
        }
    }
    Ok(answer)
}

/// Step: calls units of a locked paid order off. Whoever commits has the refund, if there is
/// one, submitted.
///
/// # Errors
/// `not_found` for lines of another order or shop, `wrong_state` for more units than are
/// unsent, and as [`refunds::decide`] says.
pub async fn call_off(
    conn: &mut PgConnection,
    settings: &Commerce,
    purchase: &Purchase,
    call: &CallOff<'_>,
) -> Result<Option<RefundId>> {
    let order = &purchase.order;
    // Should the order end by it, its discount code may be used again: a code is locked before
    // variants.
    discounts::lock_of(conn, order.id, order.buyer).await?;
    let mut lines = store::cancel::unsent(conn, order.id).await?;
    for &(item, units) in call.units {
        let of_shop = |line: &&mut Unsent| call.seller.is_none_or(|seller| seller == line.seller);
        let line = lines.iter_mut().find(|line| line.item == item).filter(of_shop);
        let line = line.ok_or(ErrorCode::NotFound)?;
        if units > line.unsent {
            let detail = format!("{} units are neither sent nor called off", line.unsent);
            return Err(Refusal::new(ErrorCode::WrongState, detail).into());
        }
        line.unsent -= units;
    }
    purchase.require_paid()?;
    let units: Vec<_> = call.units.iter().copied().filter(|&(_, units)| units > 0).collect();
    store::cancel::call_off(conn, &units).await?;
    restock(conn, order, &lines, &units, call.by).await?;

    let what = kept::what_goes_back(conn, order, &lines, (call.units, call.with_shipping)).await?;
    let decision = Decision {
        kind: RefundKind::Cancellation,
        reason: call.reason,
        by: Some(call.by),
    };
    let refund = refunds::decide(conn, purchase, &what, &decision).await?;
    let status = follow_units(conn, settings, order, Some(call.by)).await?;
    let detail = serde_json::json!({
        "before": order.status, "after": status, "units": units, "reason": call.reason, "refund": refund,
    });
    audit::record(conn, call.by, "order.called_off", order.id.0, detail).await?;
    if status != order.status {
        tell_room(conn, order, status).await?;
    }
    let named = |line: &&Unsent| units.iter().any(|&(item, _)| item == line.item);
    let sellers: BTreeSet<_> = lines.iter().filter(named).map(|line| line.seller).collect();
    let sellers: Vec<_> = sellers.into_iter().collect();
    refunds::news::called_off(conn, order, &sellers, refund, (call.by, call.reason)).await?;
    Ok(refund)
}

async fn restock(
    conn: &mut PgConnection,
    order: &Locked,
    lines: &[Unsent],
    units: &[(OrderItemId, i32)],
    by: UserId,
) -> Result<()> {
    let line = |item: OrderItemId| lines.iter().find(|line| line.item == item);
    let back = units.iter().filter_map(|&(item, quantity)| {
        let variant = line(item)?.variant;
        Some(Units { variant, quantity })
    });
    stock::restock(conn, order.id, &stock::summed(back), by).await?;
    let products = units.iter().filter_map(|&(item, _)| Some(line(item)?.product));
    stock::notify(conn, products).await
}
