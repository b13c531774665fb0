//! SQL of `product_changes`.

use shared::Timestamp;
use shared::ids::{ProductId, SellerId};
use sqlx::PgConnection;

/// A change that was read.
pub(super) struct Change {
    pub product_id: Option<ProductId>,
    pub seller_id: Option<SellerId>,
}

/// Changes, and the snapshot that they were read in.
pub(super) struct Changes {
    pub snapshot: String,
    /// When, by the database's clock.
    pub read_at: Timestamp,
    pub rows: Vec<Change>,
}

/// What is committed now.
pub(super) async fn now(conn: &mut PgConnection) -> Result<Changes, sqlx::Error> {
    let row = sqlx::query!(r#"select pg_current_snapshot()::text as "snapshot!", clock_timestamp() as "read_at!""#)
        .fetch_one(conn)
        .await?;
    Ok(Changes {
        snapshot: row.snapshot,
        read_at: row.read_at,
        rows: Vec::new(),
    })
}

/// Changes that were committed since a snapshot, `most` at most: of transactions that it
/// saw under way, and of those that had not begun. What it saw is not looked at again,
/// however long another transaction stays open.
pub(super) async fn changes_since(conn: &mut PgConnection, snapshot: &str, most: i64) -> Result<Changes, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select pg_current_snapshot()::text as "snapshot!", clock_timestamp() as "read_at!", c.product_id as "product_id?: ProductId",
                  c.seller_id as "seller_id?: SellerId"
             from (select 1) one
             left join lateral (
                (select product_id, seller_id from product_changes
                  where xid >= pg_snapshot_xmax($1::text::pg_snapshot) limit $2)
                union all
                (select c.product_id, c.seller_id
                   from pg_snapshot_xip($1::text::pg_snapshot) x join product_changes c on c.xid = x limit $2)
             ) c on true"#,
        snapshot,
        most
    )
    .fetch_all(conn)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (next, read_at) = (first.snapshot.clone(), first.read_at);
    let changes = rows.into_iter().map(|row| Change {
        product_id: row.product_id,
        seller_id: row.seller_id,
    });
    Ok(Changes {
        snapshot: next,
        read_at,
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
