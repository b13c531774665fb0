//! How often a sale's remaining count is told: at most every quarter of a second, the
//! newest wins; that it is sold out, that there are units again, and that it is closed, at
//! once.
//!
//! Pure: it is told the time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shared::ids::SaleId;
use shared::status::SaleStatus;

use crate::types::SaleProgress;

/// How far apart two counts of a sale are.
pub const EVERY: Duration = Duration::from_millis(250);

#[derive(Debug)]
struct Sale {
    /// The newest version met, told or not.
    version: i64,
    /// What was told last, and when.
    told: Option<(u32, Instant)>,
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
    /// They are older than what is known, or the same as what was told.
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
        let is_open = progress.status == SaleStatus::Open;
        let Some((told, at)) = sale.told else {
            return sale.tell(progress, now);
        };
        if is_open && told == progress.remaining && sale.waiting.is_none() {
            return Told::Never;
        }
        let quiet = now.saturating_duration_since(at);
        let urgent = !is_open || (told == 0) != (progress.remaining == 0);
        if urgent || quiet >= EVERY {
            return sale.tell(progress, now);
        }
        match sale.waiting.replace(progress) {
            Some(_) => Told::Waiting,
            None => Told::In(EVERY - quiet),
        }
    }

    /// What waited for its time.
    pub fn due(&mut self, sale: SaleId, now: Instant) -> Option<SaleProgress> {
        let sale = self.sales.get_mut(&sale)?;
        let progress = sale.waiting.take()?;
        sale.told = Some((progress.remaining, now));
        Some(progress)
    }

    /// What was to be told could not be: it waits, unless something newer is known.
    pub fn put_back(&mut self, progress: SaleProgress) {
        let sale = self.sales.entry(progress.sale).or_insert(Sale {
            version: progress.version,
            told: None,
            waiting: None,
        });
        if progress.version >= sale.version {
            sale.waiting = Some(progress);
        }
    }

    /// A sale is over.
    pub fn forget(&mut self, sale: SaleId) {
        self.sales.remove(&sale);
    }
}

impl Sale {
    fn tell(&mut self, progress: SaleProgress, now: Instant) -> Told {
        self.waiting = None;
        self.told = Some((progress.remaining, now));
        Told::Now(progress)
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
    fn counts_are_told_at_most_four_times_a_second_and_the_newest_wins() {
        let (mut pace, sale, start) = (Pace::default(), SaleId::new(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(pace.note(progress(sale, 9, 1), at(0)), Told::Now(progress(sale, 9, 1)));
        assert_eq!(
            pace.note(progress(sale, 8, 2), at(10)),
            Told::In(Duration::from_millis(240))
        );
        assert_eq!(pace.note(progress(sale, 5, 4), at(20)), Told::Waiting);
        assert_eq!(pace.note(progress(sale, 6, 3), at(30)), Told::Never);
        assert_eq!(pace.due(sale, at(250)), Some(progress(sale, 5, 4)));
        assert_eq!(pace.due(sale, at(250)), None);
        assert!(matches!(pace.note(progress(sale, 4, 5), at(490)), Told::In(_)));
    }

    #[test]
    fn what_could_not_be_told_waits_for_its_time() {
        let (mut pace, sale, start) = (Pace::default(), SaleId::new(), Instant::now());
        let first = progress(sale, 0, 2);
        assert_eq!(pace.note(first.clone(), start), Told::Now(first.clone()));
        pace.put_back(first.clone());
        assert_eq!(pace.note(first.clone(), start), Told::Never, "it waits already");
        assert_eq!(pace.due(sale, start + EVERY), Some(first.clone()));
        pace.note(progress(sale, 1, 3), start + EVERY);
        pace.put_back(first);
        assert_eq!(pace.due(sale, start + EVERY * 2), None, "something newer is known");
    }

    #[test]
    fn sold_out_and_back_do_not_wait_and_take_the_place_of_what_did() {
        let (mut pace, sale, start) = (Pace::default(), SaleId::new(), Instant::now());
        pace.note(progress(sale, 9, 1), start);
        pace.note(progress(sale, 3, 2), start);
        assert_eq!(pace.note(progress(sale, 0, 3), start), Told::Now(progress(sale, 0, 3)));
        assert_eq!(pace.due(sale, start + EVERY), None);
        assert_eq!(pace.note(progress(sale, 1, 4), start), Told::Now(progress(sale, 1, 4)));
    }

    #[test]
    fn a_change_that_shows_nothing_new_is_not_told_and_delays_nothing() {
        let (mut pace, sale, start) = (Pace::default(), SaleId::new(), Instant::now());
        pace.note(progress(sale, 0, 1), start);
        // A unit came free and went to somebody in line.
        assert_eq!(pace.note(progress(sale, 0, 2), start + EVERY * 2), Told::Never);
        assert_eq!(pace.note(progress(sale, 0, 1), start + EVERY * 2), Told::Never);
        let back = progress(sale, 2, 3);
        assert_eq!(pace.note(back.clone(), start + EVERY * 2), Told::Now(back));
    }
}
