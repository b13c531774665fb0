//! Messages whose names may stand for one that was said long ago: one of an author at a
//! time is looked up, and the author's later ones wait behind it, so that no two messages
//! of one person are turned around. Pure.

use std::collections::{HashMap, VecDeque};

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, UserId};

use crate::room::Say;

/// Messages of one author that may wait: more than the usual rates let anybody send in the
/// time that a look-up may take.
const MAX_OF_AUTHOR: usize = 512;
/// Messages of all.
const MAX: usize = 2_048;

/// A message, and the id that it gets if it is new.
pub type New = (Say, MessageId);

/// See the module.
#[derive(Default)]
pub struct Recalls {
    /// No queue is empty; of each the first is being looked up.
    authors: HashMap<UserId, VecDeque<New>>,
    count: usize,
}

impl Recalls {
    /// Whether messages of this author wait.
    #[must_use]
    pub fn has(&self, user: UserId) -> bool {
        self.authors.contains_key(&user)
    }

    /// Adds a message behind its author's others. True: it is the first.
    ///
    /// # Errors
    /// Why it cannot wait, when too many do already.
    pub fn add(&mut self, new: New) -> Result<bool, Refusal> {
        let user = new.0.user;
        if self.count >= MAX {
            return Err(ErrorCode::Overloaded.into());
        }
        if self
            .authors
            .get(&user)
            .is_some_and(|queue| queue.len() >= MAX_OF_AUTHOR)
        {
            let detail = "your last messages are still being looked at";
            return Err(Refusal::new(ErrorCode::RateLimited, detail).retry_after_ms(1_000));
        }
        self.count += 1;
        let queue = self.authors.entry(user).or_default();
        queue.push_back(new);
        Ok(queue.len() == 1)
    }

    /// The author's message that was looked up, if it is this one.
    pub fn found(&mut self, user: UserId, request: RequestId) -> Option<New> {
        let first = self.first(user)?;
        (first.request_id == request).then(|| self.next(user)).flatten()
    }

    /// The author's first message.
    #[must_use]
    pub fn first(&self, user: UserId) -> Option<&Say> {
        Some(&self.authors.get(&user)?.front()?.0)
    }

    /// Takes the author's first message.
    pub fn next(&mut self, user: UserId) -> Option<New> {
        let queue = self.authors.get_mut(&user)?;
        let new = queue.pop_front();
        if queue.is_empty() {
            self.authors.remove(&user);
        }
        self.count -= usize::from(new.is_some());
        new
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.authors.is_empty()
    }

    /// The room closes: all who wait.
    pub fn give_up(&mut self) -> impl Iterator<Item = Say> + use<> {
        self.count = 0;
        let authors = std::mem::take(&mut self.authors);
        authors.into_values().flatten().map(|(say, _)| say)
    }
}
