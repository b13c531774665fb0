//! Whose turn it is at the database. Everybody who waits for an answer takes a place
//! first, among those of their own purpose, so that a storm of one kind never keeps
//! another waiting; and one person takes few of those that wait. A place is given back
//! when its statement has ended, whoever has given up waiting for it before, so that a
//! slow database is never asked more at once than a fast one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::error::{ErrorCode, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// How many may be in one purpose's places, those at work included.
const WAITING: usize = 1024;
/// How many of them one person may have.
pub const WAITING_OF_A_PERSON: usize = 8;
/// What one place more costs an asker who is refused, in ms.
const RETRY_MS: u64 = 500;

/// What the database is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// What those who run the show have done, and what their rooms must know of changes.
    Command,
    /// Rooms that open, and what is read of them a little later.
    Opening,
    /// What joins, reports and chat want to know or note of a person.
    Person,
    /// Batches of reservations.
    Reservation,
    /// Sweeps of sales, and what is given up.
    Tending,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Command,
        Self::Opening,
        Self::Person,
        Self::Reservation,
        Self::Tending,
    ];

    /// Its share of the connections, in sixteenths. What is left is for rounds: leases,
    /// the outbox, the persister, tickets and the like, of which each asks one thing at a
    /// time.
    const fn sixteenths(self) -> usize {
        match self {
            Self::Command => 3,
            Self::Opening | Self::Person | Self::Tending => 2,
            Self::Reservation => 4,
        }
    }

    /// How many may be at work at once, of so many connections.
    #[must_use]
    pub fn places(self, connections: usize) -> usize {
        (connections * self.sixteenths() / 16).max(1)
    }
}

/// The places of one purpose. Cheap to clone.
#[derive(Clone)]
pub struct Places {
    working: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    people: Arc<Mutex<HashMap<Uuid, usize>>>,
}

/// A place in the queue of a purpose, until it is dropped.
pub struct Queued {
    places: Places,
    person: Option<Uuid>,
    _waiting: OwnedSemaphorePermit,
}

/// The right to be at work for a purpose, until it is dropped.
pub struct AtWork {
    _working: OwnedSemaphorePermit,
}

impl Places {
    /// Places for `working` at once.
    #[must_use]
    pub fn new(working: usize) -> Self {
        Self {
            working: Arc::new(Semaphore::new(working)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            people: Arc::default(),
        }
    }

    fn people(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the queue, counted for `person` if it is one's own business.
    ///
    /// # Errors
    /// `overloaded`, when too many wait, or too many of this person's.
    pub fn queue(&self, person: Option<Uuid>) -> Result<Queued, Refusal> {
        let crowded = || Refusal::from(ErrorCode::Overloaded).retry_after_ms(RETRY_MS);
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| crowded())?;
        if let Some(person) = person {
            let mut people = self.people();
            let own = people.entry(person).or_default();
            if *own >= WAITING_OF_A_PERSON {
                return Err(crowded());
            }
            *own += 1;
        }
        Ok(Queued {
            places: self.clone(),
            person,
            _waiting: waiting,
        })
    }

    /// Waits for the right to be at work. Safe to cancel.
    pub async fn turn(&self) -> Option<AtWork> {
        let working = self.working.clone().acquire_owned().await.ok()?;
        Some(AtWork { _working: working })
    }

    /// The right to be at work, if it is free now.
    #[must_use]
    pub fn turn_now(&self) -> Option<AtWork> {
        let working = self.working.clone().try_acquire_owned().ok()?;
        Some(AtWork { _working: working })
    }

    /// How many more may be at work now.
    #[must_use]
    pub fn free(&self) -> usize {
        self.working.available_permits()
    }
}

impl Queued {
    /// Waits for the right to be at work. Safe to cancel.
    pub async fn turn(&self) -> Option<AtWork> {
        self.places.turn().await
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let Some(person) = self.person else { return };
        if let Entry::Occupied(mut own) = self.places.people().entry(person) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_purpose_is_without_a_place_and_rounds_keep_some() {
        for connections in [6, 8, 16, 64, 500] {
            let places: usize = Purpose::ALL.iter().map(|purpose| purpose.places(connections)).sum();
            assert!(Purpose::ALL.iter().all(|purpose| purpose.places(connections) >= 1));
            assert!(places < connections, "{places} of {connections}");
        }
    }

    #[test]
    fn one_person_takes_few_of_the_places_and_gives_them_back() {
        let (places, person) = (Places::new(1), Uuid::now_v7());
        let mut own: Vec<_> = (0..WAITING_OF_A_PERSON)
            .map(|_| places.queue(Some(person)).expect("free"))
            .collect();
        let refused = places.queue(Some(person)).err().expect("one too many");
        assert_eq!(refused.code, ErrorCode::Overloaded);
        assert!(refused.retry_after_ms.is_some());
        assert!(places.queue(Some(Uuid::now_v7())).is_ok(), "somebody else");
        assert!(places.queue(None).is_ok(), "nobody's own");
        own.pop();
        assert!(places.queue(Some(person)).is_ok(), "one was given back");
        drop(own);
        assert!(places.people().is_empty());
        let all: Vec<_> = (0..WAITING).map(|_| places.queue(None)).collect();
        assert!(all.iter().all(Result::is_ok) && places.queue(None).is_err());
    }
}
