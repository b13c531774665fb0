//! The client of the moderation service, on its own thread: signed requests, a bounded
//! number at once, each within its deadline, behind a circuit breaker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use sha2::Sha256;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use super::breaker::Breaker;
use super::{HookConfig, Inspect, Job, OnFailure, answer, count, failed};
use crate::types::{Sink, Verdict};

/// The largest answer that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024;
/// The longest reason that an author is told, in characters.
const MAX_REASON_CHARS: usize = 200;

/// What the service answers.
#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Answer {
    Allow,
    Change {
        text: String,
    },
    Deny {
        #[serde(default)]
        reason: String,
    },
}

/// Why there is no answer.
enum Fault {
    Late,
    Wrong(String),
}

/// See the module.
pub(super) struct Client {
    http: reqwest::Client,
    url: reqwest::Url,
    key: Hmac<Sha256>,
    deadline: Duration,
    on_failure: OnFailure,
    concurrency: usize,
    breaker: RefCell<Breaker>,
}

impl Client {
    pub(super) fn new(config: &HookConfig) -> anyhow::Result<Self> {
        // An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(config.concurrency)
            .user_agent("hawker")
            .build()?;
        Ok(Self {
            http,
            url: config.url.parse()?,
            key: Hmac::new_from_slice(config.secret.expose().as_bytes())?,
            deadline: config.deadline,
            on_failure: config.on_failure,
            concurrency: config.concurrency,
            breaker: RefCell::default(),
        })
    }

    /// Answers jobs until it is told to stop. What is under way then is dropped with the
    /// rooms that asked.
    pub(super) async fn run(self, jobs: mpsc::Receiver<Job>, sink: Arc<dyn Sink>, stopping: CancellationToken) {
        let serve = LocalSet::new();
        serve
            .run_until(stopping.run_until_cancelled(Rc::new(self).serve(jobs, sink)))
            .await;
    }

    async fn serve(self: Rc<Self>, mut jobs: mpsc::Receiver<Job>, sink: Arc<dyn Sink>) {
        let slots = Arc::new(Semaphore::new(self.concurrency));
        while let Some(job) = jobs.recv().await {
            let by = job.asked + self.deadline;
            let slot = tokio::time::timeout_at(by.into(), slots.clone().acquire_owned()).await;
            let Ok(Ok(slot)) = slot else {
                count("full");
                answer(&*sink, &job.inspect, failed(self.on_failure));
                continue;
            };
            if !self.breaker.borrow_mut().lets_through(Instant::now()) {
                count("open");
                answer(&*sink, &job.inspect, failed(self.on_failure));
                continue;
            }
            let (client, sink) = (self.clone(), sink.clone());
            tokio::task::spawn_local(async move {
                let verdict = client.verdict(&job).await;
                answer(&*sink, &job.inspect, verdict);
                drop(slot);
            });
        }
    }

    async fn verdict(&self, job: &Job) -> Verdict {
        let asked = tokio::time::timeout_at((job.asked + self.deadline).into(), self.ask(&job.inspect)).await;
        metrics::histogram!("engine_moderation_hook_seconds").record(job.asked.elapsed().as_secs_f64());
        let (outcome, verdict) = match asked.unwrap_or(Err(Fault::Late)) {
            Ok(Answer::Allow) => ("allow", Verdict::Allow),
            Ok(Answer::Change { text }) => ("change", Verdict::Change(text)),
            Ok(Answer::Deny { reason }) => ("deny", Verdict::Deny(reason.chars().take(MAX_REASON_CHARS).collect())),
            Err(fault) => {
                let opens = self.breaker.borrow_mut().failed(Instant::now());
                let outcome = match &fault {
                    Fault::Late => "timeout",
                    Fault::Wrong(_) => "error",
                };
                if opens {
                    let cause = match fault {
                        Fault::Late => "no answer in time".to_owned(),
                        Fault::Wrong(cause) => cause,
                    };
                    tracing::error!(cause, "the moderation service fails; it is left alone for a while");
                }
                count(outcome);
                return failed(self.on_failure);
            }
        };
        self.breaker.borrow_mut().succeeded();
        count(outcome);
        verdict
    }

    async fn ask(&self, inspect: &Inspect) -> Result<Answer, Fault> {
        let wrong = |error: &dyn std::fmt::Display| Fault::Wrong(error.to_string());
        let body = serde_json::json!({
            "stream": inspect.stream,
            "user": inspect.user,
            "message": inspect.message,
            "text": inspect.text,
        });
        let body = serde_json::to_vec(&body).map_err(|error| wrong(&error))?;
        let request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header(
                "hawker-signature",
                self.signature(&body, chrono::Utc::now().timestamp()),
            )
            .body(body);
        let mut response = request.send().await.map_err(|error| wrong(&error.without_url()))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Fault::Wrong(format!("it answered {}", response.status())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| wrong(&error.without_url()))? {
            if bytes.len() + chunk.len() > MAX_ANSWER {
                return Err(Fault::Wrong("its answer is too large".into()));
            }
            bytes.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&bytes).map_err(|error| wrong(&error))
    }

    /// `t=` the time in seconds, `v1=` the HMAC-SHA-256 of time, dot and body, in hex.
    fn signature(&self, body: &[u8], at: i64) -> String {
        use std::fmt::Write as _;

        let mut mac = self.key.clone();
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        let mut header = format!("t={at},v1=");
        for byte in mac.finalize().into_bytes() {
            // Writing to a string does not fail.
            let _ = write!(header, "{byte:02x}");
        }
        header
    }
}
