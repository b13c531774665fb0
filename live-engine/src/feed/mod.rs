//! The feed: committed changes that rooms must hear of. Undelivered outbox rows of the
//! rooms that live here are read on a hint and once a second, and handed to the sink
//! until somebody marks them: the persister, with the event they caused, or
//! [`Feed::mark_delivered`], when they caused none.
//!
//! A hint is only ever a reason to look. Nothing is read by position: rows commit out
//! of order, and only the mark says that one is done.

mod store;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use shared::bus::{Bus, SharedBus, Subscription};
use shared::ids::StreamId;
use shared::live::{OUTBOX_HINTS, RoomNotice};
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::db::{self, Db, Health};
use crate::types::Sink;

/// How often rows are looked for without a hint, and how soon an unmarked one is
/// handed over again.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Marks that may wait; more are dropped, and their rows come again.
const MAX_MARKS: usize = 65_536;

/// Rows that cannot be read and are remembered as such; further ones are read again.
const MAX_UNREADABLE: usize = 10_000;

/// A row that is done, and the epoch that did it.
type Mark = (Uuid, StreamId, i64);

/// Brings committed changes to rooms. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    owned: HashSet<StreamId>,
    marks: Vec<Mark>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Starts reading, on the database's threads; rows go to `sink`.
    #[must_use]
    pub fn start(db: &Db, bus: SharedBus, sink: Arc<dyn Sink>) -> Self {
        let shared = Arc::new(Shared::default());
        let reader = Reader {
            pool: db.pool(),
            health: db.health(),
            stopping: db.stopping(),
            shared: shared.clone(),
            sink,
            handed: HashMap::new(),
            unreadable: Vec::new(),
        };
        db.spawn(reader.run(bus));
        Self { shared }
    }

    /// Reads a room's rows from now on.
    pub fn own(&self, stream: StreamId) {
        self.shared.lock().owned.insert(stream);
        self.look();
    }

    /// Reads them no more.
    pub fn disown(&self, stream: StreamId) {
        self.shared.lock().owned.remove(&stream);
    }

    /// Looks for rows at once, like a hint.
    pub fn look(&self) {
        self.shared.wake.notify_one();
    }

    /// Marks rows that caused no event, in the name of the room's epoch: an owner that
    /// was replaced marks nothing any more. Done soon; until then the rows come again.
    pub fn mark_delivered(&self, stream: StreamId, epoch: i64, rows: impl IntoIterator<Item = Uuid>) {
        {
            let mut state = self.shared.lock();
            let free = MAX_MARKS.saturating_sub(state.marks.len());
            state
                .marks
                .extend(rows.into_iter().take(free).map(|id| (id, stream, epoch)));
        }
        self.look();
    }
}

struct Reader {
    pool: PgPool,
    health: Arc<Health>,
    stopping: CancellationToken,
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    /// When a row was handed over last: a burst of hints shall not repeat it.
    handed: HashMap<Uuid, Instant>,
    /// Rows that this version cannot read: they shall not be in the way of the others.
    unreadable: Vec<Uuid>,
}

impl Reader {
    async fn run(mut self, bus: SharedBus) {
        let mut hints = subscribe(&*bus).await;
        loop {
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = hinted(&mut hints) => {}
                () = tokio::time::sleep(POLL_EVERY) => {}
                () = self.stopping.cancelled() => return,
            }
            if hints.is_none() {
                hints = subscribe(&*bus).await;
            }
            // Hints that have come meanwhile are all answered by one look.
            while hints.is_some() && hinted(&mut hints).now_or_never().is_some() {}
            if let Err(error) = self.look().await {
                self.health.failed("reading the outbox", &error);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn look(&mut self) -> Result<(), sqlx::Error> {
        let (owned, marks) = {
            let mut state = self.shared.lock();
            let owned: Vec<Uuid> = state.owned.iter().map(|stream| stream.0).collect();
            (owned, std::mem::take(&mut state.marks))
        };
        if owned.is_empty() && marks.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.mark(&marks).await {
            self.put_back(marks);
            return Err(error);
        }
        let unreadable = &self.unreadable;
        let work = async |conn: &mut PgConnection| store::undelivered(conn, &owned, unreadable).await;
        let rows = db::alone(&self.pool, work).await?;
        self.health.answered();
        self.hand_over(rows);
        Ok(())
    }

    async fn mark(&self, marks: &[Mark]) -> Result<(), sqlx::Error> {
        if marks.is_empty() {
            return Ok(());
        }
        let work = async |conn: &mut PgConnection| store::mark(conn, marks).await;
        db::alone(&self.pool, work).await
    }

    fn put_back(&self, marks: Vec<Mark>) {
        let mut state = self.shared.lock();
        let free = MAX_MARKS.saturating_sub(state.marks.len());
        state.marks.extend(marks.into_iter().take(free));
    }

    /// Hands over what was not handed over within the last second.
    fn hand_over(&mut self, rows: Vec<store::OutboxRow>) {
        let now = Instant::now();
        self.handed.retain(|_, at| now < *at + POLL_EVERY);
        let mut rooms: BTreeMap<StreamId, Vec<(Uuid, RoomNotice)>> = BTreeMap::new();
        for row in rows {
            if self.handed.contains_key(&row.id) {
                continue;
            }
            self.handed.insert(row.id, now);
            match serde_json::from_value(row.payload) {
                Ok(notice) => rooms.entry(row.stream).or_default().push((row.id, notice)),
                // Written by a newer version, perhaps: it stays for the one that can read it.
                Err(error) => {
                    tracing::error!(%error, row = %row.id, "an outbox row cannot be read");
                    if self.unreadable.len() < MAX_UNREADABLE {
                        self.unreadable.push(row.id);
                    }
                }
            }
        }
        for (stream, notices) in rooms {
            self.sink.notices(stream, notices);
        }
    }
}

async fn subscribe(bus: &dyn Bus) -> Option<Subscription> {
    match bus.subscribe(OUTBOX_HINTS).await {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            tracing::debug!(%error, "no hints about the outbox; it is polled");
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
