//! What the desk remembers of a sale, so that a crowd before an empty shelf, or before
//! the door is open, costs the database nothing. Pure: time comes in from outside.

use std::time::Duration;

use shared::ids::UserId;
use shared::status::SaleStatus;
use tokio::time::Instant;

use super::store::SaleState;
use crate::sieve::Sieve;

/// How long "sold out" is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// How soon it is read again who has got something, after it was read, and after they
/// were too many to be read.
const READ_AGAIN: Duration = Duration::from_secs(1);
const TOO_MANY: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest version heard of.
    version: i64,
    /// It opens no sooner than this.
    opens: Option<Instant>,
    sold_out: Option<SoldOut>,
    known: Option<Known>,
    /// No sooner than this it is read who has got something.
    read_at: Option<Instant>,
    /// Until then a grant may be on its way that nobody here has heard of.
    unsure_until: Option<Instant>,
}

#[derive(Debug)]
struct SoldOut {
    /// How many holds and places there ever were then.
    entries: i64,
    until: Instant,
}

/// Those who have ever got units or a place in line. They are never refused from memory:
/// what they send may be a resend, and a resend gets its first answer. A stranger who is
/// taken for one of them is asked about, and loses nothing.
#[derive(Debug, Default)]
struct Known {
    /// All holds and places up to so many are known.
    entries: i64,
    users: Sieve,
}

/// What is known without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// It is not open for so long.
    NotOpen(Duration),
    /// Nothing is left.
    SoldOut,
}

impl Memory {
    /// Why `user` gets nothing, as far as that is certain.
    pub(super) fn refuses(&self, user: UserId, now: Instant) -> Option<Refused> {
        if let Some(opens) = self.opens.filter(|opens| now < *opens) {
            return Some(Refused::NotOpen(opens - now));
        }
        let (sold_out, known) = (self.sold_out.as_ref()?, self.known.as_ref()?);
        let certain = now < sold_out.until
            && self.unsure_until.is_none_or(|until| now >= until)
            && known.entries >= sold_out.entries
            && !known.users.may_have(user);
        certain.then_some(Refused::SoldOut)
    }

    /// Takes in counters that were read after `asked`. True: they are newer than what
    /// was known.
    pub(super) fn learn(&mut self, state: &SaleState, asked: Instant) -> bool {
        let progress = &state.progress;
        // Counted from before the question, so it is open no later than we believe.
        self.opens = state.opens_in.map(|wait| asked + wait);
        if progress.version < self.version {
            return false;
        }
        let newer = progress.version > self.version;
        self.version = progress.version;
        let empty = progress.status == SaleStatus::Open && progress.remaining == 0;
        // A millisecond less for rounding: the database frees a lapsed hold at the next
        // request, which must then be asked.
        let lapses_in = state
            .next_expiry_in
            .map(|left| left.saturating_sub(Duration::from_millis(1)));
        let believed = lapses_in.unwrap_or(BELIEVED).min(BELIEVED);
        self.sold_out = empty.then_some(SoldOut {
            entries: state.entries,
            until: asked + believed,
        });
        newer
    }

    /// A batch was granted: those who have got something in it, where there were
    /// `before` holds and places before and `entries` are now.
    pub(super) fn granted(&mut self, users: impl IntoIterator<Item = UserId>, before: i64, entries: i64) {
        if before == 0 {
            // Of a sale that nobody has got anything of, everybody is known.
            self.known.get_or_insert_default();
        }
        let Some(known) = self.known.as_mut().filter(|known| known.entries >= before) else {
            return;
        };
        for user in users {
            known.users.insert(user);
        }
        known.entries = known.entries.max(entries);
    }

    /// With how many holds and places it must be read who has got something, before
    /// anybody is refused from memory.
    pub(super) fn needs_known(&mut self, now: Instant) -> Option<i64> {
        let needed = self.sold_out.as_ref()?.entries;
        let is_known = self.known.as_ref().is_some_and(|known| known.entries >= needed);
        if is_known || self.read_at.is_some_and(|at| now < at) {
            return None;
        }
        self.read_at = Some(now + READ_AGAIN);
        Some(needed)
    }

    /// Takes in who has got something, read when `entries` were known; none: too many.
    pub(super) fn learn_known(&mut self, entries: i64, users: Option<Vec<UserId>>, now: Instant) {
        let Some(users) = users else {
            self.read_at = Some(now + TOO_MANY);
            return;
        };
        let mut known = Known {
            entries,
            users: Sieve::default(),
        };
        for user in users {
            known.users.insert(user);
        }
        // A reading that took long may be overtaken.
        if self.known.as_ref().is_none_or(|newer| newer.entries <= entries) {
            self.known = Some(known);
        }
    }

    /// What was asked may be granted without our hearing of it: until then nobody is
    /// refused from memory.
    pub(super) fn distrust(&mut self, until: Instant) {
        self.unsure_until = self.unsure_until.max(Some(until));
    }

    /// Whether nothing of it is of use any more.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        let over = |at: Option<Instant>| at.is_none_or(|at| now >= at + BELIEVED);
        over(self.sold_out.as_ref().map(|sold_out| sold_out.until)) && over(self.opens) && over(self.unsure_until)
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{SaleId, StreamId};

    use super::*;
    use crate::types::SaleProgress;

    fn state(remaining: u32, version: i64) -> SaleState {
        SaleState {
            stream: StreamId::new(),
            progress: SaleProgress {
                sale: SaleId::new(),
                remaining,
                version,
                status: SaleStatus::Open,
                next_expiry: None,
            },
            waiting: 0,
            entries: version,
            next_expiry_in: None,
            opens_in: None,
        }
    }

    fn lapsing(version: i64, left: Duration) -> SaleState {
        SaleState {
            next_expiry_in: Some(left),
            ..state(0, version)
        }
    }

    const GONE: Option<Refused> = Some(Refused::SoldOut);

    #[test]
    fn sold_out_is_believed_for_a_second_and_never_past_the_earliest_expiry() {
        let (now, stranger) = (Instant::now(), UserId::new());
        let mut memory = Memory::default();
        assert!(memory.learn(&state(0, 5), now));
        assert_eq!(
            memory.refuses(stranger, now),
            None,
            "not before it is known who has got something"
        );
        memory.learn_known(5, Some(Vec::new()), now);
        assert_eq!(memory.refuses(stranger, now + Duration::from_millis(999)), GONE);
        assert_eq!(memory.refuses(stranger, now + BELIEVED), None);
        memory.learn(&lapsing(5, Duration::from_millis(300)), now);
        assert_eq!(memory.refuses(stranger, now + Duration::from_millis(298)), GONE);
        assert_eq!(memory.refuses(stranger, now + Duration::from_millis(299)), None);
    }

    #[test]
    fn who_has_got_something_is_never_refused_from_memory() {
        let (now, holder, stranger) = (Instant::now(), UserId::new(), UserId::new());
        let mut memory = Memory::default();
        memory.learn(&state(0, 5), now);
        assert_eq!(memory.needs_known(now), Some(5));
        memory.learn_known(5, Some(vec![holder]), now);
        assert_eq!(memory.needs_known(now), None);
        assert_eq!(
            (memory.refuses(stranger, now), memory.refuses(holder, now)),
            (GONE, None)
        );
        memory.learn(&state(0, 7), now);
        assert_eq!(
            memory.refuses(stranger, now),
            None,
            "sold out anew, perhaps to a stranger"
        );
    }

    #[test]
    fn a_sale_that_was_seen_from_its_first_grant_on_is_never_read() {
        let (now, stranger) = (Instant::now(), UserId::new());
        let holders: Vec<UserId> = (0..30_000).map(|_| UserId::new()).collect();
        let mut memory = Memory::default();
        for (batch, before) in holders.chunks(500).zip((0..).step_by(500)) {
            memory.granted(batch.to_vec(), before, before + 500);
        }
        memory.learn(&state(0, 30_000), now);
        assert_eq!(memory.needs_known(now), None);
        assert!(holders.iter().all(|holder| memory.refuses(*holder, now).is_none()));
        // A resend answered from the rows, and somebody who got nothing.
        memory.granted([holders[0]], 30_000, 30_000);
        let strangers = (0..1_000).filter(|_| memory.refuses(UserId::new(), now).is_some());
        assert!(strangers.count() > 900);
        // Somebody got something over REST.
        memory.granted([stranger], 30_001, 30_002);
        memory.learn(&state(0, 30_002), now);
        assert_eq!(memory.refuses(UserId::new(), now), None);
    }

    #[test]
    fn who_has_got_something_is_read_seldom_and_too_many_hardly_ever() {
        let (now, mut memory) = (Instant::now(), Memory::default());
        memory.learn(&state(0, 5), now);
        assert_eq!(memory.needs_known(now), Some(5));
        assert_eq!(memory.needs_known(now), None, "it is being read");
        assert_eq!(memory.needs_known(now + READ_AGAIN), Some(5), "it could not be read");
        memory.learn_known(5, None, now + READ_AGAIN);
        assert_eq!(memory.needs_known(now + READ_AGAIN * 2), None);
        assert_eq!(memory.needs_known(now + READ_AGAIN + TOO_MANY), Some(5));
    }

    #[test]
    fn news_of_a_free_unit_counts_at_once_and_old_news_never() {
        let (now, stranger) = (Instant::now(), UserId::new());
        let mut memory = Memory::default();
        memory.learn(&state(0, 5), now);
        memory.learn_known(5, Some(Vec::new()), now);
        assert!(!memory.learn(&state(3, 4), now));
        assert_eq!(memory.refuses(stranger, now), GONE);
        assert!(memory.learn(&state(1, 6), now));
        assert_eq!(memory.refuses(stranger, now), None);
    }

    #[test]
    fn while_a_grant_may_be_on_its_way_nobody_is_refused() {
        let (now, stranger) = (Instant::now(), UserId::new());
        let mut memory = Memory::default();
        memory.distrust(now + Duration::from_millis(400));
        memory.learn(&state(0, 5), now);
        memory.learn_known(5, Some(Vec::new()), now);
        assert_eq!(memory.refuses(stranger, now), None);
        assert_eq!(memory.refuses(stranger, now + Duration::from_millis(400)), GONE);
    }

    #[test]
    fn who_comes_before_it_opens_is_told_how_long_to_wait() {
        let (now, early) = (Instant::now(), UserId::new());
        let mut memory = Memory::default();
        let soon = SaleState {
            opens_in: Some(Duration::from_secs(3)),
            ..state(9, 1)
        };
        memory.learn(&soon, now);
        let wait = |after| memory.refuses(early, now + Duration::from_secs(after));
        assert_eq!(wait(1), Some(Refused::NotOpen(Duration::from_secs(2))));
        assert_eq!(wait(3), None);
    }
}
