//! The world of one seed: nodes, clients and the database under one clock. What happens
//! when is chance; what it leads to is checked as it happens.

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::{MessageId, RequestId, SaleId, StreamId, UserId};
use shared::protocol::{Format, Millis, RoomEvent};

use super::chance::Chance;
use super::client::{Client, Place};
use super::database::Database;
use super::node::Node;
use super::schedule::Schedule;
use super::store::Call;
use crate::room::log::Variant;

/// Nodes that may own the room.
const NODES: usize = 2;
/// For how long there is trouble, in microseconds.
const TROUBLE_US: u64 = 14_000_000;
/// After which everything must have settled.
const SETTLED_US: u64 = 60_000_000;
/// A node, as it was when the task was set.
pub type At = (usize, u64);

/// What is done when its time has come.
pub enum Task {
    /// The room takes its next message.
    Inbox(At),
    /// The room takes what other threads have left.
    Post(At),
    Wake(At, u64),
    WakeSale(At, u64, SaleId),
    /// A sale's lane goes on; somebody's time may be up.
    Lane(At, SaleId),
    LaneDue(At, SaleId),
    /// A sale may have to be swept, and its line told.
    Tend(At, SaleId),
    TellLine(At, SaleId),
    /// A node looks for sales that nobody sweeps.
    Strays(At),
    /// The moderation service has answered.
    Inspected(At, u64, crate::types::Inspected),
    RoomClock(At, u64),
    /// A room reads what was said before it was opened.
    ReadNames(At, u64, MessageId),
    /// The room tries again to get its lease.
    Open(At),
    /// A worker takes its next message.
    Channel(At, usize),
    Mail(At, usize),
    WorkerClock(At, usize),
    Reactions(At, usize),
    /// A connection is written to; with the tick that may be missed.
    Pump(At, usize, u32, Option<(u64, std::sync::Arc<crate::room::log::Encoded>)>),
    JoinDeadline(At, usize, u32, u64),
    Persist(At),
    PersistClock(At),
    Feed(At),
    FeedClock(At),
    Renew(At),
    /// A question reaches the database.
    Execute(Box<Call>),
    /// Its answer, or that there is none, reaches who asked.
    Answer(Box<Call>, super::store::Reply),
    /// A client takes what is on its line.
    Read(usize, Place),
    Act(usize),
    /// A client asks again for what it was left in the dark about.
    AskAgain(usize, RequestId),
    Trouble,
}

/// How the world treats those in it.
#[derive(Clone, Copy, Debug)]
pub struct Climate {
    /// Times in a hundred that an answer of the database is lost or late.
    pub lost: u64,
    pub late: u64,
    /// Times in a hundred that trouble is a dead node, and so on.
    pub trouble_every_us: u64,
    /// Microseconds between two acts of a client, about.
    pub act_every_us: u64,
    /// Whether messages are looked at first.
    pub is_inspected: bool,
    /// Times in a hundred that a client does something about a sale, if there is one.
    pub rush: u64,
    /// After how long a call of a sale is given up, in microseconds.
    pub sale_deadline_us: u64,
    /// By how much the database's clock is ahead, in ms.
    pub skew_ms: Millis,
    /// Bytes that a room keeps of its recent frames.
    pub log_bytes: usize,
    /// So many messages a room knows when it opens; of older ones it reads the names.
    pub said_at_most: usize,
}

/// See the module.
pub struct World {
    pub chance: Chance,
    pub schedule: Schedule<Task>,
    pub climate: Climate,
    pub db: Database,
    /// Until when the database is away.
    pub away_until_us: u64,
    pub nodes: Vec<Node>,
    pub clients: Vec<Client>,
    /// What was sent under which number.
    pub told: BTreeMap<(i64, u64), RoomEvent>,
    /// Requests of buyers that reached the database when nobody waited any more.
    pub came_late: BTreeSet<RequestId>,
    /// Reactions that were taken and must be counted, if no node dies.
    pub reacted: u64,
    pub has_killed: bool,
    pub lives: u64,
    pub owners: u64,
    pub generations: u32,
    /// Messages that were looked up, and pages of names that were asked for.
    pub recalled: u64,
    pub pages: u64,
    pub trace: Option<Vec<String>>,
    pub steps: u64,
}

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    pub steps: u64,
    pub epochs: u64,
    pub events: u64,
    pub acknowledged: u64,
    pub replays: u64,
    pub resyncs: u64,
    /// Holds that were granted, and those of them to who had waited.
    pub granted: u64,
    pub offered: u64,
    /// Messages that were looked up, and pages of names of what was said before.
    pub recalled: u64,
    pub pages: u64,
}

impl Tally {
    pub const fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.epochs += other.epochs;
        self.events += other.events;
        self.acknowledged += other.acknowledged;
        self.replays += other.replays;
        self.resyncs += other.resyncs;
        self.granted += other.granted;
        self.offered += other.offered;
        self.recalled += other.recalled;
        self.pages += other.pages;
    }
}

macro_rules! trace {
    ($world:expr, $($words:tt)*) => {
        if let Some(trace) = &mut $world.trace {
            trace.push(format!("{:>10.3} ms  {}", $world.schedule.us() as f64 / 1000.0, format_args!($($words)*)));
        }
    };
}
pub(super) use trace;

impl World {
    pub fn new(seed: u64, with_trace: bool) -> Self {
        let mut chance = Chance::new(seed);
        let stream = StreamId(chance.uuid());
        let host = UserId(chance.uuid());
        let rarely = |chance: &mut Chance, most: u64| if chance.percent(50) { 0 } else { chance.below(most) };
        let climate = Climate {
            lost: rarely(&mut chance, 12),
            late: rarely(&mut chance, 12),
            trouble_every_us: chance.within(300_000, 4_000_000),
            act_every_us: chance.within(20_000, 900_000),
            is_inspected: chance.percent(30),
            rush: if chance.percent(40) { 0 } else { chance.within(20, 90) },
            // Shorter than in production, so that calls are met that come later than that.
            sale_deadline_us: chance.within(2_500_000, 12_000_000),
            skew_ms: Millis::try_from(chance.below(3000)).unwrap_or(0) - 1500,
            log_bytes: usize::try_from(chance.within(600, 40_000)).unwrap_or(600),
            said_at_most: if seed.is_multiple_of(2) { usize::MAX } else { 3 },
        };
        let mut world = Self {
            schedule: Schedule::new(),
            climate,
            db: Database::new(stream, host, climate.said_at_most),
            away_until_us: 0,
            nodes: (0..NODES as u64).map(Node::new).collect(),
            clients: Vec::new(),
            told: BTreeMap::new(),
            came_late: BTreeSet::new(),
            reacted: 0,
            has_killed: false,
            lives: NODES as u64,
            owners: 0,
            generations: 0,
            recalled: 0,
            pages: 0,
            trace: with_trace.then(Vec::new),
            steps: 0,
            chance,
        };
        trace!(world, "{climate:?}");
        for node in 0..NODES {
            world.start_node(node);
        }
        let people: Vec<_> = (0..world.chance.within(1, 4))
            .map(|_| UserId(world.chance.uuid()))
            .collect();
        for n in 0..world.chance.within(2, 6) {
            let user = if n == 0 {
                host
            } else {
                people[world.chance.index(people.len())]
            };
            let variant = Variant {
                format: Format::ALL[world.chance.index(2)],
                deflate: world.chance.percent(30),
            };
            let mut client = Client::new(user, n == 0, variant);
            if world.chance.percent(40) {
                client.bite = usize::try_from(world.chance.within(7, 400)).unwrap_or(7);
                client.rest_us = world.chance.within(500, 60_000);
            }
            world.clients.push(client);
            let first = world.chance.below(400_000);
            let client = world.clients.len() - 1;
            world.after(first, Task::Act(client));
        }
        world.after(climate.trouble_every_us, Task::Trouble);
        world
    }

    /// Has a task done in so many microseconds.
    pub fn after(&mut self, us: u64, task: Task) {
        self.schedule.after(us, &mut self.chance, task);
    }

    /// Has a task done soon: other things may come before it.
    pub fn soon(&mut self, task: Task) {
        let us = self.chance.within(5, 900);
        self.after(us, task);
    }

    pub fn us(&self) -> u64 {
        self.schedule.us()
    }

    /// Whether there may be trouble.
    pub fn is_troubled(&self) -> bool {
        self.us() < TROUBLE_US
    }

    /// The time by the database's clock.
    pub fn db_ms(&self) -> Millis {
        self.schedule.now().ms + self.climate.skew_ms
    }

    pub fn at(&self, node: usize) -> At {
        (node, self.nodes[node].life)
    }

    fn is_alive(&self, (node, life): At) -> bool {
        self.nodes[node].life == life
    }

    /// Runs until everything has settled, or must have.
    pub fn run(&mut self) -> Tally {
        while let Some(task) = self.schedule.next() {
            self.steps += 1;
            if self.us() >= TROUBLE_US && self.steps.is_multiple_of(32) && self.is_settled() {
                break;
            }
            assert!(self.us() < SETTLED_US, "not settled: {}", self.unsettled());
            self.perform(task);
            self.call_on_channels();
            self.check_bounds();
        }
        self.check_end();
        Tally {
            steps: self.steps,
            epochs: self.db.lease.epoch.unsigned_abs(),
            events: self.told.len() as u64,
            acknowledged: self.acknowledged(),
            replays: self.clients.iter().map(|client| client.replays).sum(),
            resyncs: self.clients.iter().map(|client| client.resyncs).sum(),
            granted: self.db.shelf.granted(),
            offered: self.db.shelf.offered(),
            recalled: self.recalled,
            pages: self.pages,
        }
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Inbox(at) if self.is_alive(at) => self.room_takes(at.0),
            Task::Post(at) if self.is_alive(at) => self.room_posts(at.0),
            Task::Wake(at, owner) if self.is_alive(at) => {
                self.with_core(at.0, Some(owner), crate::room::core::Core::wake);
            }
            Task::WakeSale(at, owner, sale) if self.is_alive(at) => {
                self.with_core(at.0, Some(owner), |core, now| core.sale_due(sale, now));
            }
            Task::Inspected(at, owner, inspected) if self.is_alive(at) => {
                self.with_core(at.0, Some(owner), |core, now| core.inspected(inspected, now));
            }
            Task::Lane(at, sale) if self.is_alive(at) => self.serve_lane(at.0, sale),
            Task::LaneDue(at, sale) if self.is_alive(at) => self.lane_due(at.0, sale),
            Task::Tend(at, sale) if self.is_alive(at) => self.tend(at.0, sale),
            Task::Strays(at) if self.is_alive(at) => self.ask(at.0, super::store::Ask::Overdue),
            Task::TellLine(at, sale) if self.is_alive(at) => self.tell_line(at.0, sale),
            Task::ReadNames(at, owner, before) if self.is_alive(at) => self.read_names(at.0, owner, before),
            Task::RoomClock(at, owner) if self.is_alive(at) => self.room_clock(at.0, owner),
            Task::Open(at) if self.is_alive(at) => self.try_to_open(at.0),
            Task::Channel(at, worker) if self.is_alive(at) => self.worker_takes(at.0, worker),
            Task::Mail(at, worker) if self.is_alive(at) => self.worker_mail(at.0, worker),
            Task::WorkerClock(at, worker) if self.is_alive(at) => self.worker_clock(at.0, worker),
            Task::Reactions(at, worker) if self.is_alive(at) => self.pass_reactions(at.0, worker),
            Task::Pump(at, worker, slot, passing) if self.is_alive(at) => {
                let passing = passing
                    .as_ref()
                    .map(|(number, tick)| crate::room::log::Passing { number: *number, tick });
                self.pump(at.0, worker, slot, passing);
            }
            Task::JoinDeadline(at, worker, slot, id) if self.is_alive(at) => self.join_deadline(at.0, worker, slot, id),
            Task::Persist(at) if self.is_alive(at) => self.persist(at.0),
            Task::PersistClock(at) if self.is_alive(at) => {
                self.persist(at.0);
                self.after(100_000, Task::PersistClock(at));
            }
            Task::Feed(at) if self.is_alive(at) => self.look(at.0),
            Task::FeedClock(at) if self.is_alive(at) => {
                self.look(at.0);
                self.after(1_000_000, Task::FeedClock(at));
            }
            Task::Renew(at) if self.is_alive(at) => self.renew(at.0),
            Task::Execute(call) => self.execute(call),
            Task::Answer(call, reply) if self.is_alive(call.from) => self.answer(*call, reply),
            Task::Read(client, place) => self.client_reads(client, place),
            Task::AskAgain(client, request) => self.ask_again(client, request),
            Task::Act(client) => self.client_acts(client),
            Task::Trouble => self.trouble(),
            // Of a node that was killed meanwhile.
            _ => {}
        }
    }

    /// Starts what ticks on a node.
    pub fn start_node(&mut self, node: usize) {
        let at = self.at(node);
        self.after(100_000, Task::PersistClock(at));
        self.after(1_000_000, Task::FeedClock(at));
        self.after(2_000_000, Task::Renew(at));
        self.after(500_000, Task::Strays(at));
        for worker in 0..super::node::WORKERS {
            let first = self.chance.within(1, 1_000_000);
            self.after(first, Task::WorkerClock(at, worker));
        }
    }

    /// Something goes wrong.
    fn trouble(&mut self) {
        if !self.is_troubled() {
            // Payments come to their end too.
            let ms = self.db_ms();
            self.db.capture_all(ms);
            return;
        }
        let node = self.chance.index(NODES);
        let long = self.chance.within(10_000, 5_000_000);
        match self.chance.below(10) {
            0..=2 => {
                trace!(self, "the database is away for {long} us");
                self.away_until_us = self.us() + long;
            }
            3..=4 => {
                trace!(self, "node {node} is cut off from the database for {long} us");
                self.nodes[node].cut_until_us = self.us() + long * 2;
            }
            5..=6 => {
                let worker = self.chance.index(super::node::WORKERS);
                trace!(self, "worker {worker} of node {node} is stuck for {long} us");
                self.nodes[node].workers[worker].stuck_until_us = self.us() + long;
            }
            7 => self.kill(node),
            8 if self.chance.percent(50) => self.db.change_product(),
            8 => {
                let ms = self.db_ms();
                self.db.pay(&mut self.chance, ms);
            }
            _ => {
                let client = self.chance.index(self.clients.len());
                self.hang_up(client);
            }
        }
        let every = self.climate.trouble_every_us;
        let next = self.chance.within(every / 4, every * 2);
        self.after(next, Task::Trouble);
    }

    /// A node dies, and another process starts in its place.
    fn kill(&mut self, node: usize) {
        trace!(self, "node {node} is killed");
        self.has_killed = true;
        self.lives += 1;
        self.nodes[node] = Node::new(self.lives);
        for client in 0..self.clients.len() {
            if self.clients[client].place.is_some_and(|place| place.node == node) {
                self.lost_connection(client);
            }
        }
        self.start_node(node);
    }
}
