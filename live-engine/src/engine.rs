//! Starting and stopping: the database's threads, the workers' threads, and the bus.
//!
//! A panic on a worker's thread ends the process: what a worker holds is not to be
//! trusted after it, and rooms are taken over by whoever starts next.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use shared::bus::SharedBus;
use shared::ids::NodeId;
use shared::metric::describe;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::audience::Audience;
use crate::config::Config;
use crate::db::Db;
use crate::feed::Feed;
use crate::hook::Hook;
use crate::limits::Guards;
use crate::metrics::{self, Backlog};
use crate::net::{drain, listener, worker};
use crate::notified;
use crate::operations::Operations;
use crate::own::Owns;
use crate::persist::Persister;
use crate::requests;
use crate::revoked::Revoked;
use crate::room::leases::Leases;
use crate::room::orphans;
use crate::router::{Inbox, Router, Stop, ToWorker};
use crate::sale::SaleDesk;
use crate::tickets::Tickets;
use crate::types::Sink;

/// What every worker and room knows.
pub struct Shared {
    /// What the engine was told.
    pub config: Config,
    /// This process.
    pub node: NodeId,
    /// The limits that all share.
    pub guards: Arc<Guards>,
    /// How others are reached.
    pub router: Arc<Router>,
    /// The database.
    pub db: Db,
    /// What is between this process and others.
    pub bus: SharedBus,
    /// Stores numbered events.
    pub persister: Persister,
    /// Grants holds.
    pub desk: SaleDesk,
    /// Spends tickets.
    pub tickets: Tickets,
    /// Writes down who watches.
    pub audience: Audience,
    /// Reads what people have open in shows.
    pub owns: Owns,
    /// Brings committed changes.
    pub feed: Feed,
    /// Knows who was shut out.
    pub revoked: Revoked,
    /// Keeps rooms ours.
    pub leases: Leases,
    /// Asks the moderation service, where there is one.
    pub hook: Option<Hook>,
    /// Whose turn it is to read what was said before a room was opened: one room's at a time.
    pub names_turn: Semaphore,
}

impl Shared {
    /// Starts everything that works on the database's threads, and says what each worker
    /// will receive from.
    fn new(config: Config, db: Db, bus: SharedBus) -> anyhow::Result<(Arc<Self>, Vec<Inbox>)> {
        let (router, inboxes) = Router::new(config.workers);
        let node = config.node.as_deref().map_or_else(NodeId::new, NodeId::named);
        let sink = router.clone() as Arc<dyn Sink>;
        let hook = config.moderation.as_ref();
        let hook = hook.map(|config| Hook::start(config, sink.clone())).transpose()?;
        let shared = Self {
            node,
            hook,
            names_turn: Semaphore::new(1),
            guards: Guards::new(&config.limits),
            persister: Persister::start(&db, sink.clone()),
            desk: SaleDesk::start(&db, sink.clone()),
            tickets: Tickets::start(&db),
            owns: Owns::start(&db),
            audience: Audience::start(&db),
            feed: Feed::start(&db, bus.clone(), sink.clone()),
            revoked: Revoked::new(&db, bus.clone(), sink.clone()),
            leases: Leases::start(&db, node, sink),
            router,
            config,
            db,
            bus,
        };
        orphans::start(&shared.db, shared.router.clone());
        notified::start(
            &shared.db,
            shared.bus.clone(),
            shared.guards.clone(),
            shared.router.clone(),
        );
        Ok((Arc::new(shared), inboxes))
    }
}

impl Shared {
    /// What waits at the database.
    pub fn backlog(&self) -> Backlog {
        let (asking, waiting) = self.desk.waiting();
        Backlog {
            rows: self.persister.backlog_rows(),
            bytes: self.persister.backlog_bytes(),
            asking,
            waiting,
        }
    }
}

/// A running engine.
pub struct Engine {
    addr: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    stopping: CancellationToken,
}

/// Starts the engine: it listens when this returns.
///
/// # Errors
/// When it cannot listen, or the database does not answer or is not fit to be used.
pub async fn start(config: Config, bus: SharedBus) -> anyhow::Result<Engine> {
    describe(metrics::table::METRICS);
    describe(shared::bus::METRICS);
    metrics::draining(false);
    let listeners =
        listener::open(config.bind, config.workers).with_context(|| format!("cannot listen on {}", config.bind))?;
    let addr = match listeners.first() {
        Some(listener) => listener.local_addr()?,
        None => anyhow::bail!("an engine needs a worker"),
    };
    let db = Db::start(config.database_url.expose(), config.db.clone()).await?;
    let (shared, inboxes) = Shared::new(config, db, bus)?;
    shared.revoked.start().await.context("cannot read who was shut out")?;
    abort_on_worker_panic();
    let mut threads = Vec::with_capacity(inboxes.len());
    for (index, (listener, inbox)) in listeners.into_iter().zip(inboxes).enumerate() {
        let index = u16::try_from(index).context("at most 65,535 workers")?;
        let shared = shared.clone();
        let thread = std::thread::Builder::new().name(format!("engine-{index}"));
        threads.push(thread.spawn(move || {
            IS_WORKER.set(true);
            let system = actix::System::new();
            if let Err(error) = system.block_on(worker::run(index, shared, listener, inbox)) {
                tracing::error!(%error, index, "a worker could not start");
            }
        })?);
    }
    let stopping = CancellationToken::new();
    let serving = requests::serve(&shared, &stopping).await;
    serving.context("cannot serve the bus")?;
    tracing::info!(%addr, workers = threads.len(), node = %shared.node, "the engine listens");
    Ok(Engine {
        addr,
        shared,
        threads,
        stopping,
    })
}

impl Engine {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What an operator may look at; also while it stops.
    #[must_use]
    pub fn operations(&self) -> Operations {
        Operations::new(self.shared.clone(), self.stopping.clone())
    }

    /// Connections at present.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.guards.connections()
    }

    /// Stops: nobody new comes in, rooms store and acknowledge what was said and give
    /// their leases back, viewers are told when to come back and sent away with 1012,
    /// threads end. Takes as long as it was configured at most.
    pub async fn stop(self) {
        let whole = self.shared.config.drain.deadline;
        let began = Instant::now();
        if tokio::time::timeout(whole, self.drain(began, whole)).await.is_err() {
            tracing::warn!(
                ?whole,
                "the engine did not stop in time; what is left of it ends with the process"
            );
        }
        tracing::info!(took = ?began.elapsed(), "the engine has stopped");
    }

    async fn drain(self, began: Instant, whole: Duration) {
        let router = &self.shared.router;
        self.stopping.cancel();
        metrics::draining(true);
        // Half of the time is the rooms', most of the rest the viewers'. The database has a
        // little less, so that rooms answer whoever waits before their viewers are sent away.
        let stored_by = began + whole * 7 / 16;
        let closed = async {
            self.ask_all(ToWorker::Refuse).await;
            self.ask_all(|done| ToWorker::CloseRooms(stored_by, done)).await;
        };
        if tokio::time::timeout(whole / 2, closed).await.is_err() {
            tracing::warn!("some rooms did not close in time");
        }
        let viewers = self.shared.guards.connections();
        let stop = Stop {
            window: drain::window(viewers, self.shared.config.drain.spread),
            by: began + whole * 3 / 4,
        };
        tracing::info!(viewers, window = ?stop.window, "viewers are sent away");
        for worker in self.workers() {
            router.send_when_possible(worker, ToWorker::Stop(stop)).await;
        }
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok()));
        if !joined.await.unwrap_or(false) {
            tracing::error!("a worker ended badly");
        }
        if let Some(hook) = self.shared.hook.clone() {
            // An error means that its thread's panic was logged.
            let _ = tokio::task::spawn_blocking(move || hook.stop()).await;
        }
        self.shared.db.stop().await;
    }

    fn workers(&self) -> impl Iterator<Item = u16> + use<> {
        (0..self.shared.router.workers()).filter_map(|index| u16::try_from(index).ok())
    }

    /// Asks every worker for something and waits until all have done it.
    async fn ask_all(&self, ask: impl Fn(oneshot::Sender<()>) -> ToWorker) {
        let mut asked = Vec::new();
        for worker in self.workers() {
            let (done, heard) = oneshot::channel();
            self.shared.router.send_when_possible(worker, ask(done)).await;
            asked.push(heard);
        }
        futures_util::future::join_all(asked).await;
    }
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Lets a panic on a worker's thread end the process, also where the runtime would
/// catch it; other threads are left as they were.
fn abort_on_worker_panic() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            former(panic);
            if IS_WORKER.get() {
                std::process::abort();
            }
        }));
    });
}

#[cfg(test)]
mod tests;
