//! What a ban and a deletion take away that is still on its way.

use shared::error::ErrorCode;
use shared::ids::UserId;
use shared::protocol::{Quote, RoomEvent};

use super::Core;

impl Core {
    /// Somebody is banned by what happens next: nothing of theirs that is being checked is
    /// said any more, nor what comes from where they still are.
    pub(in crate::room) fn turn_out(&mut self, user: UserId) {
        self.chat.out.turn_out(user, self.next_seq);
        for pending in self.chat.lanes.drain(user) {
            self.refuse((user, pending.request_id), pending.turn, &ErrorCode::Banned.into());
        }
    }

    /// What is left of an event that was read from rows, which may have been read before
    /// they were struck; `None`: nothing.
    pub(in crate::room) fn unstruck(&self, mut event: RoomEvent) -> Option<RoomEvent> {
        let is_struck = |user| self.chat.out.is_struck(user);
        let is_known = |message| self.chat.known.get(message).is_some();
        let message = match &mut event {
            RoomEvent::Pinned { message } if is_struck(message.author.id) && !is_known(message.id) => return None,
            RoomEvent::Pinned { message } | RoomEvent::Chat(message) => message,
            _ => return Some(event),
        };
        let is_gone = |quote: &mut Box<Quote>| is_struck(quote.author) && !message.reply_to.is_some_and(is_known);
        message.quote.take_if(is_gone);
        Some(event)
    }
}
