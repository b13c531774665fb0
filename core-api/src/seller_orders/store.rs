//! SQL of a shop's part of orders. What it has in them is read with the features that own it.

use shared::Timestamp;
use shared::ids::{OrderId, SellerId, StreamId};
use shared::status::{Machine as _, OrderStatus};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::checkout::model::PostalAddress;

/// A paid order, and how far the shop's part of it is.
pub struct Head {
    pub id: OrderId,
    pub number: i64,
    pub status: OrderStatus,
    pub address: Json<PostalAddress>,
    pub stream: Option<StreamId>,
    pub created_at: Timestamp,
    pub paid_at: Timestamp,
}

/// Reads heads that a condition chooses.
macro_rules! heads {
    ($which:literal, $($value:expr),+) => {
        sqlx::query_as!(
            Head,
            r#"select o.id as "id: OrderId", o.number, p.status as "status: OrderStatus",
                      o.address as "address: Json<PostalAddress>", o.stream_id as "stream: StreamId", o.created_at,
                      o.paid_at as "paid_at!"
                 from order_parts p join orders o on o.id = p.order_id where "# + $which,
            $($value),+
        )
    };
}

/// Paid orders with goods of the shop, newest first. Each of the two has its own index.
pub async fn heads(
    conn: &mut PgConnection,
    seller: SellerId,
    status: Option<OrderStatus>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    let Some(status) = status else {
        return heads!(
            "p.seller_id = $1 and ($2::uuid is null or p.order_id < $2) order by p.order_id desc limit $3",
            seller.0,
            before,
            limit
        )
        .fetch_all(conn)
        .await;
    };
    heads!(
        "p.seller_id = $1 and p.status = $2 and ($3::uuid is null or p.order_id < $3)
          order by p.order_id desc limit $4",
        seller.0,
        status.as_str(),
        before,
        limit
    )
    .fetch_all(conn)
    .await
}

/// A paid order with goods of the shop.
pub async fn head(conn: &mut PgConnection, seller: SellerId, id: OrderId) -> sqlx::Result<Option<Head>> {
    heads!("p.seller_id = $1 and p.order_id = $2", seller.0, id.0)
        .fetch_optional(conn)
        .await
}
