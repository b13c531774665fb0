//! A set that forgets nothing and keeps little: of what was put in it never says no; of
//! what was not, it says perhaps once in a long while, and then somebody has to be
//! asked. Pure, and bounded: past a million keys it says perhaps of
//! everything.
//!
//! It keeps 64 bits of a keyed hash of each: beside a million keys one stranger in 10^13
//! looks known, and whoever chooses the keys cannot choose what they are taken for.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};

/// Parts, each of which grows by itself: moving one of a million keys' takes a fraction
/// of a millisecond.
const PARTS: usize = 64;
/// Keys at most: at 9 to 18 bytes each.
const MAX: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sieve {
    keys: RandomState,
    /// None until the first key comes.
    parts: Vec<HashSet<u64>>,
    count: usize,
    /// More was put in than there is room for.
    is_full: bool,
}

impl Sieve {
    /// Puts a key in.
    pub(crate) fn insert(&mut self, key: impl Hash) {
        if self.is_full {
            return;
        }
        if self.parts.is_empty() {
            self.parts.resize_with(PARTS, HashSet::default);
        }
        let hash = self.keys.hash_one(key);
        if self.count == MAX {
            let known = part(&self.parts, hash).is_some_and(|part| part.contains(&hash));
            // Nothing in it is asked for any more.
            if !known {
                self.is_full = true;
                self.parts = Vec::new();
            }
        } else if let Some(part) = self.parts.get_mut(nth(hash)) {
            self.count += usize::from(part.insert(hash));
        }
    }

    /// Whether more was put in than it can keep: it says perhaps of everything then.
    pub(crate) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a key may have been put in. False is certain.
    pub(crate) fn may_have(&self, key: impl Hash) -> bool {
        let hash = self.keys.hash_one(key);
        self.is_full || part(&self.parts, hash).is_some_and(|part| part.contains(&hash))
    }
}

fn part(parts: &[HashSet<u64>], hash: u64) -> Option<&HashSet<u64>> {
    parts.get(nth(hash))
}

fn nth(hash: u64) -> usize {
    usize::try_from(hash % PARTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_never_denied_and_no_stranger_is_taken_for_it() {
        let mut sieve = Sieve::default();
        assert!(!sieve.may_have(1_u64), "an empty one knows nobody");
        for key in 0..100_000_u64 {
            sieve.insert(key);
        }
        assert!((0..100_000_u64).all(|key| sieve.may_have(key)));
        assert!(!(100_000..200_000_u64).any(|key| sieve.may_have(key)));
    }

    #[test]
    fn it_is_bounded_and_then_says_perhaps() {
        let mut sieve = Sieve::default();
        for key in 0..MAX {
            sieve.insert(key);
        }
        sieve.insert(0_usize);
        assert!(!sieve.may_have("a stranger"), "what it has fits");
        sieve.insert(MAX);
        assert!(sieve.may_have("a stranger"));
        assert!(sieve.parts.is_empty());
    }
}
