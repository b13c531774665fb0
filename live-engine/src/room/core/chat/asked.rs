//! What comes back of what was asked about a message: whether its author belongs, what it
//! answers, what the moderation service thinks of it, and that it is held.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, UserId};
use shared::protocol::{ChatAudience, HeldFor, HeldMessage, MAX_CHAT_CHARS, Outcome, Private, Quote};
use shared::rights::Right;

use super::Chat;
use crate::room::core::{Core, Now};
use crate::room::said::WhyHeld;
use crate::room::store::chat::Held;
use crate::room::text;
use crate::types::{Inspected, Verdict};

impl Core {
    /// Who of `users` belongs to an audience was read.
    pub(in crate::room) fn members_read(
        &mut self,
        audience: ChatAudience,
        users: Vec<UserId>,
        found: Result<Vec<UserId>, Refusal>,
        now: Now,
    ) {
        let refusal = found.as_ref().err().cloned();
        self.chat.members.found(audience, found.unwrap_or_default(), now.at);
        let is_current = audience == self.chat.members.audience();
        for user in users {
            match &refusal {
                Some(refusal) => self.refuse_first(user, refusal, now),
                None if is_current && !self.chat.members.has(user, now.at) => {
                    self.refuse_first(user, &restricted(audience), now);
                }
                None => self.advance(user, now),
            }
        }
        self.ask_for_members();
    }

    /// The message that another one answers was looked for.
    pub(in crate::room) fn quote_read(
        &mut self,
        user: UserId,
        message: MessageId,
        quote: Result<Option<Quote>, Refusal>,
        now: Now,
    ) {
        let Chat { lanes, out, .. } = &mut self.chat;
        let Some(pending) = lanes.checked(user, message) else {
            return;
        };
        match quote {
            Ok(Some(quote)) => {
                let is_gone = pending.is_unquoted || out.is_struck(quote.author);
                pending.quote = (!is_gone).then_some(quote);
                self.advance(user, now);
            }
            Ok(None) => {
                let refusal = Refusal::new(ErrorCode::NotFound, "there is no such message in this chat");
                self.refuse_first(user, &refusal.at("reply_to"), now);
            }
            Err(refusal) => self.refuse_first(user, &refusal, now),
        }
    }

    /// The moderation service has answered, or failed to.
    pub fn inspected(&mut self, inspected: Inspected, now: Now) {
        let Inspected { user, message, verdict } = inspected;
        let changed = match &verdict {
            Verdict::Change(changed) => self.changed(user, changed),
            _ => Ok(None),
        };
        let Some(pending) = self.chat.lanes.checked(user, message) else {
            return;
        };
        let refusal = match verdict {
            Verdict::Allow => None,
            Verdict::Change(_) => match changed {
                Ok(changed) => {
                    if let Some((changed, held)) = changed {
                        pending.text = changed;
                        pending.held = pending.held.take().or(held);
                    }
                    None
                }
                Err(refusal) => Some(refusal),
            },
            Verdict::Hold(detail) => {
                pending.held.get_or_insert((HeldFor::Hook, detail));
                None
            }
            Verdict::Deny(reason) if reason.trim().is_empty() => Some(ErrorCode::MessageRefused.into()),
            Verdict::Deny(reason) => Some(Refusal::new(ErrorCode::MessageRefused, reason)),
            Verdict::Unanswered => {
                let refusal = Refusal::new(ErrorCode::Overloaded, "messages cannot be checked at the moment");
                Some(refusal.retry_after_ms(1_000))
            }
        };
        match refusal {
            Some(refusal) => self.refuse_first(user, &refusal, now),
            None => self.advance(user, now),
        }
    }

    /// A text as the moderation service has changed it: what the room does not let anybody
    /// say, it does not let the service say for them.
    fn changed(&self, user: UserId, text: &str) -> Result<Option<(String, Option<WhyHeld>)>, Refusal> {
        let text = text::normalise(text, MAX_CHAT_CHARS).map_err(|_| ErrorCode::MessageRefused)?;
        let held = self.permit(&text, self.powers.runs_the_show(user))?;
        Ok(Some((text, held)))
    }

    /// What [`Effect::Hold`] came to: the id under which the message is held, which is
    /// another one when it was held before.
    pub fn held(&mut self, held: Held, result: Result<MessageId, Refusal>, now: Now) {
        let user = held.message.author.id;
        let key = (user, held.request_id);
        let message = match result {
            Ok(message) => message,
            Err(refusal) => {
                // Its transaction may still end either way.
                self.chat
                    .said
                    .doubt(key, (held.message.cause, held.message.detail.clone()));
                if self.chat.lanes.checked(user, held.message.message).is_some() {
                    self.refuse_first(user, &refusal, now);
                }
                return;
            }
        };
        if self.chat.lanes.checked(user, held.message.message).is_some() {
            self.chat.lanes.done(user);
        }
        let outcome = Outcome::HeldForReview { message };
        // Nobody was told of one whose first answer was lost.
        let is_news = message == held.message.message || self.chat.said.is_doubtful(key);
        let waiting = self.chat.said.settled(key, outcome.clone());
        self.reply(waiting.into_iter().map(|who| (who, Ok(outcome.clone()))));
        if is_news {
            let held = HeldMessage {
                message,
                ..held.message
            };
            self.tell_moderators(&[Right::Review], &Private::Review(held));
        }
        self.advance(user, now);
    }
}

fn restricted(audience: ChatAudience) -> Refusal {
    let detail = match audience {
        ChatAudience::Everyone => ErrorCode::ChatRestricted.title(),
        ChatAudience::Followers => "only who follows the shop may chat",
        ChatAudience::Buyers => "only who has bought from the shop may chat",
    };
    Refusal::new(ErrorCode::ChatRestricted, detail)
}
