//! The one task that stores: batch after batch, each a transaction, never the next one
//! before the last is settled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::StreamId;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::Row;
use super::queue::{Mark, Queue};
use super::store;
use super::sums::Sums;
use super::work::{Attempt, Tried, Work};
use crate::db::{self, CALL_DEADLINE, Db, Error, Failure, Health};
use crate::types::{PersistReport, Sink};
use crate::{metrics, trace};

/// How long one transaction may take before its connection is given up.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(15);
/// The pauses between attempts while the database is away.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often reactions are stored.
const REACTIONS_EVERY: Duration = Duration::from_secs(1);

/// The engine stops: what is not stored yet stays so.
struct Stopped;

/// See the module.
pub(super) struct Writer {
    pool: PgPool,
    health: Arc<Health>,
    sink: Arc<dyn Sink>,
    queue: Arc<Queue>,
    progress: watch::Sender<Mark>,
    stopping: CancellationToken,
    /// Names this writer's writes of reactions.
    id: Uuid,
    sums: Sums,
    /// Batches so far.
    batches: u64,
}

impl Writer {
    pub(super) fn new(db: &Db, sink: Arc<dyn Sink>, queue: Arc<Queue>, progress: watch::Sender<Mark>) -> Self {
        Self {
            pool: db.pool(),
            health: db.health(),
            sink,
            queue,
            progress,
            stopping: db.stopping(),
            id: Uuid::now_v7(),
            sums: Sums::default(),
            batches: 0,
        }
    }

    pub(super) async fn run(mut self) {
        let mut reactions_at = Instant::now() + REACTIONS_EVERY;
        loop {
            let work = Work::new(self.queue.take());
            let rows = work.batch().len();
            if rows > 0 {
                self.batches += 1;
                let span = trace::batch(self.batches, work.batch());
                if self.store(work).instrument(span).await.is_err() {
                    return;
                }
                self.progress.send_modify(|mark| mark.entries += rows as u64);
                metrics::persist_batch(rows);
            }
            let flushed = self.progress.borrow().flushes;
            if Instant::now() >= reactions_at || self.queue.flushes() > flushed {
                self.store_reactions().await;
                reactions_at = Instant::now() + REACTIONS_EVERY;
            }
            if rows == 0 {
                tokio::select! {
                    () = self.queue.wake.notified() => {}
                    () = tokio::time::sleep_until(reactions_at) => {}
                    () = self.stopping.cancelled() => return,
                }
            }
        }
    }

    /// Stores a batch, whatever it takes, unless the engine stops.
    async fn store(&self, mut work: Work) -> Result<(), Stopped> {
        let mut pause = FIRST_PAUSE;
        while let Some(attempt) = work.next() {
            // Of the whole batch nothing else is to be said.
            let span = match attempt.entries.len() == work.batch().len() {
                true => trace::transaction("events"),
                false => trace::batch(self.batches, attempt.entries),
            };
            let outcome = match self.attempt(attempt).instrument(span.clone()).await {
                Ok(epochs) => Tried::Stored(epochs),
                Err(error) if failure_of(&error) == Failure::Data => Tried::Refused(error.to_string()),
                Err(error) => {
                    self.wait(&error, &mut pause).await?;
                    continue;
                }
            };
            pause = FIRST_PAUSE;
            let cause = attempt.cause.map(str::to_owned);
            span.in_scope(|| {
                for report in work.tried(outcome) {
                    self.report(report, cause.as_deref());
                }
            });
        }
        self.queue.settle(work.batch());
        Ok(())
    }

    fn report(&self, report: PersistReport, cause: Option<&str>) {
        match report {
            PersistReport::Committed { .. } => {}
            PersistReport::Fenced { .. } => metrics::fenced(),
            PersistReport::Rejected { stream, epoch, seq } => {
                tracing::error!(%stream, epoch, seq, cause, "the database refuses an event; it is kept in persist_rejects");
                metrics::rejected();
            }
        }
        self.sink.persisted(report);
    }

    /// One transaction: the entries' rows, or with a `cause` their place among the rejects.
    async fn attempt(&self, attempt: Attempt<'_>) -> Result<BTreeMap<StreamId, i64>, Error> {
        let work = async |conn: &mut PgConnection| transact(conn, attempt).await;
        let began = Instant::now();
        let done = db::within(&self.pool, ATTEMPT_DEADLINE, work).await;
        if done.is_ok() {
            self.health.answered();
            note(attempt, began.elapsed());
        }
        done
    }

    /// Waits before the next attempt, longer each time.
    async fn wait(&self, error: &Error, pause: &mut Duration) -> Result<(), Stopped> {
        match error {
            Error::Sql(error) => {
                self.health.failed("storing events", error);
            }
            other => tracing::error!(error = %other, "storing events"),
        }
        let stopped = self.stopping.run_until_cancelled(tokio::time::sleep(*pause)).await;
        *pause = (*pause * 2).min(LONGEST_PAUSE);
        stopped.ok_or(Stopped)
    }

    /// Stores the reactions so far; while that fails they stay as they are, and what
    /// comes meanwhile adds up behind them. Events wait too, so it gives up soon.
    async fn store_reactions(&mut self) {
        if self.sums.next().is_none() {
            let (sums, flushes) = self.queue.take_reactions();
            self.sums.take(sums, flushes);
        }
        while let Some((number, sums)) = self.sums.next() {
            let work = async |conn: &mut PgConnection| store::add_reactions(conn, self.id, number, sums).await;
            match db::within(&self.pool, CALL_DEADLINE, work).await {
                Ok(()) => {
                    self.health.answered();
                    self.sums.stored();
                }
                Err(error) => {
                    if self.health.failed("storing reactions", &error) != Failure::Data {
                        return;
                    }
                    if let Some(((stream, kind, minute), count)) = self.sums.refused() {
                        tracing::error!(%stream, kind, %minute, count, "the database refuses a sum of reactions; it is lost");
                    }
                }
            }
        }
        let flushes = self.sums.flushes();
        self.progress.send_modify(|mark| mark.flushes = flushes);
    }
}

async fn transact(conn: &mut PgConnection, attempt: Attempt<'_>) -> Result<BTreeMap<StreamId, i64>, Error> {
    let Attempt { entries, cause } = attempt;
    let mut streams: Vec<_> = entries.iter().map(|entry| entry.stream.0).collect();
    streams.sort_unstable();
    streams.dedup();
    let mut tx = conn.begin().await?;
    let leases = store::lock_leases(&mut tx, &streams).await?;
    match cause {
        None => {
            store::insert_chat(&mut tx, entries).await?;
            store::insert_events(&mut tx, entries).await?;
            store::strike(&mut tx, entries).await?;
        }
        Some(cause) => {
            for entry in entries {
                store::insert_reject(&mut tx, entry, cause).await?;
            }
        }
    }
    store::mark_outbox(&mut tx, entries).await?;
    tx.commit().await?;
    Ok(leases)
}

/// Measures what was stored.
fn note(attempt: Attempt<'_>, took: Duration) {
    metrics::persisted(took);
    if attempt.cause.is_some() {
        return;
    }
    let now = chrono::Utc::now();
    for entry in attempt
        .entries
        .iter()
        .filter(|entry| matches!(entry.row, Row::Chat { .. }))
    {
        // The clock may have been set back.
        metrics::chat_stored((now - entry.at).to_std().unwrap_or_default());
    }
}

fn failure_of(error: &Error) -> Failure {
    match error {
        Error::Sql(error) => Failure::of(error),
        // An event that cannot be written as JSON never will be.
        Error::Json(_) => Failure::Data,
        Error::Refused(_) => Failure::Fault,
    }
}
