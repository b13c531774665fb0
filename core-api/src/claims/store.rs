//! SQL of `claims`.

use std::time::Duration;

use shared::Timestamp;
use shared::ids::{ClaimId, OrderId, OrderItemId, RefundId, SellerId, UserId};
use shared::status::{ClaimStatus, Machine};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Claim, NewClaim};

/// Which claims somebody looks for, newest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// This one.
    pub id: Option<ClaimId>,
    /// Those of this buyer.
    pub buyer: Option<UserId>,
    /// Those of this order.
    pub order: Option<OrderId>,
    /// Those that are this shop's to answer.
    pub seller: Option<SellerId>,
    /// Those that are so far.
    pub status: Option<ClaimStatus>,
    /// Those before this one.
    pub before: Option<Uuid>,
}

struct Row {
    id: ClaimId,
    order_id: OrderId,
    order_item_id: OrderItemId,
    seller_id: SellerId,
    title: String,
    quantity: i32,
    status: ClaimStatus,
    reason: String,
    answer: String,
    decision: String,
    refund_id: Option<RefundId>,
    created_at: Timestamp,
    answered_at: Option<Timestamp>,
    decided_at: Option<Timestamp>,
}

impl From<Row> for Claim {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            order_id: row.order_id,
            order_item_id: row.order_item_id,
            seller_id: row.seller_id,
            title: row.title,
            quantity: row.quantity,
            status: row.status,
            reason: row.reason,
            answer: row.answer,
            decision: row.decision,
            refund_id: row.refund_id,
            created_at: row.created_at,
            answered_at: row.answered_at,
            decided_at: row.decided_at,
        }
    }
}

/// The claims that are looked for, newest first, at most `limit`.
pub async fn find(conn: &mut PgConnection, look: &Look, limit: i64) -> sqlx::Result<Vec<Claim>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select c.id as "id: ClaimId", c.order_id as "order_id: OrderId", c.order_item_id as "order_item_id: OrderItemId",
                  c.seller_id as "seller_id: SellerId", i.title, c.quantity, c.status as "status: ClaimStatus", c.reason,
                  c.answer, c.decision, c.refund_id as "refund_id: RefundId", c.created_at, c.answered_at, c.decided_at
             from claims c join order_items i on i.id = c.order_item_id join orders o on o.id = c.order_id
            where ($1::uuid is null or c.id = $1) and ($2::uuid is null or o.user_id = $2)
              and ($3::uuid is null or c.order_id = $3) and ($4::uuid is null or c.seller_id = $4)
              and ($5::text is null or c.status = $5) and ($6::uuid is null or c.id < $6)
            order by c.id desc limit $7"#,
        look.id.map(|id| id.0),
        look.buyer.map(|user| user.0),
        look.order.map(|order| order.0),
        look.seller.map(|seller| seller.0),
        look.status.map(Machine::as_str),
        look.before,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// How many units of a line of a locked order may be claimed.
pub struct Claimable {
    pub seller: SellerId,
    pub units: i32,
    /// The last of what has not arrived was sent long enough ago.
    pub is_late: bool,
}

/// `None`: the order has no such line.
pub async fn claimable(
    conn: &mut PgConnection,
    order: OrderId,
    item: OrderItemId,
    within: Duration,
) -> sqlx::Result<Option<Claimable>> {
    sqlx::query_as!(
        Claimable,
        r#"select i.seller_id as "seller: SellerId",
                  (i.shipped - i.delivered - coalesce((select sum(c.quantity) from claims c
                                                        where c.order_item_id = i.id
                                                          and c.status in ('open', 'answered', 'upheld')), 0))::int as "units!",
                  coalesce((select max(s.shipped_at) from shipment_items u join shipments s on s.id = u.shipment_id
                             where u.order_item_id = i.id and s.delivered_at is null)
                           < clock_timestamp() - make_interval(secs => $3), false) as "is_late!"
             from order_items i where i.id = $2 and i.order_id = $1"#,
        order.0,
        item.0,
        within.as_secs_f64()
    )
    .fetch_optional(conn)
    .await
}

/// Writes a claim.
pub async fn insert(
    conn: &mut PgConnection,
    id: ClaimId,
    order: OrderId,
    seller: SellerId,
    new: &NewClaim,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into claims (id, order_id, order_item_id, seller_id, quantity, reason) values ($1, $2, $3, $4, $5, $6)",
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

/// One step of a claim; `false`: its status does not allow it. What is said is the shop's
/// where it answers, else the admin's.
pub async fn step(conn: &mut PgConnection, id: ClaimId, to: ClaimStatus, said: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update claims
            set status = $2,
                answer = case when $2 = 'answered' then $4 else answer end,
                answered_at = case when $2 = 'answered' then clock_timestamp() else answered_at end,
                decision = case when $2 = 'answered' then decision else $4 end,
                decided_at = case when $2 = 'answered' then decided_at else clock_timestamp() end
          where id = $1 and status = any($3)",
        id.0,
        to.as_str(),
        &ClaimStatus::sources_of(to),
        said
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Of a claim's line, how many units were sent that neither came back, or are to, nor are in
/// another claim that was upheld. The order is locked.
pub async fn units_open(conn: &mut PgConnection, id: ClaimId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select (i.shipped
                   - coalesce((select sum(r.quantity) from returns r where r.order_item_id = i.id
                                  and r.status not in ('rejected', 'withdrawn')), 0)
                   - coalesce((select sum(o.quantity) from claims o where o.order_item_id = i.id
                                  and o.status = 'upheld' and o.id <> c.id), 0))::bigint as "units!"
             from claims c join order_items i on i.id = c.order_item_id where c.id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await
}

/// Nobody waits any more for units of a line of a locked order.
pub async fn set_lost(conn: &mut PgConnection, item: OrderItemId, units: i32) -> sqlx::Result<()> {
    sqlx::query!("update order_items set lost = lost + $2 where id = $1", item.0, units)
        .execute(conn)
        .await?;
    Ok(())
}

/// Which refund a claim came to.
pub async fn set_refund(conn: &mut PgConnection, id: ClaimId, refund: RefundId) -> sqlx::Result<()> {
    sqlx::query!("update claims set refund_id = $2 where id = $1", id.0, refund.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Withdraws what is claimed of lines of a locked order of which everything that was sent has
/// arrived, as their buyer says. Which.
pub async fn withdraw_arrived(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<Vec<ClaimId>> {
    sqlx::query_scalar!(
        r#"update claims c set status = 'withdrawn', decided_at = clock_timestamp()
             from order_items i
            where c.order_id = $1 and i.id = c.order_item_id and i.delivered = i.shipped and c.status = any($2)
           returning c.id as "id: ClaimId""#,
        order.0,
        &ClaimStatus::sources_of(ClaimStatus::Withdrawn)
    )
    .fetch_all(conn)
    .await
}

/// Who has bought what a claim is about, and who owns the shop.
pub async fn sides(conn: &mut PgConnection, id: ClaimId) -> sqlx::Result<(UserId, UserId)> {
    let row = sqlx::query!(
        r#"select o.user_id as "buyer: UserId", s.user_id as "owner: UserId"
             from claims c join orders o on o.id = c.order_id join sellers s on s.id = c.seller_id where c.id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await?;
    Ok((row.buyer, row.owner))
}
