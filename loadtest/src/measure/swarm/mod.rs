//! Many WebSocket clients on one thread, cheap enough that one core can be thousands of
//! viewers: epoll, one read buffer for all, frames handed on where they lie.
//!
//! It knows WebSockets and nothing of what is said over them: that is the handler's.

pub mod client;
pub mod wire;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::{Events, Interest, Poll, Token};

pub use client::Client;

/// Longer than any frame that is waited for.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Connections that are being made ready at once: fewer than a server's queue of
/// connections to accept, and than the joins that may wait for a database.
const PENDING: usize = 512;

/// What a connection's frames mean. An error ends the run.
pub trait Handler {
    /// The upgrade is done.
    ///
    /// # Errors
    /// What ends the run.
    fn opened(&mut self, client: &mut Client) -> Result<()>;

    /// A message has come, read at `at`.
    ///
    /// # Errors
    /// What ends the run.
    fn message(&mut self, client: &mut Client, payload: &[u8], at: Instant) -> Result<()>;

    /// The server has closed the connection, or it was lost.
    ///
    /// # Errors
    /// What ends the run.
    fn closed(&mut self, client: &mut Client) -> Result<()>;
}

/// See the module.
pub struct Swarm {
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Box<[u8]>,
    to: SocketAddr,
}

impl Swarm {
    /// Nobody yet; all will connect to `to`.
    ///
    /// # Errors
    /// When the system has no epoll instance left.
    pub fn new(to: SocketAddr) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            to,
        })
    }

    /// How many there are, closed ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Begins one more connection; its number.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn connect(&mut self, path: &str, protocol: Option<&str>) -> Result<usize> {
        let id = self.clients.len();
        let client = self.begin(id, path, protocol)?;
        self.clients.push(client);
        Ok(id)
    }

    /// Puts a new connection in the place of one that is closed.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn reconnect(&mut self, id: usize, path: &str, protocol: Option<&str>) -> Result<()> {
        let client = self.begin(id, path, protocol)?;
        self.clients[id] = client;
        Ok(())
    }

    fn begin(&self, id: usize, path: &str, protocol: Option<&str>) -> Result<Client> {
        let mut client =
            Client::connect(id, self.to, path, protocol).with_context(|| format!("connection {id} to {}", self.to))?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut client.stream, Token(id), interest)?;
        Ok(client)
    }

    /// One of them.
    pub fn client(&mut self, id: usize) -> &mut Client {
        &mut self.clients[id]
    }

    /// Waits for something to happen, until `until` at most, and lets the handler see it.
    ///
    /// # Errors
    /// The handler's, or a connection that cannot be made.
    pub fn turn<H: Handler>(&mut self, handler: &mut H, until: Instant) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded down: whoever waits for a time would rather look once more than be late.
        let wait = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        match self.poll.poll(&mut self.events, Some(wait)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for event in &self.events {
            let client = &mut self.clients[event.token().0];
            if event.is_writable()
                && let Err(error) = client.writable()
            {
                if client.is_pending() {
                    bail!("connection {}: {error}", client.id);
                }
                client.over(handler)?;
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                client.readable(&mut self.buffer, handler)?;
            }
        }
        Ok(())
    }

    /// Connects `count` more, each at the path that `path` gives for its number, a few at
    /// a time, until the handler has `ready` that many more.
    ///
    /// # Errors
    /// The handler's, a refused upgrade, or when they are not ready by `deadline`.
    pub fn connect_all<H: Handler>(
        &mut self,
        handler: &mut H,
        count: usize,
        protocol: Option<&str>,
        deadline: Duration,
        ready: impl Fn(&H) -> usize,
        mut path: impl FnMut(usize) -> Result<String>,
    ) -> Result<()> {
        let (before, until) = (ready(handler), Instant::now() + deadline);
        let mut begun = 0;
        loop {
            let done = ready(handler).saturating_sub(before);
            if done >= count {
                return Ok(());
            }
            if Instant::now() >= until {
                bail!("{done} of {count} connections were ready after {deadline:?}");
            }
            while begun < count.min(done + PENDING) {
                let path = path(self.clients.len())?;
                self.connect(&path, protocol)?;
                begun += 1;
            }
            self.turn(handler, Instant::now() + Duration::from_millis(20))?;
        }
    }

    /// Goes on until `done`.
    ///
    /// # Errors
    /// The handler's, or when `what` has not come by `deadline`.
    pub fn wait<H: Handler>(
        &mut self,
        handler: &mut H,
        what: &str,
        deadline: Duration,
        mut done: impl FnMut(&H) -> bool,
    ) -> Result<()> {
        let until = Instant::now() + deadline;
        while !done(handler) {
            if Instant::now() >= until {
                bail!("{what} did not come in {deadline:?}");
            }
            self.turn(handler, until.min(Instant::now() + Duration::from_millis(50)))?;
        }
        Ok(())
    }
}
