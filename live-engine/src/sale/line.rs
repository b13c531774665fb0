//! What those in a wait list were told of where they stand, and whom it is worth telling
//! again. Pure: time comes in from outside.

use std::collections::HashMap;
use std::time::Duration;

use shared::ids::UserId;
use shared::protocol::Waiting;
use tokio::time::Instant;

/// A line is told how it moves no more often than this.
pub(crate) const TOLD_EVERY: Duration = Duration::from_secs(2);
/// From this place on, every step is told.
const NEAR: u32 = 10;
/// Further back, a step of at least one in so many places.
const STEP: u32 = 10;

/// See the module.
#[derive(Debug)]
pub(crate) struct Line {
    told: HashMap<UserId, u32>,
    /// The sale's version when the line was last told, and the newest heard of.
    told_version: i64,
    version: i64,
    not_before: Instant,
}

impl Line {
    /// Nobody has been told anything.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            told: HashMap::new(),
            told_version: 0,
            version: 0,
            not_before: now,
        }
    }

    /// The sale has this version, and so many are in line.
    pub(crate) fn heard(&mut self, version: i64, waiting: u32) {
        self.version = self.version.max(version);
        if waiting == 0 {
            self.told.clear();
            self.told_version = self.version;
        }
    }

    /// When the line is to be told, if it has moved.
    pub(crate) fn due(&self) -> Option<Instant> {
        (self.version > self.told_version).then_some(self.not_before)
    }

    /// The sale's newest version: to be noted before the line is read.
    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    /// Nothing could be read.
    pub(crate) fn put_off(&mut self, until: Instant) {
        self.not_before = until;
    }

    /// Of those in line, read when the sale had `version` or a later one, who is to be
    /// told where they stand.
    pub(crate) fn news(&mut self, line: Vec<(UserId, Waiting)>, version: i64, now: Instant) -> Vec<(UserId, Waiting)> {
        self.told_version = version;
        self.not_before = now + TOLD_EVERY;
        let mut told = HashMap::with_capacity(line.len());
        let mut news = Vec::new();
        for (user, place) in line {
            let before = self.told.get(&user).copied();
            if before.is_some_and(|before| !is_worth_telling(before, place.position)) {
                told.insert(user, before.unwrap_or(place.position));
            } else {
                told.insert(user, place.position);
                news.push((user, place));
            }
        }
        self.told = told;
        news
    }
}

const fn is_worth_telling(before: u32, now: u32) -> bool {
    let step = before.abs_diff(now);
    step > 0 && (now <= NEAR || step >= before.div_ceil(STEP))
}

#[cfg(test)]
mod tests {
    use shared::ids::SaleId;
    use shared::status::WaitStatus;

    use super::*;

    fn line(users: &[UserId]) -> Vec<(UserId, Waiting)> {
        let place = |position| Waiting {
            sale: SaleId::new(),
            quantity: 1,
            status: WaitStatus::Waiting,
            position,
        };
        (1..).zip(users).map(|(n, user)| (*user, place(n))).collect()
    }

    #[test]
    fn those_in_front_hear_of_every_step_and_those_behind_of_long_ones() {
        let users: Vec<UserId> = (0..100).map(|_| UserId::new()).collect();
        let (mut told, now) = (Line::new(Instant::now()), Instant::now());
        assert_eq!(told.news(line(&users), 1, now).len(), 100, "nobody knows anything yet");
        assert!(told.news(line(&users), 2, now).is_empty(), "nobody has moved");
        let first: Vec<u32> = told
            .news(line(&users[1..]), 3, now)
            .iter()
            .map(|(_, p)| p.position)
            .collect();
        assert_eq!(first, (1..=10).collect::<Vec<_>>());
        // Nine more: the last one stood at 100, was not told of one step, and is of ten.
        let rest = told.news(line(&users[10..]), 4, now);
        assert_eq!(
            rest.last().map(|(user, place)| (*user, place.position)),
            Some((users[99], 90))
        );
    }

    #[test]
    fn a_line_that_moves_is_told_after_a_pause_and_one_that_is_gone_never() {
        let (now, user) = (Instant::now(), UserId::new());
        let mut told = Line::new(now);
        assert_eq!(told.due(), None);
        told.heard(5, 1);
        assert_eq!(told.due(), Some(now));
        told.news(line(&[user]), told.version(), now);
        assert_eq!(told.due(), None);
        told.heard(6, 1);
        assert_eq!(told.due(), Some(now + TOLD_EVERY));
        told.heard(7, 0);
        assert_eq!(told.due(), None);
    }
}
