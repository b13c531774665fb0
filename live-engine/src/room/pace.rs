//! How often a sale's remaining count is told: at most every tenth of a second, the
//! newest wins; that it is sold out or closed, at once.
//!
//! Pure: it is told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shared::ids::SaleId;
use shared::status::SaleStatus;

use crate::types::SaleProgress;

/// How far apart two counts of a sale are.
pub const EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Sale {
    /// The newest version met, told or not.
    version: i64,
    told: Option<Instant>,
    waiting: Option<SaleProgress>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pace {
    sales: HashMap<SaleId, Sale>,
}

/// What to do with a sale's counters.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// They are older than what is known.
    Never,
    /// Tell them.
    Now(SaleProgress),
    /// Tell what [`Pace::due`] gives after this time.
    In(Duration),
    /// As before: something newer than what waited waits in its place.
    Waiting,
}

impl Pace {
    /// Takes in counters.
    pub fn note(&mut self, progress: SaleProgress, now: Instant) -> Told {
        let sale = self.sales.entry(progress.sale).or_insert(Sale {
            version: i64::MIN,
            told: None,
            waiting: None,
        });
        if progress.version <= sale.version {
            return Told::Never;
        }
        sale.version = progress.version;
        let urgent = progress.remaining == 0 || progress.status == SaleStatus::Closed;
        let quiet_for = sale.told.map(|told| now.saturating_duration_since(told));
        match quiet_for {
            Some(quiet) if quiet < EVERY && !urgent => {
                if sale.waiting.replace(progress).is_some() {
                    return Told::Waiting;
                }
                Told::In(EVERY - quiet)
            }
            _ => {
                sale.waiting = None;
                sale.told = Some(now);
                Told::Now(progress)
            }
        }
    }

    /// What waited for its time.
    pub fn due(&mut self, sale: SaleId, now: Instant) -> Option<SaleProgress> {
        let sale = self.sales.get_mut(&sale)?;
        let progress = sale.waiting.take()?;
        sale.told = Some(now);
        Some(progress)
    }

    /// A sale is over.
    pub fn forget(&mut self, sale: SaleId) {
        self.sales.remove(&sale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(sale: SaleId, remaining: u32, version: i64) -> SaleProgress {
        SaleProgress {
            sale,
            remaining,
            version,
            status: SaleStatus::Open,
            next_expiry: None,
        }
    }

    #[test]
    fn counts_are_told_at_most_every_tenth_of_a_second_and_the_newest_wins() {
        let (mut pace, sale, start) = (Pace::default(), SaleId::new(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.note(progress(sale, 9, 1), at(0)), Told::Now(progress(sale, 9, 1)));
        assert_eq!(
            pace.note(progress(sale, 8, 2), at(10)),
            Told::In(Duration::from_millis(90))
        );
        assert_eq!(pace.note(progress(sale, 5, 4), at(20)), Told::Waiting);
        assert_eq!(pace.note(progress(sale, 6, 3), at(30)), Told::Never);
        assert_eq!(pace.due(sale, at(100)), Some(progress(sale, 5, 4)));
        assert_eq!(pace.due(sale, at(100)), None);
        assert!(matches!(pace.note(progress(sale, 4, 5), at(150)), Told::In(_)));
    }

    #[test]
    fn sold_out_does_not_wait_and_takes_the_place_of_what_did() {
        let (mut pace, sale, start) = (Pace::default(), SaleId::new(), Instant::now());
        pace.note(progress(sale, 9, 1), start);
        pace.note(progress(sale, 3, 2), start);
        assert_eq!(pace.note(progress(sale, 0, 3), start), Told::Now(progress(sale, 0, 3)));
        assert_eq!(pace.due(sale, start + EVERY), None);
    }
}
