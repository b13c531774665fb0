//! When a room speaks, and how fast its workers go round its viewers.
//!
//! The first event of a quiet room is said at once and carried to everybody as fast as
//! the sockets take it. What follows is summed up for a tick; workers carry it round at a
//! pace that leaves them most of their time, and each viewer gets everything that has
//! come since the last visit, in one write. The more a sweep over the viewers costs, the
//! longer a round takes.
//!
//! Pure: it is told the time.

use std::time::{Duration, Instant};

/// The shortest round through the viewers of a busy room.
const SHORTEST: Duration = Duration::from_millis(20);
/// The bounds of a tick.
const SHORTEST_TICK: Duration = Duration::from_millis(4);
const LONGEST_TICK: Duration = Duration::from_millis(15);
/// Ticks in a round: what waits for a tick waits for its turn in the round as well.
const TICKS: u32 = 10;

/// How fast a busy room is gone round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tempo {
    /// Percent of a worker's time that one room's sweeps may take.
    pub share_percent: u32,
    /// The longest round, unless sweeps themselves take longer.
    pub longest: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            share_percent: 40,
            longest: Duration::from_millis(100),
        }
    }
}

impl Tempo {
    /// How long a round through the viewers takes in a busy room when a sweep over all of
    /// them costs a worker `sweep`: as long as its share allows, within the limits, and
    /// never below one and a half sweeps.
    #[must_use]
    pub fn round(self, sweep: Duration) -> Duration {
        let round = sweep * 100 / self.share_percent.max(1);
        round.min(self.longest).max(sweep * 3 / 2).max(SHORTEST)
    }

    /// How far apart a busy room's ticks are when a sweep costs so much.
    #[must_use]
    pub fn tick(self, sweep: Duration) -> Duration {
        (self.round(sweep) / TICKS).clamp(SHORTEST_TICK, LONGEST_TICK)
    }
}

/// Whether to speak now.
#[derive(Debug, Default)]
pub struct Ticker {
    /// Until when what comes has to wait.
    quiet_until: Option<Instant>,
}

/// What to do with something new to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// Say it, and listen again after the tick.
    Now,
    /// Say it with the tick at this time.
    At(Instant),
}

impl Ticker {
    /// When something new may be said.
    #[must_use]
    pub fn when(&self, now: Instant) -> When {
        match self.quiet_until {
            Some(until) if until > now => When::At(until),
            _ => When::Now,
        }
    }

    /// Something was said at `now`; the next comes after `pause`.
    pub fn said(&mut self, now: Instant, pause: Duration) {
        self.quiet_until = Some(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_room_speaks_at_once_and_a_busy_one_in_ticks() {
        let start = Instant::now();
        let mut ticker = Ticker::default();
        assert_eq!(ticker.when(start), When::Now);
        ticker.said(start, SHORTEST_TICK);
        let next = start + SHORTEST_TICK;
        assert_eq!(ticker.when(start + Duration::from_millis(1)), When::At(next));
        assert_eq!(ticker.when(next), When::Now);
    }

    #[test]
    fn rounds_and_ticks_grow_with_the_cost_of_a_sweep() {
        let (tempo, ms) = (Tempo::default(), Duration::from_millis);
        let both = |sweep| (tempo.round(sweep), tempo.tick(sweep));
        assert_eq!(both(Duration::ZERO), (ms(20), ms(4)));
        assert_eq!(both(ms(24)), (ms(60), ms(6)));
        assert_eq!(both(ms(50)), (ms(100), ms(10)));
        assert_eq!(both(ms(200)), (ms(300), ms(15)));
        let quick = Tempo {
            share_percent: 60,
            ..tempo
        };
        assert_eq!(quick.round(ms(24)), ms(40));
    }
}
