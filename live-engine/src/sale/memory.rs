//! What the desk remembers of a sale, so that a crowd before an empty shelf costs the
//! database nothing. Pure: time comes in from outside.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::UserId;
use shared::status::SaleStatus;
use tokio::time::Instant;

use crate::types::SaleProgress;

/// How long "sold out" is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The newest version heard of.
    version: i64,
    sold_out: Option<SoldOut>,
    holders: Option<Holders>,
}

#[derive(Debug)]
struct SoldOut {
    version: i64,
    until: Instant,
}

/// Those who have units. They are never refused from memory: what they send may be a
/// resend, and a resend gets its first answer.
#[derive(Debug)]
struct Holders {
    version: i64,
    users: Arc<HashSet<UserId>>,
}

impl Memory {
    /// Whether nothing is left for `user`, as far as is known for certain.
    pub(super) fn refuses(&self, user: UserId, now: Instant) -> bool {
        match (&self.sold_out, &self.holders) {
            (Some(sold_out), Some(holders)) => {
                now < sold_out.until && holders.version == sold_out.version && !holders.users.contains(&user)
            }
            _ => false,
        }
    }

    /// Takes in counters that were read after `asked`. `lapses_in`: until the earliest
    /// hold lapses. True: they are newer than what was known.
    pub(super) fn learn(&mut self, progress: &SaleProgress, lapses_in: Option<Duration>, asked: Instant) -> bool {
        if progress.version < self.version {
            return false;
        }
        let newer = progress.version > self.version;
        self.version = progress.version;
        let empty = progress.status == SaleStatus::Open && progress.remaining == 0;
        // Counted from before the question, and a millisecond less for rounding: the
        // database frees a lapsed hold at the next request, which must then be asked.
        let lapses_in = lapses_in.map(|left| left.saturating_sub(Duration::from_millis(1)));
        let believed = lapses_in.unwrap_or(BELIEVED).min(BELIEVED);
        self.sold_out = empty.then_some(SoldOut {
            version: progress.version,
            until: asked + believed,
        });
        newer
    }

    /// Whether the holders must be read before anybody is refused from memory.
    pub(super) fn needs_holders(&self) -> Option<i64> {
        let sold_out = self.sold_out.as_ref()?;
        let known = self
            .holders
            .as_ref()
            .is_some_and(|holders| holders.version == sold_out.version);
        (!known).then_some(sold_out.version)
    }

    /// Takes in the holders, read when `version` was known.
    pub(super) fn learn_holders(&mut self, version: i64, users: HashSet<UserId>) {
        self.holders = Some(Holders {
            version,
            users: Arc::new(users),
        });
    }

    /// Whether nothing of it is of use any more.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.sold_out
            .as_ref()
            .is_none_or(|sold_out| now >= sold_out.until + BELIEVED)
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::SaleId;

    use super::*;

    fn progress(remaining: u32, version: i64) -> SaleProgress {
        let status = SaleStatus::Open;
        SaleProgress {
            sale: SaleId::new(),
            remaining,
            version,
            status,
            next_expiry: None,
        }
    }

    #[test]
    fn sold_out_is_believed_for_a_second_and_never_past_the_earliest_expiry() {
        let (now, stranger) = (Instant::now(), UserId::new());
        let mut memory = Memory::default();
        assert!(memory.learn(&progress(0, 5), None, now));
        assert!(!memory.refuses(stranger, now), "not before the holders are known");
        memory.learn_holders(5, HashSet::new());
        assert!(memory.refuses(stranger, now + Duration::from_millis(999)));
        assert!(!memory.refuses(stranger, now + BELIEVED));
        memory.learn(&progress(0, 5), Some(Duration::from_millis(300)), now);
        assert!(memory.refuses(stranger, now + Duration::from_millis(298)));
        assert!(!memory.refuses(stranger, now + Duration::from_millis(299)));
    }

    #[test]
    fn a_holder_is_never_refused_from_memory() {
        let (now, holder, stranger) = (Instant::now(), UserId::new(), UserId::new());
        let mut memory = Memory::default();
        memory.learn(&progress(0, 5), None, now);
        assert_eq!(memory.needs_holders(), Some(5));
        memory.learn_holders(5, HashSet::from([holder]));
        assert_eq!(memory.needs_holders(), None);
        assert!(memory.refuses(stranger, now) && !memory.refuses(holder, now));
        memory.learn(&progress(0, 7), None, now);
        assert!(!memory.refuses(stranger, now), "sold out anew, perhaps to a stranger");
    }

    #[test]
    fn news_of_a_free_unit_counts_at_once_and_old_news_never() {
        let (now, stranger) = (Instant::now(), UserId::new());
        let mut memory = Memory::default();
        memory.learn(&progress(0, 5), None, now);
        memory.learn_holders(5, HashSet::new());
        assert!(!memory.learn(&progress(3, 4), None, now));
        assert!(memory.refuses(stranger, now));
        assert!(memory.learn(&progress(1, 6), None, now));
        assert!(!memory.refuses(stranger, now));
    }
}
