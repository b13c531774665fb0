//! One batch of a lane on its way to the database: what is asked next, what an attempt's
//! outcome means, and who is answered when. Everybody in it is answered once. Pure: no
//! IO, and time comes in from outside.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{StreamId, UserId};
use shared::protocol::{Outcome, Reservation, Waiting};
use tokio::time::Instant;

use super::state::Ask;
use super::store::SaleState;
use super::store::reserve::Granted;
use crate::db::Failure;
use crate::trace::FirstBuyer;
use crate::types::{ConnId, HoldAnswer};

/// The pause before a batch is tried again.
const PAUSE: Duration = Duration::from_millis(50);

/// A buyer who waits.
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    conn: ConnId,
    id: u64,
    /// The room it came from, for logs.
    stream: StreamId,
    pub(super) ask: Ask,
    pub(super) deadline: Instant,
}

impl Pending {
    pub(super) const fn new(conn: ConnId, id: u64, stream: StreamId, ask: Ask, deadline: Instant) -> Self {
        Self {
            conn,
            id,
            stream,
            ask,
            deadline,
        }
    }

    pub(super) const fn answer(&self, result: Result<Outcome, Refusal>) -> HoldAnswer {
        HoldAnswer {
            conn: self.conn,
            id: self.id,
            result,
        }
    }
}

/// See the module.
pub(crate) struct Batch {
    pending: Vec<Pending>,
    /// How many were told that the outcome is open: those whose time was up first.
    told: usize,
    /// Until when it is tried.
    until: Instant,
    /// What is not settled yet, each asked in one call.
    parts: VecDeque<Range<usize>>,
    /// A call was sent whose connection went away: it may have been carried out, whatever
    /// the next one says.
    may_be_done: bool,
    /// The next call waits until then.
    paused_until: Option<Instant>,
    answers: Vec<Option<Result<Outcome, Refusal>>>,
    changed: Vec<(UserId, Reservation)>,
    state: Option<(SaleState, Instant)>,
    granted: Vec<GotSomething>,
    is_unsure: bool,
}

/// What is to be done for a batch.
pub(crate) enum Step {
    /// Ask the database for these, in one call.
    Ask(Vec<Ask>),
    /// Nothing until then.
    Wait(Instant),
    /// Nothing more.
    Done,
}

/// What a call came to.
pub(crate) enum Tried {
    /// It was carried out; it was sent after this time.
    Granted(Granted, Instant),
    /// It was not, as far as is known.
    Failed {
        /// Why.
        failure: Failure,
        /// Whether it was sent at all.
        was_sent: bool,
    },
}

/// Who has got something by a call, and the sale's holds and places before and after it.
pub(crate) struct GotSomething {
    pub(crate) users: Vec<UserId>,
    pub(crate) before: i64,
    pub(crate) entries: i64,
}

/// A batch that is dealt with.
pub(crate) struct Settled {
    /// Of those who have not been answered yet.
    pub(crate) answers: Vec<HoldAnswer>,
    /// Holds that changed, and those of people who were told that the outcome was open.
    pub(crate) holds: Vec<(UserId, Reservation)>,
    /// Places in line of such people.
    pub(crate) places: Vec<(UserId, Waiting)>,
    /// The sale's counters, read after this time.
    pub(crate) state: Option<(SaleState, Instant)>,
    /// Who has got something, of each call.
    pub(crate) granted: Vec<GotSomething>,
    /// A call may have been carried out, or may yet be, without our hearing of it.
    pub(crate) is_unsure: bool,
    /// Everybody who was in it, once for each ask.
    pub(crate) users: Vec<UserId>,
}

impl Batch {
    pub(super) fn new(pending: Vec<Pending>, now: Instant) -> Self {
        let all = 0..pending.len();
        Self {
            told: 0,
            until: pending.last().map_or(now, |last| last.deadline),
            parts: if all.is_empty() {
                VecDeque::new()
            } else {
                VecDeque::from([all])
            },
            may_be_done: false,
            paused_until: None,
            answers: vec![None; pending.len()],
            changed: Vec::new(),
            state: None,
            granted: Vec::new(),
            is_unsure: false,
            pending,
        }
    }

    /// How many are in it.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Who came first, for logs.
    pub(crate) fn first(&self) -> Option<FirstBuyer> {
        self.pending.first().map(|pending| FirstBuyer {
            conn: pending.conn,
            request_id: pending.ask.request,
            stream: pending.stream,
        })
    }

    /// Until when it is tried.
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    /// What comes next.
    pub(crate) fn next(&self, now: Instant) -> Step {
        match (self.parts.front(), self.paused_until) {
            (None, _) => Step::Done,
            (Some(_), Some(until)) if now < until => Step::Wait(until),
            (Some(part), _) => Step::Ask(self.pending[part.clone()].iter().map(|pending| pending.ask).collect()),
        }
    }

    /// Takes in what a call came to. Asking again is harmless: every ask goes under its
    /// request id.
    pub(crate) fn tried(&mut self, tried: Tried, now: Instant) {
        self.paused_until = None;
        let Some(part) = self.parts.front().cloned() else {
            return;
        };
        let (failure, was_sent) = match tried {
            Tried::Granted(granted, asked) => {
                for (place, answer) in self.answers[part.clone()].iter_mut().zip(granted.answers) {
                    *place = Some(answer);
                }
                let users = self.got_something(part);
                self.granted.extend(granted.state.as_ref().map(|state| GotSomething {
                    users,
                    before: granted.entries_before,
                    entries: state.entries,
                }));
                self.changed.extend(granted.changed);
                self.state = granted.state.map(|state| (state, asked)).or(self.state.take());
                self.go_on();
                return;
            }
            Tried::Failed { failure, was_sent } => (failure, was_sent),
        };
        self.may_be_done |= was_sent && failure == Failure::Away;
        let is_passing = matches!(failure, Failure::Away | Failure::Busy);
        if is_passing && now + PAUSE < self.until {
            self.paused_until = Some(now + PAUSE);
        } else if failure == Failure::Data && part.len() > 1 {
            // Only the one whom the database refuses shall suffer.
            self.go_on();
            for single in part.rev() {
                self.parts.push_front(single..single + 1);
            }
        } else {
            self.is_unsure |= self.may_be_done;
            let refusal = refusal(failure, self.may_be_done);
            self.answers[part].fill(Some(Err(refusal)));
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        self.parts.pop_front();
    }

    /// Who of a part has units or a place now.
    fn got_something(&self, part: Range<usize>) -> Vec<UserId> {
        let asked = self.pending[part.clone()].iter().zip(&self.answers[part]);
        let got = asked.filter(|(_, answer)| matches!(answer, Some(Ok(_))));
        got.map(|(pending, _)| pending.ask.user).collect()
    }

    /// When the next of those who are not answered yet must be.
    pub(crate) fn due(&self) -> Option<Instant> {
        // They came in order, so their deadlines are in order too.
        self.pending.get(self.told).map(|pending| pending.deadline)
    }

    /// Answers those who cannot wait any longer.
    pub(crate) fn late(&mut self, now: Instant) -> Vec<HoldAnswer> {
        let waiting = self.pending[self.told..].iter();
        let late = waiting.take_while(|pending| pending.deadline <= now);
        let answers: Vec<_> = late.map(|pending| pending.answer(Err(outcome_unknown()))).collect();
        self.told += answers.len();
        answers
    }

    /// Everything is done: what is to be said and remembered.
    pub(crate) fn finish(self) -> Settled {
        let mut settled = Settled {
            answers: Vec::with_capacity(self.pending.len() - self.told),
            holds: self.changed,
            places: Vec::new(),
            state: self.state,
            granted: self.granted,
            is_unsure: self.is_unsure,
            users: self.pending.iter().map(|pending| pending.ask.user).collect(),
        };
        for (i, (pending, answer)) in self.pending.iter().zip(self.answers).enumerate() {
            // Without an answer: a defect of ours.
            let answer = answer.unwrap_or_else(|| Err(ErrorCode::Internal.into()));
            match answer {
                answer if i >= self.told => settled.answers.push(pending.answer(answer)),
                // Told that the outcome was open: now it is known, and good.
                Ok(Outcome::Held(hold)) => settled.holds.push((pending.ask.user, hold)),
                Ok(Outcome::Waiting(place)) => settled.places.push((pending.ask.user, place)),
                Ok(_) | Err(_) => {}
            }
        }
        settled
    }
}

/// The answer of one who cannot wait any longer for a call that is on its way.
pub(super) fn outcome_unknown() -> Refusal {
    Refusal::new(
        ErrorCode::DatabaseUnavailable,
        "no answer in time, it may have worked all the same: send the same request again to learn the outcome",
    )
    .retry_after_ms(1000)
}

/// The answer of one whose turn has not come in time.
pub(super) fn not_tried() -> Refusal {
    Refusal::new(ErrorCode::Overloaded, "not tried in time: send the request again").retry_after_ms(1000)
}

fn refusal(failure: Failure, may_be_done: bool) -> Refusal {
    match failure {
        // The connection may have gone after the commit; that a later call was rolled back
        // says nothing of the first.
        Failure::Away | Failure::Busy if may_be_done => outcome_unknown(),
        Failure::Away => ErrorCode::DatabaseUnavailable.into(),
        // The statement was rolled back.
        Failure::Busy => not_tried(),
        Failure::Data | Failure::Fault => ErrorCode::Internal.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use shared::ids::{RequestId, ReservationId};
    use uuid::Uuid;

    use super::*;

    fn pending(n: usize, at: Instant) -> Pending {
        let id = Uuid::from_u128(n as u128 + 1);
        let conn = ConnId {
            worker: 0,
            slot: 0,
            generation: 0,
        };
        let ask = Ask {
            reservation: ReservationId(id),
            user: UserId(id),
            request: RequestId(id),
            quantity: 1,
            waits: false,
        };
        Pending::new(
            conn,
            n as u64,
            StreamId(id),
            ask,
            at + Duration::from_millis(2_000 + n as u64),
        )
    }

    #[test]
    fn what_may_have_been_granted_is_never_called_not_tried() {
        let now = Instant::now();
        let mut batch = Batch::new(vec![pending(0, now)], now);
        let failed = |failure| Tried::Failed {
            failure,
            was_sent: true,
        };
        batch.tried(failed(Failure::Away), now);
        batch.tried(failed(Failure::Busy), batch.until());
        let settled = batch.finish();
        assert!(settled.is_unsure);
        let refusal = settled.answers[0].result.clone().expect_err("nothing is known");
        assert_eq!(refusal.code, ErrorCode::DatabaseUnavailable);
    }

    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Works,
        Away(bool),
        Busy,
        Fault,
    }

    fn fates() -> impl Strategy<Value = Vec<(Fate, u64)>> {
        let fate = prop_oneof![
            3 => Just(Fate::Works),
            2 => any::<bool>().prop_map(Fate::Away),
            1 => Just(Fate::Busy),
            1 => Just(Fate::Fault),
        ];
        prop::collection::vec((fate, 0_u64..900), 0..40)
    }

    proptest! {
        #[test]
        fn everybody_is_answered_once_and_in_time_whatever_the_database_does(
            count in 1_usize..12,
            bad in prop::collection::btree_set(0_usize..12, 0..3),
            fates in fates(),
        ) {
            let begin = Instant::now();
            let mut batch = Batch::new((0..count).map(|n| pending(n, begin)).collect(), begin);
            let (mut now, mut fates) = (begin, fates.into_iter());
            let mut answered: Vec<(u64, Instant)> = Vec::new();
            let mut note = |answers: Vec<HoldAnswer>, now| answered.extend(answers.iter().map(|answer| (answer.id, now)));
            loop {
                let (then, tried) = match batch.next(now) {
                    Step::Done => break,
                    Step::Wait(until) => (until, None),
                    Step::Ask(asks) => {
                        let (fate, takes) = fates.next().unwrap_or((Fate::Works, 1));
                        let is_bad = asks.iter().any(|ask| bad.contains(&(ask.user.0.as_u128() as usize - 1)));
                        let failed = |failure, was_sent| Tried::Failed { failure, was_sent };
                        let tried = match fate {
                            Fate::Works if is_bad => failed(Failure::Data, true),
                            Fate::Works => {
                                let answers = vec![Ok(Outcome::Done); asks.len()];
                                Tried::Granted(Granted { answers, changed: Vec::new(), entries_before: 0, state: None }, now)
                            }
                            Fate::Away(was_sent) => failed(Failure::Away, was_sent),
                            Fate::Busy => failed(Failure::Busy, true),
                            Fate::Fault => failed(Failure::Fault, true),
                        };
                        (now + Duration::from_millis(takes), Some(tried))
                    }
                };
                // Whoever drives it wakes for those whose time is up.
                while let Some(due) = batch.due().filter(|due| *due <= then) {
                    now = due;
                    note(batch.late(now), now);
                }
                now = then;
                if let Some(tried) = tried {
                    batch.tried(tried, now);
                }
            }
            let settled = batch.finish();
            prop_assert_eq!(settled.users.len(), count);
            note(settled.answers, now);
            let ids: BTreeSet<u64> = answered.iter().map(|(id, _)| *id).collect();
            prop_assert_eq!((ids.len(), answered.len()), (count, count));
            for (id, at) in answered {
                prop_assert!(at <= begin + Duration::from_millis(2_000 + id), "{id} was answered late");
            }
        }
    }
}
