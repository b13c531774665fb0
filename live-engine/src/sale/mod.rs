//! Flash-buy: holds and places in line by group commit. Buyers of one sale queue in its
//! lane; one call to the database is in flight a lane, and what arrives meanwhile is the
//! next batch, so that the pace sets itself. Everybody is answered within two seconds,
//! whatever the database does, and nobody is told of a hold that is not committed.
//!
//! The desk also keeps the time of the sales whose rooms live here: it sweeps at the
//! earliest expiry and at the end, and tells those in line how it moves. It decides
//! nothing: the functions in `migrations/` do, under the sale's row lock and by the
//! database's clock.

mod give_up;
mod lane;
mod line;
mod memory;
pub mod state;
mod store;
mod tend;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::Timestamp;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, ReservationId, SaleId, StreamId, UserId};
use shared::protocol::{Outcome, SaleCard};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::db::{CALL_DEADLINE, Db, Health, Spawner};
use crate::types::{ConnId, HoldAnswer, Sink};
pub use give_up::{ReleaseRequest, UnwaitRequest};
use memory::{Memory, Refused};
use state::Ask;
use store::SaleState;
use tend::Watched;

/// Buyers in one call at most.
pub const MAX_BATCH: usize = 512;
/// Buyers that may wait in one lane.
const LANE_CAPACITY: usize = 16_384;
/// Buyers that may wait in all lanes together.
const TOTAL_CAPACITY: usize = 65_536;
/// Lanes that are kept; idle ones beyond are forgotten.
const LANES_KEPT: usize = 1024;
/// Holds and places that are being given up at most.
const GIVING_UP: usize = 256;
/// How long one call may take: longer than the database lets a statement run, so that
/// only a connection that has gone silent is cut.
const ATTEMPT_DEADLINE: Duration = Duration::from_secs(12);
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
    /// Calls of all lanes together: the pool's other users must find connections too.
    calls: Semaphore,
    giving_up: Arc<Semaphore>,
    lanes: Mutex<Lanes>,
    watched: Mutex<HashMap<SaleId, Watched>>,
    stopping: CancellationToken,
}

#[derive(Default)]
struct Lanes {
    by_sale: HashMap<SaleId, Lane>,
    waiting: usize,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<Pending>,
    /// How many asks of each person are queued or on their way. What they send again is
    /// not answered from memory: the first may be granted at this moment.
    asking: HashMap<UserId, u32>,
    running: bool,
    memory: Memory,
}

impl Lane {
    /// Why `user` gets nothing, if that is certain. Who `may_be_granted` something for all
    /// that is not told that it is sold out.
    fn refuses(&self, user: UserId, may_be_granted: bool, now: Instant) -> Option<Refusal> {
        let refusal = match self.memory.refuses(user, now)? {
            Refused::NotOpen(wait) => store::reserve::not_open(wait),
            Refused::SoldOut if may_be_granted => return None,
            Refused::SoldOut => ErrorCode::SoldOut.into(),
        };
        metrics::counter!("engine_holds_refused_from_memory_total").increment(1);
        Some(refusal)
    }

    /// Whether an ask is to be queued.
    ///
    /// # Errors
    /// What is known at once.
    fn admits(&self, request: &HoldRequest, now: Instant) -> Result<(), Refusal> {
        let may_be_granted = request.waits || self.asking.contains_key(&request.user);
        if let Some(refusal) = self.refuses(request.user, may_be_granted, now) {
            return Err(refusal);
        }
        if self.queue.len() >= LANE_CAPACITY {
            return Err(crowded());
        }
        Ok(())
    }

    /// One ask of this person is dealt with.
    fn answered(&mut self, user: UserId) {
        if let Entry::Occupied(mut asking) = self.asking.entry(user) {
            *asking.get_mut() -= 1;
            if *asking.get() == 0 {
                asking.remove();
            }
        }
    }
}

/// A buyer who waits.
#[derive(Clone, Copy)]
struct Pending {
    conn: ConnId,
    id: u64,
    ask: Ask,
    deadline: Instant,
}

impl Pending {
    fn answer(&self, result: Result<Outcome, Refusal>) -> HoldAnswer {
        HoldAnswer {
            conn: self.conn,
            id: self.id,
            result,
        }
    }
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
            calls: Semaphore::new((db.max_connections() / 4).max(1)),
            giving_up: Arc::new(Semaphore::new(GIVING_UP)),
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
        if !(1..=MAX_QUANTITY).contains(&request.quantity) {
            return Err(Refusal::new(ErrorCode::InvalidBody, "1 to 1000 units can be asked for").at("quantity"));
        }
        let now = Instant::now();
        let mut lanes = self.inner.lanes();
        if lanes.waiting >= TOTAL_CAPACITY {
            return Err(crowded());
        }
        let lane = lanes.by_sale.entry(request.sale).or_default();
        lane.admits(&request, now)?;
        *lane.asking.entry(request.user).or_default() += 1;
        lane.queue.push_back(Pending {
            conn: request.conn,
            id: request.id,
            ask: Ask {
                reservation: ReservationId::new(),
                user: request.user,
                request: request.request_id,
                quantity: request.quantity,
                waits: request.waits,
            },
            deadline: now + CALL_DEADLINE,
        });
        let idle = !std::mem::replace(&mut lane.running, true);
        lanes.waiting += 1;
        drop(lanes);
        if idle {
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

    /// Keeps the time of a sale whose room is here: it is swept at once (counters that
    /// are news are reported), at the earliest expiry and at its end. Call it again whenever
    /// the room has read it anew: when that is news here too, it is swept again at once.
    pub fn watch(&self, stream: StreamId, card: &SaleCard, next_expiry: Option<Timestamp>) {
        tend::watch(&self.inner, stream, card, next_expiry);
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
        let sale = state.progress.sale;
        let news = {
            let mut lanes = self.lanes();
            let lane = lanes.by_sale.entry(sale).or_default();
            lane.memory.learn(state, asked)
        };
        if let Some(watched) = self.watched().get(&sale) {
            watched.learn(state);
        }
        if news {
            self.sink.sale_progress(state.stream, state.progress.clone());
        }
    }

    /// Forgets lanes that nobody queues in and that remember nothing of use.
    fn forget_idle_lanes(&self) {
        let now = Instant::now();
        let mut lanes = self.lanes();
        if lanes.by_sale.len() > LANES_KEPT {
            let of_use = |lane: &Lane| lane.running || !lane.queue.is_empty() || !lane.memory.is_stale(now);
            lanes.by_sale.retain(|_, lane| of_use(lane));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use shared::status::SaleStatus;

    use super::*;
    use crate::types::SaleProgress;

    fn request(user: UserId, waits: bool) -> HoldRequest {
        HoldRequest {
            conn: ConnId {
                worker: 0,
                slot: 0,
                generation: 0,
            },
            id: 1,
            stream: StreamId::new(),
            sale: SaleId::new(),
            user,
            request_id: RequestId::new(),
            quantity: 1,
            waits,
        }
    }

    #[test]
    fn who_is_asking_and_who_would_wait_are_not_told_from_memory_that_it_is_sold_out() {
        let (now, asking, stranger) = (Instant::now(), UserId::new(), UserId::new());
        let mut lane = Lane::default();
        let empty = SaleState {
            stream: StreamId::new(),
            progress: SaleProgress {
                sale: SaleId::new(),
                remaining: 0,
                version: 3,
                status: SaleStatus::Open,
                next_expiry: None,
            },
            waiting: 0,
            next_expiry_in: None,
            opens_in: None,
        };
        lane.memory.learn(&empty, now);
        lane.memory.learn_known(3, HashSet::new());
        lane.asking.insert(asking, 2);
        let refused =
            |lane: &Lane, user, waits| lane.admits(&request(user, waits), now).map_err(|refusal| refusal.code);
        assert_eq!(refused(&lane, stranger, false), Err(ErrorCode::SoldOut));
        assert_eq!(refused(&lane, stranger, true), Ok(()));
        assert_eq!(
            refused(&lane, asking, false),
            Ok(()),
            "the first ask may be granted right now"
        );
        lane.answered(asking);
        assert_eq!(refused(&lane, asking, false), Ok(()), "there is another");
        lane.answered(asking);
        assert_eq!(refused(&lane, asking, false), Err(ErrorCode::SoldOut));
        assert!(lane.asking.is_empty());
    }
}
