//! Sums of reactions on their way to the database. Each write has a number that the
//! database remembers, so that one whose answer was lost is not added twice; and a sum
//! that the database refuses is found by halving and dropped alone. Pure.

use std::collections::{HashMap, VecDeque};

use super::queue::ReactionKey;

/// One sum.
pub type Sum = (ReactionKey, u64);

/// See the module.
#[derive(Debug, Default)]
pub struct Sums {
    /// What is to be written, each in one statement, unchanged until it is known to be done.
    writes: VecDeque<Vec<Sum>>,
    /// The number of the first.
    number: i64,
    /// The flushes that are answered when all of them are written.
    flushes: u64,
}

impl Sums {
    /// Takes up sums, when all that were taken up before are done.
    pub fn take(&mut self, sums: HashMap<ReactionKey, u64>, flushes: u64) {
        self.flushes = flushes;
        if !sums.is_empty() {
            let mut sums: Vec<_> = sums.into_iter().collect();
            sums.sort_unstable();
            self.writes.push_back(sums);
        }
    }

    /// The write to try, under its number, until it is known what became of it.
    #[must_use]
    pub fn next(&self) -> Option<(i64, &[Sum])> {
        self.writes.front().map(|sums| (self.number, sums.as_slice()))
    }

    /// The write is stored, now or before.
    pub fn stored(&mut self) {
        self.writes.pop_front();
        self.number += 1;
    }

    /// The database refuses something in the write for good, and stored nothing of it. A
    /// single sum is given up and returned.
    pub fn refused(&mut self) -> Option<Sum> {
        let mut sums = self.writes.pop_front()?;
        if sums.len() > 1 {
            let rest = sums.split_off(sums.len() / 2);
            self.writes.push_front(rest);
            self.writes.push_front(sums);
            return None;
        }
        sums.pop()
    }

    /// The flushes whose reactions are done with.
    #[must_use]
    pub const fn flushes(&self) -> u64 {
        self.flushes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use shared::ids::StreamId;

    use super::*;

    proptest! {
        #[test]
        fn every_sum_is_added_once_but_for_the_bad_ones(
            good in 0_usize..40, bad in 0_usize..5, lost in prop::collection::vec(any::<bool>(), 0..40)
        ) {
            let minute = chrono::DateTime::default();
            let key = |stream| (stream, "heart".to_owned(), minute);
            let bad: Vec<_> = (0..bad).map(|_| StreamId::new()).collect();
            let sums: HashMap<_, _> = (0..good).map(|_| StreamId::new()).chain(bad.iter().copied())
                .map(|stream| (key(stream), 3)).collect();
            let mut work = Sums::default();
            work.take(sums.clone(), 7);
            let (mut stored, mut last, mut lost) = (BTreeMap::new(), -1, lost.into_iter());
            let mut dropped = 0;
            while let Some((number, write)) = work.next() {
                if write.iter().any(|((stream, ..), _)| bad.contains(stream)) {
                    dropped += usize::from(work.refused().is_some());
                    continue;
                }
                if number > last {
                    last = number;
                    for (key, count) in write {
                        *stored.entry(key.clone()).or_insert(0) += count;
                    }
                }
                if !lost.next().unwrap_or(false) {
                    work.stored();
                }
            }
            prop_assert_eq!(dropped, bad.len());
            prop_assert_eq!(work.flushes(), 7);
            let wanted: BTreeMap<_, _> = sums.into_iter().filter(|((stream, ..), _)| !bad.contains(stream)).collect();
            prop_assert_eq!(stored, wanted);
        }
    }
}
