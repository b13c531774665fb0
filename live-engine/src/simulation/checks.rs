//! What must hold at each step, and when everything has settled.

use shared::protocol::{Position, RoomEvent};
use shared::status::SaleStatus;

use super::database::Stored;
use super::node::Room;
use super::world::World;
use crate::persist::{MAX_BACKLOG_BYTES, Row};
use crate::room::state::{RoomState, Watching};
use crate::types::Own;

impl World {
    /// Nothing grows past its limit.
    pub fn check_bounds(&self) {
        self.check_pressed();
        for node in &self.nodes {
            assert!(node.queue.bytes() <= MAX_BACKLOG_BYTES);
            if let Room::Open(owner) = &node.room {
                Self::check_reach(owner);
            }
        }
    }

    /// What is not as it must be in the end; empty when all is.
    pub fn unsettled(&self) -> String {
        let mut faults = Vec::new();
        let mut open = self.nodes.iter().filter_map(|node| match &node.room {
            Room::Open(owner) => Some((node, owner)),
            Room::Opening { .. } | Room::None => None,
        });
        let (Some((node, owner)), None) = (open.next(), open.next()) else {
            return "the room is not open on one node alone".into();
        };
        let head = Position {
            epoch: owner.epoch,
            seq: owner.core.next_seq() - 1,
        };
        for (n, client) in self.clients.iter().enumerate() {
            if !client.is_in() || client.position != Some(head) {
                faults.push(format!("client {n} is at {:?} and not at {head:?}", client.position));
            }
            if !client.waiting.is_empty() {
                faults.push(format!("client {n} has no answer to {:?}", client.waiting));
            }
        }
        let stored = self.db.last_stored(owner.epoch);
        if stored != head.seq {
            faults.push(format!("{stored} of {head:?} are stored"));
        }
        let left = self.db.undelivered();
        if !left.is_empty() {
            faults.push(format!("outbox rows are left: {left:?}"));
        }
        for sale in self.db.shelf.ids() {
            let Some((card, status, _)) = self.db.shelf.find(sale) else {
                continue;
            };
            let shown = owner.core.state().sale(sale).map(|shown| shown.remaining);
            let truth = (status == SaleStatus::Open).then_some(card.remaining);
            if shown != truth {
                faults.push(format!("of {sale:?} {shown:?} are shown and {truth:?} are left"));
            }
            let late = self.db.shelf.lapsed_for(sale, self.db_ms());
            if late > 100 {
                faults.push(format!("{sale:?} was not swept for {late} ms"));
            }
        }
        let untold = self.db.close_untold();
        if !untold.is_empty() {
            faults.push(format!("nobody was told that {untold:?} are closed"));
        }
        if node.queue.bytes() > 0 || node.sums.next().is_some() || self.reacted_not_stored() {
            faults.push("the persister has not stored all".into());
        }
        faults.join("; ")
    }

    pub fn is_settled(&self) -> bool {
        self.unsettled().is_empty()
    }

    fn reacted_not_stored(&self) -> bool {
        let stored: u64 = self.db.reactions.values().sum();
        assert!(
            stored <= self.reacted,
            "{stored} reactions are counted, {} were made",
            self.reacted
        );
        !self.has_killed && stored != self.reacted
    }

    /// How many acts were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        let acts = self.clients.iter().flat_map(|client| &client.acts);
        acts.filter(|act| act.outcome.is_some()).count() as u64
    }

    pub fn check_end(&self) {
        assert_eq!(self.unsettled(), "");
        for (at, row) in &self.db.rows {
            let event = match row {
                Stored::Reject => continue,
                Stored::Row(Row::Event(event)) => event.clone(),
                Stored::Row(Row::Chat { message, .. }) => RoomEvent::Chat(message.clone()),
            };
            // A node that died may have stored what it had not sent yet.
            if let Some(told) = self.told.get(at) {
                assert_eq!(*told, event, "what is stored at {at:?} was told otherwise");
            }
        }
        for client in &self.clients {
            for act in &client.acts {
                let is_held = self.db.is_held(client.user, act.request);
                let times = self.db.times_said(client.user, act.request) + usize::from(is_held);
                assert!(times <= 1, "{act:?} is stored {times} times");
            }
        }
        let untold = self.db.untold();
        assert!(untold.is_empty(), "marked as told and not stored: {untold:?}");
        self.check_sales();
        self.check_copies();
    }

    /// A sale opens and closes once in an epoch, and counts forwards between.
    fn check_sales(&self) {
        let mut seen = std::collections::BTreeSet::new();
        let mut versions = std::collections::BTreeMap::new();
        for ((epoch, seq), event) in &self.told {
            let key = match event {
                RoomEvent::SaleOpened { sale } => (*epoch, sale.id, "opened"),
                RoomEvent::SaleClosed { sale } => (*epoch, *sale, "closed"),
                RoomEvent::SaleUpdated { sale, version, .. } | RoomEvent::SaleSoldOut { sale, version } => {
                    let last = versions.insert((*epoch, *sale), *version);
                    assert!(last < Some(*version), "{sale:?} counts back to {version} from {last:?}");
                    continue;
                }
                _ => continue,
            };
            assert!(seen.insert(key), "{key:?} a second time with number {seq}");
        }
    }

    /// Everybody's copy of the room is the room.
    fn check_copies(&self) {
        for node in &self.nodes {
            let Room::Open(owner) = &node.room else { continue };
            let at = Position {
                epoch: owner.epoch,
                seq: owner.core.next_seq() - 1,
            };
            let room = shown(owner.core.state());
            for worker in &node.workers {
                if let Some(mirror) = worker.mirror() {
                    assert_eq!(mirror.log().head(), at, "a worker's place");
                    assert_eq!(shown(mirror.state()), room, "a worker's copy");
                }
            }
            for (n, client) in self.clients.iter().enumerate() {
                let view = client.view.as_ref().expect("joined");
                assert_eq!(shown(view), room, "client {n}'s copy");
            }
        }
    }
}

/// The room as everybody sees it.
pub fn shown(state: &RoomState) -> shared::protocol::Snapshot {
    let nowhere = Position { epoch: 0, seq: 0 };
    let (own, standing) = (Own::default(), shared::protocol::Standing::default());
    state.snapshot(nowhere, 0, Watching::default(), own, standing)
}
