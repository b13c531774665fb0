//! An open room: numbers what happens, offers it to the persister, and sends it to the
//! workers tick by tick.
//!
//! What a commit has caused is numbered whatever the backlog; chat is refused before it
//! is numbered. A number is given only to what the persister has taken, or will be
//! offered in order as soon as it has room, so what is stored never has a gap.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Addr, AsyncContext as _, Context};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, StreamId};
use shared::protocol::{Ephemeral, Millis, Private, RoomEvent};
use uuid::Uuid;

use super::batch::Batch;
use super::host::HostQueue;
use super::log::RoomLog;
use super::notices::Notices;
use super::open::Opened;
use super::pace::Pace;
use super::reach::Reach;
use super::said::{Again, SaidLately};
use super::state::{Command, RoomState};
use super::tick::{self, Ticker, When};
use super::{Room, Say, Why, private, store, text};
use crate::engine::Shared;
use crate::metrics;
use crate::persist::{Entry, Row};
use crate::router::{Attached, Load, Mail, RoomEntry, RoomPost, ToWorker};
use crate::types::ConnId;

/// Events in one frame at most; a tick with more is several frames.
const FRAME_EVENTS: usize = 256;
/// Committed events that may wait for the persister. They are few: hosts and sales cause
/// them, and those are paced.
const MAX_UNOFFERED: usize = 10_000;

/// How often a changed number of viewers is told at most.
const VIEWERS_EVERY: Duration = Duration::from_millis(900);

/// See the module.
pub struct Live {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: StreamId,
    pub(super) epoch: i64,
    pub(super) state: RoomState,
    pub(super) hosts: HostQueue,
    pub(super) notices: Notices,
    pub(super) pace: Pace,
    pub(super) reach: Reach,
    room: Addr<Room>,
    mail: Arc<Mail<RoomPost>>,
    load: Arc<Load>,
    log: RoomLog,
    said: SaidLately,
    /// The seq that comes next.
    next_seq: u64,
    /// Everything up to here is stored, or refused for good.
    committed: u64,
    /// Numbered, not sent yet.
    pending: Vec<(RoomEvent, Millis)>,
    /// Numbered, not yet taken by the persister.
    unoffered: VecDeque<Entry>,
    reactions: BTreeMap<&'static str, u64>,
    viewers_told: u64,
    viewers_told_at: Instant,
    ticker: Ticker,
    alarm_set: bool,
    spoke: Instant,
    idle_since: Instant,
    opened: Option<Opened>,
}

impl Live {
    pub(super) fn new(shared: Arc<Shared>, mut opened: Opened, room: Addr<Room>, mail: Arc<Mail<RoomPost>>) -> Self {
        let rows = &mut opened.rows;
        let stream = rows.stream.id;
        let sales = rows.sales.iter().map(|(sale, _)| sale.clone()).collect();
        let chat = std::mem::take(&mut rows.chat);
        let state = RoomState::new(rows.stream.clone(), rows.host, rows.featured.take(), sales, chat);
        let mut said = SaidLately::default();
        for message in rows.said.drain(..) {
            let (key, at) = ((message.user, message.request_id), (message.epoch, message.seq));
            said.remember(key, &message.text, message.message, at, now_ms());
        }
        let load = Load::new(shared.router.workers());
        Self {
            stream,
            epoch: opened.epoch,
            state,
            hosts: HostQueue::default(),
            notices: Notices::default(),
            pace: Pace::default(),
            reach: Reach::new(shared.router.clone(), stream, opened.epoch),
            room,
            mail,
            load,
            log: RoomLog::new(opened.epoch, 0, shared.config.limits.log),
            said,
            next_seq: 1,
            committed: 0,
            pending: Vec::new(),
            unoffered: VecDeque::new(),
            reactions: BTreeMap::new(),
            viewers_told: 0,
            viewers_told_at: Instant::now(),
            ticker: Ticker::default(),
            alarm_set: false,
            spoke: Instant::now(),
            idle_since: Instant::now(),
            opened: Some(opened),
            shared,
        }
    }

    /// Lets the rest of the engine know, and takes up what the former owner left.
    pub(super) fn begin(&mut self, ctx: &mut Context<Room>) {
        let entry = RoomEntry {
            room: self.room.clone(),
            mail: self.mail.clone(),
        };
        self.shared.router.opened(self.stream, entry);
        self.shared.leases.keep(self.stream, self.epoch);
        if let Some(opened) = self.opened.take() {
            for (sale, next_expiry) in &opened.rows.sales {
                self.shared.desk.watch(self.stream, sale, *next_expiry);
            }
            self.notices(opened.rows.notices, ctx);
        }
        self.shared.feed.own(self.stream);
        tracing::info!(stream = %self.stream, epoch = self.epoch, "a room is open");
    }

    /// A worker has viewers: it gets the room as it is, and batches from there on.
    pub(super) fn attach(&mut self, worker: u16) {
        // The copy must be exact at the log's head.
        self.speak();
        let attached = Attached {
            stream: self.stream,
            room: self.room.clone(),
            load: self.load.clone(),
            state: self.state.clone(),
            log: self.log.clone(),
            viewers: self.load.viewers(),
        };
        self.reach.send(worker, ToWorker::Attached(Box::new(attached)));
        self.reach.attach(worker);
    }

    pub(super) fn detach(&mut self, worker: u16) {
        self.reach.detach(worker);
        self.load.set_viewers(worker, 0);
    }

    /// Somebody says something: numbered and sent at once, acknowledged when committed.
    pub(super) fn say(&mut self, say: Say, ctx: &mut Context<Room>) {
        let (conn, id) = (say.conn, say.id);
        match self.try_say(say, ctx) {
            Ok(None) => {}
            Ok(Some(outcome)) => self.reply([(conn, private(id, Ok(outcome)))]),
            Err(refusal) => self.reply([(conn, private(id, Err(refusal)))]),
        }
    }

    fn try_say(&mut self, say: Say, ctx: &mut Context<Room>) -> Result<Option<shared::protocol::Outcome>, Refusal> {
        let (key, who) = ((say.user, say.request_id), (say.conn, say.id));
        let text = text::normalise(&say.text, shared::protocol::MAX_CHAT_CHARS)?;
        match self.said.again(key, &text, who)? {
            Some(Again::Answer(outcome)) => return Ok(Some(outcome)),
            Some(Again::Wait) => return Ok(None),
            None => {}
        }
        if !self.unoffered.is_empty() {
            return Err(ErrorCode::Overloaded.into());
        }
        let (message, now) = (MessageId::new(), now_ms());
        let command = Command::Say {
            message,
            user: say.user,
            name: say.name,
            text,
            reply_to: say.reply_to,
        };
        for event in self.state.decide(command, now)? {
            let RoomEvent::Chat(chat) = &event else { continue };
            let row = Row::Chat {
                message: chat.clone(),
                request_id: say.request_id,
            };
            let entry = self.entry(row, Vec::new(), now);
            self.shared
                .persister
                .offer(vec![entry])
                .map_err(|_| ErrorCode::Overloaded)?;
            let at = (self.epoch, self.next_seq);
            self.said.said(key, &chat.text, message, at, now, who);
            self.number(event, now);
        }
        self.stir(ctx);
        Ok(None)
    }

    /// What a committed change means for viewers: decided, numbered, stored with the
    /// outbox row that caused it marked. A row that means nothing is marked all the same.
    pub(super) fn happen(&mut self, command: Command, outbox: Option<Uuid>, ctx: &mut Context<Room>) {
        let now = now_ms();
        let events = self.state.decide(command, now).unwrap_or_default();
        if events.is_empty() {
            self.shared.feed.mark_delivered(self.stream, self.epoch, outbox);
        }
        let mut outbox: Vec<_> = outbox.into_iter().collect();
        for event in events {
            if self.unoffered.len() >= MAX_UNOFFERED {
                // Its row stays unmarked and comes again.
                tracing::error!(stream = %self.stream, "too many events wait for the database");
                return;
            }
            let entry = self.entry(Row::Event(event.clone()), std::mem::take(&mut outbox), now);
            self.unoffered.push_back(entry);
            self.number(event, now);
        }
        self.offer();
        self.stir(ctx);
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
        self.pending.push((event, now));
        self.next_seq += 1;
    }

    /// Hands the persister what it had no room for.
    fn offer(&mut self) {
        while let Some(entry) = self.unoffered.front() {
            if self.shared.persister.offer(vec![entry.clone()]).is_err() {
                return;
            }
            self.unoffered.pop_front();
        }
    }

    /// Reactions of one worker's viewers.
    pub(super) fn react(&mut self, counts: BTreeMap<&'static str, u64>, ctx: &mut Context<Room>) {
        let minute = now_ms() / 60_000 * 60_000;
        let minute = chrono::DateTime::from_timestamp_millis(minute).unwrap_or_default();
        for (kind, count) in counts {
            self.shared.persister.add_reactions(self.stream, kind, minute, count);
            *self.reactions.entry(kind).or_insert(0) += count;
        }
        self.stir(ctx);
    }

    /// There is something to say: now, or with the next tick.
    fn stir(&mut self, ctx: &mut Context<Room>) {
        if self.alarm_set || (self.pending.is_empty() && self.reactions.is_empty()) {
            return;
        }
        let now = Instant::now();
        match self.ticker.when(now) {
            When::Now => self.speak(),
            When::At(at) => {
                self.alarm_set = true;
                ctx.run_later(at.saturating_duration_since(now), |room, ctx| {
                    if let Some(live) = room.live() {
                        live.alarm_set = false;
                        live.stir(ctx);
                    }
                });
            }
        }
    }

    /// Sends what there is to say.
    pub(super) fn speak(&mut self) {
        let mut ephemeral = Vec::new();
        if !self.reactions.is_empty() {
            let counts = std::mem::take(&mut self.reactions);
            let counts = counts
                .into_iter()
                .map(|(kind, count)| (kind.to_owned(), count))
                .collect();
            ephemeral.push(Ephemeral::Reactions { counts });
        }
        let viewers = self.load.viewers();
        let has_news = !self.pending.is_empty() || !ephemeral.is_empty();
        if self.viewers_told_at.elapsed() >= VIEWERS_EVERY && viewers != self.viewers_told {
            ephemeral.push(Ephemeral::Viewers { count: viewers });
            self.viewers_told = viewers;
            self.viewers_told_at = Instant::now();
        } else if !has_news {
            if self.spoke.elapsed() < self.shared.config.limits.ping_interval {
                return;
            }
            ephemeral.push(Ephemeral::Time);
        }
        self.send(ephemeral, viewers);
        let sweep = self.load.sweep();
        self.ticker.said(Instant::now(), sweep);
        metrics::tick(tick::length(sweep));
    }

    fn send(&mut self, mut ephemeral: Vec<Ephemeral>, viewers: u64) {
        let (at, now) = (Instant::now(), now_ms());
        self.spoke = at;
        let mut pending = std::mem::take(&mut self.pending);
        loop {
            let rest = pending.split_off(pending.len().min(FRAME_EVENTS));
            let from = self.next_seq - (pending.len() + rest.len()) as u64;
            // What may be missed goes with the last frame.
            let ephemeral = if rest.is_empty() {
                std::mem::take(&mut ephemeral)
            } else {
                Vec::new()
            };
            match Batch::encode(self.epoch, from, pending, ephemeral, viewers, now, at) {
                Ok(batch) => {
                    if !batch.events.is_empty() && !self.log.push(batch.encoded.clone()) {
                        tracing::error!(stream = %self.stream, from, "a tick does not follow the last one");
                    }
                    let batch = Arc::new(batch);
                    self.reach.send_all(|| ToWorker::Batch(self.stream, batch.clone()));
                }
                Err(error) => tracing::error!(stream = %self.stream, %error, "a tick could not be encoded"),
            }
            if rest.is_empty() {
                return;
            }
            pending = rest;
        }
    }

    /// Answers connections, one message a worker.
    pub(super) fn reply(&mut self, replies: impl IntoIterator<Item = (ConnId, Private)>) {
        let mut per_worker: BTreeMap<u16, Vec<(ConnId, Private)>> = BTreeMap::new();
        for (conn, message) in replies {
            per_worker.entry(conn.worker).or_default().push((conn, message));
        }
        for (worker, replies) in per_worker {
            self.reach.send(worker, ToWorker::Replies(replies));
        }
    }

    /// What the persister has come to: whoever waited for it is answered.
    pub(super) fn settle(&mut self, post: &RoomPost) {
        for (epoch, seq) in &post.rejected {
            if *epoch != self.epoch {
                continue;
            }
            // Settled in order: with what was refused, all before it is done with.
            self.committed = self.committed.max(*seq);
            let refused = self.said.rejected(*seq).into_iter();
            let error = Refusal::from(ErrorCode::Internal);
            let replies: Vec<_> = refused
                .map(|(conn, id)| (conn, private(id, Err(error.clone()))))
                .collect();
            self.reply(replies);
        }
        if let Some((epoch, up_to)) = post.committed
            && epoch == self.epoch
        {
            self.committed = self.committed.max(up_to);
            let answers = self.said.committed(up_to);
            self.reply(
                answers
                    .into_iter()
                    .map(|((conn, id), outcome)| (conn, private(id, Ok(outcome)))),
            );
            self.offer();
        }
    }

    /// Takes in what other threads have left. True: the epoch is over.
    pub(super) fn post(&mut self, post: RoomPost, ctx: &mut Context<Room>) -> bool {
        self.settle(&post);
        for progress in post.progress.into_values() {
            self.progress(progress, ctx);
        }
        self.notices(post.notices, ctx);
        post.fenced == Some(self.epoch)
    }

    /// The seq that comes next.
    pub(super) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The coarse clock. True: nobody needs this room any more.
    pub(super) fn sweep(&mut self, ctx: &mut Context<Room>) -> bool {
        self.reach.retry();
        self.offer();
        self.notices.tidy(self.committed);
        if !self.alarm_set {
            self.speak();
        }
        self.stir(ctx);
        let needed = self.reach.is_attached()
            || self.reach.is_behind()
            || self.state.status() == shared::status::StreamStatus::Live
            || self.state.has_sales()
            || self.hosts.is_busy()
            || self.notices.is_busy()
            || self.committed + 1 < self.next_seq;
        if needed {
            self.idle_since = Instant::now();
        }
        self.idle_since.elapsed() >= self.shared.config.limits.room_idle
    }

    /// The room closes here, and whoever waits is told.
    pub(super) fn end(mut self, why: Why) {
        let unavailable = || Err(ErrorCode::RoomUnavailable.into());
        self.shared.leases.forget(self.stream, self.epoch);
        self.shared.feed.disown(self.stream);
        self.shared.desk.unwatch(self.stream);
        let waiting = self.said.give_up().into_iter();
        self.reply(
            waiting
                .map(|(conn, id)| (conn, private(id, unavailable())))
                .collect::<Vec<_>>(),
        );
        for asker in self.hosts.give_up() {
            super::answer(&self.shared, asker, unavailable());
        }
        let (stream, epoch) = (self.stream, self.epoch);
        if matches!(why, Why::Idle | Why::Fenced) {
            self.reach.send_all(|| ToWorker::Gone(stream, epoch));
        }
        self.shared.router.closed(stream, &self.room);
        if matches!(why, Why::Idle | Why::Stopping { stored: true }) {
            let node = self.shared.node;
            let (pool, health) = (self.shared.db.pool(), self.shared.db.health());
            self.shared.db.spawn(async move {
                let released = async {
                    let mut conn = pool.acquire().await?;
                    store::lease::release_lease(&mut conn, stream, node, epoch).await
                };
                if let Err(error) = released.await {
                    health.failed("giving a lease back", &error);
                }
            });
        }
        tracing::info!(%stream, epoch, "a room is closed");
    }
}

/// The server's clock.
fn now_ms() -> Millis {
    chrono::Utc::now().timestamp_millis()
}
