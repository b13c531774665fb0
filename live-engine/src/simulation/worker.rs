//! A worker's shell, as `net/worker.rs`, `room/shard.rs` and `commands.rs` are: passes
//! commands on, answers joins from the mirror and writes ticks to connections.

use shared::error::{ErrorCode, Refusal};
use shared::protocol::{Position, Private};

use super::client::Place;
use super::node::{Conn, Room, Shard, ToRoom, ToWorker, WORKERS};
use super::store::Ask;
use super::world::{Task, World, trace};
use crate::room::log::{Encoded, Passing, Variant};
use crate::room::mirror::Taken;
use crate::types::{ConnId, Own};

/// How long a join may wait for its room to open.
const OPEN_DEADLINE_US: u64 = 10_000_000;
/// How long a shard stays when nobody is in it.
const SHARD_IDLE_US: u64 = 3_000_000;

impl World {
    /// Sees to it that everything in a channel is taken some time.
    pub fn call_on_channels(&mut self) {
        for node in 0..self.nodes.len() {
            let at = self.at(node);
            for worker in 0..WORKERS {
                if self.nodes[node].channels.len(worker) > 0 && !self.nodes[node].workers[worker].is_called {
                    self.nodes[node].workers[worker].is_called = true;
                    self.soon(Task::Channel(at, worker));
                }
            }
            let here = &mut self.nodes[node];
            if !here.inbox.is_empty() && !std::mem::replace(&mut here.inbox_called, true) {
                self.soon(Task::Inbox(at));
            }
            let here = &mut self.nodes[node];
            let has_news = here.work.is_none() && here.queue.bytes() > 0 && !here.is_storing;
            if has_news && !std::mem::replace(&mut here.persist_called, true) {
                self.soon(Task::Persist(at));
            }
        }
    }

    /// Whether a worker does nothing now; then the task comes again.
    fn is_stuck(&mut self, node: usize, worker: usize, again: Task) -> bool {
        let until = self.nodes[node].workers[worker].stuck_until_us;
        let is_stuck = until > self.us();
        if is_stuck {
            let wait = until - self.us();
            self.after(wait, again);
        }
        is_stuck
    }

    /// A connection comes in and joins at once.
    pub fn join(&mut self, client: usize, node: usize) {
        let worker = self.chance.index(WORKERS);
        self.generations += 1;
        let generation = self.generations;
        let line_room = usize::try_from(self.chance.within(64, 6000)).unwrap_or(64);
        let (user, variant) = (self.clients[client].user, self.clients[client].variant);
        let here = &mut self.nodes[node].workers[worker];
        let slot = here.slots;
        here.slots += 1;
        here.conns
            .insert(slot, Conn::new(client, generation, user, variant, line_room));
        let place = Place {
            node,
            life: self.nodes[node].life,
            worker,
            slot,
            generation,
        };
        let (id, since) = self.clients[client].connect(place);
        trace!(
            self,
            "client {client} joins node {node} worker {worker} since {since:?}"
        );
        let (at, here) = (self.at(node), &mut self.nodes[node].workers[worker]);
        if let Some(conn) = here.conns.get_mut(&slot) {
            conn.joining = Some((id, since));
        }
        if matches!(here.shard, Shard::None) {
            here.shard = Shard::Opening;
            self.ask_for_room(node, worker);
        }
        self.after(OPEN_DEADLINE_US, Task::JoinDeadline(at, worker, slot, id));
        self.go_on_joining(node, worker, slot);
    }

    fn ask_for_room(&mut self, node: usize, worker: usize) {
        // A room that takes no more is asked again.
        self.nodes[node].send(ToRoom::Attach(u16::try_from(worker).unwrap_or(0)));
    }

    /// The room may be there: what is missed is replayed at once, otherwise the viewer's
    /// own holds are read first.
    fn go_on_joining(&mut self, node: usize, worker: usize, slot: u32) {
        let here = &self.nodes[node].workers[worker];
        let (Some(mirror), Some(conn)) = (here.mirror(), here.conns.get(&slot)) else {
            return;
        };
        let Some((id, since)) = conn.joining else { return };
        if since.is_some_and(|since| mirror.has_all_after(since)) {
            self.admit(node, worker, slot, id, since);
        } else {
            self.ask(node, Ask::Own(worker, slot, id));
        }
    }

    /// Lets a viewer in, in one turn.
    pub fn admit(&mut self, node: usize, worker: usize, slot: u32, id: u64, since: Option<Position>) {
        let now = self.schedule.now();
        let here = &mut self.nodes[node].workers[worker];
        here.with(slot, |conn, mirror| {
            let Some(mirror) = mirror.filter(|_| conn.joining.is_some_and(|(join, _)| join == id)) else {
                return;
            };
            let welcome = mirror.welcome(id, since, None, Own::default(), now.ms);
            conn.joining = None;
            conn.joined = true;
            conn.send(&welcome.answer, Some(mirror));
            conn.writer.follow(Some(welcome.place));
            let held_back = std::mem::take(&mut conn.held_back);
            conn.send(&held_back, Some(mirror));
        });
        self.count(node, worker);
        self.line_moves(node, worker, slot);
    }

    /// The own holds of a viewer who joins were read, or could not be.
    pub fn own_read(&mut self, node: usize, worker: usize, slot: u32, id: u64, is_read: bool) {
        let since = self.nodes[node].workers[worker]
            .conns
            .get(&slot)
            .and_then(|conn| conn.joining);
        match since {
            Some((join, since)) if join == id && is_read => self.admit(node, worker, slot, id, since),
            Some((join, _)) if join == id => self.refuse_join(node, worker, slot, id, ErrorCode::DatabaseUnavailable),
            _ => {}
        }
    }

    fn refuse_join(&mut self, node: usize, worker: usize, slot: u32, id: u64, code: ErrorCode) {
        let answer = Private::Error {
            id: Some(id),
            refusal: code.into(),
        };
        self.nodes[node].workers[worker].with(slot, |conn, mirror| {
            conn.joining = None;
            conn.send(&[answer], mirror);
        });
        self.line_moves(node, worker, slot);
    }

    pub fn join_deadline(&mut self, node: usize, worker: usize, slot: u32, id: u64) {
        let joining = self.nodes[node].workers[worker]
            .conns
            .get(&slot)
            .and_then(|conn| conn.joining);
        if joining.is_some_and(|(join, _)| join == id) {
            self.refuse_join(node, worker, slot, id, ErrorCode::RoomUnavailable);
        }
    }

    pub fn count(&mut self, node: usize, worker: usize) {
        let us = self.us();
        let members = self.nodes[node].workers[worker].members();
        if members > 0 {
            self.nodes[node].workers[worker].empty_since_us = us;
        }
        let conns = || self.nodes[node].workers[worker].conns.values();
        let wants = |format| conns().any(|conn| conn.variant == Variant { format, deflate: true });
        let deflate = shared::protocol::Format::ALL.map(wants);
        if let Some(owner) = self.nodes[node].owner(None) {
            let worker = u16::try_from(worker).unwrap_or(0);
            owner.load.set_viewers(worker, members);
            owner.load.set_deflate(worker, deflate);
        }
    }

    /// Something may be on a connection's line: its client takes it when it gets to it.
    pub fn line_moves(&mut self, node: usize, worker: usize, slot: u32) {
        let life = self.nodes[node].life;
        let Some(conn) = self.nodes[node].workers[worker].conns.get(&slot) else {
            return;
        };
        let (client, generation) = (conn.client, conn.generation);
        let place = Place {
            node,
            life,
            worker,
            slot,
            generation,
        };
        let soon = self.chance.within(5, 900);
        self.read_after(client, place, soon);
    }

    /// A client reads what is on its line, unless it is about to or rests.
    pub fn read_after(&mut self, client: usize, place: Place, us: u64) {
        let is_its = self.clients[client].place == Some(place);
        if is_its && !std::mem::replace(&mut self.clients[client].is_reading, true) {
            self.after(us, Task::Read(client, place));
        }
    }

    /// The worker takes its next message.
    pub fn worker_takes(&mut self, node: usize, worker: usize) {
        let at = self.at(node);
        if self.is_stuck(node, worker, Task::Channel(at, worker)) {
            return;
        }
        self.nodes[node].workers[worker].is_called = false;
        let Some(message) = self.nodes[node].channels.pop(worker) else {
            return;
        };
        let here = &mut self.nodes[node].workers[worker];
        match message {
            ToWorker::Attached(mirror) => match &mut here.shard {
                Shard::Opening => {
                    here.shard = Shard::Open(mirror);
                    let slots: Vec<_> = here.conns.keys().copied().collect();
                    for slot in slots {
                        self.go_on_joining(node, worker, slot);
                    }
                    self.count(node, worker);
                }
                Shard::Open(known) if known.epoch() == mirror.epoch() => {
                    known.catch_up(*mirror);
                    self.pump_all(node, worker, None);
                }
                Shard::Open(_) => panic!("another epoch's room comes before the last one has gone"),
                Shard::None => self.leave_room(node, worker),
            },
            ToWorker::Batch(batch) => match &mut here.shard {
                Shard::Open(mirror) => {
                    let taken = mirror.take(&batch);
                    match taken {
                        Taken::Gap => panic!(
                            "a worker missed a batch: {} after {:?}",
                            batch.encoded.from,
                            mirror.log().head()
                        ),
                        Taken::Foreign => {}
                        Taken::Numbered | Taken::Passing => {
                            let passes = batch.encoded.has_ephemeral();
                            self.pump_all(node, worker, passes.then_some(&batch.encoded));
                        }
                    }
                }
                Shard::Opening => {}
                Shard::None => self.leave_room(node, worker),
            },
            ToWorker::Personal(user, message) => {
                let slots: Vec<_> = here
                    .conns
                    .iter()
                    .filter(|(_, conn)| conn.user == user)
                    .map(|(slot, _)| *slot)
                    .collect();
                for slot in slots {
                    self.nodes[node].workers[worker].with(slot, |conn, mirror| conn.tell(&message, mirror));
                    self.line_moves(node, worker, slot);
                }
            }
            ToWorker::Gone(epoch) => {
                if here.mirror().is_some_and(|mirror| mirror.epoch() == epoch) {
                    self.close_shard(node, worker, &ErrorCode::RoomUnavailable.into());
                }
            }
            ToWorker::Unavailable(refusal) => self.close_shard(node, worker, &refusal),
        }
    }

    fn close_shard(&mut self, node: usize, worker: usize, refusal: &Refusal) {
        self.nodes[node].workers[worker].close_shard(refusal);
        let slots: Vec<_> = self.nodes[node].workers[worker].conns.keys().copied().collect();
        for slot in slots {
            self.line_moves(node, worker, slot);
        }
    }

    /// A room sends what nobody here wants.
    fn leave_room(&mut self, node: usize, worker: usize) {
        self.nodes[node].send(ToRoom::Detach(u16::try_from(worker).unwrap_or(0)));
    }

    fn pump_all(&mut self, node: usize, worker: usize, passing: Option<&std::sync::Arc<Encoded>>) {
        let at = self.at(node);
        let here = &mut self.nodes[node].workers[worker];
        let passing = passing.map(|tick| {
            here.passed += 1;
            (here.passed, tick.clone())
        });
        let members = here.conns.iter();
        let slots: Vec<_> = members.filter(|(_, conn)| conn.joined).map(|(slot, _)| *slot).collect();
        for slot in slots {
            self.soon(Task::Pump(at, worker, slot, passing.clone()));
        }
    }

    /// A connection's turn in a sweep.
    pub fn pump(&mut self, node: usize, worker: usize, slot: u32, passing: Option<Passing<'_>>) {
        self.nodes[node].workers[worker].with(slot, |conn, mirror| conn.pump(mirror, passing));
        self.line_moves(node, worker, slot);
    }

    /// The worker takes the rooms' answers.
    pub fn worker_mail(&mut self, node: usize, worker: usize) {
        let at = self.at(node);
        if self.is_stuck(node, worker, Task::Mail(at, worker)) {
            return;
        }
        let here = &mut self.nodes[node].workers[worker];
        here.has_mail = false;
        for (conn, message) in std::mem::take(&mut here.replies) {
            self.send_to(node, worker, conn, &message);
        }
    }

    /// Sends to a connection, if it is still the same one.
    pub fn send_to(&mut self, node: usize, worker: usize, to: ConnId, message: &Private) {
        self.nodes[node].workers[worker].with(to.slot, |conn, mirror| {
            if conn.generation == to.generation {
                conn.send(std::slice::from_ref(message), mirror);
            }
        });
        self.line_moves(node, worker, to.slot);
    }

    /// The coarse clock.
    pub fn worker_clock(&mut self, node: usize, worker: usize) {
        let at = self.at(node);
        self.after(1_000_000, Task::WorkerClock(at, worker));
        let us = self.us();
        let here = &self.nodes[node].workers[worker];
        let is_empty = here.conns.values().all(|conn| !conn.joined && conn.joining.is_none());
        let epoch = match &self.nodes[node].room {
            Room::Open(owner) => Some(owner.epoch),
            Room::Opening { .. } | Room::None => None,
        };
        match &here.shard {
            Shard::Opening => self.ask_for_room(node, worker),
            Shard::Open(mirror) if Some(mirror.epoch()) != epoch => {
                self.close_shard(node, worker, &ErrorCode::RoomUnavailable.into());
            }
            Shard::Open(_) if is_empty && us > here.empty_since_us + SHARD_IDLE_US => {
                let told = self.nodes[node].send(ToRoom::Detach(u16::try_from(worker).unwrap_or(0)));
                if told || matches!(self.nodes[node].room, Room::None) {
                    self.nodes[node].workers[worker].shard = Shard::None;
                }
            }
            Shard::Open(_) | Shard::None => {}
        }
    }

    /// Reactions that a worker has summed up go to the room.
    pub fn pass_reactions(&mut self, node: usize, worker: usize) {
        let here = &mut self.nodes[node].workers[worker];
        let counts = std::mem::take(&mut here.reactions);
        if here.mirror().is_some() {
            // A room that takes no more loses them, as a crash would.
            self.nodes[node].send(ToRoom::React(counts));
        }
    }
}
