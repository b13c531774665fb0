//! Who waits for units of which sale: a lane a sale, in the order of arrival, and what is
//! remembered of it. Pure: no IO, and time comes in from outside.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{ReservationId, SaleId, UserId};
use tokio::time::Instant;

use super::batch::{Batch, Pending, not_tried};
use super::memory::{Memory, Refused};
use super::state::Ask;
use super::store::{SaleState, reserve};
use super::{ATTEMPT_DEADLINE, HoldRequest, MAX_BATCH, MAX_QUANTITY, crowded};
use crate::db::CALL_DEADLINE;
use crate::types::HoldAnswer;

/// Buyers that may wait in one lane.
pub(crate) const LANE_CAPACITY: usize = 16_384;
/// Buyers that may wait in all lanes together.
pub(crate) const TOTAL_CAPACITY: usize = 65_536;
/// What one buyer may have waiting in one lane: a burst of attempts as the rate allows it.
const WAITING_OF_A_BUYER: u32 = 24;
/// Lanes that are kept; idle ones beyond are forgotten.
const LANES_KEPT: usize = 1024;

/// See the module.
#[derive(Default)]
pub(crate) struct Lanes {
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
            Refused::NotOpen(wait) => reserve::not_open(wait),
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
        let own = self.asking.get(&request.user).copied().unwrap_or(0);
        if self.queue.len() >= LANE_CAPACITY || own >= WAITING_OF_A_BUYER {
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

impl Lanes {
    /// Queues an ask; `reservation` is the hold's id, if it is granted. True: nobody
    /// serves this lane yet.
    ///
    /// # Errors
    /// What is known at once: `sold_out` and `sale_not_open` from memory, `overloaded`,
    /// `invalid_body`.
    pub(crate) fn ask(
        &mut self,
        request: &HoldRequest,
        reservation: ReservationId,
        now: Instant,
    ) -> Result<bool, Refusal> {
        if !(1..=MAX_QUANTITY).contains(&request.quantity) {
            return Err(Refusal::new(ErrorCode::InvalidBody, "1 to 1000 units can be asked for").at("quantity"));
        }
        if self.waiting >= TOTAL_CAPACITY {
            return Err(crowded());
        }
        let lane = self.by_sale.entry(request.sale).or_default();
        lane.admits(request, now)?;
        *lane.asking.entry(request.user).or_default() += 1;
        let ask = Ask {
            reservation,
            user: request.user,
            request: request.request_id,
            quantity: request.quantity,
            waits: request.waits,
        };
        lane.queue.push_back(Pending::new(
            request.conn,
            request.id,
            request.stream,
            ask,
            now + CALL_DEADLINE,
        ));
        self.waiting += 1;
        Ok(!std::mem::replace(&mut lane.running, true))
    }

    /// The next batch, which may be empty, and the answers of those whom memory refuses;
    /// `None`: nobody waits, and whoever serves the lane is to go.
    pub(crate) fn take(&mut self, sale: SaleId, now: Instant) -> Option<(Batch, Vec<HoldAnswer>)> {
        let lane = self.by_sale.get_mut(&sale)?;
        if lane.queue.is_empty() {
            lane.running = false;
            return None;
        }
        let (mut batch, mut refused) = (Vec::new(), Vec::new());
        while batch.len() < MAX_BATCH {
            let Some(pending) = lane.queue.pop_front() else {
                break;
            };
            self.waiting -= 1;
            if let Some(refusal) = lane.refuses(pending.ask.user, pending.ask.waits, now) {
                lane.answered(pending.ask.user);
                refused.push(pending.answer(Err(refusal)));
            } else {
                batch.push(pending);
            }
        }
        Some((Batch::new(batch, now), refused))
    }

    /// When the first of a queue must be answered. Whoever arrives later is due later.
    pub(crate) fn due(&self, sale: SaleId) -> Option<Instant> {
        let lane = self.by_sale.get(&sale)?;
        lane.queue.front().map(|pending| pending.deadline)
    }

    /// Takes those out of a queue whose time is up; their answers.
    pub(crate) fn expire(&mut self, sale: SaleId, now: Instant) -> Vec<HoldAnswer> {
        let mut answers = Vec::new();
        let Some(lane) = self.by_sale.get_mut(&sale) else {
            return answers;
        };
        while let Some(late) = lane.queue.pop_front_if(|pending| pending.deadline <= now) {
            lane.answered(late.ask.user);
            self.waiting -= 1;
            answers.push(late.answer(Err(not_tried())));
        }
        answers
    }

    /// A batch is dealt with; when `is_unsure`, some of it may yet be carried out without
    /// our hearing of it.
    pub(crate) fn settled(&mut self, sale: SaleId, users: &[UserId], is_unsure: bool, now: Instant) {
        let Some(lane) = self.by_sale.get_mut(&sale) else {
            return;
        };
        if is_unsure {
            lane.memory.distrust(now + ATTEMPT_DEADLINE);
        }
        for user in users {
            lane.answered(*user);
        }
    }

    /// Takes in counters that were committed after `asked`. True: they are news.
    pub(crate) fn learn(&mut self, state: &SaleState, asked: Instant) -> bool {
        let lane = self.by_sale.entry(state.progress.sale).or_default();
        lane.memory.learn(state, asked)
    }

    /// Takes in who has got something in a batch, where there were so many holds and
    /// places before and now.
    pub(crate) fn granted(&mut self, sale: SaleId, users: Vec<UserId>, before: i64, entries: i64) {
        if let Some(lane) = self.by_sale.get_mut(&sale) {
            lane.memory.granted(users, before, entries);
        }
    }

    /// With how many holds and places of a sale it must be read who has got something in
    /// it, before anybody is refused from memory.
    pub(crate) fn needs_known(&mut self, sale: SaleId, now: Instant) -> Option<i64> {
        self.by_sale
            .get_mut(&sale)
            .and_then(|lane| lane.memory.needs_known(now))
    }

    /// Takes in who has got something, read when `entries` were known; none: too many.
    pub(crate) fn learn_known(&mut self, sale: SaleId, entries: i64, users: Option<Vec<UserId>>, now: Instant) {
        if let Some(lane) = self.by_sale.get_mut(&sale) {
            lane.memory.learn_known(entries, users, now);
        }
    }

    /// Forgets lanes that nobody queues in and that remember nothing of use.
    pub(crate) fn forget_idle(&mut self, now: Instant) {
        if self.by_sale.len() > LANES_KEPT {
            let of_use = |lane: &Lane| lane.running || !lane.queue.is_empty() || !lane.memory.is_stale(now);
            self.by_sale.retain(|_, lane| of_use(lane));
        }
    }

    /// Buyers that wait.
    pub(crate) const fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{RequestId, StreamId};
    use shared::status::SaleStatus;

    use super::*;
    use crate::types::{ConnId, SaleProgress};

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
            entries: 3,
            next_expiry_in: None,
            opens_in: None,
        };
        lane.memory.learn(&empty, now);
        lane.memory.learn_known(3, Some(Vec::new()), now);
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

    #[test]
    fn one_buyer_takes_few_places_of_a_lane() {
        let (mut lanes, now, mine) = (Lanes::default(), Instant::now(), request(UserId::new(), false));
        let mut ask = |request: &HoldRequest| {
            lanes
                .ask(request, ReservationId::new(), now)
                .map_err(|refusal| refusal.code)
        };
        for _ in 0..WAITING_OF_A_BUYER {
            assert!(ask(&mine).is_ok());
        }
        assert_eq!(ask(&mine), Err(ErrorCode::Overloaded));
        let theirs = HoldRequest {
            user: UserId::new(),
            ..mine
        };
        assert!(ask(&theirs).is_ok());
    }

    #[test]
    fn who_is_taken_or_too_late_waits_no_more() {
        let (mut lanes, now, sale) = (Lanes::default(), Instant::now(), SaleId::new());
        let ask = |lanes: &mut Lanes, at| {
            let request = HoldRequest {
                sale,
                ..request(UserId::new(), false)
            };
            lanes.ask(&request, ReservationId::new(), at)
        };
        assert_eq!(ask(&mut lanes, now), Ok(true), "the first finds nobody at work");
        for _ in 0..MAX_BATCH + 1 {
            assert_eq!(ask(&mut lanes, now), Ok(false));
        }
        let (batch, refused) = lanes.take(sale, now).expect("somebody waits");
        assert_eq!((batch.len(), refused.len(), lanes.waiting()), (MAX_BATCH, 0, 2));
        assert_eq!(lanes.due(sale), Some(now + CALL_DEADLINE));
        assert_eq!(lanes.expire(sale, now + CALL_DEADLINE).len(), 2);
        assert_eq!((lanes.waiting(), lanes.due(sale)), (0, None));
        assert!(lanes.take(sale, now).is_none());
        assert_eq!(ask(&mut lanes, now), Ok(true), "whoever was at work has gone");
    }
}
