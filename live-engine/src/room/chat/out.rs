//! Who was taken out of view: from which connections of theirs nothing is taken any more,
//! and whose messages are not to be shown again by rows that were read before they were
//! struck. Bounded. Pure: it is told the time.

use std::collections::{HashMap, VecDeque};

use shared::ids::UserId;
use shared::protocol::Millis;

/// For how long whoever was taken out is remembered after it is stored: longer than a row
/// that was read before may be on its way.
const REMEMBERED_MS: Millis = 60_000;
/// People remembered so at most.
const MAX_STRUCK: usize = 1_024;
/// Bans remembered at most; their sockets are closed within a second, long before so many
/// others are banned.
const MAX_TURNED_OUT: usize = 10_000;

/// Somebody whose messages were taken out of view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Struck {
    user: UserId,
    seq: u64,
    at: Millis,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Out {
    /// The number from which on somebody has to have come in to be heard.
    turned_out: HashMap<UserId, u64>,
    /// Oldest first.
    struck: VecDeque<Struck>,
}

impl Out {
    /// Somebody is banned by what happens under this number.
    pub fn turn_out(&mut self, user: UserId, seq: u64) {
        if self.turned_out.len() >= MAX_TURNED_OUT
            && let Some(oldest) = self
                .turned_out
                .iter()
                .min_by_key(|(_, seq)| **seq)
                .map(|(user, _)| *user)
        {
            self.turned_out.remove(&oldest);
        }
        self.turned_out.insert(user, seq);
    }

    /// Whether a connection that came in when `since` was the last number is of somebody
    /// who was banned after that.
    #[must_use]
    pub fn is_turned_out(&self, user: UserId, since: u64) -> bool {
        self.turned_out.get(&user).is_some_and(|seq| since < *seq)
    }

    /// What somebody has said before this number is taken out of view.
    pub fn strike(&mut self, user: UserId, seq: u64, at: Millis) {
        if self.struck.len() >= MAX_STRUCK {
            self.struck.pop_front();
        }
        self.struck.push_back(Struck { user, seq, at });
    }

    /// Whether a row of this person may have been read before it was struck.
    #[must_use]
    pub fn is_struck(&self, user: UserId) -> bool {
        self.struck.iter().any(|struck| struck.user == user)
    }

    /// Forgets whose rows are struck for certain.
    pub fn tidy(&mut self, committed: u64, now: Millis) {
        self.struck
            .retain(|struck| struck.seq > committed || now - struck.at < REMEMBERED_MS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_banned_is_heard_again_from_where_they_come_in_later() {
        let (mut out, [banned, other]) = (Out::default(), std::array::from_fn(|_| UserId::new()));
        out.turn_out(banned, 7);
        assert!(out.is_turned_out(banned, 6) && !out.is_turned_out(banned, 7));
        assert!(!out.is_turned_out(other, 0));
        out.turn_out(banned, 9);
        assert!(out.is_turned_out(banned, 7));
        for seq in 0..MAX_TURNED_OUT as u64 {
            out.turn_out(UserId::new(), 10 + seq);
        }
        assert!(out.turned_out.len() <= MAX_TURNED_OUT && !out.is_turned_out(banned, 0));
    }

    #[test]
    fn whose_rows_were_struck_is_known_until_no_older_row_can_be_on_its_way() {
        let (mut out, user) = (Out::default(), UserId::new());
        out.strike(user, 3, 1_000);
        out.tidy(2, 1_000 + REMEMBERED_MS);
        assert!(out.is_struck(user), "not stored");
        out.tidy(3, 999 + REMEMBERED_MS);
        assert!(out.is_struck(user), "read a moment before");
        out.tidy(3, 1_000 + REMEMBERED_MS);
        assert!(!out.is_struck(user));
    }
}
