//! Who may not come in any more, and is sent away where they are: suspended accounts,
//! sessions that are over, people whom a shop has banned.
//!
//! The rows are `revocations`, which triggers write. They are read on a hint and once a
//! second, from the oldest transaction that was under way at the last reading: a lost
//! hint costs a second, a reading that fails nothing. What was read is kept for as long
//! as tokens live that need no query, so that ten thousand of them cost none; and it is
//! asked again in the turn in which a connection is told who it is, so that no socket
//! slips in between a check and a revocation.

mod store;
mod table;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::bus::{Bus, SharedBus, Subscription};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, UserId};
use shared::live::PEOPLE_HINTS;
use shared::protocol::Millis;
use shared::token::REVOKED_SECONDS;
use sqlx::{PgConnection, PgPool};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::auth::Identity;
use crate::db::{self, Db, Purpose};
use crate::types::Sink;
use store::RevocationRow;
pub use table::{Subject, Table, Word, banned, session_over};

/// How often rows are looked for without a hint.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two readings, however many hints come.
const BREATH: Duration = Duration::from_millis(20);
/// Words kept at most. A word takes some 200 bytes.
const MAX_WORDS: usize = 100_000;
/// Rows of one statement at most.
const PAGE: i64 = 5_000;

/// Knows who was shut out lately. Cheap to clone.
#[derive(Clone)]
pub struct Revoked {
    shared: Arc<Shared>,
}

struct Shared {
    table: RwLock<Table>,
    wake: Notify,
    bus: SharedBus,
    db: Db,
    sink: Arc<dyn Sink>,
}

impl Revoked {
    /// Knows nothing yet; `sink` will hear when somebody was shut out.
    #[must_use]
    pub fn new(db: &Db, bus: SharedBus, sink: Arc<dyn Sink>) -> Self {
        Self {
            shared: Arc::new(Shared {
                table: RwLock::new(Table::new(MAX_WORDS)),
                wake: Notify::new(),
                bus,
                db: db.clone(),
                sink,
            }),
        }
    }

    /// Reads what there is, and goes on reading on the database's threads.
    ///
    /// # Errors
    /// When the first reading fails: without it no token could be trusted.
    pub async fn start(&self) -> Result<(), Refusal> {
        let mut reader = Reader {
            shared: self.shared.clone(),
            horizon: "0".to_owned(),
        };
        let first = async move |pool: PgPool| {
            reader.read(&pool).await?;
            Ok(reader)
        };
        let reader = self.shared.db.call(Purpose::Command, None, first).await?;
        self.shared.db.spawn(reader.run());
        Ok(())
    }

    /// Looks at once, here and on every other node: somebody was shut out from here.
    pub fn tell(&self) {
        self.shared.wake.notify_one();
        let known = self.shared.clone();
        self.shared
            .db
            .spawn(async move { shared::outbox::hint_people(&*known.bus).await });
    }

    /// Whether this person is shut out, from where they may go and, where it is known
    /// already, from the shows of `seller`.
    ///
    /// # Errors
    /// `AccountSuspended`, `TicketInvalid` for a session that is over, `Banned`.
    pub fn check(&self, who: &Identity, seller: Option<SellerId>, now: Millis) -> Result<(), Refusal> {
        let table = self.shared.table.read().unwrap_or_else(PoisonError::into_inner);
        if table.is_empty() {
            return Ok(());
        }
        let account = who.user().map(Subject::Account);
        let session = who.session.map(Subject::Session);
        let sellers = [who.seller, seller.filter(|seller| who.seller != Some(*seller))];
        let viewer = sellers.map(|seller| seller.map(|seller| Subject::Viewer(seller, who.person())));
        let subjects = [account, session].into_iter().chain(viewer).flatten();
        subjects.into_iter().try_for_each(|subject| table.check(subject, now))
    }

    /// The same of somebody who shows a token that was not looked up.
    ///
    /// # Errors
    /// And `TicketInvalid` when this cannot be known without looking it up.
    pub fn check_unseen(&self, who: &Identity, now: Millis) -> Result<(), Refusal> {
        let is_blind = {
            let table = self.shared.table.read().unwrap_or_else(PoisonError::into_inner);
            table.is_blind(now)
        };
        if is_blind {
            return Err(Refusal::new(ErrorCode::TicketInvalid, "come back with a fresh ticket"));
        }
        self.check(who, None, now)
    }
}

struct Reader {
    shared: Arc<Shared>,
    /// Everything of transactions before this one was read.
    horizon: String,
}

impl Reader {
    async fn run(mut self) {
        let shared = self.shared.clone();
        let (pool, health, stopping) = (shared.db.pool(), shared.db.health(), shared.db.stopping());
        let mut hints = subscribe(&*shared.bus).await;
        loop {
            tokio::select! {
                () = shared.wake.notified() => {}
                () = hinted(&mut hints) => {}
                () = tokio::time::sleep(POLL_EVERY) => {}
                () = stopping.cancelled() => return,
            }
            if hints.is_none() {
                hints = subscribe(&*shared.bus).await;
            }
            // Hints that have come meanwhile are all answered by one reading.
            while hints.is_some() && hinted(&mut hints).now_or_never().is_some() {}
            match self.read(&pool).await {
                Ok(()) => health.answered(),
                Err(error) => {
                    health.failed("reading revocations", &error);
                }
            }
            tokio::time::sleep(BREATH).await;
        }
    }

    /// Reads on, page by page. What is read twice is known already.
    async fn read(&mut self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let seconds = i32::try_from(REVOKED_SECONDS).unwrap_or(i32::MAX);
        let mut place = (self.horizon.clone(), Uuid::nil());
        let mut next = None;
        let mut news = false;
        loop {
            let work = async |conn: &mut PgConnection| store::after(conn, &place, seconds, PAGE).await;
            let rows = db::alone(pool, work).await?;
            // What commits while later pages are read is read again from the first one's.
            if let Some(row) = rows.first() {
                next.get_or_insert_with(|| row.horizon.clone());
            }
            let is_last = i64::try_from(rows.len()).is_ok_and(|count| count < PAGE);
            if let Some((xid, id)) = rows.last().and_then(|row| Some((row.xid.clone()?, row.id?))) {
                place = (xid, id);
            }
            news |= self.take(rows);
            if is_last {
                break;
            }
        }
        if let Some(next) = next {
            self.horizon = next;
        }
        if news {
            self.shared.sink.somebody_revoked();
        }
        Ok(())
    }

    fn take(&self, rows: Vec<RevocationRow>) -> bool {
        let now = chrono::Utc::now().timestamp_millis();
        let mut table = self.shared.table.write().unwrap_or_else(PoisonError::into_inner);
        table.tidy(now);
        let words = rows.into_iter().filter_map(|row| word(row, now));
        words.fold(false, |news, word| table.take(word) | news)
    }
}

/// The word of a row; `None` for what this version does not know.
fn word(row: RevocationRow, now: Millis) -> Option<Word> {
    let subject = match row.subject?.as_str() {
        "account" => Subject::Account(UserId(row.user_id?)),
        "session" => Subject::Session(row.session_id?),
        "viewer" => Subject::Viewer(SellerId(row.seller_id?), row.user_id.or(row.guest_id)?),
        _ => return None,
    };
    Some(Word {
        subject,
        order: row.created_at?.timestamp_micros(),
        in_force: row.in_force?,
        until: row.left_ms.map(|left| now + left),
        reason: row.reason?,
        useless_at: now - row.age_ms? + REVOKED_SECONDS * 1000,
    })
}

async fn subscribe(bus: &dyn Bus) -> Option<Subscription> {
    match bus.subscribe(PEOPLE_HINTS).await {
        Ok(subscription) => Some(subscription),
        Err(error) => {
            tracing::debug!(%error, "no hints about people; they are polled");
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
