//! The operator's moderation service: asked about every message before it is said, over
//! HTTP, within a deadline. What becomes of a message when it does not answer is
//! configured; what the answer means for the message, the room decides.
//!
//! The client lives on a thread of its own, behind a bounded queue: neither a worker nor
//! the database's threads ever wait for somebody else's machine. Asking never blocks and
//! is always answered, once, through the sink.

mod breaker;
mod client;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use shared::config::Secret;
use shared::ids::{MessageId, StreamId, UserId};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::types::{Inspected, Sink, Verdict};

/// Messages that may wait for the thread; more are answered as failures at once.
const WAITING: usize = 4096;

/// What becomes of a message when the service does not answer in time, or wrongly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// It is said.
    Allow,
    /// It waits for a moderator.
    Hold,
    /// It is refused; its author may try again.
    Deny,
}

impl std::str::FromStr for OnFailure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "allow" => Ok(Self::Allow),
            "hold" => Ok(Self::Hold),
            "deny" => Ok(Self::Deny),
            _ => Err(format!("{text:?} is none of allow, hold and deny")),
        }
    }
}

/// Where the service is, and how it is used.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// `http://` or `https://`.
    pub url: String,
    /// Signs what is sent.
    pub secret: Secret,
    /// How long an answer may take, from the moment that the room asks.
    pub deadline: Duration,
    /// What follows when it takes longer.
    pub on_failure: OnFailure,
    /// Requests under way at once.
    pub concurrency: usize,
}

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inspect {
    /// The show.
    pub stream: StreamId,
    /// The author.
    pub user: UserId,
    /// The message's id, should it be said.
    pub message: MessageId,
    /// The text.
    pub text: String,
}

struct Job {
    inspect: Inspect,
    asked: Instant,
}

/// Asks the service. Cheap to clone.
#[derive(Clone)]
pub struct Hook {
    jobs: mpsc::Sender<Job>,
    sink: Arc<dyn Sink>,
    on_failure: OnFailure,
    stopping: CancellationToken,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Hook {
    /// Starts the thread; answers go to `sink`.
    ///
    /// # Errors
    /// When the thread or its client cannot be started.
    pub fn start(config: &HookConfig, sink: Arc<dyn Sink>) -> anyhow::Result<Self> {
        let stopping = CancellationToken::new();
        let (jobs, waiting) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = client::Client::new(config)?;
        let (answers, until) = (sink.clone(), stopping.clone());
        let thread = std::thread::Builder::new()
            .name("engine-hook".into())
            .spawn(move || runtime.block_on(client.run(waiting, answers, until)))?;
        Ok(Self {
            jobs,
            sink,
            on_failure: config.on_failure,
            stopping,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Ends the thread and waits for it: milliseconds. What is asked from now on is a failure.
    pub fn stop(&self) {
        self.stopping.cancel();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the moderation service's thread ended badly");
        }
    }

    /// Asks about a message.
    pub fn inspect(&self, inspect: Inspect) {
        let job = Job {
            inspect,
            asked: Instant::now(),
        };
        // The thread has ended, or is so far behind that the deadline would pass in the queue.
        if let Err(mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) =
            self.jobs.try_send(job)
        {
            count("full");
            answer(&*self.sink, &job.inspect, failed(self.on_failure));
        }
    }
}

/// What a failure means for the message.
fn failed(on_failure: OnFailure) -> Verdict {
    match on_failure {
        OnFailure::Allow => Verdict::Allow,
        OnFailure::Hold => Verdict::Hold("the moderation service did not answer".into()),
        OnFailure::Deny => Verdict::Unanswered,
    }
}

fn answer(sink: &dyn Sink, inspect: &Inspect, verdict: Verdict) {
    let inspected = Inspected {
        user: inspect.user,
        message: inspect.message,
        verdict,
    };
    sink.inspected(inspect.stream, inspected);
}

/// How an inspection ended.
fn count(outcome: &'static str) {
    metrics::counter!("engine_moderation_hook_total", "outcome" => outcome).increment(1);
}
