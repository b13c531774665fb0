//! A circuit breaker: a service that fails again and again is left alone for a while, and
//! then tried with one request. Pure: it is told the time.

use std::time::{Duration, Instant};

/// So many failures in a row open it.
const FAILURES: u32 = 5;
/// For how long.
const OPEN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// In a row.
    failures: u32,
    /// Nobody is let through until then.
    open_until: Option<Instant>,
    /// One is on its way to find out.
    trying: bool,
}

impl Breaker {
    /// Whether to ask now. Whoever does reports how it went.
    pub(super) fn lets_through(&mut self, now: Instant) -> bool {
        match self.open_until {
            None => true,
            Some(until) if now < until || self.trying => false,
            Some(_) => {
                self.trying = true;
                true
            }
        }
    }

    /// It answered: asked as before.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It did not. True when that opens the breaker.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = self.failures >= FAILURES && (self.open_until.is_none() || self.trying);
        if opens {
            self.open_until = Some(now + OPEN);
            self.trying = false;
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_failures_open_it_and_one_try_closes_it_again() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for n in 1..FAILURES {
            assert!(breaker.lets_through(start));
            assert!(!breaker.failed(start), "{n} are not many");
        }
        assert!(breaker.failed(start));
        assert!(!breaker.lets_through(start + OPEN / 2));
        let later = start + OPEN;
        assert!(breaker.lets_through(later));
        assert!(!breaker.lets_through(later), "one is enough to find out");
        assert!(breaker.failed(later), "and it opens again");
        assert!(!breaker.lets_through(later + OPEN / 2));
        assert!(breaker.lets_through(later + OPEN));
        breaker.succeeded();
        assert!(breaker.lets_through(later + OPEN) && breaker.lets_through(later + OPEN));
    }

    #[test]
    fn an_answer_among_failures_keeps_it_closed() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..3 {
            for _ in 1..FAILURES {
                assert!(!breaker.failed(now));
            }
            breaker.succeeded();
        }
        assert!(breaker.lets_through(now));
    }

    #[test]
    fn what_was_under_way_when_it_opened_does_not_keep_it_open_longer() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES {
            breaker.failed(start);
        }
        assert!(!breaker.failed(start + OPEN / 2), "asked before it opened");
        assert!(breaker.lets_through(start + OPEN));
    }
}
