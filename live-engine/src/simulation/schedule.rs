//! Time and what comes next: a virtual clock, and tasks that are due. What is due at the
//! same moment comes in an order that only the seed knows.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use shared::protocol::Millis;

use super::chance::Chance;
use crate::room::core::Now;

/// When the simulated show takes place.
const BEGIN_MS: Millis = 1_795_000_000_000;

struct Due<T> {
    us: u64,
    tie: u64,
    task: T,
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.us, self.tie) == (other.us, other.tie)
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.us, self.tie).cmp(&(other.us, other.tie))
    }
}

/// See the module.
pub struct Schedule<T> {
    us: u64,
    begin: Instant,
    due: BinaryHeap<Reverse<Due<T>>>,
}

impl<T> Schedule<T> {
    pub fn new() -> Self {
        Self {
            us: 0,
            begin: Instant::now(),
            due: BinaryHeap::new(),
        }
    }

    /// Microseconds since the beginning.
    pub const fn us(&self) -> u64 {
        self.us
    }

    /// The time.
    pub fn now(&self) -> Now {
        Now {
            at: self.begin + Duration::from_micros(self.us),
            ms: BEGIN_MS + i64::try_from(self.us / 1000).unwrap_or(i64::MAX),
        }
    }

    /// When an instant of the simulated clock is, in microseconds since the beginning.
    pub fn us_of(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.begin);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Has a task done in so many microseconds.
    pub fn after(&mut self, us: u64, chance: &mut Chance, task: T) {
        self.due.push(Reverse(Due {
            us: self.us + us,
            tie: chance.next(),
            task,
        }));
    }

    /// What comes next; the clock goes there.
    pub fn next(&mut self) -> Option<T> {
        let Reverse(next) = self.due.pop()?;
        self.us = self.us.max(next.us);
        Some(next.task)
    }
}
