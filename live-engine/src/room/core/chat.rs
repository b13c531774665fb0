//! How a message comes to be said: what can be decided at once is decided when it comes;
//! what has to be asked elsewhere is asked for one message of an author at a time; then it
//! is numbered and sent, or held for a moderator, or refused.
//!
//! The host and moderators are bound by the text's own rules only: not by slow mode, the
//! room's rate, its audience, its rule for links or its blocked words.

mod asked;

use std::sync::Arc;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, StreamId, UserId};
use shared::protocol::{
    ChatAudience, ChatRules, HeldFor, HeldMessage, Links, MAX_CHAT_CHARS, Millis, Private, RoomEvent,
};
use shared::rights::Right;
use shared::status::Machine as _;
use shared::words::{WordAction, WordFilter};

use super::{Core, Effect, Now, Read};
use crate::config::Rate;
use crate::hook::Inspect;
use crate::persist::{ChatAct, Row};
use crate::room::chat::gate::Gate;
use crate::room::chat::known::Known;
use crate::room::chat::lanes::{Lanes, Pending};
use crate::room::chat::links;
use crate::room::chat::members::Members;
use crate::room::chat::out::Out;
use crate::room::chat::recalls::{New, Recalls};
use crate::room::said::{Again, SaidLately, WhyHeld, body};
use crate::room::state::Command;
use crate::room::store::chat::Held;
use crate::room::store::load::LoadedRoom;
use crate::room::store::said::{Earlier, Said};
use crate::room::{Say, text};

/// The longest detail of a held message, in characters.
const MAX_DETAIL_CHARS: usize = 200;

/// What a room may say, and whether somebody looks at it first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChatLimits {
    /// Messages of one person.
    pub person: Rate,
    /// Messages of all.
    pub room: Rate,
    /// Whether there is a moderation service.
    pub is_inspected: bool,
}

/// The room's chat.
pub struct Chat {
    pub(super) said: SaidLately,
    pub(super) gate: Gate,
    pub(super) known: Known,
    pub(super) members: Members,
    pub(super) lanes: Lanes,
    pub(super) out: Out,
    pub(super) recalls: Recalls,
    filter: Arc<WordFilter>,
    is_inspected: bool,
}

impl Chat {
    /// The chat of a room that was just opened.
    pub(super) fn new(rows: &mut LoadedRoom, limits: ChatLimits, now: Now) -> Self {
        let mut chat = Self {
            said: SaidLately::new(rows.said_before),
            gate: Gate::new(limits.person, limits.room),
            known: Known::default(),
            members: Members::new(rows.rules.audience),
            lanes: Lanes::default(),
            out: Out::default(),
            recalls: Recalls::default(),
            filter: rows.filter.clone(),
            is_inspected: limits.is_inspected,
        };
        for said in rows.said.drain(..) {
            let key = (said.user, said.request_id);
            chat.said.remember(key, said.body, said.outcome, now.ms);
            let ago = Duration::from_millis(u64::try_from(now.ms - said.at).unwrap_or(0));
            if let Some(at) = now.at.checked_sub(ago) {
                chat.gate.remember(said.user, at);
            }
        }
        for message in &rows.chat {
            chat.known.add(message, 0);
        }
        chat
    }

    /// What has happened under this number, as far as it concerns the chat.
    pub(super) fn note(&mut self, event: &RoomEvent, seq: u64, now: Millis) {
        match event {
            RoomEvent::Chat(message) => self.known.add(message, seq),
            RoomEvent::MessageDeleted { message, .. } => {
                self.known.forget(*message);
                self.lanes.unquote(|pending| pending.reply_to == Some(*message));
            }
            RoomEvent::Moderation { user } => {
                self.known.forget_all_of(*user);
                self.lanes
                    .unquote(|pending| pending.quote.as_ref().is_some_and(|quote| quote.author == *user));
                self.out.strike(*user, seq, now);
            }
            RoomEvent::ChatRules(rules) => self.members.turn_to(rules.audience),
            _ => {}
        }
    }

    /// Forgets whom nothing binds any more.
    pub(super) fn tidy(&mut self, rules: ChatRules, committed: u64, now: Now) {
        self.out.tidy(committed, now.ms);
        self.gate.tidy(Duration::from_secs(rules.slow_seconds.into()), now.at);
    }

    /// Whether a message is still being checked.
    pub(super) fn is_busy(&self) -> bool {
        !self.lanes.is_empty() || !self.recalls.is_empty()
    }
}

impl Core {
    /// Somebody says something, under the id `message` if it is said: numbered and sent at
    /// once, acknowledged when committed.
    pub fn say(&mut self, say: Say, message: MessageId, now: Now) {
        if self.chat.recalls.has(say.user) {
            self.recall((say, message));
        } else {
            self.take_in(say, message, false, now);
        }
    }

    /// Takes a message in; `is_new`: nothing was said under its name, as far as is stored.
    fn take_in(&mut self, say: Say, message: MessageId, is_new: bool, now: Now) {
        let (key, who) = ((say.user, say.request_id), (say.conn, say.id));
        let known = text::normalise(&say.text, MAX_CHAT_CHARS).and_then(|text| {
            let body = body(&text, say.reply_to);
            Ok((self.chat.said.again(key, body, who)?, text, body))
        });
        let refused = match known {
            Ok((Some(Again::Answer(outcome)), ..)) => return self.reply([(who, Ok(outcome))]),
            Ok((Some(Again::Wait), ..)) => return,
            Ok((Some(Again::Perhaps), ..)) if !is_new => return self.recall((say, message)),
            Ok((Some(Again::Held(why)), text, body)) => self.hear(say, message, (text, body), Some(why), now).err(),
            Ok((Some(Again::Perhaps) | None, text, body)) => self.hear(say, message, (text, body), None, now).err(),
            Err(refusal) => Some(refusal),
        };
        self.reply(refused.map(|refusal| (who, Err(refusal))));
    }

    /// Has it looked up whether a message was said long ago, after its author's others.
    fn recall(&mut self, new: New) {
        let (user, request) = (new.0.user, new.0.request_id);
        let asked = (new.0.conn, new.0.id);
        match self.chat.recalls.add(new) {
            Ok(true) => self.effect(Effect::Read(Read::Said(user, request))),
            Ok(false) => {}
            Err(refusal) => self.reply([(asked, Err(refusal))]),
        }
    }

    /// What was said under a name was looked up.
    pub(in crate::room) fn said_read(
        &mut self,
        user: UserId,
        request: RequestId,
        found: Result<Option<Said>, Refusal>,
        now: Now,
    ) {
        let Some((say, message)) = self.chat.recalls.found(user, request) else {
            return;
        };
        match found {
            Ok(said) => {
                let is_new = said.is_none();
                if let Some(said) = said {
                    let key = (said.user, said.request_id);
                    self.chat.said.remember(key, said.body, said.outcome, now.ms);
                }
                self.take_in(say, message, is_new, now);
            }
            Err(refusal) => self.reply([((say.conn, say.id), Err(refusal))]),
        }
        // What waited behind it, up to the next that must be looked up.
        while let Some(next) = self.chat.recalls.first(user) {
            let request = next.request_id;
            if self.chat.said.may_have_forgotten((user, request)) {
                self.effect(Effect::Read(Read::Said(user, request)));
                return;
            }
            if let Some((say, message)) = self.chat.recalls.next(user) {
                self.take_in(say, message, false, now);
            }
        }
    }

    /// Has the names read of what was said before this room was ours, a page at a time and
    /// as long as anything new may be said: until all are known, each new message is looked up.
    pub(super) fn read_earlier(&mut self) {
        if self.state.status().is_final() {
            return;
        }
        if let Some(before) = self.chat.said.next_page() {
            self.effect(Effect::Read(Read::Earlier(before)));
        }
    }

    /// A page of names was read. One that could not be is read with the next sweep.
    pub(in crate::room) fn earlier_read(&mut self, found: Result<Earlier, Refusal>) {
        match found {
            Ok(page) => {
                self.chat.said.learn(page.names, page.before);
                self.read_earlier();
            }
            Err(_) => self.chat.said.page_failed(),
        }
    }

    /// Hears a message that is new, or that may be held already for `why`.
    fn hear(
        &mut self,
        say: Say,
        message: MessageId,
        (text, body): (String, i64),
        why: Option<WhyHeld>,
        now: Now,
    ) -> Result<(), Refusal> {
        let (key, who) = ((say.user, say.request_id), (say.conn, say.id));
        self.powers.hear(say.user, now.ms)?;
        if self.chat.out.is_turned_out(say.user, say.since) {
            return Err(ErrorCode::Banned.into());
        }
        self.chat.lanes.has_room(say.user)?;
        let is_free = self.powers.runs_the_show(say.user);
        let held = why.or(self.permit(&text, is_free)?);
        let slow = Duration::from_secs(self.state.rules().slow_seconds.into());
        let turn = self.chat.gate.pass(say.user, (!is_free).then_some(slow), now.at)?;
        let known = say.reply_to.and_then(|answered| self.chat.known.get(answered));
        let pending = Pending {
            message,
            quote: known.map(|known| known.quote.clone()),
            is_unquoted: false,
            seeks: say.reply_to.is_some() && known.is_none(),
            is_bound: !is_free,
            is_inspected: self.chat.is_inspected,
            user: say.user,
            name: say.name,
            conn: say.conn,
            request_id: say.request_id,
            body,
            text,
            reply_to: say.reply_to,
            turn,
            held,
        };
        self.chat.said.begin(key, body, now.ms, who);
        if self.chat.lanes.add(pending) {
            self.advance(key.0, now);
        }
        Ok(())
    }

    /// What can be said about a text at once: why it has to wait for a moderator, if it has to.
    fn permit(&self, text: &str, is_free: bool) -> Result<Option<WhyHeld>, Refusal> {
        if self.state.status().is_final() {
            return Err(ErrorCode::StreamNotLive.into());
        }
        let rules = self.state.rules();
        if text.chars().count() > rules.max_chars as usize {
            let detail = format!("a message has at most {} characters here", rules.max_chars);
            return Err(Refusal::new(ErrorCode::InvalidBody, detail).at("text"));
        }
        if is_free {
            return Ok(None);
        }
        if rules.links == Links::Moderators && links::has_link(text) {
            return Err(Refusal::new(ErrorCode::MessageRefused, "links are not allowed here").at("text"));
        }
        match self.chat.filter.find(text) {
            None => Ok(None),
            // Not which: that would help to find a way around it.
            Some(hit) if hit.action == WordAction::Refuse => {
                Err(Refusal::new(ErrorCode::MessageRefused, "it has a word that is not allowed here").at("text"))
            }
            Some(hit) => Ok(Some((HeldFor::Word, hit.word.to_owned()))),
        }
    }

    /// Goes on with the messages of an author as far as nothing has to be asked.
    fn advance(&mut self, user: UserId, now: Now) {
        loop {
            let (stream, audience) = (self.stream, self.state.rules().audience);
            let Some(pending) = self.chat.lanes.first(user) else {
                return;
            };
            let message = pending.message;
            if std::mem::take(&mut pending.seeks) {
                if let Some(answered) = pending.reply_to {
                    self.effect(Effect::Read(Read::Quote(user, message, answered)));
                    return;
                }
            } else if pending.is_bound && audience != ChatAudience::Everyone {
                // Asked until it is said: the audience may become another one meanwhile.
                if !self.chat.members.has(user, now.at) {
                    self.chat.members.ask(user);
                    self.ask_for_members();
                    return;
                }
                pending.is_bound = false;
            } else if std::mem::take(&mut pending.is_inspected) {
                let inspect = inspect(stream, pending);
                self.effect(Effect::Inspect(inspect));
                return;
            } else if let Some(why) = pending.held.take() {
                let held = held((stream, self.epoch), pending, why, now.ms);
                self.effect(Effect::Hold(Box::new(held)));
                return;
            } else if let Some(pending) = self.chat.lanes.done(user) {
                let (key, turn) = ((user, pending.request_id), pending.turn);
                if let Err(refusal) = self.utter(pending, now) {
                    self.refuse(key, turn, &refusal);
                }
            }
        }
    }

    /// Says a message that nothing stands against.
    fn utter(&mut self, pending: Pending, now: Now) -> Result<(), Refusal> {
        // They may have been muted while it was checked.
        self.powers.hear(pending.user, now.ms)?;
        if !self.unoffered.is_empty() {
            return Err(ErrorCode::Overloaded.into());
        }
        let Pending {
            message,
            user,
            conn,
            request_id,
            body,
            ..
        } = pending;
        let command = Command::Say {
            message,
            user,
            name: pending.name,
            moderator: self.powers.is_moderator(user),
            text: pending.text,
            reply_to: pending.reply_to,
            quote: pending.quote,
        };
        for event in self.state.decide(command, now.ms)? {
            let RoomEvent::Chat(chat) = &event else { continue };
            let row = Row::Chat {
                message: chat.clone(),
                act: Some(ChatAct { request_id, body, conn }),
            };
            let entry = self.entry(row, Vec::new(), now.ms);
            self.backlog.offer(vec![entry]).map_err(|_| ErrorCode::Overloaded)?;
            self.chat
                .said
                .said((user, request_id), message, (self.epoch, self.next_seq));
            self.number(event, now.ms);
        }
        self.stir(now);
        Ok(())
    }

    /// Refuses a message that is in nobody's lane any more.
    pub(super) fn refuse(
        &mut self,
        key: crate::room::said::Key,
        turn: crate::room::chat::gate::Turn,
        refusal: &Refusal,
    ) {
        self.chat.gate.give_back(turn);
        let waiting = self.chat.said.refused(key);
        self.reply(waiting.into_iter().map(|who| (who, Err(refusal.clone()))));
    }

    /// Refuses the message of an author that was being checked, and goes on with the next.
    fn refuse_first(&mut self, user: UserId, refusal: &Refusal, now: Now) {
        if let Some(pending) = self.chat.lanes.done(user) {
            self.refuse((user, pending.request_id), pending.turn, refusal);
        }
        self.advance(user, now);
    }

    fn ask_for_members(&mut self) {
        if let Some((audience, users)) = self.chat.members.query() {
            self.effect(Effect::Read(Read::Members(audience, users)));
        }
    }

    /// Who said a message that is known here.
    pub(in crate::room) fn author_of(&self, message: MessageId) -> Option<UserId> {
        self.chat.known.get(message).map(|known| known.author)
    }

    /// The number of a message that is not stored yet.
    pub(in crate::room) fn unstored(&self, message: MessageId) -> Option<u64> {
        let known = self.chat.known.get(message)?;
        (known.seq > self.committed).then_some(known.seq)
    }

    /// Tells the host and every moderator who has one of these rights.
    pub(in crate::room) fn tell_moderators(&mut self, rights: &[Right], message: &Private) {
        for user in self.powers.with_any(rights) {
            self.effect(Effect::Tell(user, message.clone()));
        }
    }

    /// Other words are blocked from now on.
    pub(in crate::room) fn block(&mut self, filter: Arc<WordFilter>) {
        self.chat.filter = filter;
    }
}

fn inspect(stream: StreamId, pending: &Pending) -> Inspect {
    Inspect {
        stream,
        user: pending.user,
        message: pending.message,
        text: pending.text.clone(),
    }
}

fn held((stream, epoch): (StreamId, i64), pending: &Pending, (cause, detail): WhyHeld, at: Millis) -> Held {
    Held {
        stream,
        epoch,
        request_id: pending.request_id,
        body: pending.body,
        reply_to: pending.reply_to,
        message: HeldMessage {
            message: pending.message,
            author: shared::protocol::Author {
                id: pending.user,
                name: pending.name.clone(),
                host: false,
                moderator: false,
            },
            text: pending.text.clone(),
            cause,
            detail: detail.chars().take(MAX_DETAIL_CHARS).collect(),
            at,
        },
    }
}
