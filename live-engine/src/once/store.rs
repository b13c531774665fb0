//! SQL of `idempotency_keys`. The answer is written in the work's own transaction, so that
//! a crash leaves both or nothing.

use serde_json::Value;
use shared::error::{ErrorCode, Refusal};
use shared::idempotency::{IN_FLIGHT_RETRY_MS, lock_key};
use shared::ids::{RequestId, UserId};
use sqlx::PgConnection;

use crate::db::Error;

/// The answer that was given.
pub(crate) struct Stored {
    pub(super) operation: String,
    pub(super) body_hash: Vec<u8>,
    pub(super) response: Value,
}

/// Locks the act's name until the transaction ends and reads what it was answered.
pub(crate) async fn claim(tx: &mut PgConnection, user: UserId, key: RequestId) -> Result<Option<Stored>, Error> {
    let locked = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock($1) as "locked!""#,
        lock_key(user, key)
    )
    .fetch_one(&mut *tx)
    .await?;
    if !locked {
        return Err(in_flight());
    }
    // A statement of its own: its snapshot is younger than the lock.
    let stored = sqlx::query_as!(
        Stored,
        "select operation, body_hash, response from idempotency_keys where user_id = $1 and key = $2",
        user.0,
        key.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    if stored.is_none() && stands_for_hold(tx, user, key).await? {
        return Err(ErrorCode::RequestIdReused.into());
    }
    Ok(stored)
}

/// Whether the key stands for a hold of a flash sale or a place in its line: those are
/// their own record.
async fn stands_for_hold(tx: &mut PgConnection, user: UserId, key: RequestId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from reservations where user_id = $1 and request_id = $2)
               or exists (select 1 from reservation_waitlist where user_id = $1 and request_id = $2) as "e!""#,
        user.0,
        key.0
    )
    .fetch_one(tx)
    .await
}

/// Keeps the answer, in the work's own transaction.
pub(crate) async fn keep(
    tx: &mut PgConnection,
    user: UserId,
    key: RequestId,
    operation: &str,
    hash: &[u8],
    response: Value,
) -> Result<(), Error> {
    let kept = sqlx::query!(
        "insert into idempotency_keys (user_id, key, operation, body_hash, status, response)
         values ($1, $2, $3, $4, 200, $5) on conflict (user_id, key) do nothing",
        user.0,
        key.0,
        operation,
        hash,
        response
    )
    .execute(tx)
    .await?;
    if kept.rows_affected() == 0 {
        // Only somebody without the lock can have been faster.
        return Err(in_flight());
    }
    Ok(())
}

fn in_flight() -> Error {
    Refusal::from(ErrorCode::RequestInFlight)
        .retry_after_ms(IN_FLIGHT_RETRY_MS)
        .into()
}
