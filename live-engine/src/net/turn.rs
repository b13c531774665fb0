//! What a worker looks after in its next turn besides its sockets: connections of which
//! there is more to read, connections that come to their end, and what time it is.
//!
//! A connection notes itself here whatever borrow is under way; the worker acts on it when
//! none is. Each connection is in each list at most once, so they are as short as those.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::types::ConnId;

/// A point in time of one worker, in milliseconds; it wraps after 49 days, so that only
/// what is younger can be measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moment(u32);

impl Moment {
    /// How long ago `earlier` was.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.wrapping_sub(earlier.0) as u64)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Turn {
    origin: Instant,
    now: Cell<Moment>,
    unread: RefCell<Vec<ConnId>>,
    ending: RefCell<Vec<ConnId>>,
    wake: Notify,
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            now: Cell::default(),
            unread: RefCell::default(),
            ending: RefCell::default(),
            wake: Notify::new(),
        }
    }
}

impl Turn {
    /// When the turn began: good enough for deadlines of seconds, and costs nothing.
    #[must_use]
    pub const fn now(&self) -> Moment {
        self.now.get()
    }

    /// A turn begins.
    pub fn begin(&self) {
        // Wraps, as a `Moment` does.
        self.now.set(Moment(self.origin.elapsed().as_millis() as u32));
    }

    /// There is more to read from a connection.
    pub fn read_on(&self, conn: ConnId) {
        self.unread.borrow_mut().push(conn);
        self.wake.notify_one();
    }

    /// A connection has begun to end, or has ended.
    pub fn ends(&self, conn: ConnId) {
        self.ending.borrow_mut().push(conn);
        self.wake.notify_one();
    }

    /// Waits until there is something to do. Safe to cancel.
    pub async fn wanted(&self) {
        self.wake.notified().await;
    }

    /// Takes those of which there is more to read.
    #[must_use]
    pub fn take_unread(&self) -> Vec<ConnId> {
        self.unread.take()
    }

    /// Puts back those that there was no time for: they come first in the next turn.
    pub fn put_back(&self, conns: &[ConnId]) {
        self.unread.borrow_mut().splice(0..0, conns.iter().copied());
        self.wake.notify_one();
    }

    /// Takes those that come to their end.
    #[must_use]
    pub fn take_ending(&self) -> Vec<ConnId> {
        self.ending.take()
    }
}
