//! Who may do how much: connections in all, by address and by account, commands by
//! connection, and what one person does by person, however many connections they have.

use std::cell::Cell;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::{DashMap, Entry};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use uuid::Uuid;

use crate::config::{Limits, Rate};

/// The limits that all workers share.
pub struct Guards {
    connections: AtomicUsize,
    networks: DashMap<Network, usize>,
    accounts: DashMap<UserId, usize>,
    max_connections: usize,
    max_per_address: usize,
    max_per_account: usize,
    connects: DefaultKeyedRateLimiter<Network>,
    people: DefaultKeyedRateLimiter<Uuid>,
    chat: DefaultKeyedRateLimiter<Uuid>,
    buys: DefaultKeyedRateLimiter<Uuid>,
    reactions: DefaultKeyedRateLimiter<Uuid>,
    reactions_of_networks: DefaultKeyedRateLimiter<Network>,
    reports: DefaultKeyedRateLimiter<Uuid>,
    deletions: DefaultKeyedRateLimiter<Uuid>,
    commands: Rate,
    joins: Rate,
    clock: DefaultClock,
    origin: Instant,
}

/// What counts as one address: an IPv4 address, also where it comes as an IPv6 one, or the
/// 64 bits of an IPv6 address that its owner cannot choose from at will.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Network(IpAddr);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let prefix = u128::from(address) >> 64 << 64;
                Self(Ipv6Addr::from(prefix).into())
            }
            address @ IpAddr::V4(_) => Self(address),
        }
    }
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
            networks: DashMap::new(),
            accounts: DashMap::new(),
            max_connections: limits.connections,
            max_per_address: limits.connections_per_address,
            max_per_account: limits.connections_per_account,
            connects: RateLimiter::keyed(quota(limits.connects)),
            people: RateLimiter::keyed(quota(limits.person_commands)),
            chat: RateLimiter::keyed(quota(limits.chat)),
            buys: RateLimiter::keyed(quota(limits.buys)),
            reactions: RateLimiter::keyed(quota(limits.reactions)),
            reactions_of_networks: RateLimiter::keyed(quota(limits.reactions_per_address)),
            reports: RateLimiter::keyed(quota(limits.reports)),
            // Nobody takes back more than they say.
            deletions: RateLimiter::keyed(quota(limits.chat)),
            commands: limits.commands,
            joins: limits.joins,
            clock: DefaultClock::default(),
            origin: Instant::now(),
        })
    }

    /// A place for a connection from `address`, given back when it is dropped. One from a
    /// proxy of ours (`None`) counts for whomever the proxy names, see [`Seat::move_to`].
    ///
    /// # Errors
    /// `Overloaded` when there are too many, `RateLimited` when they come too fast.
    pub fn seat(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Seat, Refusal> {
        let taken = self.connections.fetch_add(1, Ordering::Relaxed);
        let mut seat = Seat {
            guards: self.clone(),
            network: None,
            account: None,
        };
        if taken >= self.max_connections {
            return Err(ErrorCode::Overloaded.into());
        }
        address.map_or(Ok(()), |address| seat.move_to(address))?;
        Ok(seat)
    }

    /// Connections at present.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether an account has a connection.
    #[must_use]
    pub fn is_connected(&self, account: UserId) -> bool {
        self.accounts.contains_key(&account)
    }

    /// Counts one command of a connection, and of its person once that is known.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub fn command(&self, meter: &Meter, person: Option<Uuid>) -> Result<(), Refusal> {
        meter.count(self.commands, self.origin.elapsed()).map_err(limited)?;
        let Some(person) = person else { return Ok(()) };
        self.people.check_key(&person).map_err(|until| self.until(&until))
    }

    /// Counts one join of a connection.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub fn join(&self, meter: &Meter) -> Result<(), Refusal> {
        meter.count(self.joins, self.origin.elapsed()).map_err(limited)
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

    /// Forgets people and addresses that have done nothing for a while.
    pub fn tidy(&self) {
        for limiter in [
            &self.people,
            &self.chat,
            &self.buys,
            &self.reactions,
            &self.reports,
            &self.deletions,
        ] {
            limiter.retain_recent();
        }
        self.connects.retain_recent();
        self.reactions_of_networks.retain_recent();
    }

    fn until(&self, until: &NotUntil<<DefaultClock as governor::clock::Clock>::Instant>) -> Refusal {
        limited(until.wait_time_from(self.clock.now()))
    }
}

/// Counts one more, unless there are `max` already.
fn add<K: Hash + Eq>(counts: &DashMap<K, usize>, key: K, max: usize) -> Result<(), Refusal> {
    match counts.entry(key) {
        Entry::Occupied(mut count) if *count.get() < max => *count.get_mut() += 1,
        Entry::Vacant(none) if max > 0 => drop(none.insert(1)),
        Entry::Occupied(_) | Entry::Vacant(_) => return Err(ErrorCode::Overloaded.into()),
    }
    Ok(())
}

/// Counts one less.
fn remove<K: Hash + Eq>(counts: &DashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        if *count.get() <= 1 {
            count.remove();
        } else {
            *count.get_mut() -= 1;
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

/// A connection's place, and what all at its address do together.
pub struct Seat {
    guards: Arc<Guards>,
    network: Option<Network>,
    account: Option<UserId>,
}

impl Seat {
    /// Counts the connection for this address: that of its other end, or the one that a
    /// proxy of ours names. For the same one it is counted once.
    ///
    /// # Errors
    /// `Overloaded` when that has too many, `RateLimited` when it connects too often; then
    /// the place counts for none.
    pub fn move_to(&mut self, address: IpAddr) -> Result<(), Refusal> {
        let network = Network::from(address);
        if self.network == Some(network) {
            return Ok(());
        }
        if let Some(former) = self.network.take() {
            remove(&self.guards.networks, former);
        }
        let checked = self.guards.connects.check_key(&network);
        checked.map_err(|until| self.guards.until(&until))?;
        add(&self.guards.networks, network, self.guards.max_per_address)?;
        self.network = Some(network);
        Ok(())
    }

    /// Counts reactions for the connection's address: however many connections, guests and
    /// accounts share it, they make no more together.
    ///
    /// # Errors
    /// `RateLimited`, with the time to wait.
    pub fn react(&self, count: NonZeroU32) -> Result<(), Refusal> {
        let Some(network) = self.network else { return Ok(()) };
        match self.guards.reactions_of_networks.check_key_n(&network, count) {
            Ok(checked) => checked.map_err(|until| self.guards.until(&until)),
            // More than may ever be made at once.
            Err(_) => Err(ErrorCode::RateLimited.into()),
        }
    }

    /// Counts the connection for an account, once.
    ///
    /// # Errors
    /// `Overloaded` when that has too many.
    pub fn belong_to(&mut self, account: UserId) -> Result<(), Refusal> {
        if self.account == Some(account) {
            return Ok(());
        }
        if let Some(former) = self.account.take() {
            remove(&self.guards.accounts, former);
        }
        add(&self.guards.accounts, account, self.guards.max_per_account)?;
        self.account = Some(account);
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.guards.connections.fetch_sub(1, Ordering::Relaxed);
        if let Some(network) = self.network {
            remove(&self.guards.networks, network);
        }
        if let Some(account) = self.account {
            remove(&self.guards.accounts, account);
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

    fn code<T>(result: Result<T, Refusal>) -> Option<ErrorCode> {
        result.err().map(|refusal| refusal.code)
    }

    #[test]
    fn seats_are_limited_by_address_and_in_all_and_given_back() {
        let (guards, [a, b]) = (
            guards(),
            [[10, 0, 0, 1], [10, 0, 0, 2]].map(|ip| Some(IpAddr::from(ip))),
        );
        let first = guards.seat(a).expect("free");
        let second = guards.seat(a).expect("free");
        assert_eq!(
            code(guards.seat(a)),
            Some(ErrorCode::Overloaded),
            "a third of one address"
        );
        let third = guards.seat(b).expect("another address");
        assert_eq!(code(guards.seat(b)), Some(ErrorCode::Overloaded), "a fourth in all");
        assert_eq!(guards.connections(), 3);
        drop(first);
        assert!(guards.seat(a).is_ok());
        drop((second, third));
        assert_eq!((guards.connections(), guards.networks.len()), (0, 0));
    }

    #[test]
    fn an_address_is_a_network_that_one_owner_has() {
        let network = |text: &str| Network::from(text.parse::<IpAddr>().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1:2:3"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
    }

    #[test]
    fn an_address_connects_so_often_and_a_seat_counts_once() {
        let limits = Limits {
            connects: "1/2".parse().expect("a rate"),
            ..Limits::default()
        };
        let (guards, address) = (Guards::new(&limits), IpAddr::from([10, 0, 0, 1]));
        let mut seat = guards.seat(None).expect("from a proxy");
        assert_eq!(seat.move_to(address), Ok(()));
        assert_eq!(seat.move_to(address), Ok(()), "the same connection");
        drop((seat, guards.seat(Some(address)).expect("the second")));
        let refused = guards.seat(Some(address)).err().expect("the third");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert!(refused.retry_after_ms.is_some());
        assert_eq!((guards.connections(), guards.networks.len()), (0, 0));
        assert!(guards.seat(Some(IpAddr::from([10, 0, 0, 2]))).is_ok());
    }

    #[test]
    fn whoever_shares_an_address_makes_so_many_reactions_together() {
        let limits = Limits {
            reactions_per_address: "1/100".parse().expect("a rate"),
            ..Limits::default()
        };
        let guards = Guards::new(&limits);
        let seat = |address: &str| guards.seat(address.parse().ok()).expect("free");
        let count = |n| NonZeroU32::new(n).expect("some");
        let crowd: Vec<_> = (1..=10).map(|n| seat(&format!("2001:db8::{n:x}"))).collect();
        let taken = crowd.iter().filter(|seat| seat.react(count(30)).is_ok());
        assert_eq!(taken.count(), 3, "of a hundred");
        let refusal = crowd[0].react(count(30)).expect_err("too much");
        assert_eq!(refusal.code, ErrorCode::RateLimited);
        assert!(refusal.retry_after_ms.is_some_and(|ms| ms > 10_000), "{refusal:?}");
        assert_eq!(seat("2001:db8:0:1::1").react(count(30)), Ok(()), "somebody else");
        assert_eq!(code(seat("9.9.9.9").react(count(101))), Some(ErrorCode::RateLimited));
    }

    #[test]
    fn an_account_has_so_many_connections() {
        let limits = Limits {
            connections_per_account: 1,
            ..Limits::default()
        };
        let (guards, account) = (Guards::new(&limits), UserId::new());
        let seat = || guards.seat(None).expect("free");
        let (mut first, mut second) = (seat(), seat());
        assert_eq!((first.belong_to(account), first.belong_to(account)), (Ok(()), Ok(())));
        assert_eq!(code(second.belong_to(account)), Some(ErrorCode::Overloaded));
        assert_eq!(second.belong_to(UserId::new()), Ok(()));
        drop(first);
        assert_eq!(second.belong_to(account), Ok(()), "one place was given back");
        drop(second);
        assert!(guards.accounts.is_empty());
    }

    #[test]
    fn a_person_sends_so_many_commands_over_all_connections() {
        let limits = Limits {
            person_commands: "1/3".parse().expect("a rate"),
            ..Limits::default()
        };
        let (guards, person) = (Guards::new(&limits), Some(Uuid::now_v7()));
        let meters = [Meter::default(), Meter::default()];
        for meter in meters.iter().chain(&meters[..1]) {
            assert_eq!(guards.command(meter, person), Ok(()));
        }
        assert_eq!(code(guards.command(&meters[1], person)), Some(ErrorCode::RateLimited));
        assert_eq!(guards.command(&meters[1], Some(Uuid::now_v7())), Ok(()));
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
