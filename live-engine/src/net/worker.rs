//! A worker: one thread, one runtime, one listening socket, and the connections and
//! shards that live there. Nothing of it is shared; others reach it through the router.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;

use actix::Addr;
use shared::error::{ErrorCode, Refusal};
use shared::ids::StreamId;
use shared::protocol::Private;
use slab::Slab;
use tokio_util::sync::CancellationToken;

use super::conn::{Conn, Ending};
use super::poll::{self, Poller};
use super::session::Scratch;
use super::turn::Turn;
use super::{accept, drain, sweep};
use crate::engine::Shared;
use crate::limits::Seat;
use crate::metrics::{self, Present};
use crate::room::shard::Shard;
use crate::room::{self, Opened, Room};
use crate::router::{Inbox, MAX_NEWS_WAITING, Stop, ToWorker, WorkerPost};
use crate::types::{ConnId, HoldAnswer, Notified};

/// The token's time is over: come back with a fresh one.
pub const TOKEN_OVER: u16 = 4001;

/// See the module.
pub struct Worker {
    /// Its number.
    pub index: u16,
    /// What all workers know.
    pub shared: Arc<Shared>,
    /// Cancelled when it stops accepting.
    pub refusing: CancellationToken,
    /// What it looks after in its next turn.
    pub turn: Rc<Turn>,
    /// What it reads with, while nothing is read.
    pub scratch: Cell<Option<Scratch>>,
    registry: mio::Registry,
    conns: RefCell<Slab<Rc<Conn>>>,
    generation: Cell<u32>,
    shards: RefCell<HashMap<StreamId, Rc<Shard>>>,
    /// The rooms whose home this is.
    rooms: RefCell<HashMap<StreamId, Opened>>,
    /// Somebody was shut out since connections were last looked through, and whether they
    /// are being looked through.
    revoked: Cell<bool>,
    turning_out: Cell<bool>,
    /// What people are to be told, and whether they are being told.
    news: RefCell<Vec<Arc<Notified>>>,
    telling: Cell<bool>,
}

/// Runs a worker until it is told to stop.
pub async fn run(index: u16, shared: Arc<Shared>, listener: TcpListener, mut inbox: Inbox) -> io::Result<()> {
    metrics::begin(index);
    let (poller, registry) = Poller::new()?;
    let worker = Rc::new(Worker {
        index,
        shared,
        refusing: CancellationToken::new(),
        turn: Rc::default(),
        scratch: Cell::default(),
        registry,
        conns: RefCell::default(),
        generation: Cell::new(0),
        shards: RefCell::default(),
        rooms: RefCell::default(),
        revoked: Cell::new(false),
        turning_out: Cell::new(false),
        news: RefCell::default(),
        telling: Cell::new(false),
    });
    let listener = tokio::net::TcpListener::from_std(listener)?;
    actix_rt::spawn(accept::accept(worker.clone(), listener));
    actix_rt::spawn(poller.run(worker.clone()));
    actix_rt::spawn(sweep::run(worker.clone()));
    let stop = loop {
        tokio::select! {
            message = inbox.messages.recv() => match message {
                Some(ToWorker::Stop(stop)) => break stop,
                None => break Stop::at_once(),
                Some(message) => worker.receive(message),
            },
            () = inbox.mail.arrived() => worker.collect(inbox.mail.take()),
        }
    };
    // Rooms that have closed have left their last answers there.
    worker.collect(inbox.mail.take());
    drain::send_away(&worker, stop.window, stop.by).await;
    metrics::flush();
    metrics::present(Present::default());
    Ok(())
}

impl Worker {
    /// Takes a new connection in.
    ///
    /// # Errors
    /// When its socket cannot be watched; it is closed then.
    pub fn admit(&self, mut socket: mio::net::TcpStream, seat: Seat) -> io::Result<()> {
        // Where nobody was for a while, no turn has begun since, and a newcomer's deadline
        // would count from then.
        self.turn.begin();
        let mut conns = self.conns.borrow_mut();
        let generation = self.generation.get().wrapping_add(1);
        self.generation.set(generation);
        let entry = conns.vacant_entry();
        let id = ConnId {
            worker: self.index,
            slot: u32::try_from(entry.key()).unwrap_or(u32::MAX),
            generation,
        };
        poll::register(&self.registry, &mut socket, id)?;
        let private_bytes = self.shared.config.limits.private_bytes;
        entry.insert(Conn::new(id, socket, seat, self.turn.clone(), private_bytes));
        Ok(())
    }

    /// Looks after a connection that comes to its end: it leaves its room, and once it is
    /// over, it is let go.
    pub fn part_with(&self, conn: &Rc<Conn>) {
        self.leave(conn);
        if conn.ending() == Ending::Over {
            self.conns.borrow_mut().try_remove(conn.id.slot as usize);
        }
    }

    /// Takes a connection out of its room.
    pub fn leave(&self, conn: &Rc<Conn>) {
        if let Some(shard) = conn.shard() {
            shard.leave(conn);
        }
    }

    /// A connection by its name, if it is still there.
    #[must_use]
    pub fn conn(&self, id: ConnId) -> Option<Rc<Conn>> {
        let conns = self.conns.borrow();
        conns.get(id.slot as usize).filter(|conn| conn.id == id).cloned()
    }

    /// This worker's shard of a room; a new one asks the room's home for it.
    #[must_use]
    pub fn shard(&self, stream: StreamId) -> Rc<Shard> {
        if let Some(shard) = self.shards.borrow().get(&stream) {
            return shard.clone();
        }
        let shard = Shard::new(self.index, stream);
        self.shards.borrow_mut().insert(stream, shard.clone());
        if !self.ask_for(stream) {
            self.close_shard(stream, &ErrorCode::Overloaded.into());
        }
        shard
    }

    /// Asks a room's home for it; false when that takes no more messages.
    fn ask_for(&self, stream: StreamId) -> bool {
        let (router, worker) = (&self.shared.router, self.index);
        router
            .send(router.home(stream), ToWorker::Attach { stream, worker })
            .is_ok()
    }

    /// A room sends what nobody here wants: it has not heard that they have left.
    fn leave_room(&self, stream: StreamId) {
        let (router, worker) = (&self.shared.router, self.index);
        // A home that takes no more hears it with the next batch.
        let _ = router.send(router.home(stream), ToWorker::Detach { stream, worker });
    }

    /// Sends away whoever may not be here any more.
    fn turn_out(self: &Rc<Self>) {
        self.revoked.set(true);
        if self.turning_out.replace(true) {
            return;
        }
        let worker = self.clone();
        actix_rt::spawn(async move {
            while worker.revoked.replace(false) {
                sweep::turn_out(&worker).await;
            }
            worker.turning_out.set(false);
        });
    }

    /// Tells people something, on their connections here.
    fn notify(self: &Rc<Self>, news: Vec<Arc<Notified>>) {
        {
            let mut waiting = self.news.borrow_mut();
            // While connections are gone through, no more than one post waits.
            let room = MAX_NEWS_WAITING.saturating_sub(waiting.len());
            waiting.extend(news.into_iter().take(room));
        }
        if self.telling.replace(true) {
            return;
        }
        let worker = self.clone();
        actix_rt::spawn(async move {
            loop {
                let news = worker.news.take();
                if news.is_empty() {
                    break;
                }
                sweep::tell(&worker, &news).await;
            }
            worker.telling.set(false);
        });
    }

    /// Closes a connection whose owner is shut out; whether it may stay. To be asked in
    /// the turn in which a connection gets to know who it is or where.
    pub fn require_good(&self, conn: &Conn) -> bool {
        let Some(identity) = conn.identity() else { return true };
        let seller = conn.shard().and_then(|shard| shard.seller());
        let now = chrono::Utc::now().timestamp_millis();
        match self.shared.revoked.check(&identity, seller, now) {
            Ok(()) => true,
            Err(refusal) => {
                conn.refuse_by_code(refusal);
                false
            }
        }
    }

    /// Whether a room is open here.
    #[must_use]
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.open_shard(stream).is_some_and(|shard| shard.epoch().is_some())
    }

    fn open_shard(&self, stream: StreamId) -> Option<Rc<Shard>> {
        self.shards.borrow().get(&stream).cloned()
    }

    /// The room's actor, which lives here; started if need be.
    fn room(self: &Rc<Self>, stream: StreamId) -> Result<Addr<Room>, Refusal> {
        let mut rooms = self.rooms.borrow_mut();
        if let Some(open) = rooms.get(&stream).filter(|open| open.is_open()) {
            return Ok(open.room.clone());
        }
        if self.refusing.is_cancelled() || self.shared.router.rooms() >= self.shared.config.limits.rooms {
            return Err(ErrorCode::RoomUnavailable.into());
        }
        let opened = room::open(self.shared.clone(), stream);
        let room = opened.room.clone();
        rooms.insert(stream, opened);
        Ok(room)
    }

    fn receive(self: &Rc<Self>, message: ToWorker) {
        match message {
            ToWorker::Attach { stream, worker } => {
                let attach = room::Attach { worker };
                let sent = self
                    .room(stream)
                    .and_then(|room| room.try_send(attach).map_err(|_| ErrorCode::Overloaded.into()));
                if let Err(refusal) = sent {
                    self.report_unavailable(worker, stream, refusal);
                }
            }
            ToWorker::Detach { stream, worker } => {
                if let Some(open) = self.rooms.borrow().get(&stream) {
                    // A room that takes no more hears it with the next batch.
                    let _ = open.room.try_send(room::Detach { worker });
                }
            }
            ToWorker::Open(stream) => {
                // One that cannot be opened now is found again.
                drop(self.room(stream));
            }
            ToWorker::Request(request, reply) => match self.room(request.stream) {
                Ok(room) => {
                    let command = room::Host::from_bus(*request, reply);
                    // A full mailbox drops the reply's sender, which answers for us.
                    if room.try_send(command).is_err() {
                        tracing::debug!("a room has too many messages to take a host's command");
                    }
                }
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
            ToWorker::Attached(attached) => {
                match self.open_shard(attached.stream) {
                    Some(shard) => shard.attached(*attached),
                    // Whoever wanted in has left meanwhile.
                    None => self.leave_room(attached.stream),
                }
            }
            ToWorker::Unavailable(stream, refusal) => self.close_shard(stream, &refusal),
            ToWorker::Batch(stream, batch) => match self.open_shard(stream) {
                Some(shard) => {
                    if !shard.take(&batch) {
                        tracing::error!(%stream, "a shard missed a batch; its viewers have to come back");
                        self.close_shard(stream, &ErrorCode::RoomUnavailable.into());
                    }
                }
                None => self.leave_room(stream),
            },
            ToWorker::Powers(stream, epoch, powers) => {
                if let Some(shard) = self.open_shard(stream) {
                    shard.empower(epoch, powers);
                }
            }
            ToWorker::Personal(stream, user, message) => {
                if let Some(shard) = self.open_shard(stream) {
                    shard.tell(user, &message);
                }
            }
            ToWorker::Gone(stream, epoch) => {
                if self
                    .open_shard(stream)
                    .is_some_and(|shard| shard.epoch() == Some(epoch))
                {
                    self.close_shard(stream, &ErrorCode::RoomUnavailable.into());
                }
            }
            ToWorker::Over(stream, epoch) => {
                let shard = self.open_shard(stream).filter(|shard| shard.epoch() == Some(epoch));
                if let Some(shard) = shard {
                    shard.farewell();
                }
            }
            ToWorker::Refuse(done) => {
                self.refusing.cancel();
                // What was taken is counted by the rooms before they close.
                for shard in self.shards.borrow().values() {
                    shard.pass_on_reactions();
                }
                // The engine may have given up waiting.
                let _ = done.send(());
            }
            ToWorker::CloseRooms(by, done) => {
                let rooms: Vec<_> = self.rooms.borrow_mut().drain().map(|(_, open)| open.room).collect();
                actix_rt::spawn(async move {
                    let closing = rooms.into_iter().map(|room| room.send(room::Close { by }));
                    futures_util::future::join_all(closing).await;
                    // The engine may have given up waiting.
                    let _ = done.send(());
                });
            }
            ToWorker::Stop(_) => {}
        }
    }

    fn report_unavailable(&self, worker: u16, stream: StreamId, refusal: Refusal) {
        let report = ToWorker::Unavailable(stream, refusal);
        if self.shared.router.send(worker, report).is_err() {
            tracing::warn!(%stream, "a worker has too many messages to hear that a room is not available");
        }
    }

    /// Gives a shard up; whoever is or wants to be in it is sent away to come back.
    fn close_shard(&self, stream: StreamId, refusal: &Refusal) {
        let shard = self.shards.borrow_mut().remove(&stream);
        if let Some(shard) = shard {
            shard.close(refusal);
        }
    }

    fn collect(self: &Rc<Self>, post: WorkerPost) {
        if post.revoked {
            self.turn_out();
        }
        if !post.news.is_empty() {
            self.notify(post.news);
        }
        for (id, message) in post.replies {
            if let Some(conn) = self.conn(id) {
                conn.send(&message);
            }
        }
        for HoldAnswer { conn, id, result } in post.answers {
            metrics::command("hold", result.is_err());
            if let Some(conn) = self.conn(conn) {
                conn.answer(id, result);
            }
        }
        for (stream, user, hold) in post.holds {
            if let Some(shard) = self.open_shard(stream) {
                shard.tell(user, &Private::Reservation(hold));
            }
        }
        for ((stream, user, _), place) in post.places {
            if let Some(shard) = self.open_shard(stream) {
                shard.tell(user, &Private::Waiting(place));
            }
        }
    }

    /// The connections in `count` places from `from` on; `None` beyond the last place.
    #[must_use]
    pub fn conns_from(&self, from: usize, count: usize) -> Option<Vec<Rc<Conn>>> {
        let conns = self.conns.borrow();
        let places = from..from + count;
        (from < conns.capacity()).then(|| places.filter_map(|slot| conns.get(slot).cloned()).collect())
    }

    /// Lets go of shards that nobody watches and of rooms that have closed.
    pub fn sweep_rooms(&self) {
        let idle = self.shared.config.limits.room_idle;
        self.shards.borrow_mut().retain(|_, shard| !shard.detach_if_idle(idle));
        let mut orphans = Vec::new();
        for (stream, shard) in &*self.shards.borrow() {
            if shard.is_opening() {
                // The question or its answer may have met a full channel. Asked twice, a room
                // answers twice, and a shard takes what is later.
                self.ask_for(*stream);
            } else if shard.is_orphaned() {
                orphans.push(*stream);
            }
        }
        for stream in orphans {
            tracing::warn!(%stream, "a room has ended unheard; its viewers have to come back");
            self.close_shard(stream, &ErrorCode::RoomUnavailable.into());
        }
        self.rooms.borrow_mut().retain(|_, open| open.is_open());
    }

    /// Connections at present.
    #[must_use]
    pub fn count_conns(&self) -> usize {
        self.conns.borrow().len()
    }

    /// Rooms that live here, and those that are watched here.
    #[must_use]
    pub fn count_rooms(&self) -> (usize, usize) {
        (self.rooms.borrow().len(), self.shards.borrow().len())
    }

    /// Whether all connections that are there are so.
    #[must_use]
    pub fn all(&self, is_so: impl Fn(&Conn) -> bool) -> bool {
        self.conns.borrow().iter().all(|(_, conn)| is_so(conn))
    }
}
