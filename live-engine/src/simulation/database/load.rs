//! What a room is opened with, as `room/store/load.rs` reads it.

use std::sync::Arc;

use shared::ids::{MessageId, RequestId, SellerId, UserId};
use shared::protocol::{ChatRules, Millis, Outcome, StreamCard};

use super::{Database, Stored};
use crate::persist::Row;
use crate::room::store::load::LoadedRoom;
use crate::room::store::said::{Earlier, Said};

/// Names in one page: few, so that several are read.
const NAMES_OF_A_PAGE: usize = 2;

impl Database {
    pub(super) fn load(&self, ms: Millis) -> LoadedRoom {
        let chats = self.rows.values().filter_map(|row| match row {
            Stored::Row(Row::Chat { message, .. }) => Some(message),
            Stored::Row(Row::Event(_)) | Stored::Reject => None,
        });
        let shown = chats.filter(|message| !self.deleted.contains(&message.id));
        let shown: Vec<_> = shown.cloned().collect();
        let recent = shown.len().saturating_sub(crate::room::state::SNAPSHOT_MESSAGES);
        let mut said = self.acts(ms);
        let before = (said.len() > self.said_at_most).then(|| said[self.said_at_most - 1].0);
        said.truncate(self.said_at_most);
        LoadedRoom {
            stream: StreamCard {
                id: self.stream,
                title: "A show".into(),
                shop: "A shop".into(),
                cover_url: String::new(),
                status: self.status,
                scheduled_at: 0,
                started_at: Some(1),
                ended_at: None,
                host_away: None,
            },
            host: self.host,
            seller: SellerId(uuid::Uuid::nil()),
            moderators: Vec::new(),
            mutes: Vec::new(),
            pinned: None,
            host_away: None,
            host_was_here: true,
            featured: self.featured.clone(),
            line_up: Vec::new(),
            sales: self.shelf.shown_sales(&self.told_open()),
            chat: shown[recent..].to_vec(),
            rules: ChatRules::default(),
            filter: Arc::default(),
            said: said.into_iter().rev().map(|(_, said)| said).collect(),
            said_before: before,
            command_no: self.command_no,
            notices: self.undelivered(),
        }
    }

    /// What was said and held, the youngest ids first.
    fn acts(&self, ms: Millis) -> Vec<(MessageId, Said)> {
        let said = self.rows.iter().filter_map(|(at, row)| match row {
            Stored::Row(Row::Chat { message, act }) => Some((*at, message, (*act)?)),
            Stored::Row(Row::Event(_)) | Stored::Reject => None,
        });
        let said = said.map(|((epoch, seq), message, act)| {
            let outcome = Outcome::Said {
                message: message.id,
                epoch,
                seq,
            };
            let said = Said {
                user: message.author.id,
                request_id: act.request_id,
                body: act.body,
                outcome,
                at: message.at,
            };
            (message.id, said)
        });
        let held = self.held.iter().map(|((user, request_id), (message, body))| {
            let said = Said {
                user: *user,
                request_id: *request_id,
                body: *body,
                outcome: Outcome::HeldForReview { message: *message },
                at: ms,
            };
            (*message, said)
        });
        let mut acts: Vec<_> = said.chain(held).collect();
        acts.sort_unstable_by_key(|(message, _)| std::cmp::Reverse(*message));
        acts
    }

    /// What was said or held under a name.
    pub(super) fn act(&self, user: UserId, request: RequestId) -> Option<Said> {
        let mut acts = self.acts(0).into_iter().map(|(_, said)| said);
        acts.find(|said| (said.user, said.request_id) == (user, request))
    }

    /// Names of what was said or held before a message.
    pub(super) fn earlier(&self, before: MessageId) -> Earlier {
        let older = self.acts(0).into_iter().filter(|(message, _)| *message < before);
        let page: Vec<_> = older.take(NAMES_OF_A_PAGE).collect();
        let has_more = page.len() == NAMES_OF_A_PAGE;
        Earlier {
            before: page.last().filter(|_| has_more).map(|(message, _)| *message),
            names: page.iter().map(|(_, said)| (said.user, said.request_id)).collect(),
        }
    }
}
