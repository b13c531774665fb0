//! Rate limits by key, in memory: so many a minute or an hour, and a burst of as many.
//! A limit never refuses one key for what others use: see [`keys`] for what it remembers
//! when there are more of them than it has room for.

mod address;
mod keys;

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::marker::PhantomData;
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};
use shared::error::{ErrorCode, Refusal};

use super::Result;
pub use address::{AddressLimit, counted};
use keys::Keys;

/// Keys that are remembered at most: some 60 bytes each.
const KEYS_MAX: usize = 100_000;

/// A limit for each key.
pub struct RateLimit<K> {
    limiter: RateLimiter<u64, Keys, DefaultClock, StateInformationMiddleware>,
    /// Makes the fingerprints, by a secret of this process: nobody finds a key that has
    /// another's.
    fingerprints: RandomState,
    of: PhantomData<fn(&K)>,
}

impl<K: Hash> RateLimit<K> {
    /// `per_minute` for each key.
    #[must_use]
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        Self::of(Quota::per_minute(per_minute), KEYS_MAX)
    }

    /// `per_hour` for each key.
    #[must_use]
    pub fn per_hour(per_hour: NonZeroU32) -> Self {
        Self::of(Quota::per_hour(per_hour), KEYS_MAX)
    }

    fn of(quota: Quota, keys_max: usize) -> Self {
        let clock = DefaultClock::default();
        Self {
            limiter: RateLimiter::new(quota, Keys::new(keys_max), clock),
            fingerprints: RandomState::new(),
            of: PhantomData,
        }
    }

    /// Counts one for `key`.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub fn check(&self, key: &K) -> Result<()> {
        self.count(key).map(drop)
    }

    /// Counts one for `key`: how many more there are at once.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn count(&self, key: &K) -> Result<u32> {
        let fingerprint = self.fingerprints.hash_one(key);
        let left = self.limiter.check_key(&fingerprint).map_err(|denied| {
            let wait = denied.wait_time_from(DefaultClock::default().now());
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            Refusal::from(ErrorCode::RateLimited).retry_after_ms(ms)
        })?;
        Ok(left.remaining_burst_capacity())
    }

    /// Forgets some keys that are back at their full allowance; to be called now and then.
    pub fn tidy(&self) {
        self.limiter.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Error;

    fn quota(per_hour: u32) -> Quota {
        Quota::per_hour(NonZeroU32::new(per_hour).expect("some"))
    }

    #[test]
    fn one_keys_limit_is_not_anothers() {
        let limit = RateLimit::per_minute(NonZeroU32::new(2).expect("two"));
        assert!(limit.check(&1).is_ok() && limit.check(&1).is_ok());
        let Err(Error::Refused(refusal)) = limit.check(&1) else {
            panic!("the third is one too many");
        };
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!(refusal.retry_after_ms.is_some_and(|ms| ms <= 30_000));
        assert!(limit.check(&2).is_ok());
    }

    #[test]
    fn a_flood_of_keys_refuses_nobody_and_frees_nobody() {
        let limit = RateLimit::of(quota(5), 1_600);
        for _ in 0..5 {
            assert!(limit.check(&u64::MAX).is_ok());
        }
        for passing in 0..20_000_u64 {
            assert!(limit.check(&passing).is_ok(), "{passing}");
        }
        assert!(limit.limiter.len() <= 1_600);
        let refused = limit.check(&u64::MAX).map_err(|error| error.code());
        assert_eq!(refused, Err(ErrorCode::RateLimited));
    }
}
