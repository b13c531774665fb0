//! SQL of how far an order's units are.

use shared::ids::{OrderId, SellerId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::orders::model::Fulfilment;

/// Whether an order is paid and has goods of this shop.
pub async fn has_sold(conn: &mut PgConnection, id: OrderId, seller: SellerId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from orders o join order_items i on i.order_id = o.id
                           where o.id = $1 and o.paid_at is not null and i.seller_id = $2) as "e!""#,
        id.0,
        seller.0
    )
    .fetch_one(conn)
    .await
}

/// What became of an order's units, line by line, and whether what the line earned is
/// released.
pub async fn fulfilments(conn: &mut PgConnection, id: OrderId) -> sqlx::Result<Vec<(Fulfilment, bool)>> {
    let rows = sqlx::query!(
        r#"select quantity, cancelled, shipped, delivered, lost, released_at is not null as "released!"
             from order_items where order_id = $1"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    let units = rows.into_iter().map(|row| {
        let item = Fulfilment {
            quantity: row.quantity,
            cancelled: row.cancelled,
            shipped: row.shipped,
            delivered: row.delivered,
            lost: row.lost,
        };
        (item, row.released)
    });
    Ok(units.collect())
}

/// Says of each line of which nothing is left to ship from when on its earnings may be paid
/// out: so many seconds after its last unit has arrived, or after it was shipped. A line that
/// was called off whole waits with what the shop still has in the order: its part of the
/// shipping may be earned by that.
pub async fn set_release_times(
    conn: &mut PgConnection,
    id: OrderId,
    after_delivery: f64,
    after_shipping: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with sent as (
             select i.id, i.seller_id, i.shipped, i.shipped + i.cancelled < i.quantity as waits,
                    case when i.delivered = i.shipped then max(s.delivered_at) + make_interval(secs => $2)
                         else max(s.shipped_at) + make_interval(secs => $3) end as due
               from order_items i
               left join (shipment_items u join shipments s on s.id = u.shipment_id) on u.order_item_id = i.id
              where i.order_id = $1 group by i.id
         ), times as (
             select t.id, case when t.shipped > 0 then t.due
                               when not o.waits then coalesce(o.due, clock_timestamp()) end as due
               from sent t
               join (select seller_id, bool_or(waits) as waits, max(due) filter (where shipped > 0) as due
                       from sent group by seller_id) o on o.seller_id = t.seller_id
              where not t.waits
         )
         update order_items i set release_after = t.due
           from times t where t.id = i.id and i.released_at is null and i.release_after is distinct from t.due",
        id.0,
        after_delivery,
        after_shipping
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Who owns these shops, in the order of the accounts: whoever locks several does so in
/// one order.
pub async fn owners(conn: &mut PgConnection, sellers: &[Uuid]) -> sqlx::Result<Vec<(SellerId, UserId)>> {
    let rows = sqlx::query!(
        r#"select id as "id: SellerId", user_id as "owner: UserId" from sellers where id = any($1) order by user_id"#,
        sellers
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.owner)).collect())
}
