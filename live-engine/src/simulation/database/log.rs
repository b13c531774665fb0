//! What the log says: which numbers are stored, what was said and told under them, and
//! what should have been.

use std::collections::BTreeSet;

use shared::ids::{MessageId, RequestId, SaleId, UserId};
use shared::live::RoomNotice;
use shared::protocol::RoomEvent;
use shared::status::SaleStatus;

use super::{Database, OutboxRow, Stored};
use crate::persist::Row;

impl Database {
    /// The last number that is stored of an epoch.
    pub fn last_stored(&self, epoch: i64) -> u64 {
        let mut of_epoch = self.rows.range((epoch, 0)..(epoch + 1, 0));
        of_epoch.next_back().map_or(0, |((_, seq), _)| *seq)
    }

    /// Whether this message is stored there.
    pub fn has_said(&self, message: MessageId, at: (i64, u64)) -> bool {
        matches!(self.rows.get(&at), Some(Stored::Row(Row::Chat { message: stored, .. })) if stored.id == message)
    }

    /// How often a person's act is stored as a message.
    pub fn times_said(&self, user: UserId, request: RequestId) -> usize {
        let is_it = |row: &&Stored| match row {
            Stored::Row(Row::Chat { message, act }) => {
                message.author.id == user && act.is_some_and(|act| act.request_id == request)
            }
            Stored::Row(Row::Event(_)) | Stored::Reject => false,
        };
        self.rows.values().filter(is_it).count()
    }

    /// What a host did that is marked as told and was never stored as an event. Of a sale
    /// that time has overtaken, nothing need be told; nor of what was shown before
    /// something else was.
    pub fn untold(&self) -> Vec<&RoomNotice> {
        let shows = |event: &RoomEvent| matches!(event, RoomEvent::Featured { .. } | RoomEvent::Unfeatured);
        let last_shown = self.outbox.iter().filter_map(|row| match &row.notice {
            RoomNotice::Happened { no, event } if shows(event) => Some(*no),
            _ => None,
        });
        let last_shown = last_shown.max();
        let told = |row: &&OutboxRow| row.delivered && !self.stored_with.contains(&row.id);
        let rows = self.outbox.iter().filter(told).map(|row| &row.notice);
        rows.filter(|notice| match notice {
            RoomNotice::Happened { no, event } => {
                matches!(**event, RoomEvent::MessageDeleted { .. }) || shows(event) && Some(*no) == last_shown
            }
            _ => false,
        })
        .collect()
    }

    /// Sales that opened and did not close, as far as is stored.
    pub(super) fn told_open(&self) -> BTreeSet<SaleId> {
        let mut open = BTreeSet::new();
        for row in self.rows.values() {
            match row {
                Stored::Row(Row::Event(RoomEvent::SaleOpened { sale })) => drop(open.insert(sale.id)),
                Stored::Row(Row::Event(RoomEvent::SaleClosed { sale })) => drop(open.remove(sale)),
                _ => {}
            }
        }
        open
    }

    /// Sales that are closed, and of which the log says that they are open.
    pub fn close_untold(&self) -> Vec<SaleId> {
        let is_closed = |sale: &SaleId| matches!(self.shelf.find(*sale), Some((_, SaleStatus::Closed, _)));
        self.told_open().into_iter().filter(is_closed).collect()
    }

    /// Whether a person's act is stored as a message that is held.
    pub fn is_held(&self, user: UserId, request: RequestId) -> bool {
        self.held.contains_key(&(user, request))
    }
}
