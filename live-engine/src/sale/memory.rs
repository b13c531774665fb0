//! What the desk remembers of a sale, so that a crowd before an empty shelf, or before
//! the door is open, costs the database nothing. Pure: time comes in from outside.

use std::collections::HashSet;
use std::time::Duration;

use shared::ids::UserId;
use shared::status::SaleStatus;
use tokio::time::Instant;

use super::store::SaleState;

/// How long "sold out" is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest version heard of.
    version: i64,
    /// It opens no sooner than this.
    opens: Option<Instant>,
    sold_out: Option<SoldOut>,
    known: Option<Known>,
    /// Until then a grant may be on its way that nobody here has heard of.
    unsure_until: Option<Instant>,
}

#[derive(Debug)]
struct SoldOut {
    version: i64,
    until: Instant,
}

/// Those who have ever got units or a place in line. They are never refused from memory:
/// what they send may be a resend, and a resend gets its first answer.
#[derive(Debug)]
struct Known {
    version: i64,
    users: HashSet<UserId>,
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
            && known.version == sold_out.version
            && !known.users.contains(&user);
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
            version: progress.version,
            until: asked + believed,
        });
        newer
    }

    /// Whether those who have got something must be read before anybody is refused.
    pub(super) fn needs_known(&self) -> Option<i64> {
        let sold_out = self.sold_out.as_ref()?;
        let read = self
            .known
            .as_ref()
            .is_some_and(|known| known.version == sold_out.version);
        (!read).then_some(sold_out.version)
    }

    /// Takes in who has got something, read when `version` was known.
    pub(super) fn learn_known(&mut self, version: i64, users: HashSet<UserId>) {
        // A reading that took long may be overtaken.
        if self.known.as_ref().is_none_or(|known| known.version <= version) {
            self.known = Some(Known { version, users });
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
        memory.learn_known(5, HashSet::new());
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
        assert_eq!(memory.needs_known(), Some(5));
        memory.learn_known(5, HashSet::from([holder]));
        assert_eq!(memory.needs_known(), None);
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
    fn news_of_a_free_unit_counts_at_once_and_old_news_never() {
        let (now, stranger) = (Instant::now(), UserId::new());
        let mut memory = Memory::default();
        memory.learn(&state(0, 5), now);
        memory.learn_known(5, HashSet::new());
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
        memory.learn_known(5, HashSet::new());
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
