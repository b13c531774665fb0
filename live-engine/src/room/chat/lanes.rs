//! Messages that are being checked before they are said: one of an author at a time, in
//! the order in which they came, so that a check that takes its time never turns two
//! messages of one person around. Pure.

use std::collections::{HashMap, VecDeque};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, UserId};
use shared::protocol::{HeldFor, Quote};

use super::gate::Turn;
use crate::types::ConnId;

/// Messages of one author that may wait.
const MAX_OF_AUTHOR: usize = 8;
/// Messages of all.
const MAX: usize = 2_048;

/// A message on its way. What of it is still to be done, is done in the order of these fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Its id, should it be said.
    pub message: MessageId,
    /// Who.
    pub user: UserId,
    /// The display name.
    pub name: String,
    /// The connection that it first came from, for logs.
    pub conn: ConnId,
    /// The act.
    pub request_id: RequestId,
    /// What tells another message under the act's name.
    pub body: i64,
    /// What.
    pub text: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// That message in short.
    pub quote: Option<Quote>,
    /// That message was taken out of view meanwhile: nothing of it is quoted.
    pub is_unquoted: bool,
    /// What it took of its author's rate.
    pub turn: Turn,
    /// Whether the message that it answers is to be looked for.
    pub seeks: bool,
    /// Whether its author must belong to the audience.
    pub is_bound: bool,
    /// Whether the moderation service is to be asked.
    pub is_inspected: bool,
    /// Why a moderator is to see it first.
    pub held: Option<(HeldFor, String)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Lanes {
    /// No lane is empty; of each the first is being checked.
    authors: HashMap<UserId, VecDeque<Pending>>,
    count: usize,
}

impl Lanes {
    /// Whether one more message of this author may wait.
    ///
    /// # Errors
    /// `RateLimited`, `Overloaded`.
    pub fn has_room(&self, user: UserId) -> Result<(), Refusal> {
        if self.count >= MAX {
            return Err(ErrorCode::Overloaded.into());
        }
        if self.authors.get(&user).is_some_and(|lane| lane.len() >= MAX_OF_AUTHOR) {
            let detail = "your last messages are still being looked at";
            return Err(Refusal::new(ErrorCode::RateLimited, detail).retry_after_ms(1_000));
        }
        Ok(())
    }

    /// Adds a message behind its author's others. True: it is the first.
    pub fn add(&mut self, pending: Pending) -> bool {
        self.count += 1;
        let lane = self.authors.entry(pending.user).or_default();
        lane.push_back(pending);
        lane.len() == 1
    }

    /// The message of this author that is being checked.
    pub fn first(&mut self, user: UserId) -> Option<&mut Pending> {
        self.authors.get_mut(&user)?.front_mut()
    }

    /// The message of this author that is being checked, if it is this one still.
    pub fn checked(&mut self, user: UserId, message: MessageId) -> Option<&mut Pending> {
        self.first(user).filter(|pending| pending.message == message)
    }

    /// The first message of this author is done with.
    pub fn done(&mut self, user: UserId) -> Option<Pending> {
        let lane = self.authors.get_mut(&user)?;
        let pending = lane.pop_front();
        if lane.is_empty() {
            self.authors.remove(&user);
        }
        self.count -= usize::from(pending.is_some());
        pending
    }

    /// What some of the messages answer is taken out of view.
    pub fn unquote(&mut self, answers: impl Fn(&Pending) -> bool) {
        for pending in self.authors.values_mut().flatten().filter(|pending| answers(pending)) {
            pending.quote = None;
            pending.is_unquoted = true;
        }
    }

    /// Takes all messages of this author, oldest first.
    pub fn drain(&mut self, user: UserId) -> VecDeque<Pending> {
        let lane = self.authors.remove(&user).unwrap_or_default();
        self.count -= lane.len();
        lane
    }

    /// Whether no message is being checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authors.is_empty()
    }
}
