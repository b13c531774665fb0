//! A person's own business in a show: what of their holds, places in line and orders is
//! open. Whoever joins is told of it, and whoever comes back if it may be news to them.
//!
//! Read for many people in three statements, so that ten thousand who come at once cost
//! some tens of queries. Whether there can be news at all, [`News`] knows.

mod news;
mod store;

use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{StreamId, UserId};
use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::db::{self, CALL_DEADLINE, Db, Health};
use crate::metrics;
use crate::types::Own;
pub use news::News;
pub use store::open_business;

/// People in one query at most.
const MAX_BATCH: usize = 1024;
/// People that may wait.
const WAITING: usize = 65_536;
/// How far apart two queries begin: who asks alone is answered at once.
const PACE: Duration = Duration::from_millis(50);

struct Wish {
    user: UserId,
    stream: StreamId,
    answer: oneshot::Sender<Result<Own, Refusal>>,
}

/// Reads what people have open. Cheap to clone.
#[derive(Clone)]
pub struct Owns {
    queue: mpsc::Sender<Wish>,
}

impl Owns {
    /// Starts reading, on the database's threads.
    #[must_use]
    pub fn start(db: &Db) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING);
        let reader = Reader {
            pool: db.pool(),
            health: db.health(),
            stopping: db.stopping(),
        };
        db.spawn(reader.run(waiting));
        Self { queue }
    }

    /// What of a person's business in a show is open. Safe to cancel.
    ///
    /// # Errors
    /// `overloaded`, `database_unavailable` (within two seconds), `internal`.
    pub async fn of(&self, user: UserId, stream: StreamId) -> Result<Own, Refusal> {
        let (answer, answered) = oneshot::channel();
        if self.queue.try_send(Wish { user, stream, answer }).is_err() {
            return Err(Refusal::from(ErrorCode::Overloaded).retry_after_ms(1000));
        }
        match tokio::time::timeout(CALL_DEADLINE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(ErrorCode::DatabaseUnavailable.into()),
        }
    }
}

struct Reader {
    pool: sqlx::PgPool,
    health: std::sync::Arc<Health>,
    stopping: tokio_util::sync::CancellationToken,
}

impl Reader {
    async fn run(self, mut waiting: mpsc::Receiver<Wish>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut batch, MAX_BATCH) => if count == 0 { return },
                () = self.stopping.cancelled() => return,
            }
            let next = Instant::now() + PACE;
            // Whoever has given up takes no place in the query.
            batch.retain(|wish| !wish.answer.is_closed());
            if !batch.is_empty() {
                self.answer(std::mem::take(&mut batch)).await;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    async fn answer(&self, batch: Vec<Wish>) {
        metrics::own_batch(batch.len());
        let people: Vec<_> = batch.iter().map(|wish| (wish.user, wish.stream)).collect();
        let work = async |conn: &mut PgConnection| store::open_business(conn, &people).await;
        let mut read = db::alone(&self.pool, work)
            .await
            .map_err(|error| self.health.failed("reading own holds and orders", &error).code());
        if read.is_ok() {
            self.health.answered();
        }
        for (place, wish) in batch.into_iter().enumerate() {
            let result = match &mut read {
                Ok(owns) => Ok(owns.get_mut(place).map(std::mem::take).unwrap_or_default()),
                Err(code) => Err((*code).into()),
            };
            // Somebody who has just given up needs no answer.
            let _ = wish.answer.send(result);
        }
    }
}
