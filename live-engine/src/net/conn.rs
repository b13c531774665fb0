//! A connection: one socket, one writer, and what its worker knows about who is there.
//!
//! It lives and dies on its worker, so plain cells hold its state; no borrow is kept
//! across an await. Only a connection whose socket takes no more has a task of its own
//! for writing, and only until it has caught up.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use governor::DefaultDirectRateLimiter;
use serde::Serialize;
use shared::error::{ErrorCode, Refusal};
use shared::protocol::{Format, Outcome, Private};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::frame;
use super::writer::{Pumped, Writer};
use crate::auth::Identity;
use crate::limits::Seat;
use crate::metrics;
use crate::room::batch;
use crate::room::shard::Shard;
use crate::types::ConnId;

/// How long a connection that was told to close may take to take its leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// How far a connection's end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It goes on.
    No,
    /// A close frame is queued or sent; the other side may still answer.
    Closing,
    /// The socket is of no use any more.
    Over,
}

/// See the module.
pub struct Conn {
    /// Its name in the engine.
    pub id: ConnId,
    /// The socket; reading is for the connection's own task only.
    pub socket: TcpStream,
    /// How its frames are written; known after the handshake.
    pub format: Cell<Format>,
    /// Its commands' rate.
    pub commands: DefaultDirectRateLimiter,
    /// Its place among the connections.
    pub seat: RefCell<Seat>,
    /// When something last came.
    pub heard: Cell<Instant>,
    /// When it was last pinged.
    pub pinged: Cell<Instant>,
    /// Until when it may stay, in seconds since the Unix epoch.
    pub expires_at: Cell<i64>,
    /// The newest ephemeral tick it was offered.
    pub offered: Cell<u64>,
    /// Its place among its shard's members.
    pub member: Cell<usize>,
    identity: RefCell<Option<Rc<Identity>>>,
    writer: RefCell<Writer>,
    shard: RefCell<Option<Rc<Shard>>>,
    /// Private messages that wait until a join has been answered.
    held_back: RefCell<Option<Vec<Private>>>,
    draining: Cell<bool>,
    ending: Cell<Ending>,
    /// The close frame has left.
    parted: Cell<bool>,
    ended: Notify,
}

impl Conn {
    /// A connection that has not said anything yet.
    #[must_use]
    pub fn new(
        id: ConnId,
        socket: TcpStream,
        seat: Seat,
        commands: DefaultDirectRateLimiter,
        max_private_bytes: usize,
    ) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            id,
            socket,
            format: Cell::new(Format::Json),
            commands,
            seat: RefCell::new(seat),
            heard: Cell::new(now),
            pinged: Cell::new(now),
            expires_at: Cell::new(i64::MAX),
            offered: Cell::new(0),
            member: Cell::new(usize::MAX),
            identity: RefCell::new(None),
            writer: RefCell::new(Writer::new(max_private_bytes)),
            shard: RefCell::new(None),
            held_back: RefCell::new(None),
            draining: Cell::new(false),
            ending: Cell::new(Ending::No),
            parted: Cell::new(false),
            ended: Notify::new(),
        })
    }

    /// Who is there, once proven.
    #[must_use]
    pub fn identity(&self) -> Option<Rc<Identity>> {
        self.identity.borrow().clone()
    }

    /// Notes who is there and for how long.
    pub fn identify(&self, identity: Identity, expires_at: i64) {
        *self.identity.borrow_mut() = Some(Rc::new(identity));
        self.expires_at.set(expires_at);
    }

    /// The room that it has joined.
    #[must_use]
    pub fn shard(&self) -> Option<Rc<Shard>> {
        self.shard.borrow().clone()
    }

    /// Enters or leaves a room: `place` is the first tick it is to get.
    pub fn enter(&self, shard: Option<Rc<Shard>>, place: Option<u64>) {
        *self.shard.borrow_mut() = shard;
        self.writer.borrow_mut().follow(place);
    }

    /// Keeps what is for this connection alone until [`Self::release`].
    pub fn hold_back(&self) {
        self.held_back.borrow_mut().get_or_insert_default();
    }

    /// Sends what was held back.
    pub fn release(self: &Rc<Self>) {
        let held = self.held_back.borrow_mut().take();
        for message in held.into_iter().flatten() {
            self.send(&message);
        }
    }

    /// Tells this connection's owner something about themselves; after the answer to a
    /// join that is under way.
    pub fn tell(self: &Rc<Self>, message: &Private) {
        if let Some(held) = self.held_back.borrow_mut().as_mut() {
            // More than this and the join's own snapshot says it anyway.
            if held.len() < 256 {
                held.push(message.clone());
            }
            return;
        }
        self.send(message);
    }

    /// Sends one message to this connection alone.
    pub fn send(self: &Rc<Self>, message: &Private) {
        self.send_all(std::slice::from_ref(message));
    }

    /// Sends messages to this connection alone, as one write.
    pub fn send_all<T: Serialize>(self: &Rc<Self>, messages: &[T]) {
        let mut frames = Vec::new();
        for message in messages {
            match batch::message(self.format.get(), message) {
                Ok(frame) => frames.extend_from_slice(&frame),
                Err(error) => tracing::error!(%error, "a message could not be encoded"),
            }
        }
        self.send_raw(&frames);
    }

    /// Answers a command.
    pub fn answer(self: &Rc<Self>, id: u64, result: Result<Outcome, Refusal>) {
        match result {
            Ok(outcome) => self.send(&Private::Reply { id, outcome }),
            Err(refusal) => self.send(&Private::Error { id: Some(id), refusal }),
        }
    }

    /// Queues bytes that are whole frames (or, before the upgrade, the response) and
    /// writes what the socket takes. A connection that lets too much pile up is closed.
    pub fn send_raw(self: &Rc<Self>, frames: &[u8]) {
        let pushed = self.writer.borrow_mut().push(frames);
        match pushed {
            Ok(()) => self.pump(true),
            Err(_full) => self.too_slow(),
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn pump(self: &Rc<Self>, ephemeral: bool) {
        if self.draining.get() || self.ending.get() == Ending::Over {
            return;
        }
        let pumped = self.write_out(ephemeral);
        self.follow_up(pumped);
    }

    /// Offers the frames of a tick that may be missed.
    pub fn offer(self: &Rc<Self>, tick: u64, frames: &Bytes) {
        if self.offered.replace(tick) == tick || self.draining.get() || self.ending.get() != Ending::No {
            return;
        }
        let pumped = {
            let shard = self.shard.borrow();
            let Some(shard) = shard.as_ref() else { return };
            let Some(log) = shard.log() else { return };
            self.writer.borrow_mut().offer(&log, frames, |bytes| self.write(bytes))
        };
        self.follow_up(pumped);
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.socket.try_write(bytes);
        if let Ok(n) = written {
            metrics::wrote(n);
        }
        written
    }

    fn write_out(&self, ephemeral: bool) -> Pumped {
        let shard = self.shard.borrow();
        let log = shard.as_ref().and_then(|shard| shard.log());
        self.writer
            .borrow_mut()
            .pump(log.as_deref(), self.format.get(), ephemeral, |bytes| self.write(bytes))
    }

    fn follow_up(self: &Rc<Self>, pumped: Pumped) {
        match pumped {
            Pumped::Drained => {}
            Pumped::Blocked => self.drain(),
            Pumped::TooSlow => self.too_slow(),
            Pumped::Finished | Pumped::Dead if self.ending.get() == Ending::Over => {}
            Pumped::Finished => {
                self.parted.set(true);
                self.ended.notify_waiters();
            }
            Pumped::Dead => self.end(),
        }
    }

    /// Writes on whenever the socket takes something, until nothing waits.
    fn drain(self: &Rc<Self>) {
        if self.draining.replace(true) {
            return;
        }
        metrics::lagging();
        let conn = self.clone();
        actix_rt::spawn(async move {
            let pumped = loop {
                let over = conn.ended.notified();
                if conn.ending.get() == Ending::Over {
                    break Pumped::Dead;
                }
                let writable = tokio::select! {
                    writable = conn.socket.writable() => writable.is_ok(),
                    () = over => continue,
                };
                if !writable {
                    break Pumped::Dead;
                }
                match conn.write_out(false) {
                    Pumped::Blocked => {}
                    // The close frame may still be taken: go on until the farewell is over.
                    Pumped::TooSlow => conn.give_up(),
                    done => break done,
                }
            };
            conn.draining.set(false);
            conn.follow_up(pumped);
        });
    }

    fn too_slow(self: &Rc<Self>) {
        self.give_up();
        self.pump(false);
    }

    /// A reader that is too slow: what waits for it is dropped, and it is told to resume
    /// if it still reads that.
    fn give_up(&self) {
        if self.ending.get() != Ending::No {
            return;
        }
        metrics::closed_slow();
        let (code, detail) = (ErrorCode::TooSlow.close_code(), ErrorCode::TooSlow.title());
        let mut writer = self.writer.borrow_mut();
        writer.abandon();
        writer.close(&frame::close(code.unwrap_or(4008), detail));
        self.ending.set(Ending::Closing);
        self.ended.notify_waiters();
    }

    /// Closes the connection with a code, after what is queued for it.
    pub fn close(self: &Rc<Self>, code: u16, reason: &str) {
        if self.ending.get() != Ending::No {
            return;
        }
        self.writer.borrow_mut().close(&frame::close(code, reason));
        self.ending.set(Ending::Closing);
        self.pump(false);
        self.ended.notify_waiters();
    }

    /// Closes the connection for a refusal that ends it, and says so first.
    pub fn refuse(self: &Rc<Self>, refusal: Refusal, code: u16) {
        let detail = refusal.detail.clone();
        self.send(&Private::Error { id: None, refusal });
        self.close(code, &detail);
    }

    /// The socket is of no use any more.
    pub fn end(&self) {
        self.ending.set(Ending::Over);
        self.ended.notify_waiters();
    }

    /// How far its end has come.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending.get()
    }

    /// Whether the close frame has left, or nothing can any more.
    #[must_use]
    pub fn has_parted(&self) -> bool {
        self.parted.get() || self.ending.get() == Ending::Over
    }

    /// Waits until the connection is closing or over.
    pub async fn closing(&self) {
        loop {
            let ended = self.ended.notified();
            if self.ending.get() != Ending::No {
                return;
            }
            ended.await;
        }
    }

    /// Lets the response to a request that became no WebSocket get out.
    pub async fn farewell_to_http(&self) {
        if self.ending.get() == Ending::No {
            self.parted.set(true);
            self.farewell().await;
        }
    }

    /// Lets the last frames get out: waits until the other side has closed, or for a few
    /// seconds. Once the close frame has left, our half of the socket is closed, as it is
    /// for the server to do first (RFC 6455, 7.1.1). What still comes is read and dropped,
    /// because a socket closed with unread bytes is reset and would take the close frame
    /// with it.
    pub async fn farewell(&self) {
        let drop_what_comes = async {
            let mut scratch = [0_u8; 512];
            let mut half_closed = false;
            while self.ending.get() != Ending::Over {
                let ended = self.ended.notified();
                if self.parted.get() && !half_closed {
                    half_closed = true;
                    // An error means that the other side is gone already.
                    let _ = socket2::SockRef::from(&self.socket).shutdown(std::net::Shutdown::Write);
                }
                tokio::select! {
                    ready = self.socket.readable() => if ready.is_err() { return },
                    () = ended => continue,
                }
                match self.socket.try_read(&mut scratch) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Ok(_) | Err(_) => return,
                }
            }
        };
        // An error means that the time is up.
        let _ = tokio::time::timeout(FAREWELL, drop_what_comes).await;
        self.end();
    }
}
