//! How often somebody may say something in one room: a rate of each person's and one of
//! the room's, and slow mode. A person is counted by their account, so more connections
//! say no more. Pure: it is told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;

use crate::config::Rate;

/// People that are remembered at most; while there are that many, new ones have to wait.
const MAX_PEOPLE: usize = 65_536;

/// A rate as a virtual schedule (GCRA): what comes is due one interval after what came
/// before, and may come a burst of intervals too early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Schedule {
    interval: Duration,
    tolerance: Duration,
}

impl Schedule {
    fn new(rate: Rate) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.get();
        Self {
            interval,
            tolerance: interval * (rate.burst.get() - 1),
        }
    }

    /// When the next is due after one that was due at `due` and came `now`, or how long it
    /// comes too early.
    fn next(self, due: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let due = due.map_or(now, |due| due.max(now));
        match due.saturating_duration_since(now).checked_sub(self.tolerance) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(due + self.interval),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Person {
    /// When their next message is due.
    due: Option<Instant>,
    /// When they said something last.
    said: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub struct Gate {
    person: Schedule,
    room: Schedule,
    people: HashMap<UserId, Person>,
    due: Option<Instant>,
}

/// Somebody's turn was taken: given back when nothing comes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    user: UserId,
    at: Instant,
    before: Option<Instant>,
}

impl Gate {
    /// Nobody has said anything yet.
    #[must_use]
    pub fn new(person: Rate, room: Rate) -> Self {
        Self {
            person: Schedule::new(person),
            room: Schedule::new(room),
            people: HashMap::new(),
            due: None,
        }
    }

    /// Remembers that somebody said something, before this room was ours.
    pub fn remember(&mut self, user: UserId, at: Instant) {
        if self.people.len() < MAX_PEOPLE {
            let said = &mut self.people.entry(user).or_default().said;
            *said = (*said).max(Some(at));
        }
    }

    /// Lets somebody say something now. `slow` is the time between two messages of one
    /// person; `None` for whom neither it nor the room's rate binds.
    ///
    /// # Errors
    /// `RateLimited` with the time to wait, `Overloaded`.
    pub fn pass(&mut self, user: UserId, slow: Option<Duration>, now: Instant) -> Result<Turn, Refusal> {
        let known = self.people.get(&user).copied();
        if known.is_none() && self.people.len() >= MAX_PEOPLE {
            return Err(ErrorCode::Overloaded.into());
        }
        let person = known.unwrap_or_default();
        if let (Some(slow), Some(said)) = (slow, person.said) {
            let wait = slow.saturating_sub(now.saturating_duration_since(said));
            if !wait.is_zero() {
                let detail = format!("slow mode: one message in {} seconds", slow.as_secs());
                return Err(limited(detail, wait));
            }
        }
        let due = self.person.next(person.due, now);
        let due = due.map_err(|wait| limited(ErrorCode::RateLimited.title().to_owned(), wait))?;
        match (self.room.next(self.due, now), slow) {
            (Ok(due), _) => self.due = Some(due),
            (Err(wait), Some(_)) => return Err(limited("the chat is too busy".to_owned(), wait)),
            // Not bound by it, and not counted beyond it.
            (Err(_), None) => {}
        }
        let now_said = Person {
            due: Some(due),
            said: Some(now),
        };
        self.people.insert(user, now_said);
        Ok(Turn {
            user,
            at: now,
            before: person.said,
        })
    }

    /// Nothing came of it: slow mode does not count it. The rates do, or refusals would
    /// be free to collect.
    pub fn give_back(&mut self, turn: Turn) {
        if let Some(person) = self.people.get_mut(&turn.user)
            && person.said == Some(turn.at)
        {
            person.said = turn.before;
        }
    }

    /// Forgets whom nothing binds any more.
    pub fn tidy(&mut self, slow: Duration, now: Instant) {
        self.people.retain(|_, person| {
            let slowed = person
                .said
                .is_some_and(|said| now.saturating_duration_since(said) < slow);
            slowed || person.due.is_some_and(|due| due > now)
        });
    }
}

fn limited(detail: String, wait: Duration) -> Refusal {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Refusal::new(ErrorCode::RateLimited, detail).retry_after_ms(ms.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NO_SLOW: Option<Duration> = Some(Duration::ZERO);

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    fn wait(refused: Result<Turn, Refusal>) -> u64 {
        let refusal = refused.expect_err("too soon");
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        refusal.retry_after_ms.expect("when to come back")
    }

    #[test]
    fn a_person_has_a_burst_and_then_a_rate() {
        let (mut gate, now, user) = (Gate::new(rate("2/3"), rate("100/100")), Instant::now(), UserId::new());
        for _ in 0..3 {
            gate.pass(user, NO_SLOW, now).expect("within the burst");
        }
        assert_eq!(wait(gate.pass(user, NO_SLOW, now)), 500);
        gate.pass(UserId::new(), NO_SLOW, now).expect("somebody else");
        gate.pass(user, NO_SLOW, now + Duration::from_millis(500))
            .expect("in time");
        assert!(gate.pass(user, NO_SLOW, now + Duration::from_millis(501)).is_err());
    }

    #[test]
    fn the_room_has_a_rate_that_does_not_bind_who_runs_it() {
        let (mut gate, now) = (Gate::new(rate("100/100"), rate("10/2")), Instant::now());
        for _ in 0..2 {
            gate.pass(UserId::new(), NO_SLOW, now).expect("within the burst");
        }
        assert_eq!(wait(gate.pass(UserId::new(), NO_SLOW, now)), 100);
        gate.pass(UserId::new(), None, now).expect("a moderator");
        gate.pass(UserId::new(), NO_SLOW, now + Duration::from_millis(100))
            .expect("in time");
    }

    #[test]
    fn slow_mode_counts_what_was_said_and_not_what_was_refused() {
        let (mut gate, now, user) = (Gate::new(rate("9/9"), rate("99/99")), Instant::now(), UserId::new());
        let slow = Some(Duration::from_secs(30));
        let turn = gate.pass(user, slow, now).expect("the first");
        assert_eq!(wait(gate.pass(user, slow, now + Duration::from_secs(10))), 20_000);
        gate.pass(user, None, now + Duration::from_secs(10))
            .expect("a moderator");
        gate.give_back(turn);
        assert!(
            gate.pass(user, slow, now + Duration::from_secs(11)).is_err(),
            "the later one counts"
        );
        let (other, later) = (UserId::new(), now + Duration::from_secs(20));
        let turn = gate.pass(other, slow, later).expect("the first");
        gate.give_back(turn);
        gate.pass(other, slow, later).expect("nothing came of it");
        let before = UserId::new();
        gate.remember(before, later);
        assert_eq!(wait(gate.pass(before, slow, later + Duration::from_secs(1))), 29_000);
    }

    #[test]
    fn whom_nothing_binds_is_forgotten() {
        let (mut gate, now) = (Gate::new(rate("1/1"), rate("99/99")), Instant::now());
        gate.pass(UserId::new(), NO_SLOW, now).expect("the first");
        gate.tidy(Duration::from_secs(5), now + Duration::from_secs(4));
        assert_eq!(gate.people.len(), 1);
        gate.tidy(Duration::from_secs(5), now + Duration::from_secs(6));
        assert!(gate.people.is_empty());
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate(gaps in prop::collection::vec(0..600_u64, 1..200)) {
            let (mut gate, user, start) = (Gate::new(rate("4/6"), rate("1000/1000")), UserId::new(), Instant::now());
            let (mut now, mut passed) = (start, 0_u64);
            for gap in gaps {
                now += Duration::from_millis(gap);
                passed += u64::from(gate.pass(user, NO_SLOW, now).is_ok());
                let most = 6 + (now - start).as_millis() as u64 / 250;
                prop_assert!(passed <= most, "{passed} > {most}");
            }
        }
    }
}
