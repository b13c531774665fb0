//! The sales' clocks: each sale of a room that lives here is swept when its earliest
//! hold lapses, when it opens and when it ends, and those in its line are told how it
//! moves; what nobody tends is found and swept too.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use shared::Timestamp;
use shared::ids::{SaleId, StreamId};
use shared::protocol::SaleCard;
use shared::status::SaleStatus;
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Inner;
use super::line::Line;
use super::store::{self, SaleState, Swept};
use crate::db::{self, Failure};

/// A sale is looked at this often even when nothing is due: holds may have been granted
/// or given back elsewhere.
const AT_LEAST_EVERY: Duration = Duration::from_secs(15);
/// A sweep a little early finds nothing; the next one follows no sooner than this.
const AT_MOST_EVERY: Duration = Duration::from_millis(5);
/// The pauses after a failed sweep.
const PAUSE: Duration = Duration::from_millis(250);
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// How often sales without a room are looked for, at least and at most.
const STRAYS_AT_LEAST: Duration = Duration::from_secs(10);
const STRAYS_AT_MOST: Duration = Duration::from_millis(500);

/// A sale that is tended. Dropping it ends its task.
pub(super) struct Watched {
    pub(super) stream: StreamId,
    news: watch::Sender<News>,
}

/// What a sale's task is told, the newest of each.
#[derive(Clone, Copy, Default)]
struct News {
    /// It is to be swept then.
    due: Option<Instant>,
    /// Its version, and how many are in line.
    line: (i64, u32),
}

impl Watched {
    /// Has it swept in so long, unless it is swept earlier.
    fn wake_in(&self, left: Duration) {
        let due = Instant::now() + left + Duration::from_millis(1);
        self.news.send_modify(|news| news.due = Some(due));
    }

    /// How many are in line, as far as it is known.
    pub(super) fn waiting(&self) -> u32 {
        self.news.borrow().line.1
    }

    /// Takes in what was learnt of the sale elsewhere.
    pub(super) fn learn(&self, state: &SaleState) {
        self.news.send_modify(|news| {
            if state.progress.version >= news.line.0 {
                news.line = (state.progress.version, state.waiting);
            }
        });
        if let Some(left) = state.next_expiry_in {
            self.wake_in(left);
        }
    }
}

/// See [`super::SaleDesk::watch`].
pub(super) fn watch(inner: &Arc<Inner>, stream: StreamId, card: &SaleCard, next_expiry: Option<Timestamp>) {
    let mut watched = inner.watched();
    if let Some(known) = watched.get(&card.id).filter(|known| !known.news.is_closed()) {
        if card.version > known.news.borrow().line.0 {
            known.wake_in(Duration::ZERO);
        } else if let Some(expiry) = next_expiry {
            // By our clock, which may be off: too early is tried again by the database's.
            known.wake_in((expiry - Utc::now()).to_std().unwrap_or_default());
        }
        return;
    }
    let sale = card.id;
    let (news, heard) = watch::channel(News::default());
    watched.insert(sale, Watched { stream, news });
    drop(watched);
    inner.spawner.spawn(tend(inner.clone(), stream, sale, heard));
}

/// Tends one sale until it is closed and nothing of it is held, or nobody wants it tended.
async fn tend(inner: Arc<Inner>, stream: StreamId, sale: SaleId, mut heard: watch::Receiver<News>) {
    let mut due = Instant::now();
    let mut line = Line::new(due);
    let (mut is_closed, mut is_new) = (false, true);
    // The last wish that was heard: it stays where it is when other news comes.
    let mut wished = None;
    loop {
        tokio::select! {
            biased;
            () = inner.stopping.cancelled() => return,
            news = heard.changed() => {
                if news.is_err() {
                    return;
                }
                let news = *heard.borrow_and_update();
                if let Some(wish) = news.due.filter(|wish| wished.replace(*wish) != Some(*wish)) {
                    due = due.min(wish);
                }
                line.heard(news.line.0, news.line.1);
                continue;
            }
            () = tokio::time::sleep_until(due) => {}
            () = moved(&line) => {
                tell_line(&inner, stream, sale, &mut line).await;
                continue;
            }
        }
        let swept = sweep(&inner, sale, false).await;
        if let Ok(Some(swept)) = &swept
            && std::mem::take(&mut is_new)
        {
            // What is no news here may be some to the room, which has just begun to watch.
            inner.sink.sale_progress(stream, swept.state.progress.clone());
        }
        let wait = match &swept {
            Ok(None) => return,
            Ok(Some(swept)) => {
                if swept.state.progress.status == SaleStatus::Closed && !std::mem::replace(&mut is_closed, true) {
                    tell_of_the_end(&inner, stream, sale).await;
                }
                if is_over(swept) {
                    return;
                }
                let times = [swept.state.next_expiry_in, swept.state.opens_in, swept.ends_in];
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

/// Until those in line are to be told that it has moved.
async fn moved(line: &Line) {
    match line.due() {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

async fn tell_line(inner: &Inner, stream: StreamId, sale: SaleId, line: &mut Line) {
    let version = line.version();
    match with_connection(inner, async |conn| store::line::places(conn, sale).await).await {
        Ok(places) => {
            let news = line.news(places, version, Instant::now());
            if !news.is_empty() {
                inner.sink.places_changed(stream, news);
            }
        }
        Err(_) => line.put_off(Instant::now() + LONG_PAUSE),
    }
}

/// Everybody hears that the sale is closed; those who were in line, that they need wait no
/// more. A failure leaves them with the former.
async fn tell_of_the_end(inner: &Inner, stream: StreamId, sale: SaleId) {
    let ended = with_connection(inner, async |conn| store::line::ended(conn, sale).await).await;
    let ended = ended.unwrap_or_default();
    if !ended.is_empty() {
        inner.sink.places_changed(stream, ended);
    }
}

/// Sweeps a sale and passes on what that brought.
async fn sweep(inner: &Inner, sale: SaleId, is_stray: bool) -> Result<Option<Swept>, Failure> {
    let asked = Instant::now();
    let swept = with_connection(inner, async |conn| store::sweep(conn, sale, is_stray).await).await?;
    if let Some(swept) = &swept {
        // Whatever is known here: what the room was told meanwhile may be older, of a sale
        // that was closed before its room heard of it even. The room knows what is news.
        inner.take_in(&swept.state, asked);
        inner.pass_on(&swept.state);
        if !swept.changed.is_empty() {
            inner.sink.holds_changed(swept.state.stream, swept.changed.clone());
        }
    }
    Ok(swept)
}

/// Looks for sales that are overdue and that nobody has swept: of shows that are over,
/// or of rooms that are open nowhere. Looks again when the next of them may be due.
pub(super) async fn sweep_strays(inner: Arc<Inner>) {
    loop {
        let next = with_connection(&inner, async |conn| store::next_overdue(conn).await).await;
        let wait = next.ok().flatten().unwrap_or(STRAYS_AT_LEAST);
        let pause = tokio::time::sleep(wait.clamp(STRAYS_AT_MOST, STRAYS_AT_LEAST));
        if inner.stopping.run_until_cancelled(pause).await.is_none() {
            return;
        }
        inner.lanes().forget_idle(Instant::now());
        let Ok(overdue) = with_connection(&inner, async |conn| store::overdue(conn).await).await else {
            continue;
        };
        for sale in overdue {
            let is_stray = !inner.watched().contains_key(&sale);
            // One that cannot be swept does not stand in the way of the others.
            if let Err(Failure::Away) = sweep(&inner, sale, is_stray).await {
                break;
            }
        }
    }
}

async fn with_connection<T>(
    inner: &Inner,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, Failure> {
    let _turn = inner.tending.turn().await;
    match db::alone(&inner.pool, work).await {
        Ok(value) => {
            inner.health.answered();
            Ok(value)
        }
        Err(error) => Err(inner.health.failed("sweeping a sale", &error)),
    }
}
