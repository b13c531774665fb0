//! The sales' clocks: each sale of a room that lives here is swept when its earliest
//! hold lapses, when it opens and when it ends; what nobody tends is found and swept too.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use shared::Timestamp;
use shared::ids::{SaleId, StreamId};
use shared::status::SaleStatus;
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::time::Instant;

use super::store::{self, Swept};
use super::{ATTEMPT_DEADLINE, Inner};
use crate::db::{self, Failure};

/// A sale is looked at this often even when nothing is due: holds may have been granted
/// or given back elsewhere.
const AT_LEAST_EVERY: Duration = Duration::from_secs(15);
/// A sweep a little early finds nothing; the next one follows no sooner than this.
const AT_MOST_EVERY: Duration = Duration::from_millis(5);
/// The pauses after a failed sweep.
const PAUSE: Duration = Duration::from_millis(250);
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// How often sales without a room are looked for.
const STRAYS_EVERY: Duration = Duration::from_secs(10);

/// A sale that is tended. Dropping it ends its task.
pub(super) struct Watched {
    pub(super) stream: StreamId,
    due: watch::Sender<Instant>,
}

impl Watched {
    /// Has it swept in so long, unless it is swept earlier.
    pub(super) fn wake_in(&self, left: Duration) {
        let due = Instant::now() + left + Duration::from_millis(1);
        let _ = self.due.send(due);
    }
}

/// See [`super::SaleDesk::watch`].
pub(super) fn watch(inner: &Arc<Inner>, stream: StreamId, sale: SaleId, next_expiry: Option<Timestamp>) {
    let mut watched = inner.watched();
    if let Some(known) = watched.get(&sale).filter(|known| !known.due.is_closed()) {
        if let Some(expiry) = next_expiry {
            // By our clock, which may be off: too early is tried again by the database's.
            known.wake_in((expiry - Utc::now()).to_std().unwrap_or_default());
        }
        return;
    }
    let (due, changed) = watch::channel(Instant::now());
    watched.insert(sale, Watched { stream, due });
    drop(watched);
    inner.spawner.spawn(tend(inner.clone(), sale, changed));
}

/// Tends one sale until it is closed and nothing of it is held, or nobody wants it tended.
async fn tend(inner: Arc<Inner>, sale: SaleId, mut changed: watch::Receiver<Instant>) {
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            news = changed.changed() => {
                if news.is_err() {
                    return;
                }
                due = due.min(*changed.borrow_and_update());
                continue;
            }
            () = inner.stopping.cancelled() => return,
        }
        let wait = match sweep(&inner, sale).await {
            Ok(None) => return,
            Ok(Some(swept)) if is_over(&swept) => return,
            Ok(Some(swept)) => {
                let times = [swept.state.next_expiry_in, swept.opens_in, swept.ends_in];
                let next = times.into_iter().flatten().min().unwrap_or(AT_LEAST_EVERY);
                (next + Duration::from_millis(1)).clamp(AT_MOST_EVERY, AT_LEAST_EVERY)
            }
            Err(Failure::Away | Failure::Busy) => PAUSE,
            Err(Failure::Data | Failure::Fault) => LONG_PAUSE,
        };
        due = Instant::now() + wait;
    }
}

fn is_over(swept: &Swept) -> bool {
    swept.state.progress.status == SaleStatus::Closed && swept.state.progress.next_expiry.is_none()
}

/// Sweeps a sale and passes on what that brought.
async fn sweep(inner: &Inner, sale: SaleId) -> Result<Option<Swept>, Failure> {
    let asked = Instant::now();
    let swept = with_connection(inner, async |conn| store::sweep(conn, sale).await).await?;
    if let Some(swept) = &swept {
        inner.learn(&swept.state, asked);
        if !swept.lapsed.is_empty() {
            inner.sink.holds_changed(swept.state.stream, swept.lapsed.clone());
        }
    }
    Ok(swept)
}

/// Looks for sales that are overdue and that nobody has swept: of shows that are over,
/// or of rooms that are open nowhere.
pub(super) async fn sweep_strays(inner: Arc<Inner>) {
    loop {
        let pause = tokio::time::sleep(STRAYS_EVERY);
        if inner.stopping.run_until_cancelled(pause).await.is_none() {
            return;
        }
        inner.forget_idle_lanes();
        let Ok(overdue) = with_connection(&inner, async |conn| store::overdue(conn).await).await else {
            continue;
        };
        for sale in overdue {
            if sweep(&inner, sale).await.is_err() {
                break;
            }
        }
    }
}

async fn with_connection<T>(
    inner: &Inner,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, Failure> {
    match db::within(&inner.pool, ATTEMPT_DEADLINE, work).await {
        Ok(value) => {
            inner.health.answered();
            Ok(value)
        }
        Err(error) => Err(inner.health.failed("sweeping a sale", &error)),
    }
}
