//! Everything in one process: started in the order of need, stopped in the opposite one.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use live_engine::Engine;
use shared::admin::{self, Admin, Contents};
use shared::config::Secret;
use shared::db;
use shared::telemetry::PrometheusHandle;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::accounts::DemoPassword;
use crate::banner::Banner;
use crate::cli::RunArgs;
use crate::database::Database;
use crate::plan::Plan;
use crate::signals::Signals;
use crate::{data_dir, out, pages, seed, show};

/// How long services may take to stop before the program goes on without them.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
/// Terminals and wrappers deliver one Ctrl-C more than once; a person takes longer.
const SAME_SIGNAL: Duration = Duration::from_millis(400);
/// How often it is looked whether Postgres lives.
const WATCH: Duration = Duration::from_secs(1);

/// `hawker run`: until a signal, or until something fails.
///
/// # Errors
/// What kept it from starting, or ended it.
pub async fn run(args: &RunArgs) -> Result<()> {
    let mut signals = Signals::listen()?;
    let plan = Plan::make(args)?;
    let running = tokio::select! {
        started = Running::start(plan) => started?,
        // What has been started is dropped, and stops with that.
        () = signals.next() => return Ok(()),
    };
    out::print(&running.banner());
    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        error = running.failure() => Err(error),
    };
    running.stop(&mut signals).await;
    ended
}

/// Everything, running.
pub struct Running {
    plan: Plan,
    password: Option<String>,
    services: Services,
    database: Database,
}

struct Services {
    show: Option<(CancellationToken, JoinHandle<Result<()>>)>,
    engine: Engine,
    api: core_api::Service,
    admin: Admin,
    pool: PgPool,
}

impl Running {
    /// Starts Postgres, brings the schema up to date, seeds, and starts both services and,
    /// if it is wanted, the simulated show.
    ///
    /// # Errors
    /// What keeps any of them from starting; what has been started stops again.
    pub async fn start(mut plan: Plan) -> Result<Self> {
        let began = Instant::now();
        // Whoever saw an earlier run's screen cannot sign in to this one.
        let password = tokio::spawn(DemoPassword::new());
        let database = open_database(&mut plan).await?;
        tracing::debug!(after = ?began.elapsed(), "Postgres is there");
        let pool = database.connect(&plan.place.db).await?;
        db::migrate(&pool).await?;
        if plan.seed && database.is_private() && seed::is_empty(&pool).await? {
            seed::run(&pool).await.context("writing the demo shop")?;
        }
        tracing::debug!(after = ?began.elapsed(), "the schema is up to date");
        let password = password.await.context("making a password")??.set(&pool).await?;
        plan.engine.database_url = database.url().clone();
        let bus = plan.bus.open().await.context("starting the bus")?;
        let metrics = shared::telemetry::init_metrics();
        let (engine, api) = tokio::try_join!(
            live_engine::start(plan.engine.clone(), bus.clone()),
            core_api::start(plan.api.clone(), pool.clone(), bus.clone(), Some(pages::all)),
        )?;
        let admin = serve_admin(&plan, &engine, &api, metrics).await?;
        tracing::debug!(after = ?began.elapsed(), "both services answer");
        let show = match (&password, plan.show) {
            (Some(password), true) => Some(show::on_air(&plan.page_url(), show::demo_host(password), None)),
            (None, true) => bail!("--show needs the demo shop: run `hawker seed` first"),
            (_, false) => None,
        };
        Ok(Self {
            plan,
            password,
            services: Services {
                show,
                engine,
                api,
                admin,
                pool,
            },
            database,
        })
    }

    /// Where REST and the pages answer.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.services.api.addr()
    }

    /// Where the page is.
    #[must_use]
    pub fn page_url(&self) -> String {
        self.plan.page_url()
    }

    /// The demo accounts' password for this run.
    #[must_use]
    pub fn demo_password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// How to reach the database.
    #[must_use]
    pub const fn database_url(&self) -> &Secret {
        self.database.url()
    }

    /// What to say about it. Passwords are shown only where nobody else can come in.
    #[must_use]
    pub fn banner(&self) -> String {
        let banner = Banner {
            page: &self.plan.page_url(),
            live: &self.plan.api.live_url,
            private: self.services.admin.addr(),
            data_dir: self.database.is_private().then_some(self.plan.place.data_dir.as_path()),
            password: self.password.as_deref().filter(|_| self.plan.is_private()),
            payments: self.plan.api.payments.in_words(),
            show: self.plan.show,
        };
        banner.to_string()
    }

    /// Returns when something has failed for good: Postgres has ended by itself.
    pub async fn failure(&self) -> anyhow::Error {
        let mut turns = tokio::time::interval(WATCH);
        while !self.database.has_died() {
            turns.tick().await;
        }
        let log = self.database.log_file().unwrap_or(Path::new(""));
        anyhow::anyhow!("Postgres has ended by itself: see {}", log.display())
    }

    /// Stops everything in order: the show, the engine, REST, Postgres. A signal on the
    /// way hurries: what is not acknowledged is dropped, what is stays.
    pub async fn stop(self, signals: &mut Signals) {
        let began = Instant::now();
        let services = tokio::time::timeout(STOP_PATIENCE, self.services.stop());
        tokio::select! {
            stopped = services => if stopped.is_err() {
                tracing::warn!("the services did not stop in time");
            },
            () = second(signals, began) => tracing::warn!("stopping at once"),
        }
        let hurry = self.database.hurry();
        let stop = self.database.stop();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = second(signals, began) => if let Some(hurry) = &hurry { hurry.now() },
            }
        }
    }
}

/// Returns at a signal that is not the first one once more.
async fn second(signals: &mut Signals, first: Instant) {
    loop {
        signals.next().await;
        if first.elapsed() > SAME_SIGNAL {
            return;
        }
    }
}

impl Services {
    async fn stop(self) {
        if let Some((cancel, show)) = self.show {
            cancel.cancel();
            // How it ended has been logged by itself.
            let _ = show.await;
        }
        self.engine.stop().await;
        self.api.stop().await;
        // Until here it has said that the services stop.
        self.admin.stop().await;
        self.pool.close().await;
    }
}

/// Shows both services to an operator.
async fn serve_admin(
    plan: &Plan,
    engine: &Engine,
    api: &core_api::Service,
    metrics: PrometheusHandle,
) -> Result<Admin> {
    let operations = engine.operations();
    let contents = Contents {
        metrics,
        pages: operations.pages(),
        parts: vec![api.probe(), Arc::new(operations)],
    };
    let at = plan.private.bind;
    let admin = admin::serve(&plan.private, contents).await;
    admin.with_context(|| format!("cannot listen on {at}: choose another address with admin_http"))
}

/// Opens the database and, where none is configured, the kept secret: both live in the
/// data directory, and the first to open it finds out whether it can be used.
async fn open_database(plan: &mut Plan) -> Result<Database> {
    let dir = &plan.place.data_dir;
    let database = match &plan.place.database_url {
        Some(url) => Database::own(url.clone()),
        None => Database::start(dir).await?,
    };
    if plan.keeps_secret {
        if !database.is_private() {
            data_dir::make(dir)?;
        }
        let secret = data_dir::token_secret(dir)?;
        plan.set_secret(&secret)?;
    }
    Ok(database)
}
