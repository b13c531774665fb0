//! SQL of what was charged for shipping in a show, and what it would have cost without a cap.

use shared::ids::{OrderId, SellerId, StreamId, UserId};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::spared::{Part, Spared};
use crate::checkout::model::PostalAddress;
use crate::checkout::pricing::Uncapped;

/// Has purchases of a buyer in a show placed one after another until the transaction ends,
/// so that each sees those before it.
pub async fn lock_show(conn: &mut PgConnection, buyer: UserId, stream: StreamId) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('shipping ' || $1::uuid::text || $2::uuid::text, 0))",
        buyer.0,
        stream.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// As [`lock_show`], of the show that an order was placed in.
pub async fn lock_show_of(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('shipping ' || user_id::text || stream_id::text, 0))
           from orders where id = $1 and stream_id is not null",
        order.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was charged for shipping in a show.
pub struct Charged {
    /// Whose show it is.
    pub seller: SellerId,
    /// With orders that are paid.
    pub paid_minor: i64,
    /// With orders that may be.
    pub unpaid_minor: i64,
}

/// What was charged for shipping the show's own goods to a place. Of what was called off counts
/// what stays paid.
pub async fn charged(
    conn: &mut PgConnection,
    buyer: UserId,
    stream: StreamId,
    address: &PostalAddress,
) -> sqlx::Result<Option<Charged>> {
    sqlx::query_as!(
        Charged,
        r#"select s.seller_id as "seller: SellerId",
                  coalesce(sum(i.shipping_minor - back.minor) filter (where o.paid_at is not null), 0)::bigint
                  as "paid_minor!",
                  coalesce(sum(i.shipping_minor) filter (where o.paid_at is null), 0)::bigint as "unpaid_minor!"
             from streams s
             left join orders o on o.stream_id = s.id and o.user_id = $1 and o.address = $3
                   and (o.paid_at is not null or o.status = 'pending_payment')
             left join order_items i on i.order_id = o.id and i.seller_id = s.seller_id
             left join lateral (
                  select coalesce(sum(n.shipping_minor), 0) as minor
                    from refund_items n join standing_refunds r on r.id = n.refund_id
                   where n.order_item_id = i.id) back on true
            where s.id = $2 group by s.id"#,
        buyer.0,
        stream.0,
        Json(address) as _
    )
    .fetch_optional(conn)
    .await
}

/// Writes down what an order costs to send without caps: of the show's own goods.
pub async fn insert(
    conn: &mut PgConnection,
    order: OrderId,
    stream: StreamId,
    uncapped: &[(SellerId, Uncapped)],
) -> sqlx::Result<()> {
    let sellers: Vec<_> = uncapped.iter().map(|(seller, _)| seller.0).collect();
    let caps: Vec<Option<i64>> = uncapped.iter().map(|(_, part)| part.cap_minor).collect();
    let fulls: Vec<i64> = uncapped.iter().map(|(_, part)| part.full_minor).collect();
    sqlx::query!(
        "insert into show_shipping (order_id, cap_minor, full_minor)
         select $1, t.cap, t.full_cost
           from unnest($3::uuid[], $4::bigint[], $5::bigint[]) t (seller, cap, full_cost)
           join streams s on s.id = $2 and s.seller_id = t.seller",
        order.0,
        stream.0,
        &sellers,
        &caps as &[Option<i64>],
        &fulls
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the buyer of an order has bought in its show to the same place. What has no cap at all
/// costs what was charged for it.
pub async fn spared(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<Option<Spared>> {
    let rows = sqlx::query!(
        r#"select o.id as "order: OrderId", s.seller_id as "seller: SellerId", o.paid_at is null as "is_unpaid!",
                  bool_or(i.cancelled < i.quantity) as "stands!", sum(i.shipping_minor)::bigint as "charged!",
                  sum(back.minor)::bigint as "back!",
                  (select array_agg(u.cap_minor order by u.cap_minor nulls first)
                     from show_shipping u where u.order_id = o.id) as "caps: Vec<Option<i64>>",
                  (select array_agg(u.full_minor order by u.cap_minor nulls first)
                     from show_shipping u where u.order_id = o.id) as "fulls: Vec<i64>"
             from orders own
             join streams s on s.id = own.stream_id
             join orders o on o.stream_id = s.id and o.user_id = own.user_id and o.address = own.address
                  and (o.paid_at is not null or o.status = 'pending_payment')
             join order_items i on i.order_id = o.id and i.seller_id = s.seller_id
            cross join lateral (
                  select coalesce(sum(n.shipping_minor), 0) as minor
                    from refund_items n join standing_refunds r on r.id = n.refund_id
                   where n.order_item_id = i.id) back
            where own.id = $1 group by o.id, s.seller_id order by o.id"#,
        order.0
    )
    .fetch_all(conn)
    .await?;
    let Some(seller) = rows.first().map(|row| row.seller) else {
        return Ok(None);
    };
    let parts = rows.into_iter().map(|row| {
        let caps = row.caps.unwrap_or_else(|| vec![None]);
        let fulls = row.fulls.unwrap_or_else(|| vec![row.charged]);
        let uncapped = caps.into_iter().zip(fulls);
        Part {
            order: row.order,
            is_unpaid: row.is_unpaid,
            stands: row.stands,
            charged: row.charged,
            back: row.back,
            uncapped: uncapped
                .map(|(cap_minor, full_minor)| Uncapped { cap_minor, full_minor })
                .collect(),
        }
    });
    Ok(Some(Spared {
        seller,
        parts: parts.collect(),
    }))
}
