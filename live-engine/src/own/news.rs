//! Of whom there has been private news in a room, and when: a hold of theirs that was
//! asked for or has changed, an order of theirs. Whoever comes back and was not among them
//! since they were here last needs no query.
//!
//! Kept beside the room from its opening on, and noted before anybody is told. Filled from
//! any thread; bounded: when too many people have news, the older half is forgotten, and
//! who was here last before that has to ask.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::ids::UserId;

/// People who are remembered at most.
const MAX_PEOPLE: usize = 65_536;
/// How long news may take from being noted to being written behind what was said before:
/// news that is so much older than what somebody has heard last, they have heard as well.
const UNDER_WAY: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct News {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// All news since then is here.
    complete_since: Instant,
    /// The newest of each person.
    people: HashMap<UserId, Instant>,
}

impl News {
    /// None yet, of a room that opens now.
    #[must_use]
    pub fn new(now: Instant) -> Arc<Self> {
        let inner = Inner {
            complete_since: now,
            people: HashMap::new(),
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
        })
    }

    /// There is news of these people, or will be.
    pub fn note(&self, people: impl IntoIterator<Item = UserId>, now: Instant) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for user in people {
            if inner.people.len() >= MAX_PEOPLE && !inner.people.contains_key(&user) {
                inner.forget_half();
            }
            inner.people.insert(user, now);
        }
    }

    /// Whether somebody who has heard everything that was said until `heard` has heard all
    /// private news as well.
    #[must_use]
    pub fn has_none_for(&self, user: UserId, heard: Instant) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |news: &Instant| *news + UNDER_WAY < heard;
        inner.complete_since <= heard && inner.people.get(&user).is_none_or(is_old)
    }
}

impl Inner {
    fn forget_half(&mut self) {
        let mut times: Vec<_> = self.people.values().copied().collect();
        let middle = times.len() / 2;
        let (_, cut, _) = times.select_nth_unstable(middle);
        let cut = *cut;
        self.people.retain(|_, at| *at > cut);
        self.complete_since = self.complete_since.max(cut + UNDER_WAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_news_since_they_were_here_needs_to_ask_nothing() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let (news, quiet, buyer) = (News::new(start), UserId::new(), UserId::new());
        let at = |seconds: u32| start + second * seconds;
        news.note([buyer], at(20));
        assert!(news.has_none_for(quiet, at(5)));
        assert!(
            !news.has_none_for(buyer, at(15)),
            "the news is newer than what they heard"
        );
        assert!(!news.has_none_for(buyer, at(25)), "it may still have been under way");
        assert!(news.has_none_for(buyer, at(31)));
        assert!(!news.has_none_for(quiet, start - second), "from before the room opened");
    }

    #[test]
    fn what_was_forgotten_is_not_taken_for_silence() {
        let start = Instant::now();
        let (news, first) = (News::new(start), UserId::new());
        news.note([first], start);
        for second in 1..=MAX_PEOPLE as u64 + 1 {
            news.note([UserId::new()], start + Duration::from_secs(second));
        }
        assert!(news.inner.lock().expect("no panic").people.len() <= MAX_PEOPLE);
        let late = start + Duration::from_secs(1_000_000);
        assert!(!news.has_none_for(first, start + Duration::from_secs(5)));
        assert!(!news.has_none_for(UserId::new(), start + Duration::from_secs(5)));
        assert!(
            news.has_none_for(first, late),
            "old enough to have been heard by anybody"
        );
    }
}
