//! SQL of how far an order's units are.

use shared::ids::OrderId;
use sqlx::PgConnection;

use crate::orders::model::Fulfilment;

/// What became of an order's units, line by line.
pub async fn fulfilments(conn: &mut PgConnection, id: OrderId) -> sqlx::Result<Vec<Fulfilment>> {
    sqlx::query_as!(
        Fulfilment,
        "select quantity, cancelled, shipped, delivered from order_items where order_id = $1",
        id.0
    )
    .fetch_all(conn)
    .await
}
