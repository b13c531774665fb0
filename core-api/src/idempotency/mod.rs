//! Doing an act once, however often it is asked for. The key's row is written in the
//! work's own transaction, together with the answer, so that a crash leaves either both
//! or nothing: never a key that blocks. A refusal is not kept; the act may be tried again.

mod store;

use std::fmt::Debug;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::error::{ErrorCode, Refusal};
use shared::idempotency::{IN_FLIGHT_RETRY_MS, body_hash, lock_key};
use shared::ids::{RequestId, UserId};
use sqlx::{Connection, PgConnection, PgPool};

use crate::faults::{self, Step};
use crate::http::{Error, Result};

/// Answers forgotten in one transaction at most.
const SWEEP_BATCH: u32 = 10_000;
/// Transactions of one run at most; the next run goes on.
const SWEEP_BATCHES_MAX: u32 = 100;

/// The answer to an act: the first one, whichever time it is asked for.
#[derive(Debug)]
pub struct Answer<T> {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: T,
    /// Whether it was given before.
    pub replayed: bool,
}

impl<T: Serialize> Responder for Answer<T> {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        if self.replayed {
            response.insert_header(("Idempotency-Replayed", "true"));
        }
        response.json(self.body)
    }
}

/// Runs `work` in one transaction with the key's row. `body` is everything that makes
/// this act another one, ids in the path included.
///
/// # Errors
/// `RequestIdReused` when the key stands for another operation or body,
/// `RequestInFlight` while the same request is being worked on, and what `work` refuses.
pub async fn once<T, W>(
    db: &PgPool,
    user: UserId,
    key: RequestId,
    operation: &'static str,
    body: &impl Serialize,
    status: u16,
    work: W,
) -> Result<Answer<T>>
where
    T: Serialize + DeserializeOwned,
    W: AsyncFnOnce(&mut PgConnection) -> Result<T>,
{
    let hash = body_hash(body).map_err(anyhow::Error::new)?;
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let done = attempt(&mut tx, user, key, operation, &hash, status, work).await;
    match done {
        Ok(answer) => {
            faults::around_act(operation, tx.commit()).await?;
            Ok(answer)
        }
        Err(error) => {
            // Now and not when the connection is next used: the caller may ask again at
            // once and must not meet this transaction's locks.
            tx.rollback().await?;
            // The same request may have been committed between our look and our lock, and
            // what refused us is that it was done. The next attempt finds its answer.
            let late = matches!(error, Error::Refused(_)) && error.code() != ErrorCode::RequestIdReused;
            if late && let Ok(Some(_)) = store::kept(&mut connection, user, key).await {
                return Err(in_flight());
            }
            Err(error)
        }
    }
}

async fn attempt<T, W>(
    tx: &mut PgConnection,
    user: UserId,
    key: RequestId,
    operation: &'static str,
    hash: &[u8],
    status: u16,
    work: W,
) -> Result<Answer<T>>
where
    T: Serialize + DeserializeOwned,
    W: AsyncFnOnce(&mut PgConnection) -> Result<T>,
{
    let found = store::claim(tx, lock_key(user, key), user, key).await?;
    if !found.locked {
        return Err(in_flight());
    }
    if let Some(stored) = found.stored {
        if stored.operation != operation || stored.body_hash != hash {
            return Err(ErrorCode::RequestIdReused.into());
        }
        let body = serde_json::from_value(stored.response).map_err(anyhow::Error::new)?;
        return Ok(Answer {
            status: u16::try_from(stored.status).map_err(anyhow::Error::new)?,
            body,
            replayed: true,
        });
    }
    if found.is_hold {
        return Err(ErrorCode::RequestIdReused.into());
    }
    let body = work(&mut *tx).await?;
    let response = serde_json::to_value(&body).map_err(anyhow::Error::new)?;
    let kept = store::keep(tx, user, key, operation, hash, status, response).await?;
    if !kept {
        // The same request was committed between our look and our lock. Nothing of ours
        // stays, and the next attempt finds its answer.
        return Err(in_flight());
    }
    Ok(Answer {
        status,
        body,
        replayed: false,
    })
}

fn in_flight() -> Error {
    Refusal::from(ErrorCode::RequestInFlight)
        .retry_after_ms(IN_FLIGHT_RETRY_MS)
        .into()
}

/// Replaces the answer kept under a key, if it still is `before`: for work that commits an
/// intention under the key and has its answer only later. Returns what is kept then,
/// which is another's answer if theirs came first.
///
/// # Errors
/// When the database fails.
pub async fn replace<T>(db: &PgPool, user: UserId, key: RequestId, before: &T, after: &T) -> Result<T>
where
    T: Serialize + DeserializeOwned,
{
    let mut conn = db.acquire().await?;
    let before = serde_json::to_value(before).map_err(anyhow::Error::new)?;
    let after = serde_json::to_value(after).map_err(anyhow::Error::new)?;
    let replacing = store::replace(&mut conn, user, key, &before, &after);
    if faults::around(Step::AnswerKeep, replacing).await? {
        return Ok(serde_json::from_value(after).map_err(anyhow::Error::new)?);
    }
    let kept = store::kept(&mut conn, user, key).await?;
    Ok(serde_json::from_value(kept.unwrap_or(after)).map_err(anyhow::Error::new)?)
}

/// Forgets answers older than a day: all of them, or as many as one run may take.
///
/// # Errors
/// When the database fails.
pub async fn sweep(db: &PgPool) -> Result<()> {
    for _ in 0..SWEEP_BATCHES_MAX {
        let deleted = store::delete_old(&mut *db.acquire().await?, SWEEP_BATCH.into()).await?;
        if deleted < u64::from(SWEEP_BATCH) {
            break;
        }
    }
    Ok(())
}
