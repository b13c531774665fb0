//! The one task that stores: batch after batch, each a transaction, never the next one
//! before the last is settled.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::StreamId;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::queue::{Mark, Queue};
use super::{Entry, store};
use crate::db::{self, CALL_DEADLINE, Db, Error, Failure, Health};
use crate::types::{PersistReport, Sink};

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
        }
    }

    pub(super) async fn run(self) {
        let mut reactions_at = Instant::now() + REACTIONS_EVERY;
        loop {
            let batch = self.queue.take();
            let idle = batch.is_empty();
            if !idle {
                if self.store(&batch).await.is_err() {
                    return;
                }
                self.queue.settle(&batch);
                self.progress.send_modify(|mark| mark.entries += batch.len() as u64);
                metrics::histogram!("engine_persist_batch_rows").record(batch.len() as f64);
            }
            let flushed = self.progress.borrow().flushes;
            if Instant::now() >= reactions_at || self.queue.flushes() > flushed {
                self.store_reactions().await;
                reactions_at = Instant::now() + REACTIONS_EVERY;
            }
            if idle {
                tokio::select! {
                    () = self.queue.wake.notified() => {}
                    () = tokio::time::sleep_until(reactions_at) => {}
                    () = self.stopping.cancelled() => return,
                }
            }
        }
    }

    /// Stores a batch, whatever it takes, unless the engine stops. A part that the
    /// database refuses is halved until the one bad row is found and set aside; parts
    /// are settled from the oldest to the youngest, so that a prefix is stored always.
    async fn store(&self, batch: &[Entry]) -> Result<(), Stopped> {
        let mut parts: Vec<Range<usize>> = Vec::from([Range {
            start: 0,
            end: batch.len(),
        }]);
        let mut pause = FIRST_PAUSE;
        while let Some(part) = parts.pop() {
            let entries = &batch[part.clone()];
            let error = match self.attempt(entries, None).await {
                Ok(leases) => {
                    pause = FIRST_PAUSE;
                    self.report(entries, &leases);
                    continue;
                }
                Err(error) => error,
            };
            if failure_of(&error) != Failure::Data {
                parts.push(part);
                self.wait(&error, &mut pause).await?;
            } else if entries.len() > 1 {
                let middle = part.start + entries.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
            } else {
                self.reject(entries, &error.to_string()).await?;
            }
        }
        Ok(())
    }

    /// Keeps a refused row in `persist_rejects`.
    async fn reject(&self, entry: &[Entry], cause: &str) -> Result<(), Stopped> {
        let mut pause = FIRST_PAUSE;
        let leases = loop {
            match self.attempt(entry, Some(cause)).await {
                Ok(leases) => break leases,
                // Not even as a reject: the log is the last place that can keep it.
                Err(error) if failure_of(&error) == Failure::Data => {
                    tracing::error!(%error, ?entry, "an event cannot be kept in persist_rejects either");
                    break entry.iter().map(|entry| (entry.stream, entry.epoch)).collect();
                }
                Err(error) => self.wait(&error, &mut pause).await?,
            }
        };
        for Entry { stream, epoch, seq, .. } in entry {
            tracing::error!(%stream, epoch, seq, cause, "the database refuses an event; it is kept in persist_rejects");
            metrics::counter!("engine_persist_rejected_total").increment(1);
            self.sink.persisted(if leases.get(stream) == Some(epoch) {
                PersistReport::Rejected {
                    stream: *stream,
                    epoch: *epoch,
                    seq: *seq,
                }
            } else {
                PersistReport::Fenced {
                    stream: *stream,
                    epoch: *epoch,
                }
            });
        }
        Ok(())
    }

    /// One transaction: the entries' rows, or with a `cause` their place among the rejects.
    async fn attempt(&self, entries: &[Entry], cause: Option<&str>) -> Result<BTreeMap<StreamId, i64>, Error> {
        let work = async |conn: &mut PgConnection| transact(conn, entries, cause).await;
        let done = db::within(&self.pool, ATTEMPT_DEADLINE, work).await;
        if done.is_ok() {
            self.health.answered();
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

    fn report(&self, entries: &[Entry], leases: &BTreeMap<StreamId, i64>) {
        let mut rooms: BTreeMap<(StreamId, i64), u64> = BTreeMap::new();
        for entry in entries {
            let up_to = rooms.entry((entry.stream, entry.epoch)).or_default();
            *up_to = (*up_to).max(entry.seq);
        }
        for ((stream, epoch), up_to) in rooms {
            self.sink.persisted(if leases.get(&stream) == Some(&epoch) {
                PersistReport::Committed { stream, epoch, up_to }
            } else {
                metrics::counter!("engine_persist_fenced_total").increment(1);
                PersistReport::Fenced { stream, epoch }
            });
        }
    }

    /// Stores the reactions so far; while that fails they stay and add up. Events wait
    /// meanwhile, so it gives up soon; what was stored all the same counts twice then.
    async fn store_reactions(&self) {
        let (reactions, flushes) = self.queue.take_reactions();
        if !reactions.is_empty() {
            let work = async |conn: &mut PgConnection| store::add_reactions(conn, &reactions).await;
            match db::within(&self.pool, CALL_DEADLINE, work).await {
                Ok(()) => self.health.answered(),
                Err(error) => {
                    if self.health.failed("storing reactions", &error) != Failure::Data {
                        self.queue.return_reactions(reactions);
                        return;
                    }
                }
            }
        }
        self.progress.send_modify(|mark| mark.flushes = flushes);
    }
}

async fn transact(
    conn: &mut PgConnection,
    entries: &[Entry],
    cause: Option<&str>,
) -> Result<BTreeMap<StreamId, i64>, Error> {
    let mut streams: Vec<_> = entries.iter().map(|entry| entry.stream.0).collect();
    streams.sort_unstable();
    streams.dedup();
    let mut tx = conn.begin().await?;
    let leases = store::lock_leases(&mut tx, &streams).await?;
    match cause {
        None => {
            store::insert_chat(&mut tx, entries).await?;
            store::insert_events(&mut tx, entries).await?;
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

fn failure_of(error: &Error) -> Failure {
    match error {
        Error::Sql(error) => Failure::of(error),
        // An event that cannot be written as JSON never will be.
        Error::Json(_) => Failure::Data,
        Error::Refused(_) => Failure::Fault,
    }
}
