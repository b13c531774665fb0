//! Reaching the workers that have viewers of a room: one message a worker and tick, in
//! order. What a worker cannot take at once waits here, bounded; one that falls too far
//! behind loses its viewers, who come back and resume, rather than miss something.

use std::collections::VecDeque;
use std::sync::Arc;

use shared::ids::StreamId;

/// Messages that may wait for one worker.
pub const WAITING: usize = 512;

/// The channels to workers, bounded and in order.
pub trait Workers {
    /// What they are sent.
    type Message;

    /// How many workers there are.
    fn count(&self) -> usize;

    /// Sends to a worker, or gives the message back when it has too many.
    ///
    /// # Errors
    /// The message.
    #[allow(clippy::result_large_err, reason = "the message goes back to its sender")]
    fn send(&self, worker: u16, message: Self::Message) -> Result<(), Self::Message>;

    /// What tells a worker that the room is closed here, for whoever is in it in `epoch`.
    fn gone(stream: StreamId, epoch: i64) -> Self::Message;
}

struct Worker<M> {
    attached: bool,
    waiting: VecDeque<M>,
}

/// See the module.
pub struct Reach<W: Workers> {
    channels: Arc<W>,
    stream: StreamId,
    epoch: i64,
    workers: Vec<Worker<W::Message>>,
}

impl<W: Workers> Reach<W> {
    /// No worker has viewers yet.
    #[must_use]
    pub fn new(channels: Arc<W>, stream: StreamId, epoch: i64) -> Self {
        let nobody = || Worker {
            attached: false,
            waiting: VecDeque::new(),
        };
        let workers = std::iter::repeat_with(nobody).take(channels.count()).collect();
        Self {
            channels,
            stream,
            epoch,
            workers,
        }
    }

    /// A worker has viewers from now on.
    pub fn attach(&mut self, worker: u16) {
        if let Some(worker) = self.workers.get_mut(usize::from(worker)) {
            worker.attached = true;
        }
    }

    /// It has none any more.
    pub fn detach(&mut self, worker: u16) {
        if let Some(worker) = self.workers.get_mut(usize::from(worker)) {
            worker.attached = false;
        }
    }

    /// Whether any worker has viewers.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.workers.iter().any(|worker| worker.attached)
    }

    /// Sends to one worker, after what waits for it.
    pub fn send(&mut self, to: u16, message: W::Message) {
        self.retry_one(to);
        let Some(worker) = self.workers.get_mut(usize::from(to)) else {
            return;
        };
        if worker.waiting.is_empty() {
            if let Err(message) = self.channels.send(to, message) {
                worker.waiting.push_back(message);
            }
        } else if worker.waiting.len() < WAITING {
            worker.waiting.push_back(message);
        } else {
            tracing::warn!(stream = %self.stream, worker = to, "a worker is too far behind; its viewers have to come back");
            worker.waiting.clear();
            worker.waiting.push_back(W::gone(self.stream, self.epoch));
            worker.attached = false;
        }
    }

    /// Sends to all workers that have viewers.
    pub fn send_all(&mut self, message: impl Fn() -> W::Message) {
        for (index, attached) in self
            .workers
            .iter()
            .map(|worker| worker.attached)
            .enumerate()
            .collect::<Vec<_>>()
        {
            if attached {
                self.send(u16::try_from(index).unwrap_or(u16::MAX), message());
            }
        }
    }

    /// Sends what waits, as far as it is taken.
    pub fn retry(&mut self) {
        for to in 0..self.workers.len() {
            self.retry_one(u16::try_from(to).unwrap_or(u16::MAX));
        }
    }

    fn retry_one(&mut self, to: u16) {
        let Some(worker) = self.workers.get_mut(usize::from(to)) else {
            return;
        };
        while let Some(message) = worker.waiting.pop_front() {
            if let Err(message) = self.channels.send(to, message) {
                worker.waiting.push_front(message);
                return;
            }
        }
    }

    /// How many messages wait for a worker.
    #[must_use]
    pub fn waiting(&self, worker: u16) -> usize {
        self.workers
            .get(usize::from(worker))
            .map_or(0, |worker| worker.waiting.len())
    }

    /// Whether anything waits.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.workers.iter().any(|worker| !worker.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Router, ToWorker};

    #[test]
    fn what_a_full_worker_cannot_take_comes_later_and_in_order() {
        let (router, mut inboxes) = Router::new(1);
        let stream = StreamId::new();
        while router.send(0, ToWorker::Open(stream)).is_ok() {}
        let mut reach = Reach::new(router, stream, 7);
        reach.attach(0);
        for epoch in 0..3 {
            reach.send_all(|| ToWorker::Gone(stream, epoch));
        }
        assert!(reach.is_behind());
        let mut epochs = Vec::new();
        loop {
            reach.retry();
            match inboxes[0].messages.try_recv() {
                Ok(ToWorker::Gone(_, epoch)) => epochs.push(epoch),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        assert_eq!(epochs, [0, 1, 2]);
    }

    #[test]
    fn a_worker_that_falls_too_far_behind_is_told_that_the_room_is_gone() {
        let (router, mut inboxes) = Router::new(1);
        let stream = StreamId::new();
        while router.send(0, ToWorker::Open(stream)).is_ok() {}
        let mut reach = Reach::new(router, stream, 7);
        reach.attach(0);
        for _ in 0..=WAITING {
            reach.send(0, ToWorker::Open(stream));
        }
        assert!(!reach.is_attached());
        let mut last = None;
        while let Ok(message) = inboxes[0].messages.try_recv() {
            last = Some(message);
            reach.retry();
        }
        assert!(matches!(last, Some(ToWorker::Gone(gone, 7)) if gone == stream));
    }
}
