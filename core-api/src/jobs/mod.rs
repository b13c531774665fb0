//! What happens when time runs out, and what is cleared away: one task for each kind of
//! work, in bounded batches, on every node at once without harm (rows are taken with
//! `skip locked`). The steps are the features' own and can be called by themselves.

mod store;

use std::time::Duration;

use rand::Rng as _;
use sqlx::PgPool;
use tokio_util::task::TaskTracker;

use crate::catalog::{files, pages};
use crate::http::Result;
use crate::state::State;
use crate::{checkout, flash, history, moderation, orders, payments, streams};

/// Rows of one transaction at most.
const BATCH: u32 = 100;
/// Rows of one deletion at most.
const PRUNE_BATCH: u32 = 10_000;
/// Batches of one import at a time; between them the service may stop.
const IMPORT_BATCHES: u32 = 20;
/// How often what is of no use any more is cleared away.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Starts them all; they end when the service stops.
pub(crate) fn start(tasks: &TaskTracker, state: &State) {
    let interval = state.config.commerce.job_interval;
    let job = |name, interval, batch| Job { name, interval, batch };
    spawn(
        tasks,
        state,
        job("expire checkouts", interval, BATCH),
        |state| async move { checkout::expire(&state.db, &state.bus, BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("expire orders", interval, BATCH),
        |state| async move { orders::expire(&state.db, &state.bus, BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("reconcile payments", interval, BATCH),
        |state| async move { payments::reconcile(&state.till, BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("sweep flash sales", interval, BATCH),
        |state| async move { flash::sweep(&state.db, &state.bus, BATCH).await },
    );
    spawn(tasks, state, job("count shows", interval, BATCH), |state| async move {
        history::summarise_left_behind(&state.db, BATCH).await
    });
    spawn(
        tasks,
        state,
        job("prune attendance", PRUNE_EVERY, PRUNE_BATCH),
        |state| async move { history::prune_attendance(&state.db, PRUNE_BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("prune tickets", PRUNE_EVERY, PRUNE_BATCH),
        |state| async move { streams::prune_tickets(&state.db, PRUNE_BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("prune bans", PRUNE_EVERY, PRUNE_BATCH),
        |state| async move { moderation::prune(&state.db, PRUNE_BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("outbox prune", PRUNE_EVERY, PRUNE_BATCH),
        |state| async move { prune_outbox(&state.db, PRUNE_BATCH).await },
    );
    spawn(tasks, state, job("import products", interval, 1), |state| async move {
        files::import_some(&state.db, &state.bus, IMPORT_BATCHES).await
    });
    spawn(
        tasks,
        state,
        job("prune imports", PRUNE_EVERY, BATCH),
        |state| async move { files::prune(&state.db, BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("prune product changes", PRUNE_EVERY, PRUNE_BATCH),
        |state| async move { pages::prune_changes(&state.db, PRUNE_BATCH).await },
    );
    spawn(
        tasks,
        state,
        job("prune rejects", PRUNE_EVERY, PRUNE_BATCH),
        |state| async move { prune_rejects(&state.db, PRUNE_BATCH).await },
    );
}

/// Deletes a batch of the outbox: rows that were delivered more than a day ago, and rows
/// an hour old that nobody will take, because their show was over by then or called off.
/// Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune_outbox(db: &PgPool, limit: u32) -> Result<u64> {
    let mut conn = db.acquire().await?;
    let delivered = store::delete_delivered(&mut conn, limit.into()).await?;
    let left_behind = store::delete_left_behind(&mut conn, limit.into()).await?;
    Ok(delivered + left_behind)
}

/// Clears away a batch of what the engine keeps only for a while: the text of rows that
/// the database refused 30 days ago, and what processes that are gone have noted of their
/// reactions. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune_rejects(db: &PgPool, limit: u32) -> Result<u64> {
    let mut conn = db.acquire().await?;
    let emptied = store::empty_rejects(&mut conn, limit.into()).await?;
    let forgotten = store::delete_reaction_writers(&mut conn, limit.into()).await?;
    Ok(emptied + forgotten)
}

/// How a job runs.
#[derive(Clone, Copy)]
struct Job {
    name: &'static str,
    interval: Duration,
    /// A step that does as many finds more to do.
    batch: u32,
}

/// Runs `step` at each interval, and again at once while it finds a full batch. A
/// failure is logged, and the next turn tries again.
fn spawn<F>(tasks: &TaskTracker, state: &State, job: Job, step: impl Fn(State) -> F + Send + 'static)
where
    F: Future<Output = Result<u64>> + Send,
{
    let state = state.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = state.stopping.cancelled() => return,
                () = tokio::time::sleep(jittered(job.interval)) => {}
            }
            while !state.stopping.is_cancelled() {
                match step(state.clone()).await {
                    Ok(done) if done < u64::from(job.batch) => break,
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(job = job.name, %error, "a job failed");
                        break;
                    }
                }
            }
        }
    });
}

/// Within a fifth of the interval, so that nodes that started together drift apart.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.8..1.2))
}
