//! SQL of when it is asked again what stays of the shipping of orders that were called off.

use shared::ids::{OrderId, SellerId};
use sqlx::PgConnection;
use uuid::Uuid;

/// Whether it is to be asked again what stays of a locked order's part: in a minute, as long as
/// orders that it stays for may run out of time; else not by itself.
pub async fn set_check(conn: &mut PgConnection, order: OrderId, seller: SellerId, again: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "update order_parts set shipping_check_at = case when $3 then clock_timestamp() + interval '1 minute' end
          where order_id = $1 and seller_id = $2",
        order.0,
        seller.0,
        again
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Has it asked again at once what stays of other orders' parts. The lock of their show is held,
/// so that what is kept meanwhile is none of them.
pub async fn ask_again(conn: &mut PgConnection, orders: &[OrderId], seller: SellerId) -> sqlx::Result<()> {
    let orders: Vec<Uuid> = orders.iter().map(|order| order.0).collect();
    sqlx::query!(
        "update order_parts set shipping_check_at = clock_timestamp() where order_id = any($1) and seller_id = $2",
        &orders,
        seller.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes orders that are to be asked about; they rest for ten minutes, should that fail.
pub async fn take_due(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<OrderId>> {
    sqlx::query_scalar!(
        r#"update order_parts p set shipping_check_at = clock_timestamp() + interval '10 minutes'
             from (select order_id, seller_id from order_parts
                    where shipping_check_at <= clock_timestamp()
                    order by shipping_check_at limit $1 for no key update skip locked) due
            where p.order_id = due.order_id and p.seller_id = due.seller_id
           returning p.order_id as "order: OrderId""#,
        limit
    )
    .fetch_all(conn)
    .await
}
