//! What happens when time runs out, and what is cleared away: one task for each kind of
//! work, in bounded batches, on every node at once without harm (rows are taken with
//! `skip locked`). The steps are the features' own and can be called by themselves.

mod store;

use std::time::Duration;

use chrono::Utc;
use rand::Rng as _;
use sqlx::PgPool;
use tokio_util::task::TaskTracker;

use crate::catalog::{files, pages, search};
use crate::http::Result;
use crate::state::State;
use crate::{
    checkout, dead_letters, disputes, flash, fulfilment, history, media, moderation, notifications, orders, payments,
    payouts, refunds, returns, streams, webhooks,
};

/// Rows of one transaction at most.
const BATCH: u32 = 100;
/// Imports of one deletion at most: each may have ten thousand lines that go with it.
const IMPORTS_BATCH: u32 = 4;
/// Rows of one deletion at most.
const PRUNE_BATCH: u32 = 10_000;
/// Batches of one import at a time; between them the service may stop.
const IMPORT_BATCHES: u32 = 20;
/// Batches of followers at a time; between them the service may stop.
const ANNOUNCE_BATCHES: u32 = 20;
/// How often what is of no use any more is cleared away.
const PRUNE_EVERY: Duration = Duration::from_secs(60);

/// Starts them all; they end when the service stops.
pub(crate) fn start(tasks: &TaskTracker, state: &State) {
    let jobs = Jobs { tasks, state };
    jobs.work("expire checkouts", |s, n| async move {
        checkout::expire(&s.db, &s.bus, n).await
    });
    jobs.work(
        "expire orders",
        |s, n| async move { orders::expire(&s.db, &s.bus, n).await },
    );
    jobs.work("reconcile payments", |s, n| async move {
        payments::reconcile(&s.till, n).await
    });
    jobs.work("ask for fees", |s, n| async move {
        payments::ask_for_fees(&s.till, n).await
    });
    jobs.work("pay shops", |s, n| async move {
        let minimum = s.config.commerce.payout_minimum_minor;
        payouts::schedule::pay_due(&s.till, minimum, Utc::now(), n).await
    });
    jobs.work("reconcile payouts", |s, n| async move {
        payouts::settle::reconcile(&s.till, n).await
    });
    jobs.work(
        "settle refunds",
        |s, n| async move { refunds::reconcile(&s.till, n).await },
    );
    jobs.work("give kept shipping back", |s, n| async move {
        orders::give_kept_shipping_back(&s.till, n).await
    });
    jobs.work("lapse returns", |s, n| async move {
        returns::lapse(&s.db, &s.bus, &s.config.commerce, n).await
    });
    jobs.work("work off webhooks", |s, n| async move {
        webhooks::work(&s.till, &s.config.commerce, n).await
    });
    jobs.work("ask about disputes", |s, n| async move {
        disputes::reconcile(&s.till, n).await
    });
    jobs.work("send the test provider's events", |s, n| async move {
        webhooks::send_own(&s.till, n).await
    });
    jobs.work("release earnings", |s, n| async move {
        fulfilment::release::release(&s.db, n).await
    });
    jobs.work("sweep flash sales", |s, n| async move {
        flash::sweep(&s.db, &s.bus, n).await
    });
    jobs.work("count shows", |s, n| async move {
        history::summarise_left_behind(&s.db, n).await
    });
    let imports = Job {
        name: "import products",
        interval: state.config.commerce.job_interval,
        batch: 1,
    };
    jobs.run(imports, |s, _| async move {
        files::import_some(&s.db, &s.bus, IMPORT_BATCHES).await
    });
    let announcements = Job {
        name: "announce shows",
        interval: state.config.commerce.job_interval,
        batch: 1,
    };
    jobs.run(announcements, |s, _| async move {
        notifications::announce_some(&s.db, &s.bus, ANNOUNCE_BATCHES).await
    });

    jobs.prune("prune attendance", |db, n| async move {
        history::prune_attendance(&db, n).await
    });
    jobs.prune(
        "prune tickets",
        |db, n| async move { streams::prune_tickets(&db, n).await },
    );
    jobs.prune("prune bans", |db, n| async move { moderation::prune(&db, n).await });
    jobs.prune("prune outbox", |db, n| async move { prune_outbox(&db, n).await });
    jobs.prune("prune notifications", |db, n| async move {
        notifications::prune(&db, n).await
    });
    jobs.prune("prune webhooks", |db, n| async move { webhooks::prune(&db, n).await });
    jobs.prune("prune product changes", |db, n| async move {
        pages::prune_changes(&db, n).await
    });
    jobs.prune("prune rejects", |db, n| async move { prune_rejects(&db, n).await });
    let words = Job {
        name: "prune words of titles",
        interval: PRUNE_EVERY,
        // Each run draws its words: none is followed by another at once.
        batch: u32::MAX,
    };
    jobs.run(words, |s, _| async move { search::prune_words(&s.db).await });
    let dead = Job {
        name: "count dead letters",
        interval: PRUNE_EVERY,
        batch: 1,
    };
    jobs.run(
        dead,
        |s, _| async move { dead_letters::measure(&s.db).await.map(|()| 0) },
    );
    let imports = Job {
        name: "prune imports",
        interval: PRUNE_EVERY,
        batch: IMPORTS_BATCH,
    };
    jobs.run(imports, |s, n| async move { files::prune(&s.db, n).await });
    let pictures = Job {
        name: "sweep pictures",
        interval: PRUNE_EVERY,
        batch: BATCH,
    };
    jobs.run(pictures, |s, n| async move { media::sweep(&s.db, &s.media, n).await });
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
/// the database refused and of messages that moderators decided about 30 days ago, and what
/// processes that are gone have noted of their reactions. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune_rejects(db: &PgPool, limit: u32) -> Result<u64> {
    let mut conn = db.acquire().await?;
    let emptied = store::empty_rejects(&mut conn, limit.into()).await?;
    let reviewed = store::empty_reviews(&mut conn, limit.into()).await?;
    let forgotten = store::delete_reaction_writers(&mut conn, limit.into()).await?;
    Ok(emptied + reviewed + forgotten)
}

/// How a job runs.
#[derive(Clone, Copy)]
struct Job {
    name: &'static str,
    interval: Duration,
    /// A step that does as many finds more to do.
    batch: u32,
}

/// Where jobs are started.
struct Jobs<'a> {
    tasks: &'a TaskTracker,
    state: &'a State,
}

impl Jobs<'_> {
    /// What is due, as often as the settings say.
    fn work<F>(&self, name: &'static str, step: impl Fn(State, u32) -> F + Send + 'static)
    where
        F: Future<Output = Result<u64>> + Send,
    {
        let interval = self.state.config.commerce.job_interval;
        let batch = BATCH;
        self.run(Job { name, interval, batch }, step);
    }

    /// What is of no use any more, now and then.
    fn prune<F>(&self, name: &'static str, step: impl Fn(PgPool, u32) -> F + Send + 'static)
    where
        F: Future<Output = Result<u64>> + Send,
    {
        let job = Job {
            name,
            interval: PRUNE_EVERY,
            batch: PRUNE_BATCH,
        };
        self.run(job, move |state, batch| step(state.db, batch));
    }

    /// Runs `step` at each interval, and again at once while it finds a full batch. A
    /// failure is logged, and the next turn tries again.
    fn run<F>(&self, job: Job, step: impl Fn(State, u32) -> F + Send + 'static)
    where
        F: Future<Output = Result<u64>> + Send,
    {
        let state = self.state.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = state.stopping.cancelled() => return,
                    () = tokio::time::sleep(jittered(job.interval)) => {}
                }
                while !state.stopping.is_cancelled() {
                    match step(state.clone(), job.batch).await {
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
}

/// Within a fifth of the interval, so that nodes that started together drift apart.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::rng().random_range(0.8..1.2))
}
