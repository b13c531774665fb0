//! A set that forgets nothing and keeps little: of what was put in it never says no; of
//! what was not, it says perhaps one time in fifty, and then somebody has to be asked.
//! Pure, and bounded: past a million keys it says perhaps of everything.
//!
//! A Bloom filter that grows by layers, with keyed hashes: whoever chooses the keys
//! cannot choose what they are taken for.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hash};

/// Bits for each key; with [`PROBES`] of them set, 1 of 120 strangers looks known to a
/// layer that is full.
const BITS_A_KEY: usize = 10;
const PROBES: u64 = 7;
/// Keys of the first layer; each further one takes four times as many.
const FIRST: usize = 4_096;
/// Layers at most: 4,096 + 16,384 + ... = 1,396,736 keys in 1.75 MB.
const LAYERS: u32 = 5;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sieve {
    keys: RandomState,
    layers: Vec<Layer>,
    /// More was put in than there is room for.
    is_full: bool,
}

#[derive(Clone, Debug)]
struct Layer {
    bits: Vec<u64>,
    free: usize,
}

impl Layer {
    fn new(keys: usize) -> Self {
        Self {
            bits: vec![0; (keys * BITS_A_KEY).div_ceil(64)],
            free: keys,
        }
    }

    /// Word and mask of each of a hash's bits.
    fn places(&self, hash: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let words = self.bits.len() as u64;
        let step = hash.rotate_left(32) | 1;
        (0..PROBES).map(move |n| {
            let bit = hash.wrapping_add(n.wrapping_mul(step)) % (words * 64);
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    fn has(&self, hash: u64) -> bool {
        self.places(hash).all(|(word, mask)| self.bits[word] & mask != 0)
    }
}

impl Sieve {
    /// Puts a key in.
    pub(crate) fn insert(&mut self, key: impl Hash) {
        let hash = self.keys.hash_one(key);
        if self.layers.iter().any(|layer| layer.has(hash)) {
            return;
        }
        if self.layers.last().is_none_or(|layer| layer.free == 0) {
            let nth = u32::try_from(self.layers.len()).unwrap_or(LAYERS);
            if nth >= LAYERS {
                self.is_full = true;
                return;
            }
            self.layers.push(Layer::new(FIRST * 4_usize.pow(nth)));
        }
        if let Some(layer) = self.layers.last_mut() {
            for (word, mask) in layer.places(hash) {
                layer.bits[word] |= mask;
            }
            layer.free -= 1;
        }
    }

    /// Whether a key may have been put in. False is certain.
    pub(crate) fn may_have(&self, key: impl Hash) -> bool {
        let hash = self.keys.hash_one(key);
        self.is_full || self.layers.iter().any(|layer| layer.has(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_never_denied_and_strangers_seldom_taken_for_it() {
        let mut sieve = Sieve::default();
        assert!(!sieve.may_have(1_u64), "an empty one knows nobody");
        for key in 0..100_000_u64 {
            sieve.insert(key);
        }
        assert!((0..100_000_u64).all(|key| sieve.may_have(key)));
        let wrong = (100_000..200_000_u64).filter(|key| sieve.may_have(key)).count();
        assert!(wrong < 4_000, "{wrong} of 100,000 strangers look known");
    }

    #[test]
    fn it_is_bounded_and_then_says_perhaps() {
        let mut sieve = Sieve::default();
        for key in 0..1_500_000_u64 {
            sieve.insert(key);
        }
        let bytes: usize = sieve.layers.iter().map(|layer| layer.bits.len() * 8).sum();
        assert!(bytes < 1_800_000, "{bytes}");
        assert!(sieve.may_have("a stranger"));
    }
}
