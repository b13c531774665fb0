//! Which command had the last word. The database numbers a show's commands in the order
//! of their commits; a row may be met late or twice, and by a room that has read the
//! show since. What such a row says of a matter is told only while nothing newer was.
//!
//! Pure, as a part of the core.

use shared::protocol::RoomEvent;

use super::state::RoomState;

/// What a command may set, so that a later one overrides it.
#[derive(Clone, Copy)]
enum Matter {
    Featured,
    LineUp,
    Rules,
    Pinned,
    Host,
}

/// None: what is said may be said at any time, or the room's state tells what is over.
const fn matter(event: &RoomEvent) -> Option<Matter> {
    match event {
        RoomEvent::Featured { .. } | RoomEvent::Unfeatured => Some(Matter::Featured),
        RoomEvent::LineUp { .. } => Some(Matter::LineUp),
        RoomEvent::ChatRules(_) => Some(Matter::Rules),
        RoomEvent::Pinned { .. } | RoomEvent::Unpinned => Some(Matter::Pinned),
        RoomEvent::HostAway(_) | RoomEvent::HostBack => Some(Matter::Host),
        RoomEvent::Chat(_)
        | RoomEvent::MessageDeleted { .. }
        | RoomEvent::Moderation { .. }
        | RoomEvent::Notice { .. }
        | RoomEvent::Purchase { .. }
        | RoomEvent::ProductUpdated { .. }
        | RoomEvent::LineUpUpdated { .. }
        | RoomEvent::Cover { .. }
        | RoomEvent::SaleOpened { .. }
        | RoomEvent::SaleUpdated { .. }
        | RoomEvent::SaleSoldOut { .. }
        | RoomEvent::SaleClosed { .. }
        | RoomEvent::StreamStatus { .. } => None,
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Newest {
    /// Up to this command the room was read with its rows.
    read: i64,
    /// The last command that was told of each matter.
    told: [i64; 5],
}

impl Newest {
    /// Of a room that was read with everything up to this command.
    pub(super) const fn new(read: i64) -> Self {
        Self { read, told: [0; 5] }
    }

    /// Whether what this command has caused is still to be told.
    pub(super) fn admits(&self, no: i64, event: &RoomEvent, state: &RoomState) -> bool {
        let Some(matter) = matter(event) else { return true };
        // What the room was read with may have been overridden by what was read too.
        no > self.told[matter as usize] && (no > self.read || state.agrees(event))
    }

    /// It is told.
    pub(super) const fn told(&mut self, no: i64, event: &RoomEvent) {
        if let Some(matter) = matter(event) {
            self.told[matter as usize] = no;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::{product, room};
    use super::*;

    #[test]
    fn a_row_that_is_late_does_not_override_a_newer_command() {
        let state = room(shared::ids::UserId::new());
        let shown = |n| RoomEvent::Featured {
            product: product(n, 1, 5),
        };
        let mut newest = Newest::new(0);
        newest.told(2, &shown(2));
        assert!(!newest.admits(1, &shown(1), &state), "asked for before");
        assert!(!newest.admits(2, &shown(2), &state), "told already");
        assert!(newest.admits(1, &RoomEvent::Unpinned, &state), "another matter");
        assert!(newest.admits(3, &RoomEvent::Unfeatured, &state));
    }

    #[test]
    fn what_a_room_was_read_with_is_told_only_if_it_is_still_so() {
        let mut state = room(shared::ids::UserId::new());
        let newest = Newest::new(7);
        let shown = |n| RoomEvent::Featured {
            product: product(n, 1, 5),
        };
        state.evolve(&shown(2), 0);
        assert!(newest.admits(6, &shown(2), &state), "its former owner did not tell");
        assert!(!newest.admits(5, &shown(1), &state));
        assert!(!newest.admits(5, &RoomEvent::Unfeatured, &state));
        assert!(newest.admits(8, &shown(1), &state), "committed since");
    }
}
