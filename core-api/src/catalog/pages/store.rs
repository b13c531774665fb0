//! SQL of `product_changes`.

use shared::ids::{ProductId, SellerId};
use sqlx::PgConnection;

/// A change that was read.
pub(super) struct Change {
    pub id: i64,
    pub product_id: Option<ProductId>,
    pub seller_id: Option<SellerId>,
}

/// Changes, and from where the next reading goes on.
pub(super) struct Changes {
    pub horizon: String,
    pub rows: Vec<Change>,
}

/// The oldest transaction under way.
pub(super) async fn horizon(conn: &mut PgConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(r#"select pg_snapshot_xmin(pg_current_snapshot())::text as "horizon!""#)
        .fetch_one(conn)
        .await
}

/// Changes of transactions from `horizon` on, in one snapshot with the next horizon: what
/// is not in it yet is of a transaction from there on.
pub(super) async fn changes_from(conn: &mut PgConnection, horizon: &str, limit: i64) -> Result<Changes, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select pg_snapshot_xmin(pg_current_snapshot())::text as "horizon!", c.id as "id?",
                  c.product_id as "product_id?: ProductId", c.seller_id as "seller_id?: SellerId"
             from (select 1) one
             left join lateral (
                select * from product_changes where xid >= $1::text::xid8 order by xid, id limit $2) c on true"#,
        horizon,
        limit
    )
    .fetch_all(conn)
    .await?;
    let next = rows
        .first()
        .map_or_else(|| horizon.to_owned(), |row| row.horizon.clone());
    let changes = rows.into_iter().filter_map(|row| {
        Some(Change {
            id: row.id?,
            product_id: row.product_id,
            seller_id: row.seller_id,
        })
    });
    Ok(Changes {
        horizon: next,
        rows: changes.collect(),
    })
}

/// Changes that whoever reads them has read: older than ten minutes.
pub(super) async fn delete_old(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from product_changes where id in (
             select id from product_changes where created_at < now() - interval '10 minutes'
              order by created_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
