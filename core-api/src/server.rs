//! Starting and stopping the service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use anyhow::Context as _;
use shared::admin::Probe;
use shared::bus::SharedBus;
use shared::metric::describe;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing_actix_web::TracingLogger;
use utoipa_actix_web::AppExt as _;

use crate::catalog::pages;
use crate::config::Config;
use crate::http::operations::{Described, Part};
use crate::http::{AllowedMethods, METRICS, RequestSpan, answer, extractor_errors, no_route};
use crate::state::State;
use crate::{idempotency, identity, jobs, mail, openapi, routes};

/// Pages that the composing program serves beside the API.
pub type Pages = fn(&mut web::ServiceConfig);

/// How long requests and jobs may take to end when the service stops, in seconds.
const STOP_SECONDS: u64 = 10;
/// How long a request's line and headers may take to arrive; a body has its own time.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// How long a client may be silent on an open connection.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How often what is kept in memory for a while is tidied.
const TIDY_EVERY: Duration = Duration::from_secs(10);
/// How long a shop's page is kept at most.
const SHOP_PAGES_LAST: Duration = Duration::from_secs(1);
/// How often rows that have had their time are deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// A running service. Dropping it stops it without waiting.
pub struct Service {
    addr: SocketAddr,
    handle: ServerHandle,
    serving: Option<JoinHandle<std::io::Result<()>>>,
    state: State,
    tasks: TaskTracker,
}

/// Starts the service; it answers when this returns.
///
/// # Errors
/// When the address cannot be listened on, or mail cannot be sent or pictures kept as
/// configured.
pub async fn start(config: Config, db: PgPool, bus: SharedBus, site: Option<Pages>) -> anyhow::Result<Service> {
    let (bind, workers) = (config.bind, config.workers);
    let state = State::new(config, db, bus)?;
    describe(METRICS);
    describe(shared::bus::METRICS);
    let api = openapi()?;
    let description = serde_json::to_vec(&api).context("writing the API's description")?;
    let described = web::Data::new(Described(description.into()));
    let allowed = web::Data::new(AllowedMethods::new(&api));
    let data = web::Data::new(state.clone());
    let server = HttpServer::new(move || {
        let (described, allowed, data) = (described.clone(), allowed.clone(), data.clone());
        let (app, _) = App::new()
            .app_data(data)
            .app_data(described)
            .app_data(allowed)
            .configure(extractor_errors)
            .into_utoipa_app()
            .configure(routes::all)
            .split_for_parts();
        app.configure(crate::docs::browse)
            .configure(crate::payments::pages)
            .configure(|config| site.into_iter().for_each(|site| site(config)))
            .default_service(web::to(no_route))
            .wrap(from_fn(answer))
            .wrap(TracingLogger::<RequestSpan>::new())
    })
    .workers(workers)
    .client_request_timeout(HEAD_WAIT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(STOP_SECONDS)
    .disable_signals()
    .bind(bind)
    .with_context(|| format!("cannot listen on http://{bind}"))?;
    let addr = server.addrs().first().copied().unwrap_or(bind);
    let server = server.run();
    let handle = server.handle();
    let tasks = TaskTracker::new();
    start_jobs(&tasks, &state);
    jobs::start(&tasks, &state);
    mail::start(&tasks, &state);
    pages::start(&tasks, &state).await;
    tracing::info!(%addr, "core-api answers");
    Ok(Service {
        addr,
        handle,
        serving: Some(tokio::spawn(server)),
        state,
        tasks,
    })
}

/// Everything that runs without being asked.
fn start_jobs(tasks: &TaskTracker, state: &State) {
    every(tasks, state, TIDY_EVERY, async move |state: State| {
        state.rates.tidy();
        Ok(())
    });
    state.shop_pages.follow(true);
    every(tasks, state, SHOP_PAGES_LAST, async move |state: State| {
        // Forgets what was kept; what is being read may be of before.
        state.shop_pages.follow(true);
        Ok(())
    });
    every(tasks, state, SWEEP_EVERY, async move |state: State| {
        idempotency::sweep(&state.db).await?;
        identity::sweep(&state.db).await
    });
}

/// Runs `work` at each interval until the service stops. A failure is logged, and the
/// next turn tries again.
pub(crate) fn every<W, F>(tasks: &TaskTracker, state: &State, interval: Duration, work: W)
where
    W: Fn(State) -> F + Send + 'static,
    F: Future<Output = crate::http::Result<()>> + Send,
{
    let state = state.clone();
    tasks.spawn(async move {
        let mut turns = tokio::time::interval(interval);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = state.stopping.cancelled() => return,
                _ = turns.tick() => {}
            }
            if let Err(error) = work(state.clone()).await {
                tracing::warn!(%error, "a periodic task failed");
            }
        }
    });
}

impl Service {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How the private listener asks whether it is ready; also while it stops.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(Part(self.state.clone()))
    }

    /// Takes no more connections, lets requests under way finish, and ends the jobs.
    pub async fn stop(mut self) {
        self.state.stopping.cancel();
        self.tasks.close();
        self.handle.stop(true).await;
        if let Some(serving) = self.serving.take()
            && let Ok(Err(error)) = serving.await
        {
            tracing::warn!(%error, "core-api did not stop cleanly");
        }
        let jobs = tokio::time::timeout(Duration::from_secs(STOP_SECONDS), self.tasks.wait());
        if jobs.await.is_err() {
            tracing::warn!("jobs of core-api did not end in time");
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.state.stopping.cancel();
        if self.serving.is_some() {
            // The order is given at once; only waiting for its end needs the future.
            drop(self.handle.stop(false));
        }
    }
}
