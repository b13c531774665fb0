//! The last messages of a room, for those who answer or delete one: who said it, how it
//! begins, and where it stands. Pure.

use std::collections::{HashMap, VecDeque};

use shared::ids::{MessageId, UserId};
use shared::protocol::{ChatMessage, Quote};

/// How many are known.
const KNOWN: usize = 1_000;

/// A message that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownMessage {
    /// Who said it.
    pub author: UserId,
    /// In short.
    pub quote: Quote,
    /// Its number in this epoch; 0 for one of an earlier epoch, which is stored.
    pub seq: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Known {
    messages: HashMap<MessageId, KnownMessage>,
    /// Oldest first.
    order: VecDeque<MessageId>,
}

impl Known {
    /// A message has this number.
    pub fn add(&mut self, message: &ChatMessage, seq: u64) {
        let known = KnownMessage {
            author: message.author.id,
            quote: Quote::of(message.author.id, &message.author.name, &message.text),
            seq,
        };
        if self.messages.insert(message.id, known).is_none() {
            self.order.push_back(message.id);
        }
        while self.order.len() > KNOWN {
            if let Some(oldest) = self.order.pop_front() {
                self.messages.remove(&oldest);
            }
        }
    }

    /// A message, if it is known and not deleted.
    #[must_use]
    pub fn get(&self, message: MessageId) -> Option<&KnownMessage> {
        self.messages.get(&message)
    }

    /// What somebody has said is taken out of view.
    pub fn forget_all_of(&mut self, author: UserId) {
        self.messages.retain(|_, message| message.author != author);
    }

    /// A message is deleted.
    pub fn forget(&mut self, message: MessageId) {
        self.messages.remove(&message);
    }
}

#[cfg(test)]
mod tests {
    use shared::protocol::Author;

    use super::*;

    #[test]
    fn the_last_messages_are_known_until_they_are_deleted() {
        let mut known = Known::default();
        let mut message = ChatMessage {
            id: MessageId::new(),
            author: Author {
                id: UserId::new(),
                name: "Somebody".into(),
                host: false,
                moderator: false,
            },
            text: "x".repeat(200),
            reply_to: None,
            quote: None,
            at: 0,
        };
        let first = message.id;
        known.add(&message, 1);
        let quote = &known.get(first).expect("known").quote;
        assert_eq!((quote.name.as_str(), quote.text.chars().count()), ("Somebody", 81));
        for seq in 2..=KNOWN as u64 + 1 {
            message.id = MessageId::new();
            known.add(&message, seq);
        }
        assert_eq!(known.get(first), None);
        assert!(known.get(message.id).is_some());
        known.forget(message.id);
        assert_eq!(known.get(message.id), None);
        message.id = MessageId::new();
        known.add(&message, 0);
        known.forget_all_of(UserId::new());
        assert!(known.get(message.id).is_some(), "somebody else's");
        known.forget_all_of(message.author.id);
        assert!(known.messages.is_empty());
        assert!(known.messages.len() <= KNOWN);
    }
}
