//! Reading `notifications`.

use shared::Timestamp;
use shared::ids::{NotificationId, OrderId, ProductId, SellerId, StreamId, UserId};
use shared::notification::NotificationKind;
use shared::protocol::{Notification, NotifiedOrder, NotifiedProduct, NotifiedSeller, NotifiedStream};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::types::Notified;

/// Where a reading stands, in the order of transactions.
pub(super) struct Place {
    xid: String,
    id: Uuid,
}

impl Place {
    /// Before everything that a snapshot (`xmin:xmax:…`) may not have seen.
    pub(super) fn of(snapshot: &str) -> Self {
        let oldest = snapshot.split(':').next().unwrap_or("0");
        Self {
            xid: oldest.to_owned(),
            id: Uuid::nil(),
        }
    }
}

/// A row, by whom it is for.
pub(super) struct Row {
    pub(super) id: NotificationId,
    pub(super) user: UserId,
    xid: String,
}

impl Row {
    pub(super) fn place(&self) -> Place {
        Place {
            xid: self.xid.clone(),
            id: self.id.0,
        }
    }
}

/// What this transaction sees.
pub(super) async fn snapshot(look: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_current_snapshot()::text as "snapshot!""#)
        .fetch_one(look)
        .await
}

/// Rows after a place that were not visible in a snapshot.
pub(super) async fn after(
    look: &mut PgConnection,
    seen: &str,
    place: &Place,
    limit: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select id as "id: NotificationId", user_id as "user: UserId", xid::text as "xid!"
             from notifications
            where (xid, id) > ($2::text::xid8, $3::uuid) and listed
              and not pg_visible_in_snapshot(xid, $1::text::pg_snapshot)
            order by notifications.xid, id limit $4"#,
        seen,
        place.xid,
        place.id,
        limit
    )
    .fetch_all(look)
    .await
}

/// These notifications in whole, in the order of their ids.
pub(super) async fn whole(look: &mut PgConnection, ids: &[NotificationId]) -> Result<Vec<Notified>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select n.id as "id: NotificationId", n.user_id as "user: UserId", n.kind as "kind: NotificationKind",
                  n.created_at, n.reason, n.seller_id as "seller_id: SellerId", s.shop_name as "shop_name?",
                  n.stream_id as "stream_id: StreamId", t.title as "stream_title?", t.scheduled_at as "scheduled_at?",
                  n.product_id as "product_id: ProductId", p.title as "product_title?",
                  n.order_id as "order_id: OrderId", o.number as "order_number?"
             from notifications n
             left join sellers s on s.id = n.seller_id
             left join streams t on t.id = n.stream_id
             left join products p on p.id = n.product_id
             left join orders o on o.id = n.order_id
            where n.id = any($1) order by n.id"#,
        &ids
    )
    .fetch_all(look)
    .await?;
    let whole = rows.into_iter().map(|row| {
        let seller = row.seller_id.zip(row.shop_name);
        let product = row.product_id.zip(row.product_title);
        let order = row.order_id.zip(row.order_number);
        let stream = row.stream_id.zip(row.stream_title).zip(row.scheduled_at);
        let notification = Notification {
            notification: row.id,
            kind: row.kind,
            at: row.created_at.timestamp_millis(),
            seller: seller.map(|(id, name)| NotifiedSeller { id, name }),
            stream: stream.map(|((id, title), at): (_, Timestamp)| NotifiedStream {
                id,
                title,
                scheduled_at: at.timestamp_millis(),
            }),
            product: product.map(|(id, title)| NotifiedProduct { id, title }),
            order: order.map(|(id, number)| NotifiedOrder { id, number }),
            reason: row.reason,
        };
        Notified {
            user: row.user,
            notification,
        }
    });
    Ok(whole.collect())
}
