//! What the workers measure of a room, in cells that they and the room share: how many
//! watch, what a sweep costs, who wants compressed frames. Numbers only; no rule lives here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::room::presence::Presence;
use crate::room::tick::Tempo;

/// What each worker measures of a room, for the room to read.
pub struct Load {
    tempo: Tempo,
    per_worker: Box<[(AtomicU64, AtomicU32)]>,
    /// For each worker the formats in which one of its viewers may read compressed.
    deflate: Box<[[AtomicBool; 2]]>,
    /// Who is there.
    pub presence: Presence,
}

impl Load {
    /// Nothing yet, for so many workers.
    #[must_use]
    pub fn new(workers: usize, tempo: Tempo) -> Arc<Self> {
        Arc::new(Self {
            tempo,
            per_worker: (0..workers).map(|_| Default::default()).collect(),
            deflate: (0..workers).map(|_| Default::default()).collect(),
            presence: Presence::default(),
        })
    }

    /// How fast the room is gone round.
    #[must_use]
    pub const fn tempo(&self) -> Tempo {
        self.tempo
    }

    /// A worker's connections in the room.
    pub fn set_viewers(&self, worker: u16, count: usize) {
        if let Some((viewers, _)) = self.per_worker.get(usize::from(worker)) {
            viewers.store(count as u64, Ordering::Relaxed);
        }
    }

    /// What a sweep over its viewers costs a worker.
    pub fn set_sweep(&self, worker: u16, took: Duration) {
        if let Some((_, sweep)) = self.per_worker.get(usize::from(worker)) {
            sweep.store(u32::try_from(took.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
        }
    }

    /// Connections in the room.
    #[must_use]
    pub fn viewers(&self) -> u64 {
        self.per_worker.iter().map(|(v, _)| v.load(Ordering::Relaxed)).sum()
    }

    /// The same for each worker.
    #[must_use]
    pub fn viewers_by_worker(&self) -> Vec<u64> {
        self.per_worker.iter().map(|(v, _)| v.load(Ordering::Relaxed)).collect()
    }

    /// The formats in which one of a worker's viewers may read compressed, in the order of
    /// [`shared::protocol::Format::ALL`].
    pub fn set_deflate(&self, worker: u16, wanted: [bool; 2]) {
        for (flag, wanted) in self.deflate.get(usize::from(worker)).into_iter().flatten().zip(wanted) {
            flag.store(wanted, Ordering::Relaxed);
        }
    }

    /// The formats in which somebody may read compressed, in the order of [`shared::protocol::Format::ALL`].
    #[must_use]
    pub fn deflate(&self) -> [bool; 2] {
        [0, 1].map(|format| self.deflate.iter().any(|worker| worker[format].load(Ordering::Relaxed)))
    }

    /// The longest sweep of a worker.
    #[must_use]
    pub fn sweep(&self) -> Duration {
        let longest = self.per_worker.iter().map(|(_, s)| s.load(Ordering::Relaxed)).max();
        Duration::from_micros(u64::from(longest.unwrap_or(0)))
    }
}
