//! Tickets are spent once: their ids are inserted into `spent_tickets` in batches that
//! pace themselves, and whoever's insert brought the row back may come in, unless they
//! were shut out since the ticket was made: suspended, signed out, or banned. That the
//! ticket is signed and has not expired was checked before.

mod store;

use std::collections::HashMap;
use std::time::Duration;

use shared::Timestamp;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{GuestId, SellerId, StreamId, UserId};
use shared::token::{Ticket, Viewer};
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::db::{self, CALL_DEADLINE, Db};
use crate::revoked;

/// Tickets in one statement at most.
const MAX_BATCH: usize = 512;
/// Tickets that may wait.
const WAITING: usize = 16_384;
/// How often ids of expired tickets are forgotten.
const PURGE_EVERY: Duration = Duration::from_secs(60);

/// A ticket to be spent.
#[derive(Clone, Copy)]
struct Asked {
    id: Uuid,
    expires_at: Timestamp,
    stream: StreamId,
    user: Option<UserId>,
    guest: Option<GuestId>,
    session: Option<Uuid>,
}

struct Spend {
    asked: Asked,
    answer: oneshot::Sender<Result<Option<SellerId>, Refusal>>,
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

    /// Spends a ticket: whose show it is for, if there is one. When it is refused, the ticket may be spent
    /// all the same: a new one is needed. Safe to cancel.
    ///
    /// # Errors
    /// `ticket_invalid` for one that was spent before or whose session is over,
    /// `account_suspended`, `banned`, `overloaded`,
    /// `database_unavailable` (within two seconds), `internal`.
    pub async fn spend(&self, ticket: &Ticket, expires_at: Timestamp) -> Result<Option<SellerId>, Refusal> {
        let (answer, answered) = oneshot::channel();
        let (user, guest) = match ticket.viewer {
            Viewer::User { id, .. } => (Some(id), None),
            Viewer::Guest { id } => (None, Some(id)),
        };
        let asked = Asked {
            id: ticket.jti,
            expires_at,
            stream: ticket.stream,
            user,
            guest,
            session: ticket.session,
        };
        let spend = Spend { asked, answer };
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
            for Spend { asked, answer } in batch.drain(..) {
                // Removed, so that of two with one id only the first comes in.
                let result = match &mut spent {
                    Ok(spent) => admit(spent.remove(&asked.id)),
                    Err(code) => Err((*code).into()),
                };
                // Somebody who has just given up needs no answer.
                let _ = answer.send(result);
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

/// Whether whoever has spent a ticket may come in.
fn admit(spent: Option<store::Spent>) -> Result<Option<SellerId>, Refusal> {
    let spent = spent.ok_or(ErrorCode::TicketInvalid)?;
    if spent.suspended {
        return Err(ErrorCode::AccountSuspended.into());
    }
    if spent.signed_out {
        return Err(revoked::session_over());
    }
    if spent.banned {
        return Err(revoked::banned(&spent.reason, spent.left_ms));
    }
    Ok(spent.seller)
}

async fn spend_all(pool: &sqlx::PgPool, batch: &[Spend]) -> Result<HashMap<Uuid, store::Spent>, sqlx::Error> {
    let asked: Vec<_> = batch.iter().map(|spend| spend.asked).collect();
    let work = async |conn: &mut PgConnection| store::spend(conn, &asked).await;
    db::alone(pool, work).await
}

async fn purge(pool: &sqlx::PgPool) -> Result<(), sqlx::Error> {
    let work = async |conn: &mut PgConnection| store::forget_expired(conn).await;
    db::alone(pool, work).await
}
