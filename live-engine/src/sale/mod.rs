//! Flash-buy: holds and places in line by group commit. Buyers of one sale queue in its
//! lane; one call to the database is in flight a lane, and what arrives meanwhile is the
//! next batch, so that the pace sets itself. Everybody is answered within two seconds,
//! whatever the database does, and nobody is told of a hold that is not committed.
//!
//! The desk also keeps the time of the sales whose rooms live here: it sweeps at the
//! earliest expiry and at the end, and tells those in line how it moves. It decides
//! nothing: the functions in `migrations/` do, under the sale's row lock and by the
//! database's clock.

pub(crate) mod batch;
mod give_up;
mod lane;
pub(crate) mod lanes;
pub(crate) mod line;
mod memory;
pub mod state;
pub(crate) mod store;
mod tend;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::Timestamp;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, ReservationId, SaleId, StreamId, UserId};
use shared::protocol::SaleCard;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::{Db, Health, Places, Purpose, STATEMENT_DEADLINE, Spawner};
use crate::types::{ConnId, Sink};
pub use give_up::{ReleaseRequest, UnwaitRequest};
use lanes::Lanes;
use store::SaleState;
use tend::Watched;

/// Buyers in one call at most.
pub const MAX_BATCH: usize = 512;
/// How long one call may take.
const ATTEMPT_DEADLINE: Duration = STATEMENT_DEADLINE;
/// Units that one request may ask for: the table's limit.
pub const MAX_QUANTITY: u32 = 1000;

/// A viewer's `buy` or `wait`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldRequest {
    /// Who waits for the answer.
    pub conn: ConnId,
    /// The command's id.
    pub id: u64,
    /// The room it came from.
    pub stream: StreamId,
    /// The sale.
    pub sale: SaleId,
    /// The buyer.
    pub user: UserId,
    /// The buyer's name for the act.
    pub request_id: RequestId,
    /// Units.
    pub quantity: u32,
    /// Whether the buyer stands in line if the units cannot be had.
    pub waits: bool,
}

/// Grants and releases holds, and keeps the sales' time. Cheap to clone.
#[derive(Clone)]
pub struct SaleDesk {
    inner: Arc<Inner>,
}

struct Inner {
    pool: PgPool,
    health: Arc<Health>,
    spawner: Spawner,
    sink: Arc<dyn Sink>,
    /// Batches of all lanes together: the pool's other users must find connections too.
    calls: Places,
    /// What is swept, given up and read besides.
    tending: Places,
    /// Whoever has got something is read for one sale at a time.
    reading: Places,
    lanes: Mutex<Lanes>,
    watched: Mutex<HashMap<SaleId, Watched>>,
    stopping: CancellationToken,
}

impl SaleDesk {
    /// Opens the desk, on the database's threads; answers go to `sink`.
    #[must_use]
    pub fn start(db: &Db, sink: Arc<dyn Sink>) -> Self {
        let inner = Arc::new(Inner {
            pool: db.pool(),
            health: db.health(),
            spawner: db.spawner(),
            sink,
            calls: db.places(Purpose::Reservation).clone(),
            tending: db.places(Purpose::Tending).clone(),
            reading: Places::new(1),
            lanes: Mutex::default(),
            watched: Mutex::default(),
            stopping: db.stopping(),
        });
        db.spawn(tend::sweep_strays(inner.clone()));
        Self { inner }
    }

    /// Asks for a hold, or for a place in line. Never blocks; the answer goes to the sink within two seconds. One
    /// that says `database_unavailable` leaves open whether the hold was granted: the
    /// same request id, sent again, is answered truly.
    ///
    /// # Errors
    /// What is known at once: `sold_out` and `sale_not_open` from memory, `overloaded`,
    /// `invalid_body`.
    pub fn reserve(&self, request: HoldRequest) -> Result<(), Refusal> {
        let is_idle = self.inner.lanes().ask(&request, ReservationId::new(), Instant::now())?;
        if is_idle {
            self.inner.spawner.spawn(lane::run(self.inner.clone(), request.sale));
        }
        Ok(())
    }

    /// Gives a hold up. Never blocks; the answer goes to the sink within two seconds.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn release(&self, request: ReleaseRequest) -> Result<(), Refusal> {
        give_up::release(&self.inner, request)
    }

    /// Leaves a wait list. Never blocks; the answer goes to the sink within two seconds.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn unwait(&self, request: UnwaitRequest) -> Result<(), Refusal> {
        give_up::unwait(&self.inner, request)
    }

    /// Keeps the time of a sale whose room is here: it is swept at once (its
    /// counters are reported), at the earliest expiry and at its end. Call it again whenever
    /// the room has read it anew: when that is news here too, it is swept again at once.
    pub fn watch(&self, stream: StreamId, card: &SaleCard, next_expiry: Option<Timestamp>) {
        tend::watch(&self.inner, stream, card, next_expiry);
    }

    /// Buyers whose turn at the database has not come, and people in the wait lists of
    /// the sales that are tended here.
    #[must_use]
    pub fn waiting(&self) -> (usize, u64) {
        let asking = self.inner.lanes().waiting();
        let watched = self.inner.watched();
        let in_line = watched.values().map(|watched| u64::from(watched.waiting()));
        (asking, in_line.sum())
    }

    /// Forgets the sales of a room that is not here any more.
    pub fn unwatch(&self, stream: StreamId) {
        self.inner.watched().retain(|_, watched| watched.stream != stream);
    }
}

fn crowded() -> Refusal {
    Refusal::from(ErrorCode::Overloaded).retry_after_ms(500)
}

impl Inner {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<SaleId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in counters that were committed after `asked`, and passes them on if they
    /// are news.
    fn learn(&self, state: &SaleState, asked: Instant) {
        if self.take_in(state, asked) {
            self.pass_on(state);
        }
    }

    /// Takes in counters that were committed after `asked`. True: they are news here.
    fn take_in(&self, state: &SaleState, asked: Instant) -> bool {
        let news = self.lanes().learn(state, asked);
        if let Some(watched) = self.watched().get(&state.progress.sale) {
            watched.learn(state);
        }
        news
    }

    fn pass_on(&self, state: &SaleState) {
        self.sink.sale_progress(state.stream, state.progress.clone());
    }
}
