//! The sale desk's shell, as `sale/mod.rs`, `sale/lane.rs` and `sale/give_up.rs` are:
//! queues buyers, serves lanes, and answers in time. What is asked and answered is decided
//! in the production's `lanes`, `batch` and `memory`; who was told what is checked here.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::protocol::{Outcome, Private, Reservation, Waiting};
use tokio::time::Instant;

use super::node::{Lane, Pressed, WORKERS};
use super::store::{Ask, GivenUp, Reply};
use super::world::{Task, World, trace};
use crate::db::Failure;
use crate::sale::HoldRequest;
use crate::sale::batch::{Step, Tried};
use crate::sale::state::after_unwait;
use crate::sale::store::SaleState;
use crate::types::{ConnId, HoldAnswer};

/// Everybody is answered within two seconds, and timers fire a little late.
const ANSWERED_WITHIN_US: u64 = 2_000_000 + 10_000;

/// What is to be given up.
#[derive(Clone, Copy, Debug)]
pub enum Give {
    Hold(ReservationId),
    Place(SaleId, RequestId),
}

impl World {
    pub fn instant(&self) -> Instant {
        Instant::from_std(self.schedule.now().at)
    }

    /// A buyer asks for units; the refusal, if it is known at once.
    pub fn press(&mut self, node: usize, request: &HoldRequest) -> Result<(), Refusal> {
        let (at, now) = (self.at(node), self.instant());
        let reservation = ReservationId(self.chance.uuid());
        let pressed = Pressed {
            us: self.us(),
            sale: request.sale,
            user: request.user,
            request: request.request_id,
            has_got: self.db.shelf.has_got(request.sale, request.user, request.request_id),
        };
        let asked = self.nodes[node].lanes.ask(request, reservation, now);
        if let Err(refusal) = &asked {
            self.check_refused(pressed, refusal);
            self.check_memory(request.sale, refusal);
        }
        let is_idle = asked?;
        let here = &mut self.nodes[node];
        here.pressed.insert((request.conn.generation, request.id), pressed);
        here.presses += 1;
        here.arrived.insert(reservation, here.presses);
        self.at_time(
            now.into_std() + crate::db::CALL_DEADLINE,
            Task::LaneDue(at, request.sale),
        );
        if is_idle {
            self.nodes[node].serving.entry(request.sale).or_default();
            self.soon(Task::Lane(at, request.sale));
        }
        Ok(())
    }

    /// What was granted cannot be refused for good: not to who asks again, and not to who
    /// asks for the first time, unless a call whose outcome nobody knew came late.
    fn check_refused(&self, pressed: Pressed, refusal: &Refusal) {
        let is_open = matches!(
            refusal.code,
            ErrorCode::DatabaseUnavailable | ErrorCode::Overloaded | ErrorCode::RequestIdReused
        );
        if is_open {
            return;
        }
        assert!(!pressed.has_got, "a resend of what was granted is answered {refusal:?}");
        let has_got = self.db.shelf.has_got(pressed.sale, pressed.user, pressed.request);
        assert!(
            !has_got || self.came_late.contains(&pressed.request),
            "what was granted is answered {refusal:?}"
        );
    }

    /// Sold out is believed no longer than until the earliest hold lapses.
    fn check_memory(&self, sale: SaleId, refusal: &Refusal) {
        if refusal.code == ErrorCode::SoldOut {
            let late = self.db.shelf.lapsed_for(sale, self.db_ms());
            assert!(late <= 5, "refused from memory {late} ms after a unit has come free");
        }
    }

    /// A lane goes on with what comes next.
    pub fn serve_lane(&mut self, node: usize, sale: SaleId) {
        let (at, now) = (self.at(node), self.instant());
        let here = &mut self.nodes[node];
        let Some(lane) = here.serving.get_mut(&sale).filter(|lane| !lane.is_asking) else {
            return;
        };
        if lane.batch.is_none() {
            let Some((batch, refused)) = here.lanes.take(sale, now) else {
                // Whoever comes next finds nobody at work.
                lane.is_idle = true;
                return;
            };
            (lane.batch, lane.is_new) = (Some(batch), true);
            for answer in &refused {
                if let Err(refusal) = &answer.result {
                    self.check_memory(sale, refusal);
                }
            }
            self.hold_answers(node, refused);
        }
        let Some(lane) = self.nodes[node].serving.get_mut(&sale) else {
            return;
        };
        lane.is_idle = false;
        match lane.batch.as_ref().map(|batch| batch.next(now)) {
            Some(Step::Ask(asks)) => {
                lane.is_asking = true;
                self.check_order(node, sale, &asks);
                self.ask(node, Ask::Reserve(sale, asks, now));
            }
            Some(Step::Wait(until)) => self.at_time(until.into_std(), Task::Lane(at, sale)),
            Some(Step::Done) | None => self.settle_lane(node, sale),
        }
    }

    /// Who comes first is asked for first.
    fn check_order(&mut self, node: usize, sale: SaleId, asks: &[crate::sale::state::Ask]) {
        let here = &mut self.nodes[node];
        let Some(lane) = here.serving.get_mut(&sale) else {
            return;
        };
        let is_new = std::mem::take(&mut lane.is_new);
        let mut last = if is_new { lane.asked_up_to } else { 0 };
        for ask in asks {
            let arrived = here.arrived[&ask.reservation];
            assert!(arrived > last, "number {arrived} is asked for after number {last}");
            last = arrived;
        }
        lane.asked_up_to = lane.asked_up_to.max(last);
    }

    /// A batch is dealt with.
    fn settle_lane(&mut self, node: usize, sale: SaleId) {
        let (at, now) = (self.at(node), self.instant());
        let lane = self.nodes[node].serving.get_mut(&sale);
        let Some(batch) = lane.and_then(|lane| lane.batch.take()) else {
            return;
        };
        let settled = batch.finish();
        for granted in settled.granted {
            let lanes = &mut self.nodes[node].lanes;
            lanes.granted(sale, granted.users, granted.before, granted.entries);
        }
        if let Some((state, asked)) = &settled.state {
            self.learn(node, state, *asked);
        }
        let lanes = &mut self.nodes[node].lanes;
        lanes.settled(sale, &settled.users, settled.is_unsure, now);
        self.hold_answers(node, settled.answers);
        self.holds_changed(node, &settled.holds);
        self.places_changed(node, &settled.places);
        match self.nodes[node].lanes.needs_known(sale, now) {
            Some(entries) => {
                if let Some(lane) = self.nodes[node].serving.get_mut(&sale) {
                    lane.is_asking = true;
                }
                self.ask(node, Ask::Known(sale, entries));
            }
            None => self.soon(Task::Lane(at, sale)),
        }
    }

    /// Takes in counters, and passes them on if they are news.
    pub fn learn(&mut self, node: usize, state: &SaleState, asked: Instant) {
        let is_news = self.nodes[node].lanes.learn(state, asked);
        self.sale_learnt(node, state);
        if is_news {
            self.pass_on(node, state);
        }
    }

    /// Passes counters on to the room.
    pub fn pass_on(&mut self, node: usize, state: &SaleState) {
        let progress = state.progress.clone();
        self.post(node, |post| match post.progress.get(&progress.sale) {
            Some(known) if known.version >= progress.version => {}
            _ => drop(post.progress.insert(progress.sale, progress)),
        });
    }

    /// A call of a lane came to something.
    pub fn lane_answered(&mut self, node: usize, ask: Ask, reply: Reply) {
        let (at, now) = (self.at(node), self.instant());
        let (Ask::Reserve(sale, ..) | Ask::Known(sale, _)) = ask else {
            return;
        };
        let Some(lane) = self.nodes[node].serving.get_mut(&sale) else {
            return;
        };
        lane.is_asking = false;
        match (ask, reply) {
            (Ask::Reserve(_, _, asked), reply) => {
                let failed = |failure, was_sent| Tried::Failed { failure, was_sent };
                let tried = match reply {
                    Reply::Granted(Some(granted)) => Tried::Granted(granted, asked),
                    Reply::Granted(None) => failed(Failure::Data, true),
                    Reply::Unreached => failed(Failure::Away, false),
                    Reply::Busy => failed(Failure::Busy, true),
                    _ => failed(Failure::Away, true),
                };
                if let Some(batch) = &mut lane.batch {
                    batch.tried(tried, now);
                }
            }
            (Ask::Known(_, entries), Reply::Known(users)) => {
                self.nodes[node]
                    .lanes
                    .learn_known(sale, entries, Some(users.into_iter().collect()), now);
            }
            _ => {}
        }
        self.soon(Task::Lane(at, sale));
    }

    /// Those whose time is up are answered.
    pub fn lane_due(&mut self, node: usize, sale: SaleId) {
        let now = self.instant();
        let here = &mut self.nodes[node];
        let lane = here.serving.get_mut(&sale);
        let mut late = lane
            .and_then(|lane: &mut Lane| lane.batch.as_mut())
            .map(|batch| batch.late(now))
            .unwrap_or_default();
        late.extend(here.lanes.expire(sale, now));
        self.hold_answers(node, late);
    }

    fn hold_answers(&mut self, node: usize, answers: Vec<HoldAnswer>) {
        for HoldAnswer { conn, id, result } in answers {
            let pressed = self.nodes[node].pressed.remove(&(conn.generation, id));
            let pressed = pressed.unwrap_or_else(|| panic!("a buyer is answered {id} a second time"));
            let took = self.us() - pressed.us;
            assert!(took <= ANSWERED_WITHIN_US, "a buyer is answered after {took} us");
            if let Err(refusal) = &result {
                self.check_refused(pressed, refusal);
            }
            self.reply(node, conn, crate::room::private(id, result));
        }
    }

    /// Nobody waits for an answer longer than they may.
    pub fn check_pressed(&self) {
        for node in &self.nodes {
            for pressed in node.pressed.values() {
                let waits = self.us() - pressed.us;
                assert!(waits <= ANSWERED_WITHIN_US, "a buyer waits for {waits} us: {pressed:?}");
            }
        }
    }

    pub fn holds_changed(&mut self, node: usize, holds: &[(UserId, Reservation)]) {
        for (user, hold) in holds {
            self.tell(node, *user, &Private::Reservation(hold.clone()));
        }
    }

    pub fn places_changed(&mut self, node: usize, places: &[(UserId, Waiting)]) {
        for (user, place) in places {
            self.tell(node, *user, &Private::Waiting(place.clone()));
        }
    }

    /// Tells a person something, on all their connections here.
    fn tell(&mut self, node: usize, user: UserId, message: &Private) {
        for worker in 0..WORKERS {
            let conns = self.nodes[node].workers[worker].conns.iter();
            let slots: Vec<_> = conns
                .filter(|(_, conn)| conn.user == user && (conn.joined || conn.joining.is_some()))
                .map(|(slot, _)| *slot)
                .collect();
            for slot in slots {
                self.nodes[node].workers[worker].with(slot, |conn, mirror| conn.tell(message, mirror));
                self.line_moves(node, worker, slot);
            }
        }
    }

    /// A hold or a place is given up.
    pub fn give_up(&mut self, node: usize, conn: ConnId, id: u64, user: UserId, give: Give) {
        let asked = self.instant();
        self.ask(node, Ask::GiveUp(conn, id, user, give, asked));
    }

    pub fn given_up(&mut self, node: usize, ask: &Ask, reply: Reply) {
        let Ask::GiveUp(conn, id, _, give, asked) = ask else {
            return;
        };
        let result = match reply {
            Reply::GivenUp(GivenUp::Hold(Err(code))) => Err(code.into()),
            Reply::GivenUp(GivenUp::Hold(Ok((offered, state)))) => {
                if let Some(state) = &state {
                    self.learn(node, state, *asked);
                    self.holds_changed(node, &offered);
                }
                Ok(Outcome::Done)
            }
            Reply::GivenUp(GivenUp::Place(status, state)) => {
                if let Some(state) = &state {
                    self.learn(node, state, *asked);
                }
                after_unwait(status).map(|()| Outcome::Done).map_err(Refusal::from)
            }
            _ => Err(ErrorCode::DatabaseUnavailable.into()),
        };
        trace!(self, "{give:?} is given up: {result:?}");
        self.reply(node, *conn, crate::room::private(*id, result));
    }
}
