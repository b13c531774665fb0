//! Who may do how much: connections in all and by address, commands by connection, and
//! what one person does by person, however many connections they have.

use std::cell::Cell;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use shared::error::{ErrorCode, Refusal};
use uuid::Uuid;

use crate::config::{Limits, Rate};

/// The limits that all workers share.
pub struct Guards {
    connections: AtomicUsize,
    addresses: DashMap<IpAddr, usize>,
    max_connections: usize,
    max_per_address: usize,
    chat: DefaultKeyedRateLimiter<Uuid>,
    buys: DefaultKeyedRateLimiter<Uuid>,
    reactions: DefaultKeyedRateLimiter<Uuid>,
    reports: DefaultKeyedRateLimiter<Uuid>,
    deletions: DefaultKeyedRateLimiter<Uuid>,
    commands: Rate,
    clock: DefaultClock,
    origin: Instant,
}

/// The rate of one connection: the generic cell rate algorithm in eight bytes, where a
/// limiter of governor's keeps its quota and a clock beside the same eight.
#[derive(Default)]
pub struct Meter {
    /// When it is as good as new, in nanoseconds after the guards' beginning.
    full_at: Cell<u64>,
}

impl Meter {
    /// Counts one act at `now`.
    ///
    /// # Errors
    /// How long to wait.
    fn count(&self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let every = 1_000_000_000 / u64::from(rate.per_second.get());
        let may_owe = every.saturating_mul(u64::from(rate.burst.get() - 1));
        let full_at = self.full_at.get().max(now);
        match (full_at - now).checked_sub(may_owe) {
            None | Some(0) => {
                self.full_at.set(full_at.saturating_add(every));
                Ok(())
            }
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }
}

/// What a person does too much of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Act {
    /// Says something.
    Chat,
    /// Tries to buy, or gives a hold up.
    Buy,
    /// Reacts.
    React,
    /// Reports a message.
    Report,
    /// Takes a message of their own back.
    Delete,
}

impl Guards {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            connections: AtomicUsize::new(0),
            addresses: DashMap::new(),
            max_connections: limits.connections,
            max_per_address: limits.connections_per_address,
            chat: RateLimiter::keyed(quota(limits.chat)),
            buys: RateLimiter::keyed(quota(limits.buys)),
            reactions: RateLimiter::keyed(quota(limits.reactions)),
            reports: RateLimiter::keyed(quota(limits.reports)),
            // Nobody takes back more than they say.
            deletions: RateLimiter::keyed(quota(limits.chat)),
            commands: limits.commands,
            clock: DefaultClock::default(),
            origin: Instant::now(),
        })
    }

    /// A place for a connection from `address`, given back when it is dropped; `None`
    /// when there are too many.
    #[must_use]
    pub fn seat(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        if taken >= self.max_connections {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let mut seat = Seat {
            guards: self.clone(),
            address: None,
        };
        seat.move_to(address).then_some(seat)
    }

    /// Connections at present.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts one command of a connection.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub fn command(&self, meter: &Meter) -> Result<(), Refusal> {
        meter.count(self.commands, self.origin.elapsed()).map_err(limited)
    }

    /// Counts one act of a person.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub fn act(&self, act: Act, person: Uuid) -> Result<(), Refusal> {
        let limiter = match act {
            Act::Chat => &self.chat,
            Act::Buy => &self.buys,
            Act::React => &self.reactions,
            Act::Report => &self.reports,
            Act::Delete => &self.deletions,
        };
        limiter.check_key(&person).map_err(|until| self.until(&until))
    }

    /// Forgets people who have done nothing for a while.
    pub fn tidy(&self) {
        for limiter in [&self.chat, &self.buys, &self.reactions, &self.reports, &self.deletions] {
            limiter.retain_recent();
        }
    }

    fn until(&self, until: &NotUntil<<DefaultClock as governor::clock::Clock>::Instant>) -> Refusal {
        limited(until.wait_time_from(self.clock.now()))
    }

    fn leave(&self, address: IpAddr) {
        if let dashmap::Entry::Occupied(mut entry) = self.addresses.entry(address) {
            if *entry.get() <= 1 {
                entry.remove();
            } else {
                *entry.get_mut() -= 1;
            }
        }
    }
}

fn limited(wait: Duration) -> Refusal {
    Refusal::from(ErrorCode::RateLimited).retry_after_ms(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
}

fn quota(rate: Rate) -> Quota {
    let burst: NonZeroU32 = rate.burst;
    Quota::per_second(rate.per_second).allow_burst(burst)
}

/// A connection's place.
pub struct Seat {
    guards: Arc<Guards>,
    address: Option<IpAddr>,
}

impl Seat {
    /// Counts the connection for another address: the one that a proxy names. False, and
    /// the place counts for none, when that has too many.
    pub fn move_to(&mut self, address: IpAddr) -> bool {
        if let Some(former) = self.address.take() {
            self.guards.leave(former);
        }
        let mut count = self.guards.addresses.entry(address).or_insert(0);
        if *count >= self.guards.max_per_address {
            return false;
        }
        *count += 1;
        self.address = Some(address);
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guards.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            self.guards.leave(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards() -> Arc<Guards> {
        Guards::new(&Limits {
            connections: 3,
            connections_per_address: 2,
            chat: Rate {
                per_second: NonZeroU32::MIN,
                burst: NonZeroU32::MIN,
            },
            ..Limits::default()
        })
    }

    #[test]
    fn seats_are_limited_by_address_and_in_all_and_given_back() {
        let (guards, [a, b]) = (guards(), [[10, 0, 0, 1], [10, 0, 0, 2]].map(IpAddr::from));
        let first = guards.seat(a).expect("free");
        let second = guards.seat(a).expect("free");
        assert!(guards.seat(a).is_none(), "a third of one address");
        let third = guards.seat(b).expect("another address");
        assert!(guards.seat(b).is_none(), "a fourth in all");
        assert_eq!(guards.connections(), 3);
        drop(first);
        assert!(guards.seat(a).is_some());
        drop((second, third));
        assert_eq!((guards.connections(), guards.addresses.len()), (0, 0));
    }

    #[test]
    fn a_connection_may_do_so_much_at_once_and_then_so_much_a_second() {
        let (meter, rate) = (Meter::default(), "10/3".parse().expect("a rate"));
        let ms = Duration::from_millis;
        for _ in 0..3 {
            assert_eq!(meter.count(rate, ms(5000)), Ok(()));
        }
        assert_eq!(meter.count(rate, ms(5000)), Err(ms(100)));
        assert_eq!(meter.count(rate, ms(5099)), Err(ms(1)));
        assert_eq!(meter.count(rate, ms(5100)), Ok(()));
        assert_eq!(meter.count(rate, ms(5100)), Err(ms(100)));
        for _ in 0..3 {
            assert_eq!(meter.count(rate, ms(9000)), Ok(()), "rested");
        }
        assert_eq!(meter.count(rate, ms(9000)), Err(ms(100)), "no more than at first");
    }

    #[test]
    fn a_person_is_limited_over_all_connections_and_told_when_to_come_back() {
        let (guards, person) = (guards(), Uuid::now_v7());
        assert_eq!(guards.act(Act::Chat, person), Ok(()));
        let refusal = guards.act(Act::Chat, person).expect_err("too soon");
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!(refusal.retry_after_ms.is_some_and(|ms| (1..=1000).contains(&ms)));
        assert_eq!(guards.act(Act::Chat, Uuid::now_v7()), Ok(()), "somebody else");
    }
}
