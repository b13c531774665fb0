//! SQL of units that are called off after they were paid.

use shared::ids::{OrderId, OrderItemId, ProductId, SellerId, VariantId};
use sqlx::PgConnection;
use uuid::Uuid;

/// A line, and how many of it can still be called off.
pub struct Unsent {
    pub item: OrderItemId,
    pub seller: SellerId,
    pub variant: VariantId,
    pub product: ProductId,
    pub unsent: i32,
    /// None of it was or will be sent.
    pub sent: i32,
}

/// The lines of a locked order.
pub async fn unsent(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<Vec<Unsent>> {
    sqlx::query_as!(
        Unsent,
        r#"select id as "item: OrderItemId", seller_id as "seller: SellerId", variant_id as "variant: VariantId",
                  product_id as "product: ProductId", quantity - cancelled - shipped as "unsent!", shipped as sent
             from order_items where order_id = $1 order by id"#,
        order.0
    )
    .fetch_all(conn)
    .await
}

/// Calls units off. The order is locked and they are there.
pub async fn call_off(conn: &mut PgConnection, units: &[(OrderItemId, i32)]) -> sqlx::Result<()> {
    let (items, quantities): (Vec<Uuid>, Vec<i32>) = units.iter().map(|&(item, n)| (item.0, n)).unzip();
    sqlx::query!(
        "update order_items i set cancelled = i.cancelled + t.n
           from unnest($1::uuid[], $2::int[]) t (id, n) where i.id = t.id",
        &items,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}
