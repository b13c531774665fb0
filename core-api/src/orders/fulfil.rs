//! What being paid means for an order: its units leave the shop, the shops have earned,
//! the books say so, and the show hears of it. One step, in the caller's transaction,
//! under the locks of payment and order.

use shared::ids::{OrderId, PaymentId, ReservationId};
use shared::live::RoomNotice;
use shared::notification::NotificationKind;
use shared::outbox;
use shared::status::OrderStatus;
use sqlx::PgConnection;

use super::model::{Ending, Locked, SoldLine, status_before_shipping};
use super::store;
use crate::discounts;
use crate::http::Result;
use crate::ledger;
use crate::ledger::model::Share;
use crate::notifications::{self, News};
use crate::stock::{self, Reserved, Units};
use crate::{flash, orders};

/// Whether an order could be made paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fulfilled {
    /// It is.
    Paid,
    /// It had ended, and not all of it can be had any more at the price agreed; or it was
    /// paid before. The caller rolls back to where it called.
    Gone,
}

/// Makes a locked order paid by `payment`, or without one when it costs nothing.
///
/// An order that has expired is taken up again if every unit of it can be: cart lines
/// from free stock, flash lines by their holds if those still hold.
///
/// # Errors
/// A fault when stock, books and order do not agree.
pub async fn fulfil(conn: &mut PgConnection, order: &Locked, payment: Option<PaymentId>) -> Result<Fulfilled> {
    let ending = match order.status {
        OrderStatus::PendingPayment => None,
        OrderStatus::Expired => Some(Ending::Expired),
        _ => return Ok(Fulfilled::Gone),
    };
    // After the order's lock and before sales and holds, as wherever a code is locked.
    if ending.is_some() && !discounts::retake(conn, order.id, order.buyer).await? {
        return Ok(Fulfilled::Gone);
    }
    let lines = store::sold_lines(conn, order.id).await?;
    let holds: Vec<ReservationId> = lines.iter().filter_map(|l| l.reservation).collect();
    if ending.is_some() && !holds.is_empty() {
        // A hold may be in another order by now. Sales are locked before holds.
        flash::lock(conn, &holds).await?;
        if store::holds_are_ordered(conn, &holds).await? {
            return Ok(Fulfilled::Gone);
        }
    }
    // A payment has its holds paying since before it was made.
    let holds_wait = payment.is_none() || ending.is_some();
    if !take_out_stock(conn, order, &lines, &holds, holds_wait, ending.is_some()).await? {
        return Ok(Fulfilled::Gone);
    }

    let quantities: Vec<i32> = lines.iter().map(|l| l.quantity).collect();
    let to = status_before_shipping(true, ending, &quantities);
    if !store::step(conn, order.id, to, None).await? {
        return Err(anyhow::anyhow!("order {} is {} under its lock", order.id, order.status).into());
    }
    let shares: Vec<Share> = lines.iter().map(SoldLine::share).collect();
    let total = order.total;
    match payment {
        Some(payment) => ledger::post_capture(conn, payment, order.id, total, &shares, order.terms).await?,
        None if total.minor == 0 => ledger::post_gift(conn, order.id, total.currency, &shares, order.terms).await?,
        None => return Err(anyhow::anyhow!("order {} costs {total}", order.id).into()),
    }
    tell_rooms(conn, order, to, &lines, &holds).await?;
    tell_shops(conn, order.id, &lines).await?;
    Ok(Fulfilled::Paid)
}

/// The units leave the shop, in the order of locks: sales, holds, variants. `false`:
/// what had to be taken again could not.
async fn take_out_stock(
    conn: &mut PgConnection,
    order: &Locked,
    lines: &[SoldLine],
    holds: &[ReservationId],
    holds_wait: bool,
    retake: bool,
) -> Result<bool> {
    let units = |of: &[&SoldLine]| {
        stock::summed(of.iter().map(|l| Units {
            variant: l.variant,
            quantity: l.quantity,
        }))
    };
    let cart: Vec<&SoldLine> = lines.iter().filter(|l| l.reservation.is_none()).collect();
    let cart = units(&cart);
    flash::lock(conn, holds).await?;
    if holds_wait && !flash::start_paying(conn, holds).await? {
        return Ok(false);
    }
    stock::lock(conn, lines.iter().map(|l| l.variant)).await?;
    if retake && stock::reserve(conn, &cart, []).await? != Reserved::All {
        return Ok(false);
    }
    flash::convert(conn, holds).await?;
    stock::sell(conn, &cart).await?;
    let all: Vec<&SoldLine> = lines.iter().collect();
    stock::record_sold(conn, order.id, &units(&all)).await?;
    Ok(true)
}

async fn tell_rooms(
    conn: &mut PgConnection,
    order: &Locked,
    status: OrderStatus,
    lines: &[SoldLine],
    holds: &[ReservationId],
) -> Result<()> {
    flash::notify(conn, order.buyer, holds).await?;
    orders::tell_room(conn, order, status).await?;
    let Some(stream) = order.stream else {
        return Ok(());
    };
    let is_named = store::shows_purchases(conn, order.buyer).await?;
    let host = store::seller_of(conn, stream).await?;
    let of_show = lines.iter().filter(|line| Some(line.seller) == host);
    let notices = of_show.map(|line| {
        let notice = RoomNotice::Purchased {
            buyer: is_named.then_some(order.buyer),
            name: None,
            title: line.title.clone(),
            quantity: u32::try_from(line.quantity).unwrap_or_default(),
        };
        (stream, notice)
    });
    // Stock is locked: one statement, however much was bought.
    outbox::push_all(conn, &notices.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Each shop hears that goods of it are to be sent.
async fn tell_shops(conn: &mut PgConnection, order: OrderId, lines: &[SoldLine]) -> Result<()> {
    let mut sellers: Vec<_> = lines.iter().map(|line| line.seller.0).collect();
    sellers.sort_unstable();
    sellers.dedup();
    for (seller, owner) in store::progress::owners(conn, &sellers).await? {
        let news = News {
            kind: NotificationKind::OrderPaid,
            subject: order.0,
            seller,
            product: None,
            order: Some(order),
            reason: "",
        };
        notifications::tell(conn, owner, &news).await?;
    }
    Ok(())
}
