//! Limits by the address that a request comes from. Who has one IPv6 address has more of
//! them than anybody can count: a household or a server gets a /64, and an organisation a
//! /48 of 65,536 such. So each /64 is counted as one address, and each /48 as several.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use super::super::Result;
use super::RateLimit;

/// As how many addresses a /48 counts: networks of several households lie in one, too.
const ADDRESSES_OF_A_48: NonZeroU32 = NonZeroU32::new(16).unwrap();

/// A limit for each address.
pub struct AddressLimit {
    /// By address, or /64.
    near: RateLimit<IpAddr>,
    /// By /48.
    wide: RateLimit<Ipv6Addr>,
}

impl AddressLimit {
    /// `per_minute` for each address.
    #[must_use]
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        Self {
            near: RateLimit::per_minute(per_minute),
            wide: RateLimit::per_minute(per_minute.saturating_mul(ADDRESSES_OF_A_48)),
        }
    }

    /// `per_hour` for each address.
    #[must_use]
    pub fn per_hour(per_hour: NonZeroU32) -> Self {
        Self {
            near: RateLimit::per_hour(per_hour),
            wide: RateLimit::per_hour(per_hour.saturating_mul(ADDRESSES_OF_A_48)),
        }
    }

    /// Counts one for `address`.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub fn check(&self, address: IpAddr) -> Result<()> {
        self.count(address).map(drop)
    }

    /// Counts one for `address`: how many more there are at once.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn count(&self, address: IpAddr) -> Result<u32> {
        let IpAddr::V6(v6) = address.to_canonical() else {
            return self.near.count(&address.to_canonical());
        };
        let near = self.near.count(&IpAddr::V6(network(v6, 64)))?;
        let wide = self.wide.count(&network(v6, 48))?;
        Ok(near.min(wide))
    }

    /// Forgets some addresses that are back at their full allowance.
    pub fn tidy(&self) {
        self.near.tidy();
        self.wide.tidy();
    }
}

/// What counts as one address: itself, or its /64.
#[must_use]
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(network(v6, 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The first `bits` of an address.
fn network(address: Ipv6Addr, bits: u32) -> Ipv6Addr {
    let rest = u128::MAX.checked_shr(bits).unwrap_or_default();
    Ipv6Addr::from(u128::from(address) & !rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn neighbours_in_a_64_share_a_limit() {
        let limit = AddressLimit::per_minute(NonZeroU32::MIN);
        assert!(limit.check(ip("2001:db8::1")).is_ok());
        assert!(limit.check(ip("2001:db8::ffff")).is_err());
        assert!(limit.check(ip("2001:db8:0:1::1")).is_ok());
        assert!(limit.check(ip("192.0.2.1")).is_ok());
        assert!(limit.check(ip("::ffff:192.0.2.1")).is_err());
        assert!(limit.check(ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn a_48_has_as_much_as_sixteen_addresses() {
        let limit = AddressLimit::per_minute(NonZeroU32::MIN);
        let admitted = (0..100).filter(|n| limit.check(ip(&format!("2001:db8:7:{n:x}::1"))).is_ok());
        assert_eq!(admitted.count(), 16);
        assert!(limit.check(ip("2001:db8:8::1")).is_ok());
    }
}
