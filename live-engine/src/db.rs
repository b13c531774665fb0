//! Postgres from the engine's point of view: a pool on threads of its own, so that no
//! worker's runtime ever waits behind a database socket, and a bounded, timed way to
//! ask it something from a worker.
//!
//! Nothing here knows a table. A caller never learns a cause of ours: faults are logged
//! here, once, and answered as `internal`, `overloaded` or `database_unavailable`.

mod health;
pub mod places;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::db::DbOptions;
use shared::error::{ErrorCode, Refusal};
use sqlx::{PgConnection, PgPool};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

pub use health::{Failure, Health};
pub use places::{Places, Purpose, WAITING_OF_A_PERSON};

/// How long anybody who waits for an answer is kept waiting.
pub const CALL_DEADLINE: Duration = Duration::from_secs(2);
/// How long work may take that nobody waits for any more: longer than the database lets a
/// statement run, so that only a connection that has gone silent is cut.
pub const STATEMENT_DEADLINE: Duration = Duration::from_secs(12);
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

/// Does `work` on a connection of the pool, getting one included, within `deadline`. What
/// takes longer has failed as if no connection had been free; it may be done all the
/// same, and its connection is closed, since its answer may still come or never.
///
/// Only for what has to go on whatever became of it. Whoever can wait uses [`alone`].
///
/// # Errors
/// The work's own, or the pool's.
pub async fn within<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    deadline: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let until = Instant::now() + deadline;
    bounded(pool, until, until, work).await
}

/// The same for a round, which asks one thing at a time: a connection is waited for as
/// long as a call may take, the work until the database has ended it, so that the next
/// one never runs beside it. Whoever waits for the round has a deadline of their own.
///
/// # Errors
/// The work's own, or the pool's.
pub async fn alone<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let now = Instant::now();
    bounded(pool, now + CALL_DEADLINE, now + STATEMENT_DEADLINE, work).await
}

async fn bounded<T, E: From<sqlx::Error>>(
    pool: &PgPool,
    connected_by: Instant,
    done_by: Instant,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
) -> Result<T, E> {
    let Ok(conn) = tokio::time::timeout_at(connected_by, pool.acquire()).await else {
        return Err(sqlx::Error::PoolTimedOut.into());
    };
    let mut conn = conn?;
    let Ok(done) = tokio::time::timeout_at(done_by, work(&mut conn)).await else {
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
    places: [Places; Purpose::ALL.len()],
    tasks: TaskTracker,
    stopping: CancellationToken,
    runtime: Mutex<Option<Runtime>>,
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
                places: Purpose::ALL.map(|purpose| Places::new(purpose.places(max_connections as usize))),
                tasks: TaskTracker::new(),
                stopping: CancellationToken::new(),
                runtime: Mutex::new(Some(runtime)),
            }),
        })
    }

    /// The places of a purpose.
    #[must_use]
    pub fn places(&self, purpose: Purpose) -> &Places {
        &self.shared.places[purpose as usize]
    }

    /// Does `work` on the database's threads and waits for it, two seconds at most. Work
    /// that has not begun by then never does. Work that has goes on to its end, in its
    /// place, and what it commits is committed: whatever must be known for certain goes
    /// under a request id. `person` is whose own business it is, if it is somebody's.
    ///
    /// # Errors
    /// The work's own refusal; `overloaded` when too many calls wait, or too many of this
    /// person; `internal` or `database_unavailable` after a fault, which is logged.
    pub async fn call<T, F>(
        &self,
        purpose: Purpose,
        person: Option<Uuid>,
        work: impl FnOnce(PgPool) -> F + Send + 'static,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        let queued = self.places(purpose).queue(person)?;
        let (pool, health) = (self.pool(), self.health());
        let (mut answer, answered) = oneshot::channel();
        let working = async move {
            let turn = tokio::select! {
                turn = queued.turn() => turn,
                // Nobody waits for it: it need not begin.
                () = answer.closed() => return,
            };
            let done = tokio::time::timeout(STATEMENT_DEADLINE, work(pool)).await;
            drop(turn);
            let done = done.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()));
            // Somebody who has given up needs no answer.
            let _ = answer.send(told(&health, done));
        };
        self.spawn(working.in_current_span());
        match tokio::time::timeout(CALL_DEADLINE, answered).await {
            Ok(Ok(result)) => result,
            // The threads are gone, or the work panicked (and was logged).
            Ok(Err(_)) => Err(ErrorCode::DatabaseUnavailable.into()),
            Err(_) => {
                tracing::warn!(?purpose, "a call to the database was given up after its deadline");
                Err(ErrorCode::DatabaseUnavailable.into())
            }
        }
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

/// What whoever asked is told.
fn told<T>(health: &Health, done: Result<T, Error>) -> Result<T, Refusal> {
    match done {
        Ok(value) => {
            health.answered();
            Ok(value)
        }
        Err(Error::Refused(refusal)) => Err(refusal),
        Err(Error::Sql(error)) => Err(health.failed("a call", &error).code().into()),
        Err(Error::Json(error)) => {
            tracing::error!(%error, "stored data cannot be read");
            Err(ErrorCode::Internal.into())
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
