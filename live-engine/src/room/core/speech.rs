//! What an open room still has to say, and what it has said lately: numbered events wait
//! here for their tick, and what may be missed is summed up beside them.
//!
//! Pure: it is told the time. It numbers nothing; events come in the order of their
//! numbers and leave in it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::protocol::{Ephemeral, Millis, RoomEvent};

use super::Now;
use crate::room::batch::Batch;
use crate::room::log::{LogLimits, RoomLog};
use crate::room::state::Watching;
use crate::room::tick::{Ticker, When};

/// Events in one frame at most; a tick with more is several frames.
pub const FRAME_EVENTS: usize = 256;
/// How often a changed number of viewers is told at most.
const VIEWERS_EVERY: Duration = Duration::from_millis(900);

/// How often something that may be missed is told at most, while rounds are short.
const PASSING_EVERY: Duration = Duration::from_millis(100);

/// What the room's workers measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// Who is in the room, in numbers.
    pub watching: Watching,
    /// Raised when somebody comes or leaves.
    pub presence: u64,
    /// The formats in which somebody may read compressed, in the order of `Format::ALL`.
    pub deflate: [bool; 2],
    /// How long a round through the viewers takes.
    pub round: Duration,
    /// How far apart ticks are.
    pub tick: Duration,
}

/// See the module.
pub struct Speech {
    /// Recent frames: what workers that join later begin with.
    log: RoomLog,
    /// The seq of the last event that was sent.
    spoken: u64,
    /// Numbered from `spoken + 1` on, not sent yet.
    pending: Vec<(RoomEvent, Millis)>,
    reactions: BTreeMap<&'static str, u64>,
    /// Who was there when viewers were last told.
    told: (Watching, Vec<String>),
    presence_told: u64,
    viewers_told_at: Instant,
    ticker: Ticker,
    /// When something that may be missed is said next at the earliest: the last has been
    /// carried to everybody by then, and would be replaced by it before.
    passing_due: Instant,
    /// Somebody has been asked to come back when it is time.
    alarm_set: bool,
    spoke: Instant,
}

impl Speech {
    /// A room of this epoch that has said nothing yet.
    pub fn new(epoch: i64, log: LogLimits, now: Instant) -> Self {
        Self {
            log: RoomLog::new(epoch, 0, log),
            spoken: 0,
            pending: Vec::new(),
            reactions: BTreeMap::new(),
            told: Default::default(),
            presence_told: 0,
            viewers_told_at: now,
            ticker: Ticker::default(),
            passing_due: now,
            alarm_set: false,
            spoke: now,
        }
    }

    /// The recent frames.
    pub const fn log(&self) -> &RoomLog {
        &self.log
    }

    /// Adds the event that has got the next number.
    pub fn add(&mut self, event: RoomEvent, at: Millis) {
        self.pending.push((event, at));
    }

    /// Adds reactions of one kind.
    pub fn react(&mut self, kind: &'static str, count: u64) {
        *self.reactions.entry(kind).or_insert(0) += count;
    }

    /// When what there is should be said; `None` when there is nothing, or when somebody
    /// is coming back for it anyway. Of a later time the caller brings an alarm.
    pub fn due(&mut self, now: Instant) -> Option<When> {
        if self.alarm_set || (self.pending.is_empty() && self.reactions.is_empty()) {
            return None;
        }
        let when = match self.ticker.when(now) {
            When::Now if self.pending.is_empty() && self.passing_due > now => When::At(self.passing_due),
            When::At(at) if self.pending.is_empty() => When::At(at.max(self.passing_due)),
            when => when,
        };
        self.alarm_set = matches!(when, When::At(_));
        Some(when)
    }

    /// Whether an alarm is still to come.
    pub const fn alarm_set(&self) -> bool {
        self.alarm_set
    }

    /// The alarm has come.
    pub const fn alarm(&mut self) {
        self.alarm_set = false;
    }

    /// Says everything, as the batches for the workers in order. With nothing new to say
    /// there is one when it is to be told who is there (`who`: their names, in a small
    /// room), or the time in a room that was quiet for `ping_interval`; otherwise none.
    pub fn speak(
        &mut self,
        now: Now,
        measured: Measured,
        ping_interval: Duration,
        who: impl FnOnce() -> Vec<String>,
    ) -> Vec<Arc<Batch>> {
        let mut ephemeral = Vec::new();
        let may_pass = self.passing_due <= now.at;
        if may_pass && !self.reactions.is_empty() {
            let counts = std::mem::take(&mut self.reactions).into_iter();
            let counts = counts.map(|(kind, count)| (kind.to_owned(), count)).collect();
            ephemeral.push(Ephemeral::Reactions { counts });
        }
        let has_news = !self.pending.is_empty() || !ephemeral.is_empty();
        let viewers_due = now.at.saturating_duration_since(self.viewers_told_at) >= VIEWERS_EVERY;
        let is_new = measured.presence != self.presence_told || measured.watching != self.told.0;
        let news = (may_pass && viewers_due && is_new).then(|| (measured.watching, who()));
        if let Some(news) = news.filter(|news| *news != self.told) {
            let (Watching { viewers, people }, who) = news.clone();
            ephemeral.push(Ephemeral::Viewers {
                count: viewers,
                people,
                who,
            });
            self.told = news;
            self.presence_told = measured.presence;
            self.viewers_told_at = now.at;
        } else if !has_news {
            if now.at.saturating_duration_since(self.spoke) < ping_interval {
                return Vec::new();
            }
            ephemeral.push(Ephemeral::Time);
        }
        self.spoke = now.at;
        self.ticker.said(now.at, measured.tick);
        if !ephemeral.is_empty() {
            self.passing_due = now.at + measured.round.max(PASSING_EVERY);
        }
        self.encode(now, ephemeral, measured)
    }

    fn encode(&mut self, now: Now, mut ephemeral: Vec<Ephemeral>, measured: Measured) -> Vec<Arc<Batch>> {
        let mut batches = Vec::with_capacity(1);
        let mut pending = std::mem::take(&mut self.pending);
        loop {
            let rest = pending.split_off(pending.len().min(FRAME_EVENTS));
            let from = self.spoken + 1;
            self.spoken += pending.len() as u64;
            // What may be missed goes with the last frame.
            let ephemeral = if rest.is_empty() {
                std::mem::take(&mut ephemeral)
            } else {
                Vec::new()
            };
            let epoch = self.log.head().epoch;
            match Batch::encode(epoch, from, pending, ephemeral, measured.watching, now.ms, now.at) {
                Ok(batch) => {
                    let batch = batch.deflated(measured.deflate);
                    if !batch.events.is_empty() && !self.log.push(batch.encoded.clone()) {
                        tracing::error!(epoch, from, "a tick does not follow the last one");
                    }
                    batches.push(Arc::new(batch));
                }
                Err(error) => tracing::error!(%error, epoch, from, "a tick could not be encoded"),
            }
            if rest.is_empty() {
                return batches;
            }
            pending = rest;
        }
    }
}
