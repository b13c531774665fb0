//! A connection: one socket, one writer, and what its worker knows about who is there.
//!
//! It lives and dies on its worker, so plain cells hold its state; no borrow is kept
//! across an await. It has no task, no timer and no buffer of its own: its worker reads
//! from it and writes to it when the socket is ready, and looks after its deadlines once
//! a second. Whatever it needs beyond that is there only while it is needed.

use std::cell::{Cell, RefCell};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown};
use std::rc::Rc;
use std::time::Duration;

use mio::net::TcpStream;
use serde::Serialize;
use shared::error::{ErrorCode, Refusal};
use shared::protocol::{Format, Outcome, Private};
use uuid::Uuid;

use super::frame;
use super::session::Input;
use super::turn::{Moment, Turn};
use super::writer::{Pumped, Writer};
use crate::auth::Identity;
use crate::limits::{Meter, Seat};
use crate::metrics::{self, Parting};
use crate::room::batch;
use crate::room::log::{Passing, Variant};
use crate::room::shard::Shard;
use crate::types::ConnId;

/// How many private messages are kept while a join is under way. More than this, and the
/// join's own snapshot says it anyway.
const MAX_HELD_BACK: usize = 256;

/// Commands refused for their rate before a connection is closed, and the pause between
/// two of them after which they are counted anew.
const MAX_REFUSALS: u16 = 200;
const REPENTANCE: Duration = Duration::from_secs(5);

/// How far a connection's end has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    /// It goes on.
    No,
    /// A close frame is queued or sent; the other side may still answer.
    Closing,
    /// The socket is of no use any more.
    Over,
}

/// A connection's last join.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Joined {
    /// How many came before it.
    pub count: u32,
    /// The room's last number then.
    pub seq: u64,
}

/// See the module.
pub struct Conn {
    /// Its name in the engine.
    pub id: ConnId,
    /// How its frames are written; known after the handshake.
    pub format: Cell<Format>,
    /// Whether its room's frames may be compressed; known after the handshake.
    pub deflate: Cell<bool>,
    /// Its commands' rate.
    pub commands: Meter,
    /// Commands refused for their rate without a pause between them, and when the last was.
    refusals: Cell<u16>,
    refused: Cell<Moment>,
    /// Its joins' rate.
    pub joins: Meter,
    /// Its place among the connections.
    pub seat: RefCell<Seat>,
    /// What was read and is not whole, and in which part of the dialogue.
    pub input: RefCell<Input>,
    /// When it came to this part of its dialogue.
    pub since: Cell<Moment>,
    /// When something last came.
    pub heard: Cell<Moment>,
    /// When it was last pinged.
    pub pinged: Cell<Moment>,
    /// When it began what is still not whole.
    pub begun: Cell<Option<Moment>>,
    /// Until when it may stay, in seconds since the Unix epoch.
    pub expires_at: Cell<i64>,
    /// The newest ephemeral tick it was offered.
    pub offered: Cell<u64>,
    /// Its place among its shard's members.
    pub member: Cell<usize>,
    /// Its last join.
    pub joined: Cell<Joined>,
    socket: TcpStream,
    turn: Rc<Turn>,
    identity: RefCell<Option<Rc<Identity>>>,
    writer: RefCell<Writer>,
    shard: RefCell<Option<Rc<Shard>>>,
    /// Private messages that wait until a join has been answered.
    #[allow(clippy::box_collection, reason = "most of the time there are none, in eight bytes")]
    held_back: RefCell<Option<Box<Vec<Private>>>>,
    /// When the socket last took something.
    took: Cell<Moment>,
    /// The socket takes no more until it says so.
    blocked: Cell<bool>,
    /// It is on the worker's list of those to read from.
    unread: Cell<bool>,
    ending: Cell<Ending>,
    /// The close frame has left.
    parted: Cell<bool>,
}

impl Conn {
    /// A connection that has not said anything yet.
    #[must_use]
    pub fn new(id: ConnId, socket: TcpStream, seat: Seat, turn: Rc<Turn>, max_private_bytes: usize) -> Rc<Self> {
        let now = turn.now();
        Rc::new(Self {
            id,
            format: Cell::new(Format::Json),
            deflate: Cell::new(false),
            commands: Meter::default(),
            refusals: Cell::new(0),
            refused: Cell::new(now),
            joins: Meter::default(),
            seat: RefCell::new(seat),
            input: RefCell::default(),
            since: Cell::new(now),
            heard: Cell::new(now),
            pinged: Cell::new(now),
            begun: Cell::new(None),
            expires_at: Cell::new(i64::MAX),
            offered: Cell::new(0),
            member: Cell::new(usize::MAX),
            joined: Cell::default(),
            socket,
            turn,
            identity: RefCell::new(None),
            writer: RefCell::new(Writer::new(max_private_bytes)),
            shard: RefCell::new(None),
            held_back: RefCell::new(None),
            took: Cell::new(now),
            blocked: Cell::new(false),
            unread: Cell::new(false),
            ending: Cell::new(Ending::No),
            parted: Cell::new(false),
        })
    }

    /// How it gets its room's frames.
    #[must_use]
    pub const fn variant(&self) -> Variant {
        Variant {
            format: self.format.get(),
            deflate: self.deflate.get(),
        }
    }

    /// The other end's address; a socket without one has no use, and is told so later.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        self.socket.peer_addr().map_or(unknown, |peer| peer.ip())
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

    /// By whom its rates are counted, once that is known.
    #[must_use]
    pub fn person(&self) -> Option<Uuid> {
        self.identity.borrow().as_ref().map(|identity| identity.person())
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
    pub fn release(&self) {
        let held = self.held_back.borrow_mut().take();
        for message in held.into_iter().flat_map(|held| *held) {
            self.send(&message);
        }
    }

    /// Tells this connection's owner something about themselves; after the answer to a
    /// join that is under way.
    pub fn tell(&self, message: &Private) {
        if let Some(held) = self.held_back.borrow_mut().as_mut() {
            if held.len() < MAX_HELD_BACK {
                held.push(message.clone());
            }
            return;
        }
        self.send(message);
    }

    /// Sends one message to this connection alone.
    pub fn send(&self, message: &Private) {
        self.send_all(std::slice::from_ref(message));
    }

    /// Sends messages to this connection alone, as one write.
    pub fn send_all<T: Serialize>(&self, messages: &[T]) {
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
    pub fn answer(&self, id: u64, result: Result<Outcome, Refusal>) {
        match result {
            Ok(outcome) => self.send(&Private::Reply { id, outcome }),
            Err(refusal) => self.send(&Private::Error { id: Some(id), refusal }),
        }
    }

    /// Sends bytes that are whole frames (or the response to the upgrade): what the socket
    /// takes at once, the rest when it takes more. A connection that lets too much pile up
    /// is closed.
    pub fn send_raw(&self, frames: &[u8]) {
        if self.ending.get() == Ending::Over {
            return;
        }
        let sent = if self.blocked.get() {
            let pushed = self.writer.borrow_mut().push(frames);
            pushed.map(|()| Pumped::Blocked)
        } else {
            self.writer.borrow_mut().send(frames, |bytes| self.write(bytes))
        };
        match sent {
            Ok(pumped) => self.follow_up(pumped),
            Err(_full) => self.too_slow(),
        }
    }

    /// Writes what waits, as far as the socket takes it, and `passing` with it unless it
    /// was offered before. Whether anything was written.
    pub fn pump(&self, passing: Option<Passing<'_>>) -> bool {
        if self.ending.get() == Ending::Over {
            return false;
        }
        let passing = passing.filter(|passing| self.offered.replace(passing.number) != passing.number);
        if self.blocked.get() {
            if passing.is_some() {
                metrics::shed_tick();
            }
            return false;
        }
        let (pumped, wrote) = self.write_out(passing);
        self.follow_up(pumped);
        wrote
    }

    /// The socket takes more again.
    pub fn writable(&self) {
        if self.blocked.replace(false) {
            self.pump(None);
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let written = (&self.socket).write(bytes);
        metrics::wrote(&written);
        if written.is_ok() {
            self.took.set(self.turn.now());
        }
        written
    }

    fn write_out(&self, passing: Option<Passing<'_>>) -> (Pumped, bool) {
        let shard = self.shard.borrow();
        let log = shard.as_ref().and_then(|shard| shard.log());
        let mut wrote = false;
        let pumped = self
            .writer
            .borrow_mut()
            .pump(log.as_deref(), self.variant(), passing, |bytes| {
                wrote = true;
                self.write(bytes)
            });
        (pumped, wrote)
    }

    fn follow_up(&self, pumped: Pumped) {
        match pumped {
            Pumped::Drained => {}
            Pumped::Blocked => {
                if !self.blocked.replace(true) {
                    metrics::lagging();
                }
            }
            Pumped::TooSlow => self.too_slow(),
            Pumped::Finished => self.part(),
            Pumped::Dead => self.end(Parting::Lost),
        }
    }

    /// A reader that is too slow: what waits for it is dropped, and it is told to resume
    /// if it still reads that.
    fn too_slow(&self) {
        if self.ending.get() != Ending::No {
            return;
        }
        self.writer.borrow_mut().abandon();
        let code = ErrorCode::TooSlow.close_code().unwrap_or(4008);
        self.close(code, ErrorCode::TooSlow.title());
    }

    /// Closes the connection with a code, after what is queued for it.
    pub fn close(&self, code: u16, reason: &str) {
        self.close_with(&frame::close(Some(code), reason), Parting::Code(code));
    }

    /// Closes the connection with these bytes as the last that are sent.
    pub fn close_with(&self, last: &[u8], parting: Parting) {
        if self.ending.get() != Ending::No {
            return;
        }
        self.writer.borrow_mut().close(last);
        self.move_to(Ending::Closing, parting);
        self.pump(None);
    }

    /// Closes the connection for a refusal that ends it, and says so first.
    pub fn refuse(&self, refusal: Refusal, code: u16) {
        let detail = refusal.detail.clone();
        self.send(&Private::Error { id: None, refusal });
        self.close(code, &detail);
    }

    /// The same, with the code that goes with the refusal; one that goes with none asks
    /// for a new ticket.
    pub fn refuse_by_code(&self, refusal: Refusal) {
        let code = refusal.code.close_code().or(ErrorCode::TicketInvalid.close_code());
        self.refuse(refusal, code.unwrap_or(4503));
    }

    /// The socket is of no use any more; why, unless it was about to close.
    pub fn end(&self, parting: Parting) {
        self.move_to(Ending::Over, parting);
    }

    /// Ends the connection with a reset: what the other side has not taken by now is not
    /// kept for it, by the kernel neither.
    pub fn cut_off(&self, parting: Parting) {
        // A system that refuses it keeps the bytes until it gives up by itself.
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        self.end(parting);
    }

    fn move_to(&self, ending: Ending, parting: Parting) {
        let before = self.ending.get();
        if before < ending {
            if before == Ending::No {
                metrics::parting(parting);
            }
            self.ending.set(ending);
            self.since.set(self.turn.now());
            self.turn.ends(self.id);
        }
    }

    /// The last bytes have left. Our half of the socket is closed, as it is for the server
    /// to do first (RFC 6455, 7.1.1); what still comes is read and dropped, because a
    /// socket closed with unread bytes is reset and would take the close frame with it.
    fn part(&self) {
        if !self.parted.replace(true) {
            // An error means that the other side is gone already.
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// How far its end has come.
    #[must_use]
    pub const fn ending(&self) -> Ending {
        self.ending.get()
    }

    /// Whether the close frame has left, or nothing can any more.
    #[must_use]
    pub fn has_parted(&self) -> bool {
        self.parted.get() || self.ending.get() == Ending::Over
    }

    /// Whether the socket takes no more for now.
    #[must_use]
    pub const fn lags(&self) -> bool {
        self.blocked.get()
    }

    /// For how long the socket has taken nothing of what waits for it.
    #[must_use]
    pub fn stalled(&self) -> Duration {
        if self.blocked.get() {
            self.turn.now().since(self.took.get())
        } else {
            Duration::ZERO
        }
    }

    /// Notes that a command was refused for its rate. True: that happens again and again
    /// without a pause.
    #[must_use]
    pub fn is_tireless(&self, now: Moment) -> bool {
        let before = match now.since(self.refused.replace(now)) {
            pause if pause >= REPENTANCE => 0,
            _ => self.refusals.get(),
        };
        self.refusals.set(before.saturating_add(1));
        before >= MAX_REFUSALS
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is, or that the socket has failed.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.socket).read(buffer);
        metrics::read(&read);
        read
    }

    /// Asks the worker to read from it in its next turn.
    pub fn read_on(&self) {
        if !self.unread.replace(true) {
            self.turn.read_on(self.id);
        }
    }

    /// The worker reads from it now.
    pub fn is_read(&self) {
        self.unread.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        // With the allocator's size classes in mind: what is above 320 takes 384. A debug
        // build of the socket is a little larger.
        let (conn, writer) = (size_of::<Conn>() + 2 * size_of::<usize>(), size_of::<Writer>());
        assert!(conn <= 384, "{conn}");
        assert!(writer <= 32, "{writer}");
    }
}
