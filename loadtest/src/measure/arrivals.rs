//! When messages are sent: as independent people do, at random around a mean rate, or
//! evenly. Seeded, so that every server of a run gets the same.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// How messages follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Arrivals {
    /// Independent of each other (a Poisson process), as from many people.
    Random,
    /// Equally far apart, as from a machine.
    Even,
}

/// See the module.
pub struct Schedule {
    arrivals: Arrivals,
    per_second: f64,
    random: StdRng,
    next: Instant,
}

impl Schedule {
    /// Messages from `start` on.
    #[must_use]
    pub fn new(arrivals: Arrivals, per_second: f64, seed: u64, start: Instant) -> Self {
        Self {
            arrivals,
            per_second,
            random: StdRng::seed_from_u64(seed),
            next: start,
        }
    }

    /// When the next is due.
    #[must_use]
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// It was sent.
    pub fn advance(&mut self) {
        let mean = 1.0 / self.per_second;
        let gap = match self.arrivals {
            Arrivals::Even => mean,
            // The gaps of a Poisson process are exponential; 1 - u is never 0.
            Arrivals::Random => -(1.0 - self.random.random::<f64>()).ln() * mean,
        };
        self.next += Duration::from_secs_f64(gap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_rate_is_kept_and_a_seed_repeats_itself() {
        let start = Instant::now();
        let run = |arrivals| {
            let mut schedule = Schedule::new(arrivals, 1000.0, 7, start);
            (0..10_000).for_each(|_| schedule.advance());
            schedule.next() - start
        };
        for arrivals in [Arrivals::Random, Arrivals::Even] {
            let took = run(arrivals);
            assert_eq!(took, run(arrivals));
            assert!((9.5..10.5).contains(&took.as_secs_f64()), "{arrivals:?}: {took:?}");
        }
    }
}
