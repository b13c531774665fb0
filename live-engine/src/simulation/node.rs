//! A process of the engine as far as one room concerns it: the room, the workers with
//! their shards and connections, and the persister. Only what holds them together is
//! played; what they decide is the production code.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};

use shared::error::Refusal;
use shared::ids::{RequestId, ReservationId, SaleId, StreamId, UserId};
use shared::protocol::{Position, Private};
use tokio::time::Instant;
use uuid::Uuid;

use crate::net::frame;
use crate::net::writer::{Pumped, Writer};
use crate::persist::Queue;
use crate::persist::sums::Sums;
use crate::persist::work::Work;
use crate::room::batch::{self, Batch};
use crate::room::core::Core;
use crate::room::log::{Passing, Variant};
use crate::room::mirror::Mirror;
use crate::room::reach::{Reach, Workers};
use crate::room::{Asker, Host, Say};
use crate::router::{Load, RoomPost};
use crate::sale::batch::Batch as Buyers;
use crate::sale::lanes::Lanes;
use crate::sale::line::Line;

/// Workers of a node.
pub const WORKERS: usize = 2;
/// Messages that may wait for a worker: few, so that waiting is met.
const CHANNEL: usize = 6;
/// Messages that may wait for a room.
const INBOX: usize = 24;
/// What may wait for one connection alone.
const PRIVATE_BYTES: usize = 6 * 1024;

/// What a worker is sent in order.
pub enum ToWorker {
    Attached(Box<Mirror>),
    Batch(Arc<Batch>),
    Personal(UserId, Private),
    Gone(i64),
    Unavailable(Refusal),
}

/// The channels to a node's workers.
#[derive(Default)]
pub struct Channels {
    queues: [Mutex<VecDeque<ToWorker>>; WORKERS],
}

impl Channels {
    pub fn pop(&self, worker: usize) -> Option<ToWorker> {
        self.queues[worker].lock().expect("one thread").pop_front()
    }

    pub fn len(&self, worker: usize) -> usize {
        self.queues[worker].lock().expect("one thread").len()
    }
}

impl Workers for Channels {
    type Message = ToWorker;

    fn count(&self) -> usize {
        WORKERS
    }

    fn send(&self, worker: u16, message: ToWorker) -> Result<(), ToWorker> {
        let mut queue = self.queues[usize::from(worker)].lock().expect("one thread");
        if queue.len() >= CHANNEL {
            return Err(message);
        }
        queue.push_back(message);
        Ok(())
    }

    fn gone(_: StreamId, epoch: i64) -> ToWorker {
        ToWorker::Gone(epoch)
    }
}

/// What a room is sent in order.
pub enum ToRoom {
    Attach(u16),
    Detach(u16),
    Say(Say),
    React(BTreeMap<&'static str, u64>),
    Host(Host),
}

/// A room on its node.
pub enum Room {
    None,
    Opening {
        workers: Vec<u16>,
        hosts: Vec<Host>,
        give_up_us: u64,
    },
    Open(Box<Owner>),
}

/// An open room.
pub struct Owner {
    /// Tells it from the node's next one.
    pub number: u64,
    pub epoch: i64,
    pub core: Core,
    pub reach: Reach<Channels>,
    pub load: Arc<Load>,
    /// Who waits for the host's command that is under way.
    pub asker: Option<Asker>,
}

/// A connection that a worker has.
pub struct Conn {
    pub client: usize,
    pub generation: u32,
    pub user: UserId,
    pub variant: Variant,
    pub writer: Writer,
    /// What the client has not taken yet, and how much of it there may be.
    pub line: Vec<u8>,
    pub line_room: usize,
    /// The id and `since` of a join under way.
    pub joining: Option<(u64, Option<Position>)>,
    pub joined: bool,
    /// Private messages that wait until a join has been answered.
    pub held_back: Vec<Private>,
    pub is_closing: bool,
    /// The last frame is on the line.
    pub parted: bool,
}

impl Conn {
    pub fn new(client: usize, generation: u32, user: UserId, variant: Variant, line_room: usize) -> Self {
        Self {
            client,
            generation,
            user,
            variant,
            writer: Writer::new(PRIVATE_BYTES),
            line: Vec::new(),
            line_room,
            joining: None,
            joined: false,
            held_back: Vec::new(),
            is_closing: false,
            parted: false,
        }
    }

    /// Sends to this connection alone, as production does: too much ends it.
    pub fn send(&mut self, messages: &[Private], mirror: Option<&Mirror>) {
        let mut frames = Vec::new();
        for message in messages {
            frames.extend(batch::message(self.variant.format, message).expect("every message can be encoded"));
        }
        if self.writer.push(&frames).is_err() {
            self.too_slow();
        }
        self.pump(mirror, None);
    }

    /// A message about its owner: after the answer to a join that is under way.
    pub fn tell(&mut self, message: &Private, mirror: Option<&Mirror>) {
        if self.joining.is_some() {
            self.held_back.push(message.clone());
        } else {
            self.send(std::slice::from_ref(message), mirror);
        }
    }

    /// Writes as much as the line takes, and what may be missed with it.
    pub fn pump(&mut self, mirror: Option<&Mirror>, passing: Option<Passing<'_>>) {
        let Self { writer, line, .. } = self;
        let room = self.line_room;
        let write = |bytes: &[u8]| take(line, room, bytes);
        match writer.pump(mirror.map(Mirror::log), self.variant, passing, write) {
            Pumped::Drained | Pumped::Blocked => {}
            Pumped::Finished => self.parted = true,
            Pumped::TooSlow => {
                self.too_slow();
                self.pump(None, None);
            }
            Pumped::Dead => panic!("the line is never dead"),
        }
    }

    fn too_slow(&mut self) {
        if !self.is_closing {
            self.writer.abandon();
            self.close(4008);
        }
    }

    /// Ends it, after what is queued for it.
    pub fn close(&mut self, code: u16) {
        if !self.is_closing {
            self.is_closing = true;
            self.joined = false;
            self.joining = None;
            self.writer.close(&frame::close(Some(code), ""));
        }
    }
}

fn take(line: &mut Vec<u8>, room: usize, bytes: &[u8]) -> io::Result<usize> {
    let free = room.saturating_sub(line.len());
    if free == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let taken = free.min(bytes.len());
    line.extend_from_slice(&bytes[..taken]);
    Ok(taken)
}

/// A worker's shard of the room.
pub enum Shard {
    None,
    /// The room has been asked for; connections that join wait.
    Opening,
    Open(Box<Mirror>),
}

/// A worker.
pub struct Worker {
    pub shard: Shard,
    pub conns: BTreeMap<u32, Conn>,
    /// Rooms' answers.
    pub replies: Vec<(crate::types::ConnId, Private)>,
    pub reactions: BTreeMap<&'static str, u64>,
    pub slots: u32,
    /// Ticks with something that may be missed, ever.
    pub passed: u64,
    /// Tasks that are on their way already.
    pub is_called: bool,
    pub has_mail: bool,
    /// Until when it does nothing.
    pub stuck_until_us: u64,
    pub empty_since_us: u64,
}

impl Worker {
    fn new() -> Self {
        Self {
            shard: Shard::None,
            conns: BTreeMap::new(),
            replies: Vec::new(),
            reactions: BTreeMap::new(),
            slots: 0,
            passed: 0,
            is_called: false,
            has_mail: false,
            stuck_until_us: 0,
            empty_since_us: 0,
        }
    }

    pub fn mirror(&self) -> Option<&Mirror> {
        match &self.shard {
            Shard::Open(mirror) => Some(mirror),
            Shard::None | Shard::Opening => None,
        }
    }

    /// Connections in the room.
    pub fn members(&self) -> usize {
        self.conns.values().filter(|conn| conn.joined).count()
    }

    /// Does something with a connection and the room as it is known here.
    pub fn with<T>(&mut self, slot: u32, act: impl FnOnce(&mut Conn, Option<&Mirror>) -> T) -> Option<T> {
        let mirror = match &self.shard {
            Shard::Open(mirror) => Some(&**mirror),
            Shard::None | Shard::Opening => None,
        };
        self.conns.get_mut(&slot).map(|conn| act(conn, mirror))
    }

    /// Gives the shard up: whoever is or wants to be in it is sent away or told.
    pub fn close_shard(&mut self, refusal: &Refusal) {
        self.shard = Shard::None;
        for conn in self.conns.values_mut() {
            if let Some((id, _)) = conn.joining.take() {
                let answer = Private::Error {
                    id: Some(id),
                    refusal: refusal.clone(),
                };
                conn.send(&[answer], None);
            } else if conn.joined {
                conn.close(4000);
                conn.pump(None, None);
            }
        }
    }
}

/// A lane, and whoever serves it.
#[derive(Default)]
pub struct Lane {
    pub batch: Option<Buyers>,
    /// It waits for the database.
    pub is_asking: bool,
    /// Nobody serves it.
    pub is_idle: bool,
    /// The batch has not been asked for yet.
    pub is_new: bool,
    /// Who came last of those who were asked for.
    pub asked_up_to: u64,
}

/// A buyer who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Pressed {
    pub us: u64,
    pub sale: SaleId,
    pub user: UserId,
    pub request: RequestId,
    /// The request had got something already.
    pub has_got: bool,
}

/// A sale whose time is kept.
pub struct Tended {
    pub due: Instant,
    pub line: Line,
    pub is_asking: bool,
    pub is_telling: bool,
    pub is_closed: bool,
}

impl Tended {
    pub const fn new(line: Line, due: Instant) -> Self {
        Self {
            due,
            line,
            is_asking: false,
            is_telling: false,
            is_closed: false,
        }
    }
}

/// What the feed knows.
#[derive(Default)]
pub struct Feed {
    /// When a row was handed over last.
    pub handed: BTreeMap<Uuid, u64>,
    pub marks: Vec<(Uuid, i64)>,
    pub is_looking: bool,
}

/// See the module.
pub struct Node {
    /// Tells it from what it was before it was killed.
    pub life: u64,
    pub room: Room,
    pub inbox: VecDeque<ToRoom>,
    pub inbox_called: bool,
    pub post: RoomPost,
    pub post_called: bool,
    pub channels: Arc<Channels>,
    pub workers: Vec<Worker>,
    pub queue: Arc<Queue>,
    pub work: Option<Work>,
    pub sums: Sums,
    /// The persister waits for an answer.
    pub is_storing: bool,
    pub persist_called: bool,
    pub pause_us: u64,
    pub reactions_due_us: u64,
    pub feed: Feed,
    pub lanes: Lanes,
    pub serving: BTreeMap<SaleId, Lane>,
    /// Who waits for an answer, by connection and command.
    pub pressed: BTreeMap<(u32, u64), Pressed>,
    /// How many came, and as which of them an ask did.
    pub presses: u64,
    pub arrived: BTreeMap<ReservationId, u64>,
    pub tended: BTreeMap<SaleId, Tended>,
    /// Until when its line to the database is cut.
    pub cut_until_us: u64,
}

impl Node {
    pub fn new(life: u64) -> Self {
        Self {
            life,
            room: Room::None,
            inbox: VecDeque::new(),
            inbox_called: false,
            post: RoomPost::default(),
            post_called: false,
            channels: Arc::default(),
            workers: (0..WORKERS).map(|_| Worker::new()).collect(),
            queue: Arc::default(),
            work: None,
            sums: Sums::default(),
            is_storing: false,
            persist_called: false,
            pause_us: FIRST_PAUSE_US,
            reactions_due_us: 0,
            feed: Feed::default(),
            lanes: Lanes::default(),
            serving: BTreeMap::new(),
            pressed: BTreeMap::new(),
            presses: 0,
            arrived: BTreeMap::new(),
            tended: BTreeMap::new(),
            cut_until_us: 0,
        }
    }

    /// The open room with this number, or any.
    pub fn owner(&mut self, number: Option<u64>) -> Option<&mut Owner> {
        match &mut self.room {
            Room::Open(owner) if number.is_none_or(|number| number == owner.number) => Some(owner),
            Room::Open(_) | Room::Opening { .. } | Room::None => None,
        }
    }

    /// Puts a message in the room's inbox; false when that is full.
    pub fn send(&mut self, message: ToRoom) -> bool {
        let fits = self.inbox.len() < INBOX;
        if fits {
            self.inbox.push_back(message);
        }
        fits
    }
}

/// The first pause of the persister while the database is away.
pub const FIRST_PAUSE_US: u64 = 20_000;
