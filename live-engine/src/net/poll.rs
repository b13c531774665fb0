//! Which sockets of a worker are ready: one epoll for all of them, which the worker's
//! runtime waits for as if it were a single socket. A connection therefore needs neither
//! a task nor a registration with the runtime, which cost more memory than all the rest
//! of it.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Registry, Token};
use tokio::io::unix::AsyncFd;

use super::session;
use super::worker::Worker;
use crate::types::ConnId;

/// Sockets looked at in one turn, before others on the worker's thread get theirs.
const TURN: usize = 128;
/// How long reading goes on before others get theirs: of the sockets that are ready, and
/// again of those that were noted before.
const BUDGET: Duration = Duration::from_millis(2);

/// What is ready, and what is registered.
pub struct Poller {
    poll: AsyncFd<Poll>,
}

impl Poller {
    /// A poller that nothing is registered with, and its registry.
    ///
    /// # Errors
    /// When the system gives no more descriptors.
    pub fn new() -> io::Result<(Self, Registry)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        // SAFETY: a `Poll` owns its descriptor, names the same one for as long as it lives, and
        // is never taken out of the `AsyncFd`.
        let poll = unsafe { AsyncFd::register_with_interest(poll, tokio::io::Interest::READABLE) };
        Ok((Self { poll: poll? }, registry))
    }

    /// Serves the worker's connections for as long as the runtime runs.
    pub async fn run(mut self, worker: Rc<Worker>) {
        let mut events = Events::with_capacity(TURN);
        loop {
            let mut ready = tokio::select! {
                ready = self.poll.readable_mut() => match ready {
                    Ok(ready) => Some(ready),
                    // The runtime is about to end.
                    Err(_) => return,
                },
                () = worker.turn.wanted() => None,
            };
            worker.turn.begin();
            if let Some(ready) = &mut ready {
                match ready.get_inner_mut().poll(&mut events, Some(Duration::ZERO)) {
                    Ok(()) => {
                        let until = Instant::now() + BUDGET;
                        for event in &events {
                            take(&worker, event, until);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => tracing::error!(%error, "the sockets cannot be polled"),
                }
                // Fewer than there was room for: there are no more. What comes from now on
                // makes it ready again.
                if events.iter().count() < TURN {
                    ready.clear_ready();
                }
            }
            look_after(&worker);
            tokio::task::yield_now().await;
        }
    }
}

/// Registers a socket for all that may happen to it.
///
/// # Errors
/// When the system takes no more.
pub fn register(registry: &Registry, socket: &mut mio::net::TcpStream, id: ConnId) -> io::Result<()> {
    registry.register(socket, token(id), Interest::READABLE | Interest::WRITABLE)
}

fn token(id: ConnId) -> Token {
    Token((id.generation as usize) << 32 | id.slot as usize)
}

/// Looks at one socket. After `until` it is only noted that there is something to read.
fn take(worker: &Rc<Worker>, event: &mio::event::Event, until: Instant) {
    let Token(token) = event.token();
    let id = ConnId {
        worker: worker.index,
        slot: token as u32,
        generation: (token >> 32) as u32,
    };
    // One that is gone may still be in the list.
    let Some(conn) = worker.conn(id) else { return };
    if event.is_writable() {
        conn.writable();
    }
    if event.is_readable() || event.is_read_closed() || event.is_error() {
        let is_late = Instant::now() >= until;
        if !is_late {
            session::read(worker, &conn);
        }
        // The end comes after the last bytes, and is told only once.
        if is_late || event.is_read_closed() {
            conn.read_on();
        }
    }
}

/// Goes on with those that were noted, as far as there is time.
fn look_after(worker: &Rc<Worker>) {
    let (unread, until) = (worker.turn.take_unread(), Instant::now() + BUDGET);
    for (n, id) in unread.iter().enumerate() {
        if n > 0 && Instant::now() >= until {
            worker.turn.put_back(&unread[n..]);
            break;
        }
        if let Some(conn) = worker.conn(*id) {
            conn.is_read();
            session::read(worker, &conn);
        }
    }
    for id in worker.turn.take_ending() {
        if let Some(conn) = worker.conn(id) {
            worker.part_with(&conn);
        }
    }
}
