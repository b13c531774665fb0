//! SQL of what was charged for shipping in a show.

use shared::ids::{AddressId, SellerId, StreamId, UserId};
use sqlx::PgConnection;

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

/// What was charged for shipping the show's own goods to where the buyer's address is now.
pub async fn charged(
    conn: &mut PgConnection,
    buyer: UserId,
    stream: StreamId,
    address: AddressId,
) -> sqlx::Result<Option<Charged>> {
    sqlx::query_as!(
        Charged,
        r#"select s.seller_id as "seller: SellerId",
                  coalesce(sum(i.shipping_minor - back.minor) filter (where o.paid_at is not null), 0)::bigint
                  as "paid_minor!",
                  coalesce(sum(i.shipping_minor) filter (where o.paid_at is null), 0)::bigint as "unpaid_minor!"
             from streams s
             left join addresses a on a.id = $3 and a.user_id = $1
             left join orders o on o.stream_id = s.id and o.user_id = $1 and o.status not in ('cancelled', 'expired')
                   and o.address = jsonb_build_object(
                       'recipient', a.recipient, 'line1', a.line1, 'line2', a.line2, 'city', a.city,
                       'region', a.region, 'postal_code', a.postal_code, 'country', a.country, 'phone', a.phone)
             left join order_items i on i.order_id = o.id and i.seller_id = s.seller_id
             left join lateral (
                  select coalesce(sum(n.shipping_minor), 0) as minor
                    from refund_items n join standing_refunds r on r.id = n.refund_id
                   where n.order_item_id = i.id) back on true
            where s.id = $2 group by s.id"#,
        buyer.0,
        stream.0,
        address.0
    )
    .fetch_optional(conn)
    .await
}
