//! What was said lately, by its author's name for the act, so that a message sent again
//! is answered like the first time; and who still waits to hear that it is committed.
//!
//! Pure: it is told what is committed.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, UserId};
use shared::protocol::{Millis, Outcome};

use crate::types::ConnId;

/// How many messages are remembered; those not committed yet in any case.
const REMEMBERED: usize = 5_000;
/// For how long.
const REMEMBERED_MS: Millis = 10 * 60 * 1000;

type Key = (UserId, RequestId);
/// A connection and the id of its command.
pub type Waiting = (ConnId, u64);

#[derive(Clone, Debug)]
struct Message {
    text: u64,
    message: MessageId,
    epoch: i64,
    seq: u64,
    /// Those who wait for the commit; none once it is there.
    waiting: Option<Vec<Waiting>>,
}

impl Message {
    const fn outcome(&self) -> Outcome {
        Outcome::Said {
            message: self.message,
            epoch: self.epoch,
            seq: self.seq,
        }
    }
}

/// What is known of a message that comes again.
#[derive(Clone, PartialEq, Debug)]
pub enum Again {
    /// It is committed: this was the answer.
    Answer(Outcome),
    /// It is about to be committed: the answer comes then.
    Wait,
}

/// See the module.
#[derive(Debug, Default)]
pub struct SaidLately {
    messages: HashMap<Key, Message>,
    /// Oldest first.
    order: VecDeque<(Millis, Key)>,
    /// Not committed yet, in order.
    pending: VecDeque<(u64, Key)>,
}

impl SaidLately {
    /// Remembers a message of an earlier epoch, which is committed.
    pub fn remember(&mut self, key: Key, text: &str, message: MessageId, at: (i64, u64), now: Millis) {
        let (epoch, seq) = at;
        let message = Message {
            text: hash(text),
            message,
            epoch,
            seq,
            waiting: None,
        };
        self.messages.insert(key, message);
        self.order.push_back((now, key));
    }

    /// Whether this was said already. Whoever asks about one that is not committed yet
    /// is answered with the first.
    ///
    /// # Errors
    /// `RequestIdReused` when the act's name stands for another text.
    pub fn again(&mut self, key: Key, text: &str, who: Waiting) -> Result<Option<Again>, Refusal> {
        let Some(message) = self.messages.get_mut(&key) else {
            return Ok(None);
        };
        if message.text != hash(text) {
            return Err(ErrorCode::RequestIdReused.into());
        }
        let outcome = message.outcome();
        match &mut message.waiting {
            None => Ok(Some(Again::Answer(outcome))),
            Some(waiting) if waiting.len() >= 16 => Err(ErrorCode::RequestInFlight.into()),
            Some(waiting) => {
                waiting.push(who);
                Ok(Some(Again::Wait))
            }
        }
    }

    /// Notes what is said now, before it is committed.
    pub fn said(&mut self, key: Key, text: &str, message: MessageId, at: (i64, u64), now: Millis, who: Waiting) {
        let (epoch, seq) = at;
        let message = Message {
            text: hash(text),
            message,
            epoch,
            seq,
            waiting: Some(vec![who]),
        };
        self.messages.insert(key, message);
        self.order.push_back((now, key));
        self.pending.push_back((seq, key));
        self.forget(now);
    }

    /// Everything up to `up_to` is committed: who is to hear it.
    pub fn committed(&mut self, up_to: u64) -> Vec<(Waiting, Outcome)> {
        let mut answers = Vec::new();
        while let Some((seq, key)) = self.pending.front().copied() {
            if seq > up_to {
                break;
            }
            self.pending.pop_front();
            if let Some(message) = self.messages.get_mut(&key) {
                let outcome = message.outcome();
                let waiting = message.waiting.take().into_iter().flatten();
                answers.extend(waiting.map(|who| (who, outcome.clone())));
            }
        }
        answers
    }

    /// The database refuses this one: who is to hear it. It may be said again.
    pub fn rejected(&mut self, seq: u64) -> Vec<Waiting> {
        let Some(index) = self.pending.iter().position(|(pending, _)| *pending == seq) else {
            return Vec::new();
        };
        let key = self.pending.remove(index).map(|(_, key)| key);
        let message = key.and_then(|key| self.messages.remove(&key));
        message.and_then(|message| message.waiting).unwrap_or_default()
    }

    /// The room closes: all who still wait.
    pub fn give_up(&mut self) -> Vec<Waiting> {
        let pending = std::mem::take(&mut self.pending);
        let messages = pending.into_iter().filter_map(|(_, key)| self.messages.remove(&key));
        messages.filter_map(|message| message.waiting).flatten().collect()
    }

    fn forget(&mut self, now: Millis) {
        while let Some((at, key)) = self.order.front().copied() {
            if self.order.len() <= REMEMBERED && now - at <= REMEMBERED_MS {
                break;
            }
            if self.messages.get(&key).is_some_and(|message| message.waiting.is_some()) {
                break;
            }
            self.order.pop_front();
            self.messages.remove(&key);
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(id: u64) -> Waiting {
        let conn = ConnId {
            worker: 0,
            slot: 1,
            generation: 1,
        };
        (conn, id)
    }

    fn key() -> Key {
        (UserId::new(), RequestId::new())
    }

    #[test]
    fn authors_hear_of_the_commit_and_not_before() {
        let (mut said, a, b) = (SaidLately::default(), key(), key());
        said.said(a, "a", MessageId::new(), (1, 1), 0, who(1));
        said.said(b, "b", MessageId::new(), (1, 3), 0, who(2));
        assert_eq!(said.again(a, "a", who(9)), Ok(Some(Again::Wait)));
        let heard: Vec<_> = said.committed(2).into_iter().map(|(who, _)| who.1).collect();
        assert_eq!(heard, [1, 9]);
        assert!(matches!(
            said.again(a, "a", who(4)),
            Ok(Some(Again::Answer(Outcome::Said { seq: 1, .. })))
        ));
        assert_eq!(said.give_up(), [who(2)]);
    }

    #[test]
    fn another_text_under_the_same_name_is_refused() {
        let (mut said, a) = (SaidLately::default(), key());
        said.remember(a, "a", MessageId::new(), (1, 1), 0);
        assert_eq!(said.again(a, "b", who(1)), Err(ErrorCode::RequestIdReused.into()));
        assert_eq!(said.again(key(), "b", who(1)), Ok(None));
    }

    #[test]
    fn what_the_database_refuses_may_be_said_again() {
        let (mut said, a) = (SaidLately::default(), key());
        said.said(a, "a", MessageId::new(), (1, 1), 0, who(1));
        assert_eq!(said.rejected(1), [who(1)]);
        assert_eq!(said.again(a, "a", who(1)), Ok(None));
        assert!(said.committed(1).is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut said = SaidLately::default();
        for seq in 1..=6_000 {
            said.said(key(), "a", MessageId::new(), (1, seq), 0, who(1));
            said.committed(seq);
        }
        assert!(said.messages.len() <= REMEMBERED + 1, "{}", said.messages.len());
    }
}
