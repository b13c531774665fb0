//! What was said lately, by its author's name for the act, so that a message sent again
//! is answered like the first time; and who still waits to hear what became of it. Of what
//! it does not keep any more it still knows that there may be something to be looked up.
//!
//! Pure: it is told what is decided and committed.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest as _, Sha256};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, UserId};
use shared::protocol::{HeldFor, Millis, Outcome};

use crate::sieve::Sieve;
use crate::types::ConnId;

/// How many messages are remembered; those not settled yet in any case.
const REMEMBERED: usize = 5_000;
/// For how long.
const REMEMBERED_MS: Millis = 10 * 60 * 1000;
/// How many may wait to hear of one message.
const MAX_WAITING: usize = 16;

/// The name of an act.
pub type Key = (UserId, RequestId);
/// A connection and the id of its command.
pub type Waiting = (ConnId, u64);

#[derive(Clone, Debug)]
struct Message {
    body: i64,
    /// Since when it is known.
    at: Millis,
    /// What became of it; none while it is still being checked.
    outcome: Option<Outcome>,
    /// Those who wait to hear it; none once it is for certain.
    waiting: Option<Vec<Waiting>>,
    /// Why it was to be held, and nobody knows whether it is.
    doubt: Option<Box<WhyHeld>>,
}

/// Why a message has to wait for a moderator, with what moderators are told.
pub type WhyHeld = (HeldFor, String);

/// What is known of a message that comes again.
#[derive(Clone, PartialEq, Debug)]
pub enum Again {
    /// It is committed: this was the answer.
    Answer(Outcome),
    /// It is not committed yet: the answer comes then.
    Wait,
    /// It may have been said before what is remembered: the database knows.
    Perhaps,
    /// It may be held: whatever is thought of it by now, it may be held again and never said.
    Held(WhyHeld),
}

/// See the module.
#[derive(Debug, Default)]
pub struct SaidLately {
    messages: HashMap<Key, Message>,
    /// Oldest first.
    order: VecDeque<(Millis, Key)>,
    /// Said and not committed yet, in order.
    pending: VecDeque<(u64, Key)>,
    /// The names of what was forgotten, and of what was said before this room was ours and
    /// is not remembered.
    forgotten: Sieve,
    earlier: Earlier,
}

/// What was said before this room was ours, and has never been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Earlier {
    /// Nothing.
    #[default]
    Known,
    /// What is older than this message.
    Unread(MessageId),
    /// The same, and it is being read.
    Reading(MessageId),
}

/// What tells a message from another one under the same name.
#[must_use]
pub fn body(text: &str, reply_to: Option<MessageId>) -> i64 {
    let mut hash = Sha256::new();
    hash.update(reply_to.map_or([0; 16], |message| message.0.into_bytes()));
    hash.update(text.as_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

impl SaidLately {
    /// `before`: more was said than what it will be told to remember; what is older than
    /// this message.
    #[must_use]
    pub fn new(before: Option<MessageId>) -> Self {
        Self {
            earlier: before.map_or(Earlier::Known, Earlier::Unread),
            ..Self::default()
        }
    }

    /// Whether there is nothing that was said before and never read.
    #[must_use]
    pub fn knows_earlier(&self) -> bool {
        self.earlier == Earlier::Known
    }

    /// The message before which names are to be read; none while some are being read, and
    /// when all are known.
    pub fn next_page(&mut self) -> Option<MessageId> {
        let Earlier::Unread(before) = self.earlier else {
            return None;
        };
        self.earlier = Earlier::Reading(before);
        Some(before)
    }

    /// These were read, and if there are more, they are older than `before`. It does not
    /// matter whether they are remembered as well, or said under this room's own number.
    pub fn learn(&mut self, names: Vec<Key>, before: Option<MessageId>) {
        for key in names {
            self.forgotten.insert(key);
        }
        // A full sieve has everything looked up: more names would change nothing.
        let before = before.filter(|_| !self.forgotten.is_full());
        self.earlier = before.map_or(Earlier::Known, Earlier::Unread);
    }

    /// They could not be read: they are to be read again.
    pub fn page_failed(&mut self) {
        if let Earlier::Reading(before) = self.earlier {
            self.earlier = Earlier::Unread(before);
        }
    }

    /// Remembers what became of a message before this room was ours.
    pub fn remember(&mut self, key: Key, body: i64, outcome: Outcome, now: Millis) {
        let message = Message {
            body,
            at: now,
            outcome: Some(outcome),
            waiting: None,
            doubt: None,
        };
        self.messages.insert(key, message);
        self.order.push_back((now, key));
    }

    /// Whether something may have been said under this name that is not remembered.
    #[must_use]
    pub fn may_have_forgotten(&self, key: Key) -> bool {
        !self.messages.contains_key(&key) && (!self.knows_earlier() || self.forgotten.may_have(key))
    }

    /// Whether this was said already. Whoever asks about one that is not settled yet is
    /// answered with the first.
    ///
    /// # Errors
    /// `RequestIdReused` when the act's name stands for another message.
    pub fn again(&mut self, key: Key, body: i64, who: Waiting) -> Result<Option<Again>, Refusal> {
        let Some(message) = self.messages.get_mut(&key) else {
            return Ok(self.may_have_forgotten(key).then_some(Again::Perhaps));
        };
        if message.body != body {
            return Err(ErrorCode::RequestIdReused.into());
        }
        match (&mut message.waiting, &message.outcome) {
            (None, Some(outcome)) => Ok(Some(Again::Answer(outcome.clone()))),
            (Some(waiting), _) if waiting.len() >= MAX_WAITING => Err(ErrorCode::RequestInFlight.into()),
            (Some(waiting), _) => {
                waiting.push(who);
                Ok(Some(Again::Wait))
            }
            // Nobody waits, and nothing is known: only of what may be held.
            (None, None) => Ok(message.doubt.as_deref().cloned().map(Again::Held)),
        }
    }

    /// A message has come, and `who` waits to hear what becomes of it.
    pub fn begin(&mut self, key: Key, body: i64, now: Millis, who: Waiting) {
        let message = Message {
            body,
            at: now,
            outcome: None,
            waiting: Some(vec![who]),
            doubt: self.messages.remove(&key).and_then(|known| known.doubt),
        };
        self.messages.insert(key, message);
        self.order.push_back((now, key));
        self.forget(now);
    }

    /// It was to be held, and may be or not: it stays so until that is known.
    pub fn doubt(&mut self, key: Key, why: WhyHeld) {
        if let Some(known) = self.messages.get_mut(&key) {
            known.doubt = Some(Box::new(why));
        }
    }

    /// Whether it is open whether this is held.
    #[must_use]
    pub fn is_doubtful(&self, key: Key) -> bool {
        self.messages.get(&key).is_some_and(|known| known.doubt.is_some())
    }

    /// It is said, under this number, and about to be committed.
    pub fn said(&mut self, key: Key, message: MessageId, at: (i64, u64)) {
        let (epoch, seq) = at;
        if let Some(known) = self.messages.get_mut(&key) {
            known.outcome = Some(Outcome::Said { message, epoch, seq });
            self.pending.push_back((seq, key));
        }
    }

    /// This became of it, for certain: who is to hear it.
    pub fn settled(&mut self, key: Key, outcome: Outcome) -> Vec<Waiting> {
        let Some(known) = self.messages.get_mut(&key) else {
            return Vec::new();
        };
        known.outcome = Some(outcome);
        known.doubt = None;
        known.waiting.take().unwrap_or_default()
    }

    /// It is refused: who is to hear it. It may be sent again.
    pub fn refused(&mut self, key: Key) -> Vec<Waiting> {
        let message = match self.messages.get_mut(&key) {
            Some(known) if known.doubt.is_some() => return known.waiting.take().unwrap_or_default(),
            _ => self.messages.remove(&key),
        };
        message.and_then(|message| message.waiting).unwrap_or_default()
    }

    /// Everything up to `up_to` is committed: who is to hear it.
    pub fn committed(&mut self, up_to: u64) -> Vec<(Waiting, Outcome)> {
        let mut answers = Vec::new();
        while let Some((seq, key)) = self.pending.front().copied() {
            if seq > up_to {
                break;
            }
            self.pending.pop_front();
            if let Some(message) = self.messages.get_mut(&key)
                && let Some(outcome) = &message.outcome
            {
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
        key.map(|key| self.refused(key)).unwrap_or_default()
    }

    /// The room closes: all who still wait.
    pub fn give_up(&mut self) -> Vec<Waiting> {
        self.pending.clear();
        let mut waiting = Vec::new();
        for (_, key) in &self.order {
            if self.messages.get(key).is_some_and(|message| message.waiting.is_some()) {
                let message = self.messages.remove(key);
                waiting.extend(message.and_then(|message| message.waiting).into_iter().flatten());
            }
        }
        waiting
    }

    fn forget(&mut self, now: Millis) {
        while let Some((at, key)) = self.order.front().copied() {
            if self.order.len() <= REMEMBERED && now - at <= REMEMBERED_MS {
                break;
            }
            // One that was refused and said again stands further back too.
            let known = self.messages.get(&key).filter(|message| message.at == at);
            if known.is_some_and(|message| message.waiting.is_some()) {
                break;
            }
            if known.is_some() {
                self.messages.remove(&key);
                self.forgotten.insert(key);
            }
            self.order.pop_front();
        }
    }
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

    fn say(said: &mut SaidLately, key: Key, seq: u64, id: u64) {
        said.begin(key, 1, 0, who(id));
        said.said(key, MessageId::new(), (1, seq));
    }

    #[test]
    fn authors_hear_of_the_commit_and_not_before() {
        let (mut said, a, b) = (SaidLately::default(), key(), key());
        said.begin(a, 1, 0, who(1));
        assert_eq!(said.again(a, 1, who(8)), Ok(Some(Again::Wait)), "still being checked");
        said.said(a, MessageId::new(), (1, 1));
        say(&mut said, b, 3, 2);
        assert_eq!(said.again(a, 1, who(9)), Ok(Some(Again::Wait)));
        let heard: Vec<_> = said.committed(2).into_iter().map(|(who, _)| who.1).collect();
        assert_eq!(heard, [1, 8, 9]);
        assert!(matches!(
            said.again(a, 1, who(4)),
            Ok(Some(Again::Answer(Outcome::Said { seq: 1, .. })))
        ));
        assert_eq!(said.give_up(), [who(2)]);
    }

    #[test]
    fn another_message_under_the_same_name_is_refused() {
        let (mut said, a, message) = (SaidLately::default(), key(), MessageId::new());
        let first = body("a", None);
        said.remember(a, first, Outcome::HeldForReview { message }, 0);
        for other in [body("b", None), body("a", Some(message))] {
            assert_eq!(said.again(a, other, who(1)), Err(ErrorCode::RequestIdReused.into()));
        }
        let answer = Again::Answer(Outcome::HeldForReview { message });
        assert_eq!(said.again(a, first, who(1)), Ok(Some(answer)));
        assert_eq!(said.again(key(), first, who(1)), Ok(None));
    }

    #[test]
    fn what_is_refused_may_be_said_again() {
        let (mut said, a, b) = (SaidLately::default(), key(), key());
        say(&mut said, a, 1, 1);
        assert_eq!(said.rejected(1), [who(1)]);
        assert_eq!(said.again(a, 1, who(1)), Ok(None));
        assert!(said.committed(1).is_empty());
        said.begin(b, 1, 0, who(2));
        assert_eq!(said.refused(b), [who(2)]);
        said.begin(b, 2, 0, who(3));
        assert_eq!(said.settled(b, Outcome::Done), [who(3)]);
        assert_eq!(said.again(b, 2, who(4)), Ok(Some(Again::Answer(Outcome::Done))));
    }

    #[test]
    fn what_may_be_held_is_never_said() {
        let (mut said, a) = (SaidLately::default(), key());
        let why = (HeldFor::Word, "cheaper".to_owned());
        said.begin(a, 1, 0, who(1));
        said.doubt(a, why.clone());
        assert_eq!(said.refused(a), [who(1)], "told to send it again");
        assert_eq!(said.again(a, 1, who(2)), Ok(Some(Again::Held(why.clone()))));
        assert_eq!(said.again(a, 2, who(2)), Err(ErrorCode::RequestIdReused.into()));
        // Refused on its way to be held again, it may still be held.
        said.begin(a, 1, 0, who(2));
        assert_eq!(said.refused(a), [who(2)]);
        assert_eq!(said.again(a, 1, who(3)), Ok(Some(Again::Held(why))));
        said.begin(a, 1, 0, who(3));
        assert_eq!(said.again(a, 1, who(4)), Ok(Some(Again::Wait)));
        assert_eq!(said.settled(a, Outcome::Done), [who(3), who(4)]);
        assert!(!said.is_doubtful(a));
        assert_eq!(said.again(a, 1, who(5)), Ok(Some(Again::Answer(Outcome::Done))));
        // Forgotten, it is looked up.
        let b = key();
        said.begin(b, 1, 0, who(1));
        said.doubt(b, (HeldFor::Hook, String::new()));
        said.refused(b);
        say(&mut said, key(), 1, 1);
        said.committed(1);
        said.begin(key(), 1, REMEMBERED_MS + 1, who(1));
        assert_eq!(said.again(b, 1, who(2)), Ok(Some(Again::Perhaps)));
    }

    #[test]
    fn what_is_forgotten_may_still_be_looked_up() {
        let (mut said, first) = (SaidLately::default(), key());
        say(&mut said, first, 1, 1);
        said.committed(1);
        for seq in 2..=6_000 {
            assert_eq!(said.again(key(), 1, who(1)), Ok(None), "new for certain");
            say(&mut said, key(), seq, 1);
            said.committed(seq);
            if said.forgotten.may_have(first) {
                break;
            }
        }
        assert_eq!(said.again(first, 1, who(2)), Ok(Some(Again::Perhaps)));
    }

    #[test]
    fn what_was_said_before_it_was_ours_is_looked_up_and_strangers_only_until_all_is_known() {
        let (first, second) = (MessageId::new(), MessageId::new());
        let mut said = SaidLately::new(Some(first));
        let early: Vec<_> = (0..6_000).map(|_| key()).collect();
        let strangers = |said: &mut SaidLately| {
            let is_looked_up = |_: &usize| said.again(key(), 1, who(1)) == Ok(Some(Again::Perhaps));
            (0..1_000_usize).filter(is_looked_up).count()
        };
        assert_eq!(strangers(&mut said), 1_000, "each may have been said before");
        assert_eq!(said.next_page(), Some(first));
        assert_eq!(said.next_page(), None, "one page at a time");
        said.page_failed();
        assert_eq!(said.next_page(), Some(first), "and again when it could not be read");
        said.learn(early[..3_000].to_vec(), Some(second));
        assert_eq!(strangers(&mut said), 1_000, "what is older is not known yet");
        assert_eq!(said.next_page(), Some(second));
        said.learn(early[3_000..].to_vec(), None);
        assert!(said.knows_earlier());
        assert_eq!(said.next_page(), None);
        assert_eq!(strangers(&mut said), 0, "no stranger is taken for one of them");
        for name in early {
            assert_eq!(said.again(name, 1, who(1)), Ok(Some(Again::Perhaps)));
        }
    }

    #[test]
    fn a_full_sieve_reads_no_further() {
        let mut said = SaidLately::new(Some(MessageId::new()));
        let (request, mut pages) = (RequestId::new(), 0_u128);
        while pages < 20 && said.next_page().is_some() {
            let names = (0..100_000).map(|n| (UserId(uuid::Uuid::from_u128(pages << 64 | n)), request));
            said.learn(names.collect(), Some(MessageId::new()));
            pages += 1;
        }
        assert!(pages < 20, "it reads on and on");
        assert_eq!(said.again(key(), 1, who(1)), Ok(Some(Again::Perhaps)), "for ever");
    }

    #[test]
    fn memory_is_bounded() {
        let mut said = SaidLately::default();
        for seq in 1..=6_000 {
            say(&mut said, key(), seq, 1);
            said.committed(seq);
        }
        assert!(said.messages.len() <= REMEMBERED + 1, "{}", said.messages.len());
    }
}
