//! SQL of `webhook_inbox`.

use serde_json::Value;
use shared::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

/// Keeps a message; false: it was kept before.
pub async fn insert(
    conn: &mut PgConnection,
    provider: &str,
    event: &str,
    kind: &str,
    payload: &Value,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into webhook_inbox (id, provider, event_id, kind, payload) values ($1, $2, $3, $4, $5)
         on conflict on constraint webhook_inbox_once do nothing",
        Uuid::now_v7(),
        provider,
        event,
        kind,
        payload
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A message that is to be worked off.
pub struct Due {
    pub id: Uuid,
    pub provider: String,
    pub kind: String,
    pub payload: Value,
    /// When it was kept first.
    pub received_at: Timestamp,
    /// This one counted.
    pub attempts: i32,
}

/// Takes messages that are due, `limit` at most; nobody else does for so many seconds.
pub async fn take(conn: &mut PgConnection, limit: i64, lease_seconds: f64) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as!(
        Due,
        "update webhook_inbox set attempts = attempts + 1,
                not_before = clock_timestamp() + make_interval(secs => $2)
          where id in (select id from webhook_inbox
                        where processed_at is null and dead_at is null and not_before <= clock_timestamp()
                        order by not_before limit $1 for update skip locked)
         returning id, provider, kind, payload, received_at, attempts",
        limit,
        lease_seconds
    )
    .fetch_all(conn)
    .await
}

/// It is worked off.
pub async fn finish(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook_inbox set processed_at = clock_timestamp(), last_error = null, dead_at = null
          where id = $1 and processed_at is null",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It came to nothing, and nobody tries it any more.
pub async fn bury(conn: &mut PgConnection, id: Uuid, error: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook_inbox set dead_at = clock_timestamp(), last_error = $2
          where id = $1 and processed_at is null and dead_at is null",
        id,
        error
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// It is tried again in so many seconds.
pub async fn postpone(conn: &mut PgConnection, id: Uuid, seconds: f64, error: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook_inbox set not_before = clock_timestamp() + make_interval(secs => $2), last_error = $3
          where id = $1 and processed_at is null and dead_at is null",
        id,
        seconds,
        error
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes messages that were worked off 30 days ago, at most so many.
pub async fn delete_old(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from webhook_inbox where id in (
             select id from webhook_inbox where processed_at < now() - interval '30 days'
              order by processed_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
