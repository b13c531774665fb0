//! SQL of `idempotency_keys`.

use serde_json::Value;
use shared::ids::{RequestId, UserId};
use sqlx::PgConnection;

/// What is known of a key, and whether it is ours to work on now.
pub(super) struct Claim {
    pub locked: bool,
    pub stored: Option<Stored>,
    /// The key stands for a hold of a flash sale or a place in its line.
    pub is_hold: bool,
}

/// The answer that was given.
pub(super) struct Stored {
    pub operation: String,
    pub body_hash: Vec<u8>,
    pub status: i16,
    pub response: Value,
}

/// Locks the key until the transaction ends, without waiting, and reads its row.
///
/// One statement has one snapshot, taken before the lock: a row committed in between is
/// not seen here, and [`keep`] then meets it.
pub(super) async fn claim(
    tx: &mut PgConnection,
    lock: i64,
    user: UserId,
    key: RequestId,
) -> Result<Claim, sqlx::Error> {
    let row = sqlx::query!(
        r#"select l.locked as "locked!", k.operation as "operation?", k.body_hash as "body_hash?",
                  k.status as "status?", k.response as "response?",
                  exists (select 1 from reservations r where r.user_id = $2 and r.request_id = $3)
                  or exists (select 1 from reservation_waitlist w where w.user_id = $2 and w.request_id = $3)
                      as "is_hold!"
             from (select pg_try_advisory_xact_lock($1) as locked) l
             left join idempotency_keys k on k.user_id = $2 and k.key = $3"#,
        lock,
        user.0,
        key.0
    )
    .fetch_one(tx)
    .await?;
    let stored = match (row.operation, row.body_hash, row.status, row.response) {
        (Some(operation), Some(body_hash), Some(status), Some(response)) => Some(Stored {
            operation,
            body_hash,
            status,
            response,
        }),
        _ => None,
    };
    Ok(Claim {
        locked: row.locked,
        stored,
        is_hold: row.is_hold,
    })
}

/// Keeps the answer; false: another one is there.
pub(super) async fn keep(
    tx: &mut PgConnection,
    user: UserId,
    key: RequestId,
    operation: &str,
    body_hash: &[u8],
    status: u16,
    response: Value,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into idempotency_keys (user_id, key, operation, body_hash, status, response)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (user_id, key) do nothing",
        user.0,
        key.0,
        operation,
        body_hash,
        i16::try_from(status).unwrap_or(i16::MAX),
        response
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces an answer that still is `before`.
pub(super) async fn replace(
    conn: &mut PgConnection,
    user: UserId,
    key: RequestId,
    before: &Value,
    after: &Value,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update idempotency_keys set response = $4 where user_id = $1 and key = $2 and response = $3",
        user.0,
        key.0,
        before,
        after
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The answer that is kept.
pub(super) async fn kept(conn: &mut PgConnection, user: UserId, key: RequestId) -> Result<Option<Value>, sqlx::Error> {
    sqlx::query_scalar!(
        "select response from idempotency_keys where user_id = $1 and key = $2",
        user.0,
        key.0
    )
    .fetch_optional(conn)
    .await
}

/// Deletes what is older than a day, some at a time; how many.
pub(super) async fn delete_old(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from idempotency_keys where (user_id, key) in (
             select user_id, key from idempotency_keys
              where created_at < now() - interval '24 hours' order by created_at limit $1)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
