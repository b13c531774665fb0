//! SQL of what was charged for shipping in a show.

use shared::ids::{SellerId, StreamId, UserId};
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::checkout::model::PostalAddress;

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

/// What was charged for shipping in a show.
pub struct Charged {
    /// Whose show it is.
    pub seller: SellerId,
    /// With orders that are paid.
    pub paid_minor: i64,
    /// With orders that may be.
    pub unpaid_minor: i64,
}

/// What was charged for shipping the show's own goods to a place.
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
             left join orders o on o.stream_id = s.id and o.user_id = $1 and o.status not in ('cancelled', 'expired')
                   and o.address = $3
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
