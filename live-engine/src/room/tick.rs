//! When a room speaks: the first event of a quiet room at once, what follows at the next
//! tick, and ticks further apart the more a sweep over the viewers costs.
//!
//! Pure: it is told the time.

use std::time::{Duration, Instant};

/// The shortest tick.
pub const SHORTEST: Duration = Duration::from_millis(25);
/// The longest tick, unless sweeps themselves take longer.
pub const LONGEST: Duration = Duration::from_millis(100);
/// How much longer than a sweep a tick is while there is room for it: sweeps then take
/// at most a fifth of a worker.
const ROOMY: u32 = 5;

/// How long a tick is when a sweep over the viewers takes `sweep` on the busiest worker:
/// within the limits five sweeps, and never below one and a half.
#[must_use]
pub fn length(sweep: Duration) -> Duration {
    (sweep * ROOMY).clamp(SHORTEST, LONGEST.max(sweep * 3 / 2))
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

    /// Something was said at `now`; the next comes after a tick.
    pub fn said(&mut self, now: Instant, sweep: Duration) {
        self.quiet_until = Some(now + length(sweep));
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
        ticker.said(start, Duration::ZERO);
        let next = start + SHORTEST;
        assert_eq!(ticker.when(start + Duration::from_millis(1)), When::At(next));
        assert_eq!(ticker.when(next), When::Now);
    }

    #[test]
    fn ticks_grow_with_the_cost_of_a_sweep() {
        let ms = Duration::from_millis;
        assert_eq!(length(Duration::ZERO), ms(25));
        assert_eq!(length(ms(10)), ms(50));
        assert_eq!(length(ms(40)), ms(100));
        assert_eq!(length(ms(200)), ms(300));
    }
}
