//! Who watches, written down: how many connections and people a room on air has, sampled
//! once a second and summed up by the minute, and who has been there at all, each person
//! once. And what a show came to, once it is over.
//!
//! Kept in memory for up to a second; a crash may lose that. Bounded: while the database
//! is away, minutes add up and people wait, so many at most.

mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::Timestamp;
use shared::error::Refusal;
use shared::ids::StreamId;
use shared::protocol::ShowSummary;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::{self, Db, Failure, Health, Purpose};
use crate::types::Attendee;

/// How often what is known is stored.
const EVERY: Duration = Duration::from_secs(1);
/// Minutes that may wait; more are dropped, as a crash would drop them.
const MAX_MINUTES: usize = 65_536;
/// People that may wait; more are dropped.
const MAX_PEOPLE: usize = 500_000;
/// People in one statement.
const CHUNK: usize = 5_000;

/// What was seen of a room in a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    /// The most connections.
    pub peak: u64,
    /// The most people.
    pub peak_people: u64,
    /// How often it was looked at.
    pub samples: u32,
    /// The connections of each time, added up.
    pub viewers_sum: u64,
    /// Whether the host was there.
    pub has_host: bool,
}

impl Sample {
    /// One look.
    #[must_use]
    pub const fn of(viewers: u64, people: u64, has_host: bool) -> Self {
        Self {
            peak: viewers,
            peak_people: people,
            samples: 1,
            viewers_sum: viewers,
            has_host,
        }
    }

    fn add(&mut self, other: Self) {
        self.peak = self.peak.max(other.peak);
        self.peak_people = self.peak_people.max(other.peak_people);
        self.samples += other.samples;
        self.viewers_sum += other.viewers_sum;
        self.has_host |= other.has_host;
    }
}

/// A room's minute.
type Minute = (StreamId, Timestamp);

#[derive(Default)]
struct Pending {
    minutes: HashMap<Minute, Sample>,
    people: Vec<(StreamId, Attendee)>,
    flushes: u64,
}

#[derive(Default)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes down who watches. Cheap to clone.
#[derive(Clone)]
pub struct Audience {
    shared: Arc<Shared>,
    flushed: watch::Receiver<u64>,
    db: Db,
}

impl Audience {
    /// Starts writing, on the database's threads.
    #[must_use]
    pub fn start(db: &Db) -> Self {
        let shared = Arc::new(Shared::default());
        let (done, flushed) = watch::channel(0);
        let writer = Writer {
            pool: db.pool(),
            health: db.health(),
            stopping: db.stopping(),
            shared: shared.clone(),
            done,
        };
        db.spawn(writer.run());
        Self {
            shared,
            flushed,
            db: db.clone(),
        }
    }

    /// Notes what was seen of a room now.
    pub fn saw(&self, stream: StreamId, at: Timestamp, sample: Sample) {
        let seconds = at.timestamp() / 60 * 60;
        let minute = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let mut pending = self.shared.lock();
        let full = pending.minutes.len() >= MAX_MINUTES;
        match pending.minutes.get_mut(&(stream, minute)) {
            Some(known) => known.add(sample),
            None if full => {}
            None => {
                pending.minutes.insert((stream, minute), sample);
            }
        }
    }

    /// Notes who has come to a show for the first time.
    pub fn came(&self, stream: StreamId, people: Vec<Attendee>) {
        let mut pending = self.shared.lock();
        let free = MAX_PEOPLE.saturating_sub(pending.people.len());
        let people = people.into_iter().take(free);
        pending.people.extend(people.map(|person| (stream, person)));
    }

    /// Waits until everything noted before is stored. For as long as the database is
    /// away: give it a deadline. Safe to cancel.
    pub async fn flush(&self) {
        let until = {
            let mut pending = self.shared.lock();
            pending.flushes += 1;
            pending.flushes
        };
        self.shared.wake.notify_one();
        // An error means that the writer has ended.
        let _ = self.flushed.clone().wait_for(|done| *done >= until).await;
    }

    /// What a show that is over came to; counted now, unless it was before.
    ///
    /// # Errors
    /// That the database cannot be asked.
    pub async fn summary(&self, stream: StreamId) -> Result<Option<ShowSummary>, Refusal> {
        self.flush().await;
        self.db
            .call(Purpose::Command, None, async move |pool: PgPool| {
                let mut conn = pool.acquire().await?;
                store::summarise(&mut conn, stream).await?;
                Ok(store::summary(&mut conn, stream).await?)
            })
            .await
    }
}

struct Writer {
    pool: PgPool,
    health: Arc<Health>,
    stopping: CancellationToken,
    shared: Arc<Shared>,
    done: watch::Sender<u64>,
}

impl Writer {
    async fn run(self) {
        let mut next = Instant::now() + EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = self.shared.wake.notified() => {}
                () = self.stopping.cancelled() => return,
            }
            next = Instant::now() + EVERY;
            self.store().await;
        }
    }

    /// Stores what is noted; what cannot be stored now waits.
    async fn store(&self) {
        let Pending {
            minutes,
            mut people,
            flushes,
        } = {
            let mut pending = self.shared.lock();
            let flushes = pending.flushes;
            Pending {
                flushes,
                ..std::mem::replace(
                    &mut *pending,
                    Pending {
                        flushes,
                        ..Pending::default()
                    },
                )
            }
        };
        let mut stored = true;
        if !minutes.is_empty() {
            let work = async |conn: &mut PgConnection| store::add_minutes(conn, &minutes).await;
            if self.failed(db::alone(&self.pool, work).await) {
                stored = false;
                self.return_minutes(minutes);
            }
        }
        while stored && !people.is_empty() {
            let chunk = people.split_off(people.len().saturating_sub(CHUNK));
            let work = async |conn: &mut PgConnection| store::add_people(conn, &chunk).await;
            if self.failed(db::alone(&self.pool, work).await) {
                stored = false;
                people.extend(chunk);
            }
        }
        if stored {
            self.done.send_replace(flushes);
        } else {
            let mut pending = self.shared.lock();
            let free = MAX_PEOPLE.saturating_sub(pending.people.len());
            pending.people.extend(people.into_iter().take(free));
        }
    }

    /// Whether to try again later. What the database refuses for good is let go.
    fn failed(&self, done: Result<(), sqlx::Error>) -> bool {
        match done {
            Ok(()) => {
                self.health.answered();
                false
            }
            Err(error) => self.health.failed("writing down who watches", &error) != Failure::Data,
        }
    }

    fn return_minutes(&self, minutes: HashMap<Minute, Sample>) {
        let mut pending = self.shared.lock();
        for (minute, sample) in minutes {
            pending.minutes.entry(minute).or_default().add(sample);
        }
    }
}
