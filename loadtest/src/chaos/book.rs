//! What clients were told: each acknowledgement as one line, kept in memory for the
//! checker and written to a file for whoever looks after a failure. A client writes here
//! the moment an answer is read, so whatever is not here was not acknowledged.

mod done;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use serde::Serialize;
use shared::error::ErrorCode;
use shared::ids::{MessageId, RequestId, StreamId, UserId};

use done::is_same;
pub use done::{Done, is_final};

/// The name of one act: who, and their name for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
pub struct Act {
    /// Who.
    pub user: UserId,
    /// Their name for it.
    pub request: RequestId,
}

/// One act and the answer to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Told {
    /// Which act.
    pub act: Act,
    /// What was done.
    pub done: Done,
}

/// One act that was refused for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Refused {
    /// Which act.
    pub act: Act,
    /// Why.
    pub code: ErrorCode,
}

/// Reactions of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reactions {
    /// Asked for.
    pub sent: u64,
    /// Answered.
    pub taken: u64,
}

#[derive(Default)]
struct Inner {
    told: Vec<Told>,
    by_act: HashMap<Act, usize>,
    refused: Vec<Refused>,
    reactions: BTreeMap<String, Reactions>,
    faults: Vec<String>,
    file: Option<BufWriter<File>>,
}

/// See the module.
#[derive(Default)]
pub struct Book {
    inner: Mutex<Inner>,
    /// Messages acknowledged.
    pub said: AtomicU64,
    /// Acts that core-api acknowledged.
    pub rest: AtomicU64,
    /// Answers that were asked for again.
    pub again: AtomicU64,
    /// Connections made anew.
    pub returns: AtomicU64,
    /// Of those, how many got exactly what was missed.
    pub resumed: AtomicU64,
}

/// Faults kept; more say nothing new.
const FAULTS: usize = 100;

impl Book {
    /// A book that is also written to `file`.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn open(file: &Path) -> Result<Self> {
        let writer = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        let book = Self::default();
        book.lock().file = Some(BufWriter::new(writer));
        Ok(book)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer has come; whether it is the first. One that was given before must be the
    /// same.
    pub fn tell(&self, act: Act, done: Done) -> bool {
        let mut inner = self.lock();
        if let Some(first) = inner.by_act.get(&act).and_then(|index| inner.told.get(*index)) {
            self.again.fetch_add(1, Ordering::Relaxed);
            if !is_same(&first.done, &done) {
                let fault = format!("{act:?} was answered {:?} and then {done:?}", first.done);
                fault_in(&mut inner, fault);
            } else if let Some(index) = inner.by_act.get(&act).copied()
                && let Some(known) = inner.told.get_mut(index)
                && known.done != done
            {
                // What time has changed: the last word is held against the database.
                known.done = done;
                let told = known.clone();
                write(&mut inner, &told);
            }
            return false;
        }
        if matches!(done, Done::Said { .. }) {
            self.said.fetch_add(1, Ordering::Release);
        }
        if done.is_rest() {
            self.rest.fetch_add(1, Ordering::Release);
        }
        let told = Told { act, done };
        write(&mut inner, &told);
        let index = inner.told.len();
        inner.by_act.insert(act, index);
        inner.told.push(told);
        true
    }

    /// An act was refused for good.
    pub fn refuse(&self, act: Act, code: ErrorCode) {
        let mut inner = self.lock();
        if let Some(first) = inner.by_act.get(&act).and_then(|index| inner.told.get(*index)) {
            let fault = format!("{act:?} was answered {:?} and then refused with {code}", first.done);
            fault_in(&mut inner, fault);
            return;
        }
        let refused = Refused { act, code };
        write(&mut inner, &refused);
        inner.refused.push(refused);
    }

    /// Reactions are about to be sent.
    pub fn react(&self, kind: &str, count: u32) {
        self.lock().reactions.entry(kind.to_owned()).or_default().sent += u64::from(count);
    }

    /// Reactions were taken. A crash may lose them all the same.
    pub fn reacted(&self, kind: &str, count: u32) {
        self.lock().reactions.entry(kind.to_owned()).or_default().taken += u64::from(count);
    }

    /// The reactions of each kind.
    pub fn reactions(&self) -> BTreeMap<String, Reactions> {
        self.lock().reactions.clone()
    }

    /// Something that must not happen has.
    pub fn fault(&self, fault: String) {
        fault_in(&mut self.lock(), fault);
    }

    /// What has been told, in order.
    pub fn told(&self) -> Vec<Told> {
        self.lock().told.clone()
    }

    /// A message that was said lately in a show.
    pub fn a_message(&self, of: StreamId, rng: &mut impl rand::Rng) -> Option<MessageId> {
        let inner = self.lock();
        let lately = inner.told.iter().rev().filter_map(|told| match told.done {
            Done::Said { stream, message, .. } if stream == of => Some(message),
            _ => None,
        });
        lately.take(20).nth(rng.random_range(0..20))
    }

    /// What was refused for good.
    pub fn refused(&self) -> Vec<Refused> {
        self.lock().refused.clone()
    }

    /// What must not have happened.
    pub fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    /// Writes what is not written yet.
    pub fn flush(&self) {
        if let Some(file) = &mut self.lock().file {
            // The copy in memory is what is checked.
            let _ = file.flush();
        }
    }
}

fn fault_in(inner: &mut Inner, fault: String) {
    if inner.faults.len() < FAULTS {
        tracing::error!("{fault}");
        inner.faults.push(fault);
    }
}

fn write(inner: &mut Inner, line: &impl Serialize) {
    if let Some(file) = &mut inner.file {
        // The copy in memory is what is checked.
        let _ = serde_json::to_writer(&mut *file, line);
        let _ = file.write_all(b"\n");
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{OrderId, PaymentId, ReservationId, SaleId};
    use shared::status::PaymentStatus;

    use super::*;

    fn act() -> Act {
        Act {
            user: UserId::new(),
            request: RequestId::new(),
        }
    }

    fn held(reservation: ReservationId) -> Done {
        Done::Held {
            reservation,
            sale: SaleId(uuid::Uuid::nil()),
            quantity: 1,
        }
    }

    #[test]
    fn two_answers_to_one_act_must_be_one() {
        let (book, act, hold) = (Book::default(), act(), ReservationId::new());
        book.tell(act, held(hold));
        book.tell(act, held(hold));
        assert!(book.faults().is_empty());
        assert_eq!(book.told().len(), 1);
        book.tell(act, held(ReservationId::new()));
        assert_eq!(book.faults().len(), 1, "another hold");
        book.refuse(act, ErrorCode::SoldOut);
        assert_eq!(book.faults().len(), 2, "refused after it was granted");
    }

    #[test]
    fn the_last_word_on_a_payment_is_kept_and_a_final_one_stays() {
        let (book, act) = (Book::default(), act());
        let paid = |status| Done::Paid {
            payment: PaymentId(uuid::Uuid::nil()),
            order: OrderId(uuid::Uuid::nil()),
            amount_minor: 1,
            status,
        };
        book.tell(act, paid(PaymentStatus::Processing));
        book.tell(act, paid(PaymentStatus::Captured));
        assert_eq!(book.told()[0].done, paid(PaymentStatus::Captured));
        assert!(book.faults().is_empty());
        book.tell(act, paid(PaymentStatus::Failed));
        assert_eq!(book.faults().len(), 1, "it was captured");
    }

    #[test]
    fn what_is_told_is_written_as_it_comes() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("told.jsonl");
        let book = Book::open(&path).expect("a file");
        book.tell(act(), held(ReservationId::new()));
        book.refuse(act(), ErrorCode::SoldOut);
        book.flush();
        let text = std::fs::read_to_string(&path).expect("written");
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("held") && text.contains("sold_out"), "{text}");
    }
}
