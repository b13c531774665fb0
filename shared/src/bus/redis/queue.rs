//! What waits for the client's thread: bounded in number and in bytes, and never waited
//! for by whoever puts it there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::super::BusError;

/// How much may wait: in number, and in bytes of messages.
const CAPACITY: usize = 8192;
const CAPACITY_BYTES: usize = 32 * 1024 * 1024;

/// What the client is asked to do.
#[derive(Debug)]
pub(super) enum Ask {
    /// Send to a channel, whoever hears it.
    Publish {
        /// Where.
        channel: String,
        /// What.
        message: Bytes,
    },
    /// Send to one of the servers whose channels begin so.
    Request {
        /// The beginning.
        servers: String,
        /// The number under which the answer is waited for.
        number: u64,
        /// What.
        question: Bytes,
    },
    /// Subscribe a channel.
    Listen {
        /// Which.
        channel: String,
        /// Told when it is.
        done: oneshot::Sender<()>,
    },
}

impl Ask {
    /// Bytes of its message.
    pub const fn len(&self) -> usize {
        match self {
            Self::Publish { message, .. } => message.len(),
            Self::Request { question, .. } => question.len(),
            Self::Listen { .. } => 0,
        }
    }
}

/// Where asks are put.
#[derive(Clone)]
pub(super) struct Queue {
    asks: mpsc::Sender<Ask>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// The same, which does not keep the client alive.
#[derive(Clone)]
pub(super) struct WeakQueue {
    asks: mpsc::WeakSender<Ask>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// Where the client takes them.
pub(super) struct Asked {
    asks: mpsc::Receiver<Ask>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// Both ends.
pub(super) fn channel() -> (Queue, Asked) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    let waiting_bytes = Arc::<AtomicUsize>::default();
    let queue = Queue {
        asks: sender,
        waiting_bytes: waiting_bytes.clone(),
    };
    let asked = Asked {
        asks: receiver,
        waiting_bytes,
    };
    (queue, asked)
}

impl Queue {
    /// Puts one more.
    ///
    /// # Errors
    /// `Overloaded` when too much waits, `Unreachable` when the client has ended.
    pub fn put(&self, ask: Ask) -> Result<(), BusError> {
        let bytes = ask.len();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > CAPACITY_BYTES {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(BusError::Overloaded);
        }
        self.asks.try_send(ask).map_err(|error| {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            match error {
                mpsc::error::TrySendError::Full(_) => BusError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => BusError::Unreachable,
            }
        })
    }

    /// See [`WeakQueue`].
    pub fn downgrade(&self) -> WeakQueue {
        WeakQueue {
            asks: self.asks.downgrade(),
            waiting_bytes: self.waiting_bytes.clone(),
        }
    }
}

impl WeakQueue {
    /// Puts one more, if there is still anybody to take it.
    ///
    /// # Errors
    /// As [`Queue::put`].
    pub fn put(&self, ask: Ask) -> Result<(), BusError> {
        let asks = self.asks.upgrade().ok_or(BusError::Unreachable)?;
        let waiting_bytes = self.waiting_bytes.clone();
        Queue { asks, waiting_bytes }.put(ask)
    }
}

impl Asked {
    /// The next one; `None` when the bus is dropped. Safe to cancel.
    pub async fn next(&mut self) -> Option<Ask> {
        let ask = self.asks.recv().await?;
        self.waiting_bytes.fetch_sub(ask.len(), Ordering::Relaxed);
        Some(ask)
    }

    /// The next one, if it is there already.
    pub fn next_now(&mut self) -> Option<Ask> {
        let ask = self.asks.try_recv().ok()?;
        self.waiting_bytes.fetch_sub(ask.len(), Ordering::Relaxed);
        Some(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Ask {
        Ask::Publish {
            channel: String::new(),
            message: vec![0; bytes].into(),
        }
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused_and_what_is_taken_makes_room() {
        let (queue, mut asked) = channel();
        for _ in 0..CAPACITY {
            queue.put(message(0)).expect("room");
        }
        assert_eq!(queue.put(message(0)), Err(BusError::Overloaded));
        while asked.next_now().is_some() {}
        let half = CAPACITY_BYTES / 2 + 1;
        queue.put(message(half)).expect("room");
        assert_eq!(queue.put(message(half)), Err(BusError::Overloaded));
        asked.next().await.expect("one waits");
        queue.put(message(half)).expect("room again");
        drop(asked);
        assert_eq!(queue.put(message(0)), Err(BusError::Unreachable));
    }
}
