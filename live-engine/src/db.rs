//! Postgres from the engine's point of view: a pool on threads of its own, so that no
//! worker's runtime ever waits behind a database socket, and a bounded, timed way to
//! ask it something from a worker.
//!
//! Nothing here knows a table. A caller never learns a cause of ours: faults are logged
//! here, once, and answered as `internal`, `overloaded` or `database_unavailable`.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::db::DbOptions;
use shared::error::{ErrorCode, Refusal};
use sqlx::{PgConnection, PgPool};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// How long anybody who waits for an answer is kept waiting.
pub const CALL_DEADLINE: Duration = Duration::from_secs(2);
/// How many calls may wait for their turn.
const CALLS_WAITING: usize = 1024;
/// How long the tasks may take to end when the engine stops.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// Why a piece of work on the database brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is to be told.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database failed.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Stored data cannot be read or written.
    #[error("stored data: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

/// What a failure of the database means for whoever asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It does not answer: try again later.
    Away,
    /// A lock or a time limit was in the way: try again.
    Busy,
    /// It refuses this data (a constraint, a value it cannot store): never try again.
    Data,
    /// A defect or a fault of the machine.
    Fault,
}

impl Failure {
    /// Reads it off an error, by SQLSTATE class where the server sent one.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::of_sqlstate(error.code().as_deref().unwrap_or_default()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Away,
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Self::Data,
            _ => Self::Fault,
        }
    }

    /// Postgres, Appendix A: error codes.
    fn of_sqlstate(code: &str) -> Self {
        match code {
            // Lock not available, query cancelled by a time limit, deadlock, serialization.
            "55P03" | "57014" | "40P01" | "40001" => Self::Busy,
            // Read-only: the server that answers is not (or no longer) the primary.
            "25006" => Self::Away,
            _ => match code.get(..2) {
                Some("08" | "57" | "53") => Self::Away,
                Some("22" | "23" | "54") => Self::Data,
                _ => Self::Fault,
            },
        }
    }

    /// What the caller hears.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Away => ErrorCode::DatabaseUnavailable,
            Self::Busy => ErrorCode::Overloaded,
            Self::Data | Self::Fault => ErrorCode::Internal,
        }
    }
}

/// Whether the database answers, and the one place that logs when it does not: an
/// outage is logged when it begins and when it ends, any other fault each time.
#[derive(Debug, Default)]
pub struct Health {
    away: AtomicBool,
}

impl Health {
    /// Notes a failure met while doing `what`.
    pub fn failed(&self, what: &'static str, error: &sqlx::Error) -> Failure {
        let failure = Failure::of(error);
        match failure {
            Failure::Away if !self.away.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, what, "the database does not answer");
            }
            Failure::Away => tracing::debug!(%error, what, "the database still does not answer"),
            Failure::Busy => tracing::warn!(%error, what, "the database is busy"),
            Failure::Data | Failure::Fault => tracing::error!(%error, what, "the database refused"),
        }
        failure
    }

    /// Notes that it answered.
    pub fn answered(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the database answers again");
        }
    }
}

/// Does `work` on a connection of the pool, getting one included, within `deadline`. What
/// takes longer has failed as if no connection had been free; it may be done all the
/// same, and its connection is closed, since its answer may still come or never.
///
/// # Errors
/// The work's own, or the pool's.
pub async fn within<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    deadline: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let until = tokio::time::Instant::now() + deadline;
    let Ok(conn) = tokio::time::timeout_at(until, pool.acquire()).await else {
        return Err(sqlx::Error::PoolTimedOut.into());
    };
    let mut conn = conn?;
    let Ok(done) = tokio::time::timeout_at(until, work(&mut conn)).await else {
        conn.close_on_drop();
        return Err(sqlx::Error::PoolTimedOut.into());
    };
    done
}

/// The database, shared by the engine's parts. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    shared: Arc<Shared>,
}

struct Shared {
    pool: PgPool,
    handle: Handle,
    health: Arc<Health>,
    waiting: Semaphore,
    running: Arc<Semaphore>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    runtime: Mutex<Option<Runtime>>,
    max_connections: u32,
}

impl Drop for Shared {
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            // Not the waiting kind: the last handle may go on one of its own threads.
            runtime.shutdown_background();
        }
    }
}

impl Db {
    /// Starts two threads of their own, opens a pool there and checks the database.
    ///
    /// # Errors
    /// When the threads cannot be started, or see [`shared::db::DbError`].
    pub async fn start(url: &str, options: DbOptions) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(2)
            .thread_name("engine-db")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let url = url.to_owned();
        let max_connections = options.max_connections;
        let opened = handle
            .spawn(async move { shared::db::connect(&url, &options).await })
            .await;
        let pool = match opened {
            Ok(Ok(pool)) => pool,
            failed => {
                runtime.shutdown_background();
                failed??;
                anyhow::bail!("the database's threads ended");
            }
        };
        Ok(Self {
            shared: Arc::new(Shared {
                pool,
                handle,
                health: Arc::default(),
                waiting: Semaphore::new(CALLS_WAITING),
                // Half for calls; the rest is for holds, the persister, tickets and the feed.
                running: Arc::new(Semaphore::new((max_connections as usize / 2).max(1))),
                tasks: TaskTracker::new(),
                stopping: CancellationToken::new(),
                runtime: Mutex::new(Some(runtime)),
                max_connections,
            }),
        })
    }

    /// Does `work` on the database's threads and waits for it, two seconds at most. When
    /// they are over, the work is given up; what it had begun to commit may still be
    /// committed, so whatever must be known for certain goes under a request id.
    ///
    /// # Errors
    /// The work's own refusal; `overloaded` when too many calls wait; `internal` or
    /// `database_unavailable` after a fault, which is logged.
    pub async fn call<T, F>(&self, work: impl FnOnce(PgPool) -> F + Send + 'static) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        let shared = &self.shared;
        let Ok(_waiting) = shared.waiting.try_acquire() else {
            return Err(ErrorCode::Overloaded.into());
        };
        let (pool, running, health) = (shared.pool.clone(), shared.running.clone(), shared.health.clone());
        let work = async move {
            let timed = tokio::time::timeout(CALL_DEADLINE, async {
                // Never closed, so it is always got.
                let _permit = running.acquire_owned().await;
                work(pool).await
            });
            match timed.await {
                Ok(Ok(value)) => {
                    health.answered();
                    Ok(value)
                }
                Ok(Err(Error::Refused(refusal))) => Err(refusal),
                Ok(Err(Error::Sql(error))) => Err(health.failed("a call", &error).code().into()),
                Ok(Err(Error::Json(error))) => {
                    tracing::error!(%error, "stored data cannot be read");
                    Err(ErrorCode::Internal.into())
                }
                Err(_) => {
                    tracing::warn!("a call to the database was given up after its deadline");
                    Err(ErrorCode::DatabaseUnavailable.into())
                }
            }
        };
        let task = self.spawn(work.in_current_span());
        // An error means that the threads are gone, or that the work panicked (and was logged).
        task.await
            .unwrap_or_else(|_| Err(ErrorCode::DatabaseUnavailable.into()))
    }

    /// Starts a task on the database's threads; [`Self::stop`] waits for it.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.shared.tasks.spawn_on(task, &self.shared.handle)
    }

    /// A way to start tasks that does not keep the threads alive.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        Spawner {
            tasks: self.shared.tasks.clone(),
            handle: self.shared.handle.clone(),
        }
    }

    /// The pool, for tasks on the database's own threads.
    #[must_use]
    pub fn pool(&self) -> PgPool {
        self.shared.pool.clone()
    }

    /// Whether the database answers.
    #[must_use]
    pub fn health(&self) -> Arc<Health> {
        self.shared.health.clone()
    }

    /// Cancelled when the engine stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.shared.stopping.clone()
    }

    /// Connections at most.
    #[must_use]
    pub fn max_connections(&self) -> usize {
        self.shared.max_connections as usize
    }

    /// Ends every task, within five seconds, and closes the pool. Flush the persister first.
    pub async fn stop(&self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        let _ = tokio::time::timeout(STOP_DEADLINE, self.shared.tasks.wait()).await;
        let _ = tokio::time::timeout(STOP_DEADLINE, self.shared.pool.close()).await;
        let runtime = self
            .shared
            .runtime
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

/// Starts tasks on the database's threads without keeping those alive.
#[derive(Clone)]
pub struct Spawner {
    tasks: TaskTracker,
    handle: Handle,
}

impl Spawner {
    /// Starts a task; [`Db::stop`] waits for it.
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn_on(task, &self.handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_database_refuses_for_good_is_given_up() {
        for (code, failure) in [
            ("23503", Failure::Data),
            ("23514", Failure::Data),
            ("22021", Failure::Data),
            ("22P05", Failure::Data),
            ("57P01", Failure::Away),
            ("57P03", Failure::Away),
            ("53300", Failure::Away),
            ("08006", Failure::Away),
            ("57014", Failure::Busy),
            ("55P03", Failure::Busy),
            ("40P01", Failure::Busy),
            ("42P01", Failure::Fault),
            ("XX000", Failure::Fault),
        ] {
            assert_eq!(Failure::of_sqlstate(code), failure, "{code}");
        }
    }
}
