//! What a room is opened with, as `room/store/load.rs` reads it.

use std::sync::Arc;

use shared::ids::SellerId;
use shared::protocol::{ChatMessage, ChatRules, Millis, Outcome, StreamCard};

use super::{Database, Stored};
use crate::persist::{ChatAct, Row};
use crate::room::store::chat::Said;
use crate::room::store::load::LoadedRoom;

impl Database {
    pub(super) fn load(&self, ms: Millis) -> LoadedRoom {
        let chats = self.rows.iter().filter_map(|(at, row)| match row {
            Stored::Row(Row::Chat { message, act }) => Some((*at, message, *act)),
            Stored::Row(Row::Event(_)) | Stored::Reject => None,
        });
        let chats: Vec<_> = chats.collect();
        let shown = chats
            .iter()
            .filter(|(_, message, _)| !self.deleted.contains(&message.id));
        let shown: Vec<_> = shown.map(|(_, message, _)| (*message).clone()).collect();
        let recent = shown.len().saturating_sub(crate::room::state::SNAPSHOT_MESSAGES);
        let said = |(at, message, act): &((i64, u64), &ChatMessage, Option<ChatAct>)| {
            let act = (*act)?;
            let (epoch, seq) = *at;
            Some(Said {
                user: message.author.id,
                request_id: act.request_id,
                body: act.body,
                outcome: Outcome::Said {
                    message: message.id,
                    epoch,
                    seq,
                },
                at: message.at,
            })
        };
        let held = self.held.iter().map(|((user, request_id), (message, body))| Said {
            user: *user,
            request_id: *request_id,
            body: *body,
            outcome: Outcome::HeldForReview { message: *message },
            at: ms,
        });
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
            said: chats.iter().filter_map(said).chain(held).collect(),
            said_more: false,
            command_no: self.command_no,
            notices: self.undelivered(),
        }
    }
}
