//! Who is in a room: each person once, however many connections they have and on whatever
//! worker; whether the host is there; and who has come for the first time, to be written
//! down.
//!
//! Filled by the room's shards and read by the room, so a lock guards it; it is held for
//! a look-up, when somebody joins or leaves, and once a second. Bounded: of people who
//! have left only so many are remembered, and of those who are there only some by name.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::token::Viewer;
use uuid::Uuid;

use crate::types::{Attendee, ConnId};

/// People who are remembered after they have left. One who is forgotten and comes again
/// is written down again, which changes nothing.
const MAX_REMEMBERED: usize = 100_000;
/// People whose names are kept.
const MAX_NAMED: usize = 64;
/// People who wait to be written down; more are not, which a log entry says.
const MAX_NEW: usize = 200_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Presence {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    people: HashMap<Uuid, Person>,
    /// How many of them are there.
    here: usize,
    named: usize,
    hosts: HashSet<ConnId>,
    new: Vec<Attendee>,
    /// Raised with every change.
    version: u64,
}

#[derive(Debug, Default)]
struct Person {
    connections: u32,
    name: Option<Box<str>>,
}

/// Who is there, in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// People.
    pub people: u64,
    /// Whether the host is among them, as the host.
    pub has_host: bool,
    /// Raised with every change.
    pub version: u64,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of somebody's has come in.
    pub fn enter(&self, viewer: &Viewer, host: Option<ConnId>) {
        let (id, name) = person(viewer);
        let mut inner = self.lock();
        inner.version += 1;
        inner.hosts.extend(host);
        let is_known = inner.people.contains_key(&id);
        if !is_known && inner.new.len() < MAX_NEW {
            inner.new.push(Attendee {
                person: id,
                account: name.is_some(),
            });
        } else if !is_known {
            tracing::warn!("too many people wait to be written down as those who were in a show");
        }
        let keep_name = inner.named < MAX_NAMED;
        let person = inner.people.entry(id).or_default();
        person.connections += 1;
        if person.connections > 1 {
            return;
        }
        if keep_name {
            person.name = name.map(Into::into);
        }
        let is_named = person.name.is_some();
        inner.here += 1;
        inner.named += usize::from(is_named);
    }

    /// It has left.
    pub fn leave(&self, viewer: &Viewer, conn: ConnId) {
        let (id, _) = person(viewer);
        let mut inner = self.lock();
        inner.version += 1;
        inner.hosts.remove(&conn);
        let is_full = inner.people.len() > MAX_REMEMBERED;
        let Some(person) = inner.people.get_mut(&id) else {
            return;
        };
        person.connections = person.connections.saturating_sub(1);
        if person.connections > 0 {
            return;
        }
        let was_named = person.name.take().is_some();
        inner.here = inner.here.saturating_sub(1);
        inner.named -= usize::from(was_named);
        if is_full {
            inner.people.remove(&id);
        }
    }

    /// A connection that is there has become the host's.
    pub fn host_here(&self, conn: ConnId) {
        self.lock().hosts.insert(conn);
    }

    /// Who is there, in numbers.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let inner = self.lock();
        Counted {
            people: inner.here as u64,
            has_host: !inner.hosts.is_empty(),
            version: inner.version,
        }
    }

    /// The names of those who are there, sorted; none when there are more than `most`
    /// people. Guests have no names.
    #[must_use]
    pub fn names(&self, most: usize) -> Vec<String> {
        let inner = self.lock();
        if inner.here > most {
            return Vec::new();
        }
        let here = inner.people.values().filter(|person| person.connections > 0);
        let mut names: Vec<String> = here
            .filter_map(|person| person.name.as_deref().map(str::to_owned))
            .collect();
        drop(inner);
        names.sort_unstable();
        names
    }

    /// Those who have come for the first time since this was asked last.
    #[must_use]
    pub fn take_new(&self) -> Vec<Attendee> {
        std::mem::take(&mut self.lock().new)
    }
}

fn person(viewer: &Viewer) -> (Uuid, Option<&str>) {
    match viewer {
        Viewer::User { id, name } => (id.0, Some(name)),
        Viewer::Guest { id } => (id.0, None),
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::{GuestId, UserId};

    use super::*;

    fn user(name: &str) -> Viewer {
        Viewer::User {
            id: UserId::new(),
            name: name.into(),
        }
    }

    fn conn(slot: u32) -> ConnId {
        ConnId {
            worker: 0,
            slot,
            generation: 1,
        }
    }

    #[test]
    fn a_person_counts_once_until_the_last_connection_has_left() {
        let (room, moss, guest) = (Presence::default(), user("Moss"), Viewer::Guest { id: GuestId::new() });
        room.enter(&moss, None);
        room.enter(&moss, None);
        room.enter(&guest, None);
        assert_eq!(room.counted().people, 2);
        assert_eq!(room.names(10), ["Moss"]);
        room.leave(&moss, conn(1));
        assert_eq!(room.counted().people, 2);
        room.leave(&moss, conn(2));
        assert_eq!((room.counted().people, room.names(10).len()), (1, 0));
        let new = room.take_new();
        assert_eq!(new.iter().filter(|new| new.account).count(), 1);
        assert_eq!(new.len(), 2);
        room.enter(&moss, None);
        assert!(room.take_new().is_empty(), "who comes again is not new");
    }

    #[test]
    fn only_small_rooms_are_named_and_names_are_bounded() {
        let room = Presence::default();
        let people: Vec<_> = (0..MAX_NAMED + 5).map(|n| user(&format!("{n:03}"))).collect();
        for person in &people {
            room.enter(person, None);
        }
        assert!(room.names(10).is_empty());
        assert_eq!(room.names(1_000).len(), MAX_NAMED);
        for person in &people[2..] {
            room.leave(person, conn(1));
        }
        assert_eq!(room.names(10), ["000", "001"]);
    }

    #[test]
    fn the_host_is_there_as_long_as_a_connection_of_theirs_is() {
        let (room, host) = (Presence::default(), user("Demo Host"));
        room.enter(&host, Some(conn(1)));
        room.enter(&host, Some(conn(2)));
        room.leave(&host, conn(1));
        assert!(room.counted().has_host);
        room.leave(&host, conn(2));
        assert!(!room.counted().has_host);
        room.enter(&host, None);
        assert!(!room.counted().has_host, "as a viewer");
        room.host_here(conn(3));
        assert!(room.counted().has_host, "and then as the host");
    }
}
