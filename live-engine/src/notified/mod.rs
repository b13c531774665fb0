//! What people are notified of, told to their open sockets, in whatever room or none.
//!
//! The rows are `notifications`, which whoever tells something writes. They are read on a
//! hint and once a second: all that has become visible since the reading before, so that each
//! is told once and none that committed late is passed by. What concerns nobody who is
//! connected here is dropped by its id; the rest is read together. So a push costs no query a
//! viewer, and a shop's hundred thousand followers some tens. What is lost on the way (a
//! restart, a socket that closes) is in the person's list.

mod store;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::bus::{Bus, SharedBus, Subscription};
use shared::ids::{NotificationId, UserId};
use shared::live::NOTIFICATION_HINTS;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use crate::db::{self, Db, Health};
use crate::limits::Guards;
use crate::metrics;
use crate::types::{Notified, Sink};

/// How often rows are looked for without a hint.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two readings, however many hints come.
const BREATH: Duration = Duration::from_millis(100);
/// Rows of one statement at most.
const PAGE: i64 = 5_000;
/// All statements of a reading see the same.
const ONE_LOOK: &str = "begin isolation level repeatable read, read only";

/// Starts reading, on the database's threads; what is for somebody who is connected goes to
/// `sink`. What was written before is not told.
pub fn start(db: &Db, bus: SharedBus, guards: Arc<Guards>, sink: Arc<dyn Sink>) {
    let reader = Reader {
        pool: db.pool(),
        health: db.health(),
        stopping: db.stopping(),
        guards,
        sink,
        seen: None,
    };
    db.spawn(reader.run(bus));
}

struct Reader {
    pool: PgPool,
    health: Arc<Health>,
    stopping: CancellationToken,
    guards: Arc<Guards>,
    sink: Arc<dyn Sink>,
    /// The snapshot of the reading before: what was visible in it is told.
    seen: Option<String>,
}

impl Reader {
    async fn run(mut self, bus: SharedBus) {
        let mut hints = subscribe(&*bus).await;
        loop {
            match self.read().await {
                Ok(()) => self.health.answered(),
                Err(error) => {
                    self.health.failed("reading notifications", &error);
                }
            }
            tokio::time::sleep(BREATH).await;
            tokio::select! {
                () = hinted(&mut hints) => {}
                () = tokio::time::sleep(POLL_EVERY) => {}
                () = self.stopping.cancelled() => return,
            }
            if hints.is_none() {
                hints = subscribe(&*bus).await;
            }
            // Hints that have come meanwhile are all answered by one reading.
            while hints.is_some() && hinted(&mut hints).now_or_never().is_some() {}
        }
    }

    async fn read(&mut self) -> Result<(), sqlx::Error> {
        let (seen, guards) = (self.seen.as_deref(), &self.guards);
        let work = async |conn: &mut PgConnection| {
            let mut look = conn.begin_with(ONE_LOOK).await?;
            let now = store::snapshot(&mut look).await?;
            let news = match seen {
                Some(seen) => since(&mut look, seen, guards).await?,
                None => Vec::new(),
            };
            look.commit().await?;
            Ok::<_, sqlx::Error>((now, news))
        };
        let (now, news) = db::alone(&self.pool, work).await?;
        self.seen = Some(now);
        if !news.is_empty() {
            metrics::notified(news.len());
            self.sink.notified(news);
        }
        Ok(())
    }
}

/// What has become visible since a snapshot, for those who are connected here.
async fn since(look: &mut PgConnection, seen: &str, guards: &Guards) -> Result<Vec<Notified>, sqlx::Error> {
    let mut place = store::Place::of(seen);
    let mut wanted: Vec<NotificationId> = Vec::new();
    loop {
        let rows = store::after(look, seen, &place, PAGE).await?;
        let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < PAGE);
        if let Some(last) = rows.last() {
            place = last.place();
        }
        let here = |user: &UserId| guards.is_connected(*user);
        wanted.extend(rows.into_iter().filter(|row| here(&row.user)).map(|row| row.id));
        if is_last {
            break;
        }
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    store::whole(look, &wanted).await
}

async fn subscribe(bus: &dyn Bus) -> Option<Subscription> {
    match bus.subscribe(NOTIFICATION_HINTS).await {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            tracing::debug!(%error, "no hints about notifications; they are polled");
            None
        }
    }
}

/// Waits for a hint; forever where there are none. Safe to cancel.
async fn hinted(hints: &mut Option<Subscription>) {
    match hints {
        Some(subscription) => {
            if subscription.next().await.is_none() {
                *hints = None;
            }
        }
        None => std::future::pending().await,
    }
}
