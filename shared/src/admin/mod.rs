//! The private listener of a process: metrics, health and whatever an operator may look
//! at, on an address of its own, so that nothing of it is ever on a public port. It reads
//! and changes nothing.
//!
//! [`access`] says who may ask, [`probe`] whether the process is ready.

mod access;
mod probe;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use access::Access;
pub use access::AdminConfig;
pub use probe::{Probe, Standing, Status};

/// Connections at once.
const CONNECTIONS: usize = 32;
/// How long a request's head may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How long one connection may last.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(60);
/// How long to wait after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often what histograms have collected is summed up.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What of a request a page is told: the parameters of its query, as they are written.
pub type Query = BTreeMap<String, String>;

type Answering = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// A page of JSON: what a request's query gets, or what is wrong with that.
pub struct Page(Box<dyn Fn(Query) -> Answering + Send + Sync>);

impl Page {
    /// A page that this makes.
    #[must_use]
    pub fn new<F>(make: impl Fn(Query) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, String>> + Send + 'static,
    {
        Self(Box::new(move |query| Box::pin(make(query))))
    }
}

/// What is behind the listener.
pub struct Contents {
    /// The process's metrics; they are looked after here.
    pub metrics: PrometheusHandle,
    /// Who is asked whether the process is ready.
    pub parts: Vec<Arc<dyn Probe>>,
    /// Further pages, by their paths.
    pub pages: BTreeMap<&'static str, Page>,
}

/// A running listener. Dropping it stops it.
pub struct Admin {
    addr: SocketAddr,
    stopping: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

/// What every connection knows.
struct Desk {
    access: Access,
    contents: Contents,
}

/// Starts listening.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(config: &AdminConfig, contents: Contents) -> std::io::Result<Admin> {
    let listener = match TcpListener::bind(config.bind).await {
        Err(error) if config.may_move && error.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind((config.bind.ip(), 0)).await
        }
        bound => bound,
    }?;
    let addr = listener.local_addr()?;
    let stopping = CancellationToken::new();
    let desk = Arc::new(Desk {
        access: Access::new(config),
        contents,
    });
    let serving = tokio::spawn(accept(listener, desk, stopping.clone()));
    tracing::info!(%addr, "metrics, health and rooms are shown here");
    Ok(Admin {
        addr,
        stopping,
        serving: Some(serving),
    })
}

impl Admin {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops, and waits for it.
    pub async fn stop(mut self) {
        self.stopping.cancel();
        if let Some(serving) = self.serving.take() {
            // A panic of it was logged.
            let _ = serving.await;
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, stopping: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Never closed, so a slot is always got; who finds none waits in the kernel's queue.
            slot = slots.clone().acquire_owned() => tokio::select! {
                accepted = listener.accept() => accepted.map(|(socket, _)| (socket, slot)),
                _ = upkeep.tick() => {
                    desk.contents.metrics.run_upkeep();
                    continue;
                }
                () = stopping.cancelled() => return,
            },
            _ = upkeep.tick() => {
                desk.contents.metrics.run_upkeep();
                continue;
            }
            () = stopping.cancelled() => return,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((socket, slot)) => {
                let desk = desk.clone();
                connections.spawn(async move {
                    converse(socket, desk).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the private listener could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(socket: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(move |request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .serve_connection(TokioIo::new(socket), service);
    // Whatever ends it, it is over.
    let _ = tokio::time::timeout(CONNECTION_DEADLINE, connection).await;
}

impl Desk {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if let Err(status) = self.access.check(request.headers()) {
            return response(status, "text/plain", String::new());
        }
        if request.method() != Method::GET {
            return response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new());
        }
        if request.uri().path() == "/metrics" {
            let text = self.contents.metrics.render();
            return response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text);
        }
        let query = query(request.uri().query().unwrap_or_default());
        let told = self.told(request.uri().path(), query);
        let (status, value) = tokio::time::timeout(ANSWER_DEADLINE, told)
            .await
            .unwrap_or_else(|_| (StatusCode::SERVICE_UNAVAILABLE, json!({"error": "no answer in time"})));
        response(status, "application/json", value.to_string())
    }

    async fn told(&self, path: &str, query: Query) -> (StatusCode, Value) {
        match path {
            "/healthz" => (StatusCode::OK, json!({"status": "ok"})),
            "/readyz" => probe::readiness(&self.contents.parts).await,
            path => match self.contents.pages.get(path) {
                Some(Page(make)) => match make(query).await {
                    Ok(value) => (StatusCode::OK, value),
                    Err(problem) => (StatusCode::BAD_REQUEST, json!({"error": problem})),
                },
                None => (StatusCode::NOT_FOUND, json!({"error": "there is nothing at this path"})),
            },
        }
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// The parameters of a query. Ids and numbers need no decoding, and nothing else is asked.
fn query(text: &str) -> Query {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests;
