//! Orders: a placed checkout becomes a purchase, which waits for its payment, is
//! cancelled, or runs out of time.
//!
//! Placing freezes what was agreed: the address, titles and prices, the commission. The
//! units stay promised (`reserved`) until a capture takes them out of the shop or the
//! order ends. An order is never ended while a payment of it is under way, so that money
//! that arrives always finds its goods.

pub mod admin;
pub mod admin_handlers;
mod cancel;
mod fulfil;
pub mod handlers;
mod kept;
pub mod model;
mod progress;
mod store;

use std::collections::HashMap;

use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{CheckoutId, OrderId, OrderItemId, RequestId, ReservationId, SellerId, UserId};
use shared::live::RoomNotice;
use shared::money::Money;
use shared::outbox;
use shared::status::OrderStatus;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::batch;
use crate::cart;
use crate::checkout;
use crate::checkout::model::Line;
use crate::commerce::Commerce;
use crate::discounts;
use crate::faults::{self, Step};
use crate::flash;
use crate::fulfilment;
use crate::http::{List, Page, Result};
use crate::idempotency::{self, Answer};
use crate::payments;
use crate::refunds;
use crate::sellers::SellerRef;
use crate::stock::{self, Units};
use model::{Head, Locked, NewOrder, Order, OrderItem, Receipt, SoldLine};

pub use cancel::{CallOff, Who, call_off, cancel, cancel_item};
pub use fulfil::{Fulfilled, fulfil};
pub use kept::give_back as give_kept_shipping_back;
pub use progress::{follow_release, follow_units};

/// Places an open checkout as an order. One that costs nothing is paid at once.
///
/// # Errors
/// `not_found`, `checkout_expired`, `hold_expired`, `wrong_state`, `conflict` as
/// [`checkout::claim`] says.
pub async fn place(
    db: &PgPool,
    bus: &SharedBus,
    settings: &Commerce,
    buyer: UserId,
    key: RequestId,
    new: &NewOrder,
) -> Result<Answer<Order>> {
    let answer = idempotency::once(db, buyer, key, "order.place", new, 201, async |conn| {
        place_in(conn, settings, buyer, new.checkout_id).await
    })
    .await?;
    if !answer.replayed && answer.body.stream_id.is_some() {
        outbox::hint(bus.as_ref()).await;
    }
    Ok(answer)
}

async fn place_in(conn: &mut PgConnection, settings: &Commerce, buyer: UserId, checkout: CheckoutId) -> Result<Order> {
    let (agreed, lines) = checkout::claim(conn, buyer, checkout).await?;
    let holds: Vec<ReservationId> = lines.iter().filter_map(|l| l.reservation).collect();
    // In the order of locks: after the checkout, before sales and holds.
    if let Some(code) = agreed.discount {
        discounts::claim(conn, buyer, code).await?;
    }
    if agreed.total().minor == 0 {
        // Paid at once, below: sales are locked before holds.
        flash::lock(conn, &holds).await?;
    }
    if !holds.is_empty() && store::holds_are_ordered(conn, &holds).await? {
        return Err(Refusal::new(ErrorCode::WrongState, "a flash hold is in another order").into());
    }
    let new_lines = with_commission(settings, &agreed, &lines)?;
    let row = store::NewRow {
        id: OrderId::new(),
        buyer,
        checkout,
        stream: agreed.stream,
        currency: agreed.currency,
        discount_code: agreed.discount_code.as_deref(),
        sums: agreed.sums,
        address: &agreed.address,
        life: settings.order_life,
        lines: &new_lines,
    };
    let (number, created_at, expires_at) = store::insert(conn, &row).await?;
    let id = row.id;
    checkout::show::record(conn, id, &agreed, &lines).await?;
    if let Some(code) = agreed.discount {
        discounts::record_use(conn, code, id, buyer).await?;
    }
    if agreed.from_cart {
        let ordered = lines.iter().filter(|line| line.reservation.is_none());
        let ordered: Vec<cart::model::Kept> = ordered
            .map(|line| cart::model::Kept {
                variant: line.offer.variant,
                quantity: line.quantity,
            })
            .collect();
        cart::take_out(conn, buyer, &ordered).await?;
    }
    if agreed.total().minor == 0 {
        give_away(conn, buyer, id).await?;
        return view(conn, buyer, id).await;
    }
    if let Some(stream) = agreed.stream {
        // Who comes back to the room is asked about only if something of theirs is new.
        let notice = RoomNotice::OrderChanged {
            user: buyer,
            order: id,
            status: OrderStatus::PendingPayment,
        };
        outbox::push(conn, stream, &notice).await?;
    }
    let items = lines.iter().zip(&new_lines).map(|(line, new)| item(line, new.id));
    let head = Head {
        id,
        number,
        status: OrderStatus::PendingPayment,
        currency: agreed.currency,
        discount_code: agreed.discount_code.clone(),
        sums: agreed.sums,
        address: agreed.address.clone(),
        stream: agreed.stream,
        created_at,
        paid_at: None,
        expires_at,
    };
    Ok(head.view(items.collect(), Vec::new(), Vec::new()))
}

/// Each line with an id and the commission, at the rate of now.
fn with_commission(settings: &Commerce, agreed: &checkout::model::Head, lines: &[Line]) -> Result<Vec<store::NewLine>> {
    lines
        .iter()
        .map(|line| {
            let rate = line.commission.unwrap_or(settings.commission);
            let money = |minor| Money::new(minor, agreed.currency);
            let within = if agreed.sums.terms.tax_included {
                line.tax.minor
            } else {
                0
            };
            let commission = model::commission(line.total(), money(line.discount.seller_minor), money(within), rate);
            Ok(store::NewLine {
                id: OrderItemId::new(),
                checkout_line: line.id,
                rate,
                commission: commission.map_err(anyhow::Error::from)?,
            })
        })
        .collect()
}

fn item(line: &Line, id: OrderItemId) -> OrderItem {
    let money = |minor| Money::new(minor, line.unit_price.currency);
    OrderItem {
        id,
        seller: SellerRef {
            id: line.offer.seller,
            shop_name: line.shop_name.clone(),
        },
        variant_id: line.offer.variant,
        product_id: line.offer.product,
        title: line.offer.title.clone(),
        sku: line.offer.sku.clone(),
        options: line.offer.options.clone(),
        image_url: line.offer.image_url.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price,
        total: line.total(),
        seller_discount: money(line.discount.seller_minor),
        platform_discount: money(line.discount.platform_minor),
        shipping: line.shipping,
        tax_bps: line.tax_bps,
        tax: line.tax,
        shipping_tax: line.shipping_tax,
        reservation_id: line.reservation,
        cancelled: 0,
        shipped: 0,
        delivered: 0,
        returned: 0,
    }
}

/// A total of zero is paid without a payment.
async fn give_away(conn: &mut PgConnection, buyer: UserId, id: OrderId) -> Result<()> {
    let order = lock(conn, id, Some(buyer)).await?;
    match fulfil(conn, &order, None).await? {
        Fulfilled::Paid => Ok(()),
        Fulfilled::Gone => Err(ErrorCode::HoldExpired.into()),
    }
}

/// An order of `buyer`'s.
///
/// # Errors
/// `not_found`.
pub async fn get(db: &PgPool, buyer: UserId, id: OrderId) -> Result<Order> {
    view(&mut *db.acquire().await?, buyer, id).await
}

/// Step: an order of `buyer`'s.
///
/// # Errors
/// `not_found`.
pub async fn view(conn: &mut PgConnection, buyer: UserId, id: OrderId) -> Result<Order> {
    let head = store::head(conn, id, buyer).await?.ok_or(ErrorCode::NotFound)?;
    let mut views = views(conn, vec![head]).await?;
    Ok(views.pop().ok_or(ErrorCode::NotFound)?)
}

/// Orders of `buyer`'s, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &PgPool, buyer: UserId, page: &Page) -> Result<List<Order>> {
    let mut conn = db.acquire().await?;
    let heads = store::heads(&mut conn, buyer, page.cursor, page.rows()).await?;
    let List { items, next_cursor } = List::of(heads, page, |head| head.id.0);
    Ok(List {
        items: views(&mut conn, items).await?,
        next_cursor,
    })
}

async fn views(conn: &mut PgConnection, heads: Vec<Head>) -> Result<Vec<Order>> {
    let ids: Vec<Uuid> = heads.iter().map(|head| head.id.0).collect();
    let mut items = items_of(conn, &ids, None).await?;
    let mut shipments = fulfilment::of_orders(conn, &ids, None).await?;
    let mut attempts = payments::of_orders(conn, &ids).await?;
    let mut refunds = refunds::of_orders(conn, &ids).await?;
    Ok(heads
        .into_iter()
        .map(|head| {
            let id = head.id;
            let mut order = head.view(
                items.remove(&id).unwrap_or_default(),
                shipments.remove(&id).unwrap_or_default(),
                attempts.remove(&id).unwrap_or_default(),
            );
            order.refunds = refunds.remove(&id).unwrap_or_default();
            order.refunded = refunds::refunded(&order.refunds, order.total.currency);
            order.owed_back = refunds::owed_back(&order.refunds, order.total.currency);
            order
        })
        .collect())
}

/// The receipt of a paid order.
///
/// # Errors
/// `not_found`, `wrong_state` before it is paid.
pub async fn receipt(db: &PgPool, buyer: UserId, id: OrderId) -> Result<Receipt> {
    let order = get(db, buyer, id).await?;
    let Some(paid_at) = order.paid_at else {
        return Err(Refusal::new(ErrorCode::WrongState, "the order is not paid").into());
    };
    Ok(Receipt {
        order_id: order.id,
        number: order.number,
        items: order.items,
        items_total: order.items_total,
        discount_code: order.discount_code,
        discount_total: order.discount_total,
        shipping_total: order.shipping_total,
        tax_total: order.tax_total,
        tax_included: order.tax_included,
        taxes: order.taxes,
        total: order.total,
        address: order.address,
        paid_at,
        payment_id: payments::captured(&order.payments, &order.refunds),
    })
}

/// Expires a batch of unpaid orders whose time is over, or that of a flash hold of theirs:
/// then they cannot be paid as agreed. Their stock is free again, flash holds are left to
/// their sale. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn expire(db: &PgPool, bus: &SharedBus, limit: u32) -> Result<u64> {
    match expire_some(db, bus, None, limit).await {
        Ok(expired) => Ok(expired),
        Err(error) => {
            let due = store::due(&mut *db.acquire().await?, limit.into()).await?;
            batch::one_by_one(error, due, |id| expire_some(db, bus, Some(id), 1)).await
        }
    }
}

async fn expire_some(db: &PgPool, bus: &SharedBus, only: Option<Uuid>, limit: u32) -> Result<u64> {
    let mut tx = db.begin().await?;
    let due = store::lock_due(&mut tx, only, limit.into()).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let expired = store::expire(&mut tx, &due).await?;
    let ids: Vec<Uuid> = expired.iter().map(|(id, ..)| id.0).collect();
    release(&mut tx, &ids).await?;
    for (order, user, stream) in &expired {
        if let Some(stream) = *stream {
            let notice = RoomNotice::OrderChanged {
                user: *user,
                order: *order,
                status: OrderStatus::Expired,
            };
            outbox::push(&mut tx, stream, &notice).await?;
        }
    }
    faults::around(Step::OrderExpire, tx.commit()).await?;
    outbox::hint(bus.as_ref()).await;
    Ok(expired.len() as u64)
}

async fn release(conn: &mut PgConnection, orders: &[Uuid]) -> Result<()> {
    let lines = store::reserved_units(conn, orders).await?;
    let units = lines.iter().map(|&(variant, quantity, _)| Units { variant, quantity });
    stock::release(conn, &stock::summed(units)).await?;
    stock::notify(conn, lines.iter().map(|&(.., product)| product)).await
}

async fn tell_room(conn: &mut PgConnection, order: &Locked, status: OrderStatus) -> Result<()> {
    if let Some(stream) = order.stream {
        let notice = RoomNotice::OrderChanged {
            user: order.buyer,
            order: order.id,
            status,
        };
        outbox::push(conn, stream, &notice).await?;
    }
    Ok(())
}

/// Step: locks an order, of `buyer` where one is given.
///
/// # Errors
/// `not_found`.
pub async fn lock(conn: &mut PgConnection, id: OrderId, buyer: Option<UserId>) -> Result<Locked> {
    Ok(store::lock(conn, id, buyer).await?.ok_or(ErrorCode::NotFound)?)
}

/// Step: locks a paid order that has goods of this shop.
///
/// # Errors
/// `not_found`.
pub async fn lock_of_shop(conn: &mut PgConnection, id: OrderId, seller: SellerId) -> Result<Locked> {
    if !store::progress::has_sold(conn, id, seller).await? {
        return Err(ErrorCode::NotFound.into());
    }
    lock(conn, id, None).await
}

/// Step: the lines of these orders, of one shop where one is given.
///
/// # Errors
/// When the database fails.
pub async fn items_of(
    conn: &mut PgConnection,
    orders: &[Uuid],
    seller: Option<SellerId>,
) -> Result<HashMap<OrderId, Vec<OrderItem>>> {
    let mut items: HashMap<OrderId, Vec<OrderItem>> = HashMap::new();
    for (order, item) in store::items(conn, orders, seller).await? {
        items.entry(order).or_default().push(item);
    }
    Ok(items)
}

/// Step: locks an order that may be paid now.
///
/// # Errors
/// `not_found`, `order_expired`, `already_paid`, `wrong_state`.
pub async fn lock_payable(conn: &mut PgConnection, id: OrderId, buyer: UserId) -> Result<Locked> {
    let order = lock(conn, id, Some(buyer)).await?;
    match order.status {
        OrderStatus::PendingPayment if order.overdue => Err(ErrorCode::OrderExpired.into()),
        OrderStatus::PendingPayment => Ok(order),
        OrderStatus::Expired => Err(ErrorCode::OrderExpired.into()),
        OrderStatus::Cancelled => Err(Refusal::new(ErrorCode::WrongState, "the order was cancelled").into()),
        _ => Err(ErrorCode::AlreadyPaid.into()),
    }
}

/// Step: the order's flash holds were given more time.
///
/// # Errors
/// When the database fails.
pub async fn extend(conn: &mut PgConnection, id: OrderId) -> Result<()> {
    Ok(store::extend(conn, id).await?)
}

/// Step: the order's flash holds.
///
/// # Errors
/// When the database fails.
pub async fn holds(conn: &mut PgConnection, id: OrderId) -> Result<Vec<ReservationId>> {
    let lines = store::sold_lines(conn, id).await?;
    Ok(lines.iter().filter_map(|line| line.reservation).collect())
}

/// Step: the flash holds of an order that has ended, but for those that are in another
/// order by now.
///
/// # Errors
/// When the database fails.
pub async fn holds_left(conn: &mut PgConnection, id: OrderId) -> Result<Vec<ReservationId>> {
    Ok(store::holds_left(conn, id).await?)
}

/// Step: an order's lines, as the steps of payment and refund need them.
///
/// # Errors
/// When the database fails.
pub async fn sold_lines(conn: &mut PgConnection, id: OrderId) -> Result<Vec<SoldLine>> {
    Ok(store::sold_lines(conn, id).await?)
}

/// Step: notes beside an order's statuses that something has happened to it.
///
/// # Errors
/// When the database fails.
pub async fn note(conn: &mut PgConnection, id: OrderId, what: &'static str) -> Result<()> {
    Ok(store::note(conn, id, what).await?)
}

/// Step: who owns these shops, in the order of the accounts.
///
/// # Errors
/// When the database fails.
pub async fn owners(conn: &mut PgConnection, sellers: &[SellerId]) -> Result<Vec<(SellerId, UserId)>> {
    let sellers: Vec<Uuid> = sellers.iter().map(|seller| seller.0).collect();
    Ok(store::progress::owners(conn, &sellers).await?)
}
