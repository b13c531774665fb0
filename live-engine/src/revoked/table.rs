//! What has been revoked lately, in memory: the newest word on each account, session and
//! viewer of a shop, for as long as a token may be held that does not know it.
//!
//! Pure: no IO and no clock. Bounded: when it would grow too large, the word that is of no
//! use the soonest is dropped, and until then the table says of itself that it is
//! [blind](Table::is_blind): whoever shows a token that needs no query is asked for one
//! that does.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, UserId};
use shared::protocol::Millis;
use uuid::Uuid;

/// Of whom or what there is a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// An account: suspended or not.
    Account(UserId),
    /// A session: over.
    Session(Uuid),
    /// An account or guest in a shop's shows: banned or not.
    Viewer(SellerId, Uuid),
}

/// One word, as the database tells it; times are in ms by this process's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Word {
    /// Of whom.
    pub subject: Subject,
    /// Raised from word to word on a subject: an older one that comes later is dropped.
    pub order: i64,
    /// Revoked, or let in again.
    pub in_force: bool,
    /// Until when it is in force; `None`: until another word.
    pub until: Option<Millis>,
    /// Why, for the person concerned; empty: nothing was said.
    pub reason: String,
    /// From when on no token is left that does not know it.
    pub useless_at: Millis,
}

/// See the module.
#[derive(Debug)]
pub struct Table {
    words: HashMap<Subject, Word>,
    /// Every word's end, the next first.
    ends: BTreeSet<(Millis, Subject)>,
    max: usize,
    blind_until: Millis,
}

impl Table {
    /// An empty table of at most `max` words.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self {
            words: HashMap::new(),
            ends: BTreeSet::new(),
            max,
            blind_until: Millis::MIN,
        }
    }

    /// Takes a word; whether it is news that shuts somebody out.
    pub fn take(&mut self, word: Word) -> bool {
        if let Some(known) = self.words.get(&word.subject) {
            if known.order >= word.order {
                return false;
            }
            self.ends.remove(&(known.useless_at, known.subject));
        }
        let shuts_out = word.in_force;
        self.ends.insert((word.useless_at, word.subject));
        self.words.insert(word.subject, word);
        while self.words.len() > self.max {
            let Some((end, subject)) = self.ends.pop_first() else {
                break;
            };
            self.words.remove(&subject);
            self.blind_until = self.blind_until.max(end);
        }
        shuts_out
    }

    /// Forgets what no token is left for.
    pub fn tidy(&mut self, now: Millis) {
        while let Some((end, subject)) = self.ends.first().copied()
            && end <= now
        {
            self.ends.pop_first();
            self.words.remove(&subject);
        }
    }

    /// Whether a word was dropped that would still be of use.
    #[must_use]
    pub const fn is_blind(&self, now: Millis) -> bool {
        now < self.blind_until
    }

    /// Whether there is no word at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether anything is in force against this subject.
    ///
    /// # Errors
    /// `AccountSuspended`, `TicketInvalid` for a session that is over, `Banned`.
    pub fn check(&self, subject: Subject, now: Millis) -> Result<(), Refusal> {
        let Some(word) = self.words.get(&subject) else {
            return Ok(());
        };
        if !word.in_force || word.until.is_some_and(|until| until <= now) {
            return Ok(());
        }
        Err(match subject {
            Subject::Account(_) => ErrorCode::AccountSuspended.into(),
            Subject::Session(_) => session_over(),
            Subject::Viewer(..) => banned(&word.reason, word.until.map(|until| until - now)),
        })
    }
}

/// The refusal of a token whose session is over.
#[must_use]
pub fn session_over() -> Refusal {
    Refusal::new(ErrorCode::TicketInvalid, "the session is over; sign in again")
}

/// The refusal of somebody who is banned: why, and for how many more ms.
#[must_use]
pub fn banned(reason: &str, left: Option<Millis>) -> Refusal {
    let detail: Cow<'static, str> = match reason {
        "" => ErrorCode::Banned.title().into(),
        reason => reason.to_owned().into(),
    };
    let refusal = Refusal::new(ErrorCode::Banned, detail);
    match left {
        Some(left) => refusal.retry_after_ms(u64::try_from(left).unwrap_or(0).max(1)),
        None => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(subject: Subject, order: i64, in_force: bool) -> Word {
        Word {
            subject,
            order,
            in_force,
            until: None,
            reason: String::new(),
            useless_at: 1_000 + order,
        }
    }

    fn account() -> Subject {
        Subject::Account(UserId::new())
    }

    #[test]
    fn the_newest_word_counts_in_whatever_order_they_come() {
        let (mut table, subject) = (Table::new(10), account());
        assert!(table.take(word(subject, 2, true)));
        assert!(!table.take(word(subject, 1, false)), "older");
        assert!(!table.take(word(subject, 2, true)), "read again");
        let refusal = table.check(subject, 0).expect_err("suspended");
        assert_eq!(refusal.code, ErrorCode::AccountSuspended);
        assert!(!table.take(word(subject, 3, false)), "nobody is shut out");
        assert_eq!(table.check(subject, 0), Ok(()));
        assert!(!table.take(word(subject, 2, true)), "older again");
        assert_eq!(table.check(subject, 0), Ok(()));
    }

    #[test]
    fn a_ban_says_why_and_for_how_long_and_ends_by_itself() {
        let (mut table, person) = (Table::new(10), Uuid::now_v7());
        let [shop, other] = [SellerId::new(), SellerId::new()];
        table.take(Word {
            until: Some(500),
            reason: "spam".into(),
            ..word(Subject::Viewer(shop, person), 1, true)
        });
        let refusal = table.check(Subject::Viewer(shop, person), 200).expect_err("banned");
        assert_eq!((refusal.code, refusal.retry_after_ms), (ErrorCode::Banned, Some(300)));
        assert_eq!(refusal.detail, "spam");
        assert_eq!(table.check(Subject::Viewer(other, person), 200), Ok(()), "another shop");
        assert_eq!(
            table.check(Subject::Viewer(shop, person), 500),
            Ok(()),
            "its time is over"
        );
    }

    #[test]
    fn what_no_token_is_left_for_is_forgotten() {
        let (mut table, [first, second]) = (Table::new(10), [account(), account()]);
        table.take(word(first, 1, true));
        table.take(word(second, 5, true));
        table.tidy(1_001);
        assert_eq!(table.check(first, 0), Ok(()));
        assert!(table.check(second, 0).is_err());
        table.tidy(1_005);
        assert!(table.is_empty() && table.ends.is_empty());
        assert!(!table.is_blind(1_005));
    }

    #[test]
    fn a_table_that_is_full_knows_that_it_does_not_know() {
        let mut table = Table::new(2);
        let subjects = [account(), account(), account()];
        for (order, subject) in (1..).zip(subjects) {
            assert!(table.take(word(subject, order, true)));
        }
        assert_eq!(table.words.len(), 2);
        assert!(table.check(subjects[2], 0).is_err(), "the newest is kept");
        assert!(table.is_blind(1_000), "the oldest was dropped");
        assert!(!table.is_blind(1_001), "and would be of no use any more");
    }
}
