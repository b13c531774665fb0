//! A room's recent frames, encoded and framed once, shared by every reader.
//!
//! The log holds whole ticks. A reader keeps no copy, only the number of the tick it
//! needs next, and gets all from there on in one piece; one that the log has moved past
//! has to resume. The room and its shards
//! keep logs of the same ticks, so the bytes exist once in the process.

mod run;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::protocol::{Format, Position};

use run::Runs;
pub use run::{Passing, Read};

use crate::net::deflate::deflate;
use crate::net::frame::{self, Opcode};

/// How a reader gets its frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Variant {
    /// In which format.
    pub format: Format,
    /// Whether they may be compressed.
    pub deflate: bool,
}

impl Variant {
    /// A format as it is.
    #[must_use]
    pub const fn plain(format: Format) -> Self {
        Self { format, deflate: false }
    }

    /// Its number among the four.
    const fn index(self) -> usize {
        let format = match self.format {
            Format::Json => 0,
            Format::MsgPack => 1,
        };
        format * 2 + self.deflate as usize
    }
}

/// One tick in one variant: the numbered frame and, right behind it, the ephemeral one.
#[derive(Clone, Debug, Default)]
pub struct Framed {
    /// Both frames.
    pub bytes: Bytes,
    /// How many of the bytes are the numbered frame.
    pub numbered: usize,
}

impl Framed {
    /// The numbered frame alone.
    #[must_use]
    pub fn numbered(&self) -> &[u8] {
        &self.bytes[..self.numbered]
    }

    /// The ephemeral frame alone.
    #[must_use]
    pub fn ephemeral(&self) -> &[u8] {
        &self.bytes[self.numbered..]
    }

    /// The same with each frame compressed that gets smaller by it.
    #[must_use]
    pub fn deflated(&self, format: Format) -> Self {
        let [numbered, ephemeral] =
            [self.numbered(), self.ephemeral()].map(|frame| (frame, deflate(frame::payload(frame))));
        if numbered.1.is_none() && ephemeral.1.is_none() {
            return self.clone();
        }
        let mut bytes = Vec::new();
        let mut push = |(plain, deflated): (&[u8], Option<Vec<u8>>)| {
            match deflated {
                Some(payload) => frame::push_deflated(&mut bytes, Opcode::of(format), &payload),
                None => bytes.extend_from_slice(plain),
            }
            bytes.len()
        };
        let numbered = push(numbered);
        push(ephemeral);
        Self {
            bytes: Bytes::from(bytes),
            numbered,
        }
    }
}

/// One tick in every variant that somebody wants.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The seq of its first numbered event.
    pub from: u64,
    /// The seq of its last; below `from` when it has none.
    pub to: u64,
    /// When it was made.
    pub at: Instant,
    frames: [Framed; 2],
    deflated: [Option<Framed>; 2],
}

impl Encoded {
    /// A tick from its frames, in the order of [`Format::ALL`].
    #[must_use]
    pub const fn new(from: u64, to: u64, at: Instant, frames: [Framed; 2]) -> Self {
        Self {
            from,
            to,
            at,
            frames,
            deflated: [None, None],
        }
    }

    /// Compresses it once for each format in which somebody may read it compressed, in the
    /// order of [`Format::ALL`].
    pub fn deflate(&mut self, wanted: [bool; 2]) {
        for (index, format) in Format::ALL.into_iter().enumerate() {
            self.deflated[index] = wanted[index].then(|| self.frames[index].deflated(format));
        }
    }

    /// Its bytes for a reader. Who may read it compressed gets it as it is when nobody
    /// wanted it compressed at its time: each message says for itself which it is.
    #[must_use]
    pub const fn framed(&self, variant: Variant) -> &Framed {
        let index = match variant.format {
            Format::Json => 0,
            Format::MsgPack => 1,
        };
        match &self.deflated[index] {
            Some(deflated) if variant.deflate => deflated,
            Some(_) | None => &self.frames[index],
        }
    }

    /// Whether it holds something that may be missed.
    #[must_use]
    pub fn has_ephemeral(&self) -> bool {
        !self.frames[0].ephemeral().is_empty()
    }

    fn size_bytes(&self) -> usize {
        let frames = self.frames.iter().chain(self.deflated.iter().flatten());
        frames.map(|framed| framed.numbered).sum()
    }
}

/// How much a log keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLimits {
    /// Bytes of all variants together.
    pub bytes: usize,
    /// How long a tick is kept.
    pub age: Duration,
}

/// The ticks with numbered events that are still at hand.
#[derive(Clone, Debug)]
pub struct RoomLog {
    epoch: i64,
    /// The seq that the log's beginning follows.
    floor: u64,
    /// The number of the first tick kept.
    first: u64,
    ticks: VecDeque<Arc<Encoded>>,
    bytes: usize,
    limits: LogLimits,
    runs: Runs,
}

impl RoomLog {
    /// An empty log of an epoch, after the event `seq`.
    #[must_use]
    pub fn new(epoch: i64, seq: u64, limits: LogLimits) -> Self {
        Self {
            epoch,
            floor: seq,
            first: 0,
            ticks: VecDeque::new(),
            bytes: 0,
            limits,
            runs: Runs::default(),
        }
    }

    /// The position after everything in it.
    #[must_use]
    pub fn head(&self) -> Position {
        Position {
            epoch: self.epoch,
            seq: self.ticks.back().map_or(self.floor, |tick| tick.to),
        }
    }

    /// What it keeps, in bytes.
    #[must_use]
    pub const fn kept_bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the tick that comes next.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.ticks.len() as u64
    }

    /// Where to read on after `since`; `None` when what follows it is not all here, or
    /// when `since` is no place where a tick of this epoch ended.
    #[must_use]
    pub fn after(&self, since: Position) -> Option<u64> {
        if since.epoch != self.epoch {
            return None;
        }
        if since.seq == self.head().seq {
            return Some(self.next());
        }
        let index = self.ticks.partition_point(|tick| tick.from <= since.seq);
        let tick = self.ticks.get(index)?;
        (tick.from == since.seq + 1).then_some(self.first + index as u64)
    }

    /// When what ends at this place was made, if that is still known.
    #[must_use]
    pub fn made_at(&self, place: Position) -> Option<Instant> {
        if place.epoch != self.epoch {
            return None;
        }
        let index = self.ticks.partition_point(|tick| tick.to < place.seq);
        self.ticks
            .get(index)
            .filter(|tick| tick.to == place.seq)
            .map(|tick| tick.at)
    }

    /// Adds the next tick and lets go of what is too old or too much. The newest is
    /// always kept. False, and nothing is added, when it does not follow the head.
    pub fn push(&mut self, tick: Arc<Encoded>) -> bool {
        if tick.from != self.head().seq + 1 || tick.to < tick.from {
            return false;
        }
        self.bytes += tick.size_bytes();
        let now = tick.at;
        self.ticks.push_back(tick);
        while self.ticks.len() > 1 {
            let Some(oldest) = self.ticks.front() else { break };
            if self.bytes <= self.limits.bytes && now.saturating_duration_since(oldest.at) <= self.limits.age {
                break;
            }
            self.bytes -= oldest.size_bytes();
            self.floor = oldest.to;
            self.first += 1;
            self.ticks.pop_front();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Variant = Variant::plain(Format::Json);

    fn tick(from: u64, to: u64, bytes: usize, at: Instant) -> Arc<Encoded> {
        let framed = Framed {
            bytes: Bytes::from(vec![0; bytes]),
            numbered: bytes,
        };
        Arc::new(Encoded::new(from, to, at, [framed.clone(), framed]))
    }

    fn limits() -> LogLimits {
        LogLimits {
            bytes: 400,
            age: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_reader_goes_on_exactly_where_it_was_or_not_at_all() {
        let at = Instant::now();
        let mut log = RoomLog::new(3, 10, limits());
        assert!(log.push(tick(11, 12, 50, at)));
        assert!(log.push(tick(13, 15, 50, at)));
        let place = |epoch, seq| log.after(Position { epoch, seq });
        assert_eq!(place(3, 10), Some(0));
        assert_eq!(place(3, 12), Some(1));
        assert_eq!(place(3, 15), Some(2));
        assert_eq!(place(3, 13), None, "inside a tick");
        assert_eq!(place(3, 9), None, "before the log");
        assert_eq!(place(3, 16), None, "never happened");
        assert_eq!(place(2, 12), None, "another epoch");
    }

    #[test]
    fn the_log_forgets_by_bytes_and_by_age_but_never_the_newest() {
        let at = Instant::now();
        let mut log = RoomLog::new(1, 0, limits());
        for seq in 1..=4 {
            assert!(log.push(tick(seq, seq, 100, at)));
        }
        assert_eq!(log.after(Position { epoch: 1, seq: 1 }), None);
        assert_eq!(log.after(Position { epoch: 1, seq: 2 }), Some(2));
        assert!(matches!(log.read(1, JSON, None, |_| ()), Read::Gone));
        assert!(log.push(tick(5, 5, 1000, at + Duration::from_secs(11))));
        assert_eq!(log.after(Position { epoch: 1, seq: 3 }), None);
        assert!(matches!(log.read(4, JSON, None, |_| ()), Read::Run { end: 5, .. }));
        assert!(matches!(log.read(5, JSON, None, |_| ()), Read::Head));
    }

    #[test]
    fn a_tick_that_would_leave_a_gap_is_not_taken() {
        let at = Instant::now();
        let mut log = RoomLog::new(1, 0, limits());
        assert!(!log.push(tick(2, 2, 1, at)));
        assert!(log.push(tick(1, 2, 1, at)));
        assert!(!log.push(tick(2, 3, 1, at)));
        assert_eq!(log.head(), Position { epoch: 1, seq: 2 });
    }
}
