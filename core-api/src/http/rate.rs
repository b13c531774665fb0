//! Rate limits by key, in memory: so many a minute or an hour, and a burst of as many.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use shared::error::{ErrorCode, Refusal};

use super::Result;

/// Keys that are remembered at most, some tens of bytes each. Beyond it, new ones wait.
const KEYS_MAX: usize = 100_000;

/// A limit for each key.
pub struct RateLimit<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
}

impl<K: Hash + Eq + Clone> RateLimit<K> {
    /// `per_minute` for each key.
    #[must_use]
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        Self::of(Quota::per_minute(per_minute))
    }

    /// `per_hour` for each key.
    #[must_use]
    pub fn per_hour(per_hour: NonZeroU32) -> Self {
        Self::of(Quota::per_hour(per_hour))
    }

    fn of(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::dashmap(quota).with_middleware(),
        }
    }

    /// Counts one for `key`.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait; `Overloaded` when more keys are active than
    /// can be remembered.
    pub fn check(&self, key: &K) -> Result<()> {
        self.count(key).map(drop)
    }

    /// Counts one for `key`: how many more there are at once.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn count(&self, key: &K) -> Result<u32> {
        if self.limiter.len() >= KEYS_MAX {
            self.tidy();
            if self.limiter.len() >= KEYS_MAX {
                return Err(Refusal::from(ErrorCode::Overloaded).retry_after_ms(60_000).into());
            }
        }
        let left = self.limiter.check_key(key).map_err(|denied| {
            let wait = denied.wait_time_from(DefaultClock::default().now());
            let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            Refusal::from(ErrorCode::RateLimited).retry_after_ms(ms)
        })?;
        Ok(left.remaining_burst_capacity())
    }

    /// Forgets keys that are back at their full allowance.
    pub fn tidy(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

/// What counts as one address: IPv6 by its /64, because a household or a server has a
/// whole one to choose from.
#[must_use]
pub fn address_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Error;

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
    fn neighbours_in_a_64_share_a_limit() {
        let a = address_key("2001:db8::1".parse().expect("an address"));
        let b = address_key("2001:db8::ffff".parse().expect("an address"));
        let c = address_key("2001:db8:0:1::1".parse().expect("an address"));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }
}
