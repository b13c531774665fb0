//! SQL of `returns`.

use std::time::Duration;

use shared::Timestamp;
use shared::ids::{OrderId, OrderItemId, ProductId, RefundId, ReturnId, SellerId, UserId, VariantId};
use shared::status::{Machine, ReturnStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{NewReturn, Return};
use crate::http::Page;

struct Row {
    id: ReturnId,
    seller_id: SellerId,
    order_id: OrderId,
    order_item_id: OrderItemId,
    title: String,
    quantity: i32,
    status: ReturnStatus,
    reason: String,
    answer: String,
    restocked: i32,
    refund_id: Option<RefundId>,
    created_at: Timestamp,
    answered_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
    carrier: String,
    tracking: String,
    received_at: Option<Timestamp>,
}

impl From<Row> for Return {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            seller_id: row.seller_id,
            order_id: row.order_id,
            order_item_id: row.order_item_id,
            title: row.title,
            quantity: row.quantity,
            status: row.status,
            reason: row.reason,
            answer: row.answer,
            restocked: row.restocked,
            refund_id: row.refund_id,
            created_at: row.created_at,
            answered_at: row.answered_at,
            sent_at: row.sent_at,
            carrier: row.carrier,
            tracking: row.tracking,
            received_at: row.received_at,
        }
    }
}

/// How many units of a line of a locked order may be sent back, as far as their number goes.
pub struct Returnable {
    pub seller: SellerId,
    pub units: i32,
    /// The last of it arrived long enough ago.
    pub is_late: bool,
}

/// `None`: the order has no such line.
pub async fn returnable(
    conn: &mut PgConnection,
    order: OrderId,
    item: OrderItemId,
    within: Duration,
) -> sqlx::Result<Option<Returnable>> {
    sqlx::query_as!(
        Returnable,
        r#"select i.seller_id as "seller: SellerId",
                  (i.delivered - coalesce((select sum(r.quantity) from returns r
                                            where r.order_item_id = i.id
                                              and r.status not in ('rejected', 'withdrawn')), 0)
                   -- What was paid back as lost, and has come after all.
                   - greatest(coalesce((select sum(c.quantity) from claims c
                                         where c.order_item_id = i.id and c.status = 'upheld'), 0)
                              - (i.shipped - i.delivered), 0))::int as "units!",
                  coalesce((select max(s.delivered_at) from shipment_items u join shipments s on s.id = u.shipment_id
                             where u.order_item_id = i.id)
                           < clock_timestamp() - make_interval(secs => $3), true) as "is_late!"
             from order_items i where i.id = $2 and i.order_id = $1"#,
        order.0,
        item.0,
        within.as_secs_f64()
    )
    .fetch_optional(conn)
    .await
}

/// Writes a return that is asked for.
pub async fn insert(
    conn: &mut PgConnection,
    id: ReturnId,
    order: OrderId,
    seller: SellerId,
    new: &NewReturn,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into returns (id, order_id, order_item_id, seller_id, quantity, reason) values ($1, $2, $3, $4, $5, $6)",
        id.0,
        order.0,
        new.order_item_id.0,
        seller.0,
        new.quantity,
        new.reason.trim()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whose it is to see a return, and to step it on.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    /// Who has bought it, and of which order.
    Buyer(UserId, OrderId),
    /// The shop that it goes back to.
    Shop(SellerId),
    /// An admin.
    Anybodys,
}

impl Whose {
    fn columns(self) -> (Option<Uuid>, Option<Uuid>, Option<Uuid>) {
        match self {
            Self::Buyer(user, order) => (Some(user.0), Some(order.0), None),
            Self::Shop(seller) => (None, None, Some(seller.0)),
            Self::Anybodys => (None, None, None),
        }
    }
}

/// A return of theirs.
pub async fn get(conn: &mut PgConnection, id: ReturnId, whose: Whose) -> sqlx::Result<Option<Return>> {
    let (buyer, order, seller) = whose.columns();
    let row = sqlx::query_as!(
        Row,
        r#"select r.id as "id: ReturnId", r.seller_id as "seller_id: SellerId", r.order_id as "order_id: OrderId",
                  r.order_item_id as "order_item_id: OrderItemId", i.title, r.quantity,
                  r.status as "status: ReturnStatus", r.reason, r.answer, r.restocked,
                  r.refund_id as "refund_id: RefundId", r.created_at, r.answered_at, r.sent_at, r.carrier, r.tracking,
                  r.received_at
             from returns r join orders o on o.id = r.order_id join order_items i on i.id = r.order_item_id
            where r.id = $1 and ($2::uuid is null or o.user_id = $2) and ($3::uuid is null or o.id = $3)
              and ($4::uuid is null or r.seller_id = $4)"#,
        id.0,
        buyer,
        order,
        seller
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// The returns of an order of `buyer`'s, oldest first.
pub async fn of_order(conn: &mut PgConnection, order: OrderId, buyer: UserId) -> sqlx::Result<Vec<Return>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.id as "id: ReturnId", r.seller_id as "seller_id: SellerId", r.order_id as "order_id: OrderId",
                  r.order_item_id as "order_item_id: OrderItemId", i.title, r.quantity,
                  r.status as "status: ReturnStatus", r.reason, r.answer, r.restocked,
                  r.refund_id as "refund_id: RefundId", r.created_at, r.answered_at, r.sent_at, r.carrier, r.tracking,
                  r.received_at
             from returns r join orders o on o.id = r.order_id join order_items i on i.id = r.order_item_id
            where r.order_id = $1 and o.user_id = $2 order by r.id"#,
        order.0,
        buyer.0
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The returns to a shop, newest first.
pub async fn of_shop(
    conn: &mut PgConnection,
    seller: SellerId,
    status: Option<ReturnStatus>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Return>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.id as "id: ReturnId", r.seller_id as "seller_id: SellerId", r.order_id as "order_id: OrderId",
                  r.order_item_id as "order_item_id: OrderItemId", i.title, r.quantity,
                  r.status as "status: ReturnStatus", r.reason, r.answer, r.restocked,
                  r.refund_id as "refund_id: RefundId", r.created_at, r.answered_at, r.sent_at, r.carrier, r.tracking,
                  r.received_at
             from returns r join order_items i on i.id = r.order_item_id
            where r.seller_id = $1 and ($2::text is null or r.status = $2) and ($3::uuid is null or r.id < $3)
            order by r.id desc limit $4"#,
        seller.0,
        status.map(Machine::as_str),
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The returns of all shops, newest first; with `overdue` those that wait for an admin.
pub async fn of_all(
    conn: &mut PgConnection,
    status: Option<ReturnStatus>,
    overdue: bool,
    page: &Page,
) -> sqlx::Result<Vec<Return>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.id as "id: ReturnId", r.seller_id as "seller_id: SellerId", r.order_id as "order_id: OrderId",
                  r.order_item_id as "order_item_id: OrderItemId", i.title, r.quantity,
                  r.status as "status: ReturnStatus", r.reason, r.answer, r.restocked,
                  r.refund_id as "refund_id: RefundId", r.created_at, r.answered_at, r.sent_at, r.carrier, r.tracking,
                  r.received_at
             from returns r join order_items i on i.id = r.order_item_id
            where ($1::text is null or r.status = $1) and ($2::uuid is null or r.id < $2)
              and (not $4 or r.escalated_at is not null and r.status in ('requested', 'approved'))
            order by r.id desc limit $3"#,
        status.map(Machine::as_str),
        page.cursor,
        page.rows(),
        overdue
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// Its buyer has sent it; `false`: it is not to be sent, or another parcel was named before.
pub async fn send(conn: &mut PgConnection, id: ReturnId, carrier: &str, tracking: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update returns set sent_at = clock_timestamp(), carrier = $2, tracking = $3
          where id = $1 and status = 'approved' and sent_at is null",
        id.0,
        carrier,
        tracking
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// One step of a return; `false`: its status does not allow it.
pub async fn step(conn: &mut PgConnection, id: ReturnId, to: ReturnStatus, answer: Option<&str>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update returns
            set status = $2, answer = coalesce($4, answer),
                answered_at = case when $2 in ('approved', 'rejected') then clock_timestamp() else answered_at end,
                escalated_at = null
          where id = $1 and status = any($3)",
        id.0,
        to.as_str(),
        &ReturnStatus::sources_of(to),
        answer
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What came back of a line.
pub struct Received {
    pub variant: VariantId,
    pub product: ProductId,
}

/// A return has come back: its line has so many more. `None`: its status does not allow it.
pub async fn receive(conn: &mut PgConnection, id: ReturnId, restocked: i32) -> sqlx::Result<Option<Received>> {
    sqlx::query_as!(
        Received,
        r#"with received as (
               update returns set status = 'received', restocked = $2, received_at = clock_timestamp()
                where id = $1 and status = any($3) returning order_item_id, quantity
           )
           update order_items i set returned = i.returned + r.quantity from received r where i.id = r.order_item_id
           returning i.variant_id as "variant: VariantId", i.product_id as "product: ProductId""#,
        id.0,
        restocked,
        &ReturnStatus::sources_of(ReturnStatus::Received)
    )
    .fetch_optional(conn)
    .await
}

/// Which refund a return came to.
pub async fn set_refund(conn: &mut PgConnection, id: ReturnId, refund: RefundId) -> sqlx::Result<()> {
    sqlx::query!("update returns set refund_id = $2 where id = $1", id.0, refund.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// The money of a refund is with the buyer: so is that of its return, if it is of one.
pub async fn refunded(conn: &mut PgConnection, refund: RefundId) -> sqlx::Result<Option<ReturnId>> {
    sqlx::query_scalar!(
        r#"update returns set status = 'refunded' where refund_id = $1 and status = any($2)
           returning id as "id: ReturnId""#,
        refund.0,
        &ReturnStatus::sources_of(ReturnStatus::Refunded)
    )
    .fetch_optional(conn)
    .await
}

/// A return that time has moved on, and who hears of it.
pub struct Moved {
    pub id: ReturnId,
    pub status: ReturnStatus,
    pub order: OrderId,
    pub seller: SellerId,
    pub buyer: UserId,
}

/// Withdraws returns that were approved so long ago and never sent.
pub async fn withdraw_overdue(conn: &mut PgConnection, after: Duration, limit: i64) -> sqlx::Result<Vec<Moved>> {
    sqlx::query_as!(
        Moved,
        r#"update returns r set status = 'withdrawn' from orders o
            where o.id = r.order_id and r.id in (
               select id from returns
                where status = 'approved' and sent_at is null
                  and answered_at < clock_timestamp() - make_interval(secs => $1)
                order by answered_at limit $2 for no key update skip locked)
           returning r.id as "id: ReturnId", r.status as "status: ReturnStatus", r.order_id as "order: OrderId",
                     r.seller_id as "seller: SellerId", o.user_id as "buyer: UserId""#,
        after.as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await
}

/// Gives returns to the admins whose shop has had its time: to answer, or to say that it has
/// what was sent.
pub async fn escalate(
    conn: &mut PgConnection,
    (answer, transit): (Duration, Duration),
    limit: i64,
) -> sqlx::Result<Vec<Moved>> {
    sqlx::query_as!(
        Moved,
        r#"with silent as materialized (
               select id from returns
                where status = 'requested' and escalated_at is null
                  and created_at < clock_timestamp() - make_interval(secs => $1)
                order by created_at limit $3 for no key update skip locked
           ), underway as materialized (
               select id from returns
                where status = 'approved' and sent_at is not null and escalated_at is null
                  and sent_at < clock_timestamp() - make_interval(secs => $2)
                order by sent_at limit $3 for no key update skip locked
           )
           update returns r set escalated_at = clock_timestamp() from orders o
            where o.id = r.order_id and r.id in (select id from silent union all select id from underway)
           returning r.id as "id: ReturnId", r.status as "status: ReturnStatus", r.order_id as "order: OrderId",
                     r.seller_id as "seller: SellerId", o.user_id as "buyer: UserId""#,
        answer.as_secs_f64(),
        transit.as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await
}

/// Who sends it back.
pub async fn buyer_of(conn: &mut PgConnection, id: ReturnId) -> sqlx::Result<UserId> {
    sqlx::query_scalar!(
        r#"select o.user_id as "buyer: UserId" from returns r join orders o on o.id = r.order_id where r.id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await
}
