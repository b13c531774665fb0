//! The room's shell, as `room/live.rs` and the actor in `room/mod.rs` are: feeds the core
//! and carries out its effects.

use std::num::NonZeroU32;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::MessageId;
use shared::protocol::{Outcome, Private};

use super::node::{Owner, Room, ToRoom, ToWorker, WORKERS};
use super::store::Ask;
use super::world::{Task, World, trace};
use crate::config::Rate;
use crate::config::ShowRules;
use crate::hook::Inspect;
use crate::room::Asker;
use crate::room::core::{ChatLimits, Core, CoreLimits, Effect, Now, Read};
use crate::room::log::LogLimits;
use crate::room::reach::Reach;
use crate::room::state::Doors;
use crate::room::store::load::LoadedRoom;
use crate::room::tick::Tempo;
use crate::router::{Load, RoomPost};
use crate::types::{ConnId, Inspected, Verdict};

/// How long to wait for the lease of an owner that does not answer to run out.
const PATIENCE_US: u64 = 8_000_000;
/// A rate that nobody reaches.
const PLENTY: Rate = Rate {
    per_second: NonZeroU32::MAX,
    burst: NonZeroU32::MAX,
};
/// How long a room stays open when nobody needs it.
const ROOM_IDLE: Duration = Duration::from_secs(2);

impl World {
    /// Feeds the room's core, if it is open here (and the same), and does what it wants.
    pub fn with_core(&mut self, node: usize, owner: Option<u64>, act: impl FnOnce(&mut Core, Now)) {
        let now = self.schedule.now();
        let Some(open) = self.nodes[node].owner(owner) else {
            return;
        };
        act(&mut open.core, now);
        let (number, effects) = (open.number, open.core.take_effects());
        for effect in effects {
            self.carry_out(node, number, effect);
        }
    }

    fn carry_out(&mut self, node: usize, number: u64, effect: Effect) {
        let at = self.at(node);
        let owner = self.nodes[node].owner(Some(number)).expect("it has just spoken");
        match effect {
            Effect::Broadcast(batch) => {
                owner.reach.send_all(|| ToWorker::Batch(batch.clone()));
                let epoch = batch.epoch;
                assert_eq!(epoch, owner.epoch);
                for (seq, (event, _)) in (batch.encoded.from..).zip(batch.events.iter()) {
                    trace!(self, "epoch {epoch} number {seq} is {}", event.kind());
                    let twice = self.told.insert((epoch, seq), event.clone());
                    assert!(twice.is_none(), "epoch {epoch} number {seq} was sent twice");
                }
            }
            Effect::Attach { worker, mirror } => {
                owner.reach.send(worker, ToWorker::Attached(mirror));
                owner.reach.attach(worker);
            }
            Effect::Reply(answers) => {
                for (conn, message) in answers {
                    self.reply(node, conn, message);
                }
            }
            Effect::Tell(user, message) => owner.reach.send_all(|| ToWorker::Personal(user, message.clone())),
            Effect::Answer(asker, result) => self.answer_host(node, &asker, result),
            Effect::CarryOut(asker, act, _) => {
                assert!(owner.asker.is_none(), "two host commands at once");
                owner.asker = Some(asker);
                self.ask(node, Ask::Host(number, act));
            }
            Effect::Inspect(inspect) => self.inspect(node, number, &inspect),
            Effect::Hold(held) => self.ask(node, Ask::Hold(number, held)),
            Effect::Read(read) => {
                self.recalled += u64::from(matches!(read, Read::Said(..)));
                if let Read::Earlier(before) = read {
                    // One room's turn at a time: others may be before it.
                    let waits = self.chance.below(1_500_000);
                    self.after(waits, Task::ReadNames(at, number, before));
                } else {
                    self.ask(node, Ask::Read(number, read));
                }
            }
            Effect::Mark(rows) => {
                let epoch = owner.epoch;
                self.nodes[node]
                    .feed
                    .marks
                    .extend(rows.into_iter().map(|row| (row, epoch)));
                self.soon(Task::Feed(at));
            }
            Effect::Look => self.soon(Task::Feed(at)),
            // Nobody is appointed, muted or banned here.
            Effect::Powers(_) | Effect::TurnOut => {}
            Effect::Watch(card, next_expiry) => self.watch(node, &card, next_expiry),
            // Shows are counted elsewhere, and whoever is there may stay.
            Effect::Summarise | Effect::SendAway => {}
            // Nobody is there as the host, and what that leads to is tested over sockets;
            // here it stays unanswered, as by a silent database.
            Effect::LookAfterHost(_) => {}
            Effect::Wake(when) => self.at_time(when, Task::Wake(at, number)),
            Effect::WakeSale(sale, when) => self.at_time(when, Task::WakeSale(at, number, sale)),
        }
    }

    /// The room's turn to read names has come, if it is still the one that asked.
    pub fn read_names(&mut self, node: usize, number: u64, before: MessageId) {
        if self.nodes[node].owner(Some(number)).is_some() {
            self.pages += 1;
            self.ask(node, Ask::Read(number, Read::Earlier(before)));
        }
    }

    /// The moderation service takes its time and says something.
    fn inspect(&mut self, node: usize, number: u64, inspect: &Inspect) {
        let verdict = match self.chance.below(20) {
            0 => Verdict::Change("something nicer".into()),
            1 => Verdict::Hold("somebody must look at it".into()),
            2 => Verdict::Deny(String::new()),
            3 => Verdict::Unanswered,
            _ => Verdict::Allow,
        };
        let inspected = Inspected {
            user: inspect.user,
            message: inspect.message,
            verdict,
        };
        let (at, takes) = (self.at(node), self.chance.within(500, 200_000));
        self.after(takes, Task::Inspected(at, number, inspected));
    }

    pub fn at_time(&mut self, when: std::time::Instant, task: Task) {
        let us = self.schedule.us_of(when).saturating_sub(self.us());
        // Timers fire a little late.
        let late = self.chance.below(3000);
        self.after(us + late, task);
    }

    /// Answers a command: kept for the worker until it looks.
    pub fn reply(&mut self, node: usize, conn: ConnId, message: Private) {
        let at = self.at(node);
        let worker = usize::from(conn.worker);
        let mailbox = &mut self.nodes[node].workers[worker];
        mailbox.replies.push((conn, message));
        if !std::mem::replace(&mut mailbox.has_mail, true) {
            self.soon(Task::Mail(at, worker));
        }
    }

    fn answer_host(&mut self, node: usize, asker: &Asker, result: Result<Outcome, Refusal>) {
        if let Asker::Socket(conn, id) = asker {
            self.reply(node, *conn, crate::room::private(*id, result));
        }
    }

    /// The room takes its next message.
    pub fn room_takes(&mut self, node: usize) {
        self.nodes[node].inbox_called = false;
        let Some(message) = self.nodes[node].inbox.pop_front() else {
            return;
        };
        match message {
            ToRoom::Attach(worker) => self.room_attaches(node, worker),
            ToRoom::Detach(worker) => {
                if let Some(owner) = self.nodes[node].owner(None) {
                    owner.reach.detach(worker);
                    owner.load.set_viewers(worker, 0);
                }
            }
            ToRoom::Say(say) => {
                let message = MessageId(self.chance.uuid());
                if self.nodes[node].owner(None).is_some() {
                    self.with_core(node, None, |core, now| core.say(say, message, now));
                } else {
                    let refusal = Err(ErrorCode::RoomUnavailable.into());
                    self.reply(node, say.conn, crate::room::private(say.id, refusal));
                }
            }
            ToRoom::React(counts) => {
                let sum: u64 = counts.values().sum();
                if self.nodes[node].owner(None).is_some() {
                    self.reacted += sum;
                    self.with_core(node, None, |core, now| core.react(counts, now));
                }
            }
            ToRoom::Host(host) => match &mut self.nodes[node].room {
                Room::Open(_) => self.with_core(node, None, |core, now| core.host(host, now)),
                Room::Opening { hosts, .. } => hosts.push(host),
                Room::None => {
                    let asker = host.asker;
                    self.answer_host(node, &asker, Err(ErrorCode::RoomUnavailable.into()));
                }
            },
        }
    }

    fn room_attaches(&mut self, node: usize, worker: u16) {
        match &mut self.nodes[node].room {
            Room::Open(_) => self.with_core(node, None, |core, now| core.attach(worker, now)),
            Room::Opening { workers, .. } => {
                if !workers.contains(&worker) {
                    workers.push(worker);
                }
            }
            Room::None => {
                let give_up_us = self.us() + PATIENCE_US;
                self.nodes[node].room = Room::Opening {
                    workers: vec![worker],
                    hosts: Vec::new(),
                    give_up_us,
                };
                self.try_to_open(node);
            }
        }
    }

    /// Asks for the lease, and for the rows.
    pub fn try_to_open(&mut self, node: usize) {
        if matches!(self.nodes[node].room, Room::Opening { .. }) {
            self.ask(node, Ask::Open);
        }
    }

    /// The lease is another's until then.
    pub fn room_is_elsewhere(&mut self, node: usize, until_us: u64) {
        let Room::Opening { give_up_us, .. } = self.nodes[node].room else {
            return;
        };
        if until_us > give_up_us {
            self.room_gives_up(node, &ErrorCode::RoomUnavailable.into());
        } else {
            let (at, wait) = (self.at(node), until_us.saturating_sub(self.us()) + 20_000);
            self.after(wait, Task::Open(at));
        }
    }

    pub fn room_gives_up(&mut self, node: usize, refusal: &Refusal) {
        let room = std::mem::replace(&mut self.nodes[node].room, Room::None);
        if let Room::Opening { workers, hosts, .. } = room {
            trace!(self, "node {node} cannot open the room: {refusal:?}");
            for worker in workers {
                // One that takes no more asks again.
                let report = ToWorker::Unavailable(refusal.clone());
                let _ = crate::room::reach::Workers::send(&*self.nodes[node].channels, worker, report);
            }
            for host in hosts {
                self.answer_host(node, &host.asker, Err(refusal.clone()));
            }
        }
    }

    /// The room is ours.
    pub fn room_opens(&mut self, node: usize, epoch: i64, mut rows: LoadedRoom) {
        let room = std::mem::replace(&mut self.nodes[node].room, Room::None);
        let Room::Opening { workers, hosts, .. } = room else {
            self.nodes[node].room = room;
            return;
        };
        trace!(self, "node {node} opens the room in epoch {epoch}");
        self.owners += 1;
        let (at, number, now) = (self.at(node), self.owners, self.schedule.now());
        let limits = CoreLimits {
            log: LogLimits {
                bytes: self.climate.log_bytes,
                age: Duration::from_secs(120),
            },
            ping_interval: Duration::from_secs(25),
            room_idle: ROOM_IDLE,
            chat: ChatLimits {
                person: PLENTY,
                room: PLENTY,
                is_inspected: self.climate.is_inspected,
            },
            patience: ShowRules::default().patience,
            doors: Doors {
                close_after: Duration::from_secs(1),
                ..ShowRules::default().doors
            },
            named_below: 0,
        };
        let here = &mut self.nodes[node];
        let load = Load::new(WORKERS, Tempo::default());
        let core = Core::new(epoch, &mut rows, here.queue.clone(), load.clone(), limits, now);
        here.post = RoomPost::default();
        here.room = Room::Open(Box::new(Owner {
            number,
            epoch,
            core,
            reach: Reach::new(here.channels.clone(), self.db.stream, epoch),
            load,
            asker: None,
        }));
        let left = std::mem::take(&mut rows.notices);
        self.with_core(node, None, |core, now| core.notices(left, now));
        for worker in workers {
            self.with_core(node, None, |core, now| core.attach(worker, now));
        }
        for host in hosts {
            self.with_core(node, None, |core, now| core.host(host, now));
        }
        self.after(1_000_000, Task::RoomClock(at, number));
        self.soon(Task::Feed(at));
    }

    /// The room takes what other threads have left for it.
    pub fn room_posts(&mut self, node: usize) {
        self.nodes[node].post_called = false;
        let post = std::mem::take(&mut self.nodes[node].post);
        let mut is_over = false;
        self.with_core(node, None, |core, now| is_over = core.post(post, now));
        if is_over {
            trace!(self, "node {node} hears that the room is another's");
            self.room_ends(node, true);
        }
    }

    /// Leaves something for the room, if it is open here.
    pub fn post(&mut self, node: usize, put: impl FnOnce(&mut RoomPost)) {
        let at = self.at(node);
        if self.nodes[node].owner(None).is_some() {
            put(&mut self.nodes[node].post);
            if !std::mem::replace(&mut self.nodes[node].post_called, true) {
                self.soon(Task::Post(at));
            }
        }
    }

    pub fn room_clock(&mut self, node: usize, number: u64) {
        let Some(owner) = self.nodes[node].owner(Some(number)) else {
            return;
        };
        owner.reach.retry();
        let is_wanted = owner.reach.is_attached() || owner.reach.is_behind();
        let mut is_idle = false;
        self.with_core(node, Some(number), |core, now| is_idle = core.sweep(is_wanted, now));
        if is_idle {
            trace!(self, "nobody needs the room on node {node}");
            self.room_ends(node, false);
            return;
        }
        let at = self.at(node);
        self.after(1_000_000, Task::RoomClock(at, number));
    }

    /// The room closes here: it is another's, or nobody needs it.
    fn room_ends(&mut self, node: usize, is_fenced: bool) {
        self.with_core(node, None, |core, _| core.give_up());
        let life = self.nodes[node].life;
        if let Room::Open(mut owner) = std::mem::replace(&mut self.nodes[node].room, Room::None) {
            if let Some(asker) = owner.asker.take() {
                self.answer_host(node, &asker, Err(ErrorCode::RoomUnavailable.into()));
            }
            self.nodes[node].tended.clear();
            let epoch = owner.epoch;
            owner.reach.send_all(|| ToWorker::Gone(epoch));
            if !is_fenced {
                self.db.release(life, epoch, self.schedule.us());
            }
        }
    }

    /// How much waits for the room's workers, at most.
    pub fn check_reach(owner: &Owner) {
        for worker in 0..WORKERS {
            let waiting = owner.reach.waiting(u16::try_from(worker).unwrap_or(0));
            assert!(
                waiting <= crate::room::reach::WAITING,
                "{waiting} messages wait for worker {worker}"
            );
        }
    }
}
