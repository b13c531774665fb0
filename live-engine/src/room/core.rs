//! The core of an open room: numbers what happens, offers it to the persister, and says
//! what is to be sent, answered, read and woken for.
//!
//! What a commit has caused is numbered whatever the backlog; chat is refused before it
//! is numbered. A number is given only to what the persister has taken, or will be
//! offered in order as soon as it has room, so what is stored never has a gap.
//!
//! No IO, no clock and no actor: it is told the time, the persister's queue is memory,
//! and everything else that it wants done it leaves as [`Effect`]s, to be carried out in
//! their order by whoever drives it: the actor, through `live`, or a simulation.

mod chat;
mod effect;
mod facts;
mod farewell;
mod out;
mod speech;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::error::{ErrorCode, Refusal};
use shared::ids::StreamId;
use shared::outbox::Happened;
use shared::protocol::{Millis, Outcome, Private, RoomEvent, ShowSummary};
use shared::status::{SaleStatus, StreamStatus};
use uuid::Uuid;

use super::host::HostQueue;
use super::host_watch::{HostPatience, HostWatch, Show};
use super::log::LogLimits;
use super::mirror::Mirror;
use super::newest::Newest;
use super::notices::Notices;
use super::pace::Pace;
use super::powers::Powers;
use super::private;
use super::state::{Beginning, Command, Doors, RoomState, Watching};
use super::store::load::LoadedRoom;
use super::tick::When;
use crate::persist::{Entry, Queue, Row};
use crate::router::{Load, RoomPost};
use crate::types::ConnId;
use chat::Chat;
pub use chat::ChatLimits;
pub use effect::{Effect, FoundSale, Read, Reading};
pub use facts::{Facts, SaleFacts, Stage};
use farewell::Farewell;
pub use speech::Measured;
use speech::Speech;

/// Committed events that may wait for the persister. They are few: hosts and sales cause
/// them, and those are paced.
const MAX_UNOFFERED: usize = 10_000;

/// The time, by both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// For what is measured.
    pub at: Instant,
    /// For what is told.
    pub ms: Millis,
}

/// What a room may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreLimits {
    /// What it keeps of its recent frames.
    pub log: LogLimits,
    /// How long it may be quiet before it tells the time.
    pub ping_interval: Duration,
    /// How long it stays open when nobody needs it.
    pub room_idle: Duration,
    /// What its chat takes.
    pub chat: ChatLimits,
    /// How long its host may be away.
    pub patience: HostPatience,
    /// When viewers may be there.
    pub doors: Doors,
    /// Up to so many people it says who is there.
    pub named_below: usize,
}

/// See the module.
pub struct Core {
    pub(super) stream: StreamId,
    pub(super) epoch: i64,
    pub(super) state: RoomState,
    pub(super) powers: Arc<Powers>,
    /// Mutes made and lifted here: what was read before one is older.
    pub(super) mutes_made: u64,
    pub(super) hosts: HostQueue,
    pub(super) notices: Notices,
    pub(super) newest: Newest,
    pub(super) pace: Pace,
    backlog: Arc<Queue>,
    load: Arc<Load>,
    limits: CoreLimits,
    chat: Chat,
    watch: HostWatch,
    farewell: Farewell,
    /// The seq that comes next.
    next_seq: u64,
    /// Everything up to here is stored, or refused for good.
    committed: u64,
    /// Numbered, not yet taken by the persister.
    unoffered: VecDeque<Entry>,
    speech: Speech,
    idle_since: Instant,
    effects: Vec<Effect>,
}

impl Core {
    /// A room that was just opened in `epoch`, from its rows; what its former owner left
    /// in `rows.notices` is taken up by [`Self::notices`] when everybody is ready for it.
    pub fn new(
        epoch: i64,
        rows: &mut LoadedRoom,
        backlog: Arc<Queue>,
        load: Arc<Load>,
        limits: CoreLimits,
        now: Now,
    ) -> Self {
        let away = rows.host_away.map(|(since, _)| since.timestamp_millis());
        rows.stream.host_away = away.map(|since| limits.patience.away(since));
        let missing = rows.host_away.map(|(_, missing)| missing);
        let missing_since = missing.map(|missing| now.at.checked_sub(missing).unwrap_or(now.at));
        let sales = rows.sales.iter().map(|(sale, ..)| sale.clone()).collect();
        let over = rows.sales.iter().filter(|(_, status, _)| *status == SaleStatus::Closed);
        let over: Vec<_> = over.map(|(sale, ..)| sale.id).collect();
        let chat = Chat::new(rows, limits.chat, now);
        let state = RoomState::new(Beginning {
            stream: rows.stream.clone(),
            host: rows.host,
            featured: rows.featured.take(),
            sales,
            line_up: std::mem::take(&mut rows.line_up),
            rules: rows.rules,
            chat: std::mem::take(&mut rows.chat),
            pinned: rows.pinned.take(),
        });
        let (moderators, mutes) = (std::mem::take(&mut rows.moderators), std::mem::take(&mut rows.mutes));
        let powers = Powers::new(rows.host, moderators, mutes);
        let watch = rows.sales.drain(..);
        let watch = watch.map(|(sale, _, expiry)| Effect::Watch(sale, expiry));
        let mut core = Self {
            stream: rows.stream.id,
            epoch,
            state,
            powers: Arc::new(powers),
            mutes_made: 0,
            hosts: HostQueue::default(),
            notices: Notices::default(),
            newest: Newest::new(rows.command_no),
            pace: Pace::default(),
            backlog,
            load,
            limits,
            chat,
            watch: HostWatch::new(limits.patience, rows.host_was_here, missing_since),
            farewell: Farewell::of(&rows.stream, limits.doors.close_after, now.ms),
            next_seq: 1,
            committed: 0,
            unoffered: VecDeque::new(),
            speech: Speech::new(epoch, limits.log, now.at),
            idle_since: now.at,
            effects: watch.collect(),
        };
        for sale in over {
            // While nobody had the room: nothing else brings it again.
            core.happen(Command::Committed(RoomEvent::SaleClosed { sale }), None, now);
        }
        core.read_earlier();
        core
    }

    /// What is to be done now, in this order. Whoever calls anything else takes these
    /// before the next call.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Wants something done.
    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Outbox rows that have caused no event.
    pub(super) fn mark(&mut self, rows: Vec<Uuid>) {
        if !rows.is_empty() {
            self.effect(Effect::Mark(rows));
        }
    }

    /// A worker has viewers: it gets the room as it is, and batches from there on.
    pub fn attach(&mut self, worker: u16, now: Now) {
        // The copy must be exact at the log's head.
        self.speak(now);
        let (powers, log) = (self.powers.clone(), self.speech.log().clone());
        let mirror = Mirror::new(self.state.clone(), powers, log, self.watching());
        self.effect(Effect::Attach {
            worker,
            mirror: Box::new(mirror),
        });
    }

    fn watching(&self) -> Watching {
        Watching {
            viewers: self.load.viewers(),
            people: self.load.presence.counted().people,
        }
    }

    /// What a committed change means for viewers: decided, numbered, stored with the
    /// outbox row that caused it marked. A row that means nothing is marked all the same.
    /// False: too many events wait for the database. Nothing has happened then, and the
    /// row comes again.
    pub(super) fn happen(&mut self, command: Command, outbox: Option<Uuid>, now: Now) -> bool {
        let events = self.state.decide(command, now.ms).unwrap_or_default();
        if events.is_empty() {
            self.nothing_more(outbox, now);
            return true;
        }
        if self.unoffered.len() + events.len() > MAX_UNOFFERED {
            tracing::error!(stream = %self.stream, "too many events wait for the database");
            if let Some(row) = outbox {
                self.notices.forget(row);
            }
            return false;
        }
        let last = events.len() - 1;
        for (nth, event) in events.into_iter().enumerate() {
            // With the last: where only the first is stored, all of them are told again.
            let row = outbox.filter(|_| nth == last);
            if let Some(row) = row {
                self.notices.done(row, self.next_seq, now.at);
            }
            let entry = self.entry(Row::of(event.clone()), row.into_iter().collect(), now.ms);
            self.unoffered.push_back(entry);
            self.number(event, now.ms);
        }
        self.offer();
        self.stir(now);
        true
    }

    fn entry(&self, row: Row, outbox: Vec<Uuid>, now: Millis) -> Entry {
        Entry {
            stream: self.stream,
            epoch: self.epoch,
            seq: self.next_seq,
            at: chrono::DateTime::from_timestamp_millis(now).unwrap_or_default(),
            row,
            outbox,
        }
    }

    fn number(&mut self, event: RoomEvent, now: Millis) {
        self.state.evolve(&event, now);
        self.farewell
            .note(&event, self.next_seq, now, self.limits.doors.close_after);
        self.chat.note(&event, self.next_seq, now);
        self.speech.add(event, now);
        self.next_seq += 1;
    }

    /// Hands the persister what it had no room for.
    fn offer(&mut self) {
        while let Some(entry) = self.unoffered.front() {
            if self.backlog.offer(vec![entry.clone()]).is_err() {
                return;
            }
            self.unoffered.pop_front();
        }
    }

    /// Reactions of one worker's viewers.
    pub fn react(&mut self, counts: BTreeMap<&'static str, u64>, now: Now) {
        let minute = now.ms / 60_000 * 60_000;
        let minute = chrono::DateTime::from_timestamp_millis(minute).unwrap_or_default();
        for (kind, count) in counts {
            self.backlog.add_reactions(self.stream, kind, minute, count);
            self.speech.react(kind, count);
        }
        self.stir(now);
    }

    /// There is something to say: now, or with the next tick.
    fn stir(&mut self, now: Now) {
        match self.speech.due(now.at) {
            Some(When::Now) => self.speak(now),
            Some(When::At(at)) => self.effect(Effect::Wake(at)),
            None => {}
        }
    }

    /// The time of [`Effect::Wake`] has come.
    pub fn wake(&mut self, now: Now) {
        self.speech.alarm();
        self.stir(now);
    }

    /// Sends what there is to say.
    pub fn speak(&mut self, now: Now) {
        let counted = self.load.presence.counted();
        let sweep = self.load.sweep();
        let measured = Measured {
            watching: self.watching(),
            presence: counted.version,
            deflate: self.load.deflate(),
            round: self.load.tempo().round(sweep),
            tick: self.load.tempo().tick(sweep),
        };
        let who = || self.load.presence.names(self.limits.named_below);
        for batch in self.speech.speak(now, measured, self.limits.ping_interval, who) {
            self.effect(Effect::Broadcast(batch));
        }
    }

    /// Answers commands.
    fn reply(&mut self, answers: impl IntoIterator<Item = ((ConnId, u64), Result<Outcome, Refusal>)>) {
        let answers = answers.into_iter();
        let answers: Vec<_> = answers
            .map(|((conn, id), result)| (conn, private(id, result)))
            .collect();
        if !answers.is_empty() {
            self.effect(Effect::Reply(answers));
        }
    }

    /// What the persister has come to: whoever waited for it is answered.
    pub fn settle(&mut self, post: &RoomPost) {
        for (epoch, seq) in &post.rejected {
            if *epoch != self.epoch {
                continue;
            }
            // Settled in order: with what was refused, all before it is done with.
            self.committed = self.committed.max(*seq);
            let refused = self.chat.said.rejected(*seq);
            self.reply(refused.into_iter().map(|who| (who, Err(ErrorCode::Internal.into()))));
        }
        if let Some((epoch, up_to)) = post.committed
            && epoch == self.epoch
        {
            self.committed = self.committed.max(up_to);
            let answers = self.chat.said.committed(up_to);
            self.reply(answers.into_iter().map(|(who, outcome)| (who, Ok(outcome))));
            self.offer();
        }
        self.release(self.committed);
        if self.farewell.is_stored(self.committed) {
            self.effect(Effect::Summarise);
        }
    }

    /// Takes in what other threads have left. True: the epoch is over.
    #[must_use]
    pub fn post(&mut self, post: RoomPost, now: Now) -> bool {
        self.settle(&post);
        for progress in post.progress.into_values() {
            self.progress(progress, now);
        }
        for inspected in post.inspected {
            self.inspected(inspected, now);
        }
        self.notices(post.notices, now);
        post.fenced == Some(self.epoch)
    }

    /// The room as it is, everything that is numbered included.
    #[must_use]
    pub const fn state(&self) -> &RoomState {
        &self.state
    }

    /// The seq that comes next.
    #[must_use]
    pub const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The coarse clock. `is_wanted`: somebody has viewers or is still to be reached.
    /// True: nobody needs this room any more.
    #[must_use]
    pub fn sweep(&mut self, is_wanted: bool, now: Now) -> bool {
        self.offer();
        self.notices.tidy(self.committed, now.at);
        self.chat.tidy(self.state.rules(), self.committed, now);
        if !self.speech.alarm_set() {
            self.speak(now);
        }
        self.stir(now);
        self.look_for_host(now);
        self.read_earlier();
        if self.farewell.is_due(now.ms) {
            self.effect(Effect::SendAway);
        }
        let needed = is_wanted
            || self.state.status() == StreamStatus::Live
            || self.state.has_sales()
            || self.hosts.is_busy()
            || self.notices.is_busy()
            || self.chat.is_busy()
            || self.watch.is_busy()
            || self.farewell.is_under_way()
            || self.committed + 1 < self.next_seq;
        if needed {
            self.idle_since = now.at;
        }
        now.at.saturating_duration_since(self.idle_since) >= self.limits.room_idle
    }

    fn look_for_host(&mut self, now: Now) {
        let show = Show {
            is_live: self.state.status() == StreamStatus::Live,
            has_host: self.load.presence.counted().has_host,
            is_told: self.state.stream().host_away.is_some(),
        };
        if let Some(step) = self.watch.look(show, now.at) {
            self.effect(Effect::LookAfterHost(step));
        }
    }

    /// What [`Effect::LookAfterHost`] came to.
    pub fn looked_after_host(&mut self, result: Result<Vec<Happened>, Refusal>, now: Now) {
        self.watch.done();
        // What has failed is tried again with the next look.
        for happened in result.unwrap_or_default() {
            self.committed(happened, now);
        }
    }

    /// The show was counted: its host hears what it came to.
    pub fn summarised(&mut self, summary: ShowSummary) {
        self.effect(Effect::Tell(self.state.host(), Private::Summary(Box::new(summary))));
    }

    /// The show's status.
    #[must_use]
    pub const fn status(&self) -> StreamStatus {
        self.state.status()
    }

    /// The room closes here: whoever waits is told so.
    pub fn give_up(&mut self) {
        let unavailable = || Err(ErrorCode::RoomUnavailable.into());
        let recalled = self.chat.recalls.give_up().map(|say| (say.conn, say.id));
        let waiting: Vec<_> = self.chat.said.give_up().into_iter().chain(recalled).collect();
        self.reply(waiting.into_iter().map(|who| (who, unavailable())));
        for asker in self.hosts.give_up() {
            self.effect(Effect::Answer(asker, unavailable()));
        }
    }
}
