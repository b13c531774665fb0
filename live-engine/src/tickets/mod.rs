//! Tickets are spent once: their ids are inserted into `spent_tickets` in batches that
//! pace themselves, and whoever's insert brought the row back may come in. Nothing here
//! reads a ticket; what it says and whether it has expired was checked before.

mod store;

use std::collections::HashSet;
use std::time::Duration;

use shared::Timestamp;
use shared::error::{ErrorCode, Refusal};
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::db::{self, CALL_DEADLINE, Db};

/// Tickets in one statement at most.
const MAX_BATCH: usize = 512;
/// Tickets that may wait.
const WAITING: usize = 16_384;
/// How often ids of expired tickets are forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(60);

struct Spend {
    id: Uuid,
    expires_at: Timestamp,
    answer: oneshot::Sender<Result<bool, Refusal>>,
}

/// Spends tickets. Cheap to clone.
#[derive(Clone)]
pub struct Tickets {
    queue: mpsc::Sender<Spend>,
}

impl Tickets {
    /// Starts spending, on the database's threads.
    #[must_use]
    pub fn start(db: &Db) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        db.spawn(run(db.pool(), db.health(), db.stopping(), waiting));
        Self { queue }
    }

    /// Spends a ticket; false: it was spent before. When it is refused, the ticket may be
    /// spent all the same: a new one is needed. Safe to cancel.
    ///
    /// # Errors
    /// `overloaded`, `database_unavailable` (within two seconds), `internal`.
    pub async fn spend(&self, id: Uuid, expires_at: Timestamp) -> Result<bool, Refusal> {
        let (answer, answered) = oneshot::channel();
        let spend = Spend { id, expires_at, answer };
        if self.queue.try_send(spend).is_err() {
            return Err(Refusal::from(ErrorCode::Overloaded).retry_after_ms(1000));
        }
        match tokio::time::timeout(CALL_DEADLINE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(ErrorCode::DatabaseUnavailable.into()),
        }
    }
}

async fn run(
    pool: sqlx::PgPool,
    health: std::sync::Arc<crate::db::Health>,
    stopping: tokio_util::sync::CancellationToken,
    mut waiting: mpsc::Receiver<Spend>,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut purge_at = Instant::now() + PURGE_EVERY;
    loop {
        tokio::select! {
            count = waiting.recv_many(&mut batch, MAX_BATCH) => {
                if count == 0 {
                    return;
                }
            }
            () = tokio::time::sleep_until(purge_at) => {}
            () = stopping.cancelled() => return,
        }
        // Whoever has given up takes no place in the statement.
        batch.retain(|spend| !spend.answer.is_closed());
        if !batch.is_empty() {
            let mut spent = spend_all(&pool, &batch)
                .await
                .map_err(|error| health.failed("spending tickets", &error).code());
            for Spend { id, answer, .. } in batch.drain(..) {
                // Removed, so that of two with one id only the first comes in.
                let result = spent.as_mut().map(|spent| spent.remove(&id));
                // Somebody who has just given up needs no answer.
                let _ = answer.send(result.map_err(|code| (*code).into()));
            }
        }
        if Instant::now() >= purge_at {
            purge_at = Instant::now() + PURGE_EVERY;
            if let Err(error) = purge(&pool).await {
                health.failed("forgetting expired tickets", &error);
            }
        }
    }
}

async fn spend_all(pool: &sqlx::PgPool, batch: &[Spend]) -> Result<HashSet<Uuid>, sqlx::Error> {
    let (ids, expiries): (Vec<_>, Vec<_>) = batch.iter().map(|spend| (spend.id, spend.expires_at)).unzip();
    let work = async |conn: &mut PgConnection| store::spend(conn, &ids, &expiries).await;
    db::within(pool, CALL_DEADLINE, work).await
}

async fn purge(pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    let work = async |conn: &mut PgConnection| store::forget_expired(conn).await;
    db::within(pool, CALL_DEADLINE, work).await
}
