//! What a rate limit remembers: for so many keys at most, when each has waited off what it
//! used. Keys are known by a fingerprint, so that each takes the same few bytes, whatever
//! its caller sent. They lie in parts with a lock each.
//!
//! A part that is full refuses nobody. A new key takes the place of one that has little to
//! wait off, of a few that are drawn: whoever has used up their allowance is forgotten
//! last, and who floods with new keys forgets their own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use rand::Rng as _;

/// Locks, and turns of tidying.
const PARTS: usize = 16;
/// How many of a full part are drawn, of which one goes.
const DRAWN: usize = 8;

/// Who is remembered, by fingerprint.
pub(super) struct Keys {
    parts: Box<[Mutex<Part>]>,
    /// Keys of one part at most.
    part_max: usize,
    /// The part that is tidied next.
    turn: AtomicUsize,
}

/// Rows side by side, so that any of them can be drawn, and where each key's is.
#[derive(Default)]
struct Part {
    places: HashMap<u64, usize>,
    rows: Vec<(u64, Nanos)>,
}

impl Part {
    fn add(&mut self, key: u64, whole_at: Nanos, max: usize) {
        if self.rows.len() >= max {
            self.give_way();
        }
        self.places.insert(key, self.rows.len());
        self.rows.push((key, whole_at));
    }

    /// Forgets the one of a few that has the least to wait off.
    fn give_way(&mut self) {
        let mut random = rand::rng();
        let drawn = (0..DRAWN).map(|_| random.random_range(0..self.rows.len()));
        if let Some(place) = drawn.min_by_key(|place| self.rows[*place].1) {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: usize) {
        let (gone, _) = self.rows.swap_remove(place);
        self.places.remove(&gone);
        if let Some((moved, _)) = self.rows.get(place) {
            self.places.insert(*moved, place);
        }
    }

    fn tidy(&mut self, drop_below: Nanos) {
        let mut place = 0;
        while let Some((_, whole_at)) = self.rows.get(place) {
            if *whole_at <= drop_below {
                self.remove(place);
            } else {
                place += 1;
            }
        }
        // Memory is given back after a rush, and not at each small ebb.
        if self.rows.capacity() / 4 > self.rows.len() {
            self.rows.shrink_to_fit();
            self.places.shrink_to_fit();
        }
    }
}

impl Keys {
    /// Room for `max` keys, rounded up to a whole number a part.
    pub(super) fn new(max: usize) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            part_max: max.div_ceil(PARTS).max(1),
            turn: AtomicUsize::new(0),
        }
    }

    fn part(&self, key: u64) -> MutexGuard<'_, Part> {
        let nth = key % PARTS as u64;
        lock(&self.parts[usize::try_from(nth).unwrap_or_default()])
    }
}

/// A part is whole after each change, so one that a panic left behind is, too.
fn lock(part: &Mutex<Part>) -> MutexGuard<'_, Part> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StateStore for Keys {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut part = self.part(*key);
        let place = part.places.get(key).copied();
        let (outcome, whole_at) = measure(place.map(|place| part.rows[place].1))?;
        match place {
            Some(place) => part.rows[place].1 = whole_at,
            None => part.add(*key, whole_at, self.part_max),
        }
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u64> for Keys {
    /// Forgets who has waited everything off, in one part at each call: a turn takes little
    /// time however many are remembered.
    fn retain_recent(&self, drop_below: Nanos) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        lock(&self.parts[turn % PARTS]).tidy(drop_below);
    }

    fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).rows.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(keys: &Keys, key: u64, whole_at: u64) {
        let put: Result<(), ()> = keys.measure_and_replace(&key, |_| Ok(((), Nanos::new(whole_at))));
        assert!(put.is_ok());
    }

    fn found(keys: &Keys, key: u64) -> Option<u64> {
        let look: Result<(), _> = keys.measure_and_replace(&key, |was| Err(was.map(Nanos::as_u64)));
        look.expect_err("nothing is replaced")
    }

    #[test]
    fn no_more_are_remembered_than_may_be_and_who_has_most_to_wait_off_stays() {
        let keys = Keys::new(16 * 100);
        for busy in 0..16 * 20 {
            put(&keys, busy, 1_000_000);
        }
        for passing in 1_000..50_000 {
            put(&keys, passing, 1);
        }
        assert_eq!(keys.len(), 16 * 100);
        // Eight are drawn of a hundred, of whom twenty are busy: that all of them are is
        // less likely than once in a hundred thousand.
        let kept = (0..16 * 20).filter(|busy| found(&keys, *busy).is_some()).count();
        assert!(kept >= 16 * 20 - 3, "{kept}");
    }

    #[test]
    fn every_key_is_found_whatever_else_was_forgotten() {
        let keys = Keys::new(16 * 50);
        for key in 0..5_000 {
            put(&keys, key, key);
            assert_eq!(found(&keys, key), Some(key));
        }
        for part in &keys.parts {
            let part = lock(part);
            assert_eq!(part.places.len(), part.rows.len());
            for (place, (key, _)) in part.rows.iter().enumerate() {
                assert_eq!(part.places.get(key), Some(&place));
            }
        }
    }

    #[test]
    fn who_has_waited_everything_off_is_forgotten_a_part_at_a_time() {
        let keys = Keys::new(16 * 100);
        for key in 0..160 {
            put(&keys, key, if key < 80 { 5 } else { 50 });
        }
        keys.retain_recent(Nanos::new(5));
        assert_eq!(keys.len(), 155, "one part of sixteen");
        for _ in 1..PARTS {
            keys.retain_recent(Nanos::new(5));
        }
        assert_eq!(keys.len(), 80);
        assert_eq!((found(&keys, 79), found(&keys, 80)), (None, Some(50)));
    }
}
