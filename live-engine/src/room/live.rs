//! An open room's shell: feeds the core what happens and the time, and carries out what
//! it wants done, in its order, on the actor's context. It decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{ActorFutureExt as _, Addr, AsyncContext as _, Context};
use shared::error::ErrorCode;
use shared::ids::{MessageId, SellerId, StreamId};
use shared::live::RoomNotice;
use shared::status::StreamStatus;
use sqlx::PgPool;
use tracing::{Instrument as _, Span};
use uuid::Uuid;

use super::core::{ChatLimits, Core, CoreLimits, Effect, Facts, Now, Read};
use super::host_watch::HostStep;
use super::leases::Held;
use super::open::Opened;
use super::reach::Reach;
use super::store::{self, host, unattended};
use super::{Asker, Host, Room, Say, Why, answer, reading};
use crate::audience::Sample;
use crate::db::Purpose;
use crate::engine::Shared;
use crate::hook::Inspect;
use crate::metrics;
use crate::own::News;
use crate::router::{Attached, Load, Mail, RoomEntry, RoomPost, Router, ToWorker};
use crate::trace;
use crate::types::{Inspected, Verdict};

/// How long a room waits until its show is counted.
const COUNT_DEADLINE: Duration = Duration::from_secs(10);

/// See the module.
pub struct Live {
    shared: Arc<Shared>,
    stream: StreamId,
    seller: SellerId,
    epoch: i64,
    lease: Held,
    core: Core,
    reach: Reach<Router>,
    room: Addr<Room>,
    mail: Arc<Mail<RoomPost>>,
    load: Arc<Load>,
    news: Arc<News>,
    /// What the former owner left.
    left: Vec<(Uuid, RoomNotice)>,
}

impl Live {
    pub(super) fn new(shared: Arc<Shared>, opened: Opened, room: Addr<Room>, mail: Arc<Mail<RoomPost>>) -> Self {
        let Opened { lease, mut rows } = opened;
        let epoch = lease.epoch();
        let stream = rows.stream.id;
        let load = Load::new(shared.router.workers(), shared.config.limits.tempo);
        let limits = CoreLimits {
            log: shared.config.limits.log,
            ping_interval: shared.config.limits.ping_interval,
            room_idle: shared.config.limits.room_idle,
            chat: ChatLimits {
                person: shared.config.limits.chat,
                room: shared.config.limits.room_chat,
                is_inspected: shared.hook.is_some(),
            },
            patience: shared.config.show.patience,
            doors: shared.config.show.doors,
            named_below: shared.config.show.named_below,
        };
        let core = Core::new(epoch, &mut rows, shared.persister.queue(), load.clone(), limits, now());
        Self {
            stream,
            seller: rows.seller,
            epoch,
            lease,
            core,
            reach: Reach::new(shared.router.clone(), stream, epoch),
            room,
            mail,
            load,
            news: News::new(Instant::now()),
            left: rows.notices,
            shared,
        }
    }

    /// Lets the rest of the engine know, and takes up what the former owner left.
    pub(super) fn begin(&mut self, ctx: &mut Context<Room>) {
        let entry = RoomEntry {
            room: self.room.clone(),
            mail: self.mail.clone(),
            news: self.news.clone(),
        };
        self.shared.router.opened(self.stream, entry);
        self.shared.leases.keep(self.stream, self.epoch);
        let left = std::mem::take(&mut self.left);
        self.with(ctx, |core, now| core.notices(left, now));
        self.shared.feed.own(self.stream);
        tracing::info!(stream = %self.stream, epoch = self.epoch, "a room is open");
    }

    /// Feeds the core, and does what it wants done.
    fn with<T>(&mut self, ctx: &mut Context<Room>, act: impl FnOnce(&mut Core, Now) -> T) -> T {
        let result = act(&mut self.core, now());
        for effect in self.core.take_effects() {
            self.carry_out(effect, ctx);
        }
        result
    }

    pub(super) fn attach(&mut self, worker: u16, ctx: &mut Context<Room>) {
        self.with(ctx, |core, now| core.attach(worker, now));
    }

    pub(super) fn detach(&mut self, worker: u16) {
        self.reach.detach(worker);
        self.load.set_viewers(worker, 0);
    }

    pub(super) fn say(&mut self, say: Say, ctx: &mut Context<Room>) {
        self.with(ctx, |core, now| core.say(say, MessageId::new(), now));
    }

    pub(super) fn react(&mut self, counts: BTreeMap<&'static str, u64>, ctx: &mut Context<Room>) {
        self.with(ctx, |core, now| core.react(counts, now));
    }

    pub(super) fn host(&mut self, host: Host, ctx: &mut Context<Room>) {
        self.with(ctx, |core, now| core.host(host, now));
    }

    pub(super) fn speak(&mut self, ctx: &mut Context<Room>) {
        self.with(ctx, Core::speak);
    }

    /// Takes in what other threads have left. True: the epoch is over.
    pub(super) fn post(&mut self, post: RoomPost, ctx: &mut Context<Room>) -> bool {
        self.with(ctx, |core, now| core.post(post, now))
    }

    /// Answers whoever waited for what is stored now.
    pub(super) fn settle(&mut self, post: &RoomPost, ctx: &mut Context<Room>) {
        self.with(ctx, |core, _| core.settle(post));
    }

    /// The coarse clock. True: nobody needs this room any more.
    pub(super) fn sweep(&mut self, ctx: &mut Context<Room>) -> bool {
        self.reach.retry();
        self.note_audience();
        let is_wanted = self.reach.is_attached() || self.reach.is_behind();
        self.with(ctx, |core, now| core.sweep(is_wanted, now))
    }

    /// The room in numbers.
    pub(super) fn facts(&self, closing: bool) -> Facts {
        self.core.facts(closing, now())
    }

    /// Has it written down who watches.
    fn note_audience(&self) {
        let new = self.load.presence.take_new();
        if !new.is_empty() {
            self.shared.audience.came(self.stream, new);
        }
        if self.core.status() == StreamStatus::Live {
            let counted = self.load.presence.counted();
            let sample = Sample::of(self.load.viewers(), counted.people, counted.has_host);
            self.shared.audience.saw(self.stream, chrono::Utc::now(), sample);
        }
    }

    fn look_after_host(&self, step: HostStep, ctx: &mut Context<Room>) {
        let (db, stream, epoch) = (self.shared.db.clone(), self.stream, self.epoch);
        let patience = self.shared.config.show.patience;
        let looked = async move {
            db.call(Purpose::Command, None, async move |pool: PgPool| {
                unattended::carry_out(&pool, stream, epoch, patience, step).await
            })
            .await
        };
        let looked = looked.instrument(trace::room(stream, epoch));
        let looked = actix::fut::wrap_future::<_, Room>(looked);
        ctx.spawn(looked.map(|result, room: &mut Room, ctx| {
            if let Some(live) = room.live() {
                live.with(ctx, |core, now| core.looked_after_host(result, now));
            }
        }));
    }

    /// Counts a show whose last event is stored. Where that comes to nothing, core-api
    /// does it a little later.
    fn summarise(&self, ctx: &mut Context<Room>) {
        self.note_audience();
        let (persister, audience, stream) = (self.shared.persister.clone(), self.shared.audience.clone(), self.stream);
        let counting = self.shared.db.spawn(async move {
            let counting = async {
                // Reactions come a little after what was said.
                persister.flush().await;
                audience.summary(stream).await
            };
            tokio::time::timeout(COUNT_DEADLINE, counting).await
        });
        let counting = actix::fut::wrap_future::<_, Room>(counting);
        ctx.spawn(counting.map(move |counted, room: &mut Room, ctx| match counted {
            Ok(Ok(Ok(Some(summary)))) => {
                if let Some(live) = room.live() {
                    live.with(ctx, |core, _| core.summarised(summary));
                }
            }
            failed => tracing::warn!(%stream, ?failed, "a show was not counted by its room"),
        }));
    }

    /// The room closes here, and whoever waits is told.
    pub(super) fn end(mut self, why: Why, ctx: &mut Context<Room>) {
        self.shared.leases.forget(self.stream, self.epoch);
        self.shared.feed.disown(self.stream);
        self.shared.desk.unwatch(self.stream);
        self.with(ctx, |core, _| core.give_up());
        let (stream, epoch) = (self.stream, self.epoch);
        if matches!(why, Why::Idle | Why::Fenced) {
            self.reach.send_all(|| ToWorker::Gone(stream, epoch));
        }
        self.shared.router.closed(stream, &self.room);
        match why {
            Why::Idle | Why::Stopping { stored: true } => drop(self.lease),
            Why::Fenced | Why::Stopping { stored: false } => self.lease.leave(),
        }
        tracing::info!(%stream, epoch, "a room is closed");
    }

    fn carry_out(&mut self, effect: Effect, ctx: &mut Context<Room>) {
        match effect {
            Effect::Broadcast(batch) => {
                self.reach.send_all(|| ToWorker::Batch(self.stream, batch.clone()));
                metrics::tick(self.load.tempo().tick(self.load.sweep()));
            }
            Effect::Attach { worker, mirror } => {
                let attached = Attached {
                    stream: self.stream,
                    seller: self.seller,
                    room: self.room.clone(),
                    load: self.load.clone(),
                    news: self.news.clone(),
                    mirror: *mirror,
                };
                self.reach.send(worker, ToWorker::Attached(Box::new(attached)));
                self.reach.attach(worker);
            }
            Effect::Reply(answers) => self.shared.router.replies(answers),
            Effect::Tell(user, message) => {
                self.news.note([user], Instant::now());
                let stream = self.stream;
                self.reach
                    .send_all(|| ToWorker::Personal(stream, user, message.clone()));
            }
            Effect::Powers(powers) => {
                let (stream, epoch) = (self.stream, self.epoch);
                self.reach.send_all(|| ToWorker::Powers(stream, epoch, powers.clone()));
            }
            Effect::TurnOut => self.shared.revoked.tell(),
            Effect::Answer(asker, result) => answer(&self.shared, asker, result),
            Effect::CarryOut(asker, act, span) => self.carry_out_act(asker, act, &span, ctx),
            Effect::Inspect(inspect) => self.inspect(inspect, ctx),
            Effect::Hold(held) => self.hold(*held, ctx),
            Effect::LookAfterHost(step) => self.look_after_host(step, ctx),
            Effect::Summarise => self.summarise(ctx),
            Effect::SendAway => {
                let (stream, epoch) = (self.stream, self.epoch);
                self.reach.send_all(|| ToWorker::Over(stream, epoch));
            }
            Effect::Read(read) => self.read(read, ctx),
            Effect::Mark(rows) => self.shared.feed.mark_delivered(self.stream, self.epoch, rows),
            Effect::Look => self.shared.feed.look(),
            Effect::Watch(card, next_expiry) => self.shared.desk.watch(self.stream, &card, next_expiry),
            Effect::Wake(at) => Self::at(at, ctx, Core::wake),
            Effect::WakeSale(sale, at) => Self::at(at, ctx, move |core, now| core.sale_due(sale, now)),
        }
    }

    /// Calls the core at a time, if the room is still open then.
    fn at(at: Instant, ctx: &mut Context<Room>, act: impl FnOnce(&mut Core, Now) + 'static) {
        let after = at.saturating_duration_since(Instant::now());
        ctx.run_later(after, |room, ctx| {
            if let Some(live) = room.live() {
                live.with(ctx, act);
            }
        });
    }

    fn carry_out_act(&self, asker: Asker, act: host::HostAct, span: &Span, ctx: &mut Context<Room>) {
        let (db, person) = (self.shared.db.clone(), Some(act.user.0));
        let span = span.in_scope(|| trace::room(self.stream, self.epoch));
        let carried_out = async move {
            db.call(Purpose::Command, person, async move |pool: PgPool| {
                host::carry_out(&pool, &act).await
            })
            .await
        };
        let carried_out = carried_out.instrument(span);
        let carried_out = actix::fut::wrap_future::<_, Room>(carried_out);
        ctx.spawn(carried_out.map(move |result, room: &mut Room, ctx| match room.live() {
            Some(live) => live.with(ctx, |core, now| core.hosted(asker, result, now)),
            // Committed or not: whoever owns the room next finds the outbox row.
            None => answer(&room.shared, asker, Err(ErrorCode::RoomUnavailable.into())),
        }));
    }

    /// Asks the moderation service, if there is one.
    fn inspect(&self, inspect: Inspect, ctx: &mut Context<Room>) {
        if let Some(hook) = &self.shared.hook {
            hook.inspect(inspect);
            return;
        }
        // The core was told that there is one: a defect, and nobody shall wait for it.
        let Inspect { user, message, .. } = inspect;
        let verdict = Verdict::Allow;
        let inspected = Inspected { user, message, verdict };
        Self::at(Instant::now(), ctx, |core, now| core.inspected(inspected, now));
    }

    fn hold(&self, held: store::chat::Held, ctx: &mut Context<Room>) {
        let (db, row) = (self.shared.db.clone(), held.clone());
        let author = Some(held.message.author.id.0);
        let holding = async move {
            db.call(Purpose::Person, author, async move |pool: PgPool| {
                let mut tx = pool.begin().await?;
                let message = store::chat::hold(&mut tx, &row).await?;
                tx.commit().await?;
                Ok(message)
            })
            .await
        };
        let holding = holding.instrument(trace::room(self.stream, self.epoch));
        let holding = actix::fut::wrap_future::<_, Room>(holding);
        ctx.spawn(holding.map(move |result, room: &mut Room, ctx| {
            // Otherwise it is held or not: its author was told to send it again.
            if let Some(live) = room.live() {
                live.with(ctx, |core, now| core.held(held, result, now));
            }
        }));
    }

    /// Reads one thing and goes on with it, if the room is still open then.
    fn read(&self, read: Read, ctx: &mut Context<Room>) {
        let reading = reading::read(self.shared.clone(), self.stream, read);
        let reading = reading.instrument(trace::room(self.stream, self.epoch));
        let reading = actix::fut::wrap_future::<_, Room>(reading);
        ctx.spawn(reading.map(|reading, room: &mut Room, ctx| {
            if let Some(live) = room.live() {
                live.with(ctx, |core, now| core.read(reading, now));
            }
        }));
    }
}

/// The time.
fn now() -> Now {
    Now {
        at: Instant::now(),
        ms: chrono::Utc::now().timestamp_millis(),
    }
}
