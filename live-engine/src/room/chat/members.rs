//! Who belongs to the audience that may chat, as far as the room has asked: followers or
//! buyers. Who does is remembered for a while; who does not is asked about each time, so
//! that whoever has just followed may speak at once. However many ask, one query is under
//! way at a time, for all who waited for it. Pure: it is told the time.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use shared::ids::UserId;
use shared::protocol::ChatAudience;

/// For how long somebody is believed to belong to it.
const BELIEVED: Duration = Duration::from_secs(60);
/// Of how many people that is remembered.
const MAX_BELIEVED: usize = 16_384;

/// See the module.
#[derive(Debug)]
pub struct Members {
    audience: ChatAudience,
    believed: HashMap<UserId, Instant>,
    /// Oldest first.
    order: VecDeque<(Instant, UserId)>,
    /// Those who wait to be asked about; as many as messages are being checked, at most.
    waiting: Vec<UserId>,
    asking: bool,
}

impl Members {
    /// Nobody was asked about yet.
    #[must_use]
    pub fn new(audience: ChatAudience) -> Self {
        Self {
            audience,
            believed: HashMap::new(),
            order: VecDeque::new(),
            waiting: Vec::new(),
            asking: false,
        }
    }

    /// The audience that may chat from now on.
    pub fn turn_to(&mut self, audience: ChatAudience) {
        if self.audience != audience {
            self.audience = audience;
            self.believed.clear();
            self.order.clear();
        }
    }

    /// Whether somebody is known to belong to it.
    pub fn has(&mut self, user: UserId, now: Instant) -> bool {
        while let Some((since, oldest)) = self.order.front().copied() {
            if now.saturating_duration_since(since) < BELIEVED && self.order.len() <= MAX_BELIEVED {
                break;
            }
            self.order.pop_front();
            if self.believed.get(&oldest) == Some(&since) {
                self.believed.remove(&oldest);
            }
        }
        self.audience == ChatAudience::Everyone || self.believed.contains_key(&user)
    }

    /// Asks about somebody: with the next query.
    pub fn ask(&mut self, user: UserId) {
        self.waiting.push(user);
    }

    /// Whom to ask about now, and for which audience; nobody while a query is under way.
    pub fn query(&mut self) -> Option<(ChatAudience, Vec<UserId>)> {
        if self.asking || self.waiting.is_empty() {
            return None;
        }
        self.asking = true;
        Some((self.audience, std::mem::take(&mut self.waiting)))
    }

    /// The query for `audience` has found these. What it found of another audience than
    /// the present one says nothing.
    pub fn found(&mut self, audience: ChatAudience, members: impl IntoIterator<Item = UserId>, now: Instant) {
        self.asking = false;
        if audience != self.audience {
            return;
        }
        for user in members {
            self.believed.insert(user, now);
            self.order.push_back((now, user));
        }
    }

    /// The present audience.
    #[must_use]
    pub const fn audience(&self) -> ChatAudience {
        self.audience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_is_under_way_for_all_who_waited() {
        let (mut members, now) = (Members::new(ChatAudience::Followers), Instant::now());
        let [a, b, c] = std::array::from_fn(|_| UserId::new());
        members.ask(a);
        assert_eq!(members.query(), Some((ChatAudience::Followers, vec![a])));
        members.ask(b);
        members.ask(c);
        assert_eq!(members.query(), None, "one at a time");
        members.found(ChatAudience::Followers, [a], now);
        assert!(members.has(a, now) && !members.has(b, now));
        assert_eq!(members.query(), Some((ChatAudience::Followers, vec![b, c])));
    }

    #[test]
    fn who_belongs_is_believed_for_a_while_and_who_does_not_is_asked_again() {
        let (mut members, now) = (Members::new(ChatAudience::Buyers), Instant::now());
        let [a, b] = std::array::from_fn(|_| UserId::new());
        members.found(ChatAudience::Buyers, [a], now);
        assert!(!members.has(b, now));
        members.found(ChatAudience::Buyers, [b], now + Duration::from_secs(1));
        assert!(members.has(b, now + Duration::from_secs(1)));
        assert!(!members.has(a, now + BELIEVED));
        assert!(members.has(b, now + BELIEVED));
        members.turn_to(ChatAudience::Followers);
        assert!(!members.has(b, now + BELIEVED), "another audience");
        members.found(ChatAudience::Buyers, [a], now);
        assert!(!members.has(a, now), "an answer that came too late");
        members.turn_to(ChatAudience::Everyone);
        assert!(members.has(a, now));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut members, now) = (Members::new(ChatAudience::Buyers), Instant::now());
        members.found(
            ChatAudience::Buyers,
            (0..MAX_BELIEVED + 100).map(|_| UserId::new()),
            now,
        );
        members.has(UserId::new(), now);
        assert!(members.believed.len() <= MAX_BELIEVED);
    }
}
