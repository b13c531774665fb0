//! Whose turn it is among a shard's viewers, and when: the shard goes round them as long
//! as somebody may lack something, at a pace that `tick` sets, and stands still when
//! nobody does.
//!
//! Pure: it is told the time, how many viewers there are and what a visit cost.

use std::time::{Duration, Instant};

use super::tick::Tempo;

/// Visits that are waited for before the shard goes on, or a part of the round if that is
/// more: enough to be worth waking up. When in a round a viewer's turn comes is the same
/// to the viewer; a worker does many of one kind faster than a few now and then.
const WORTH_WAKING: f64 = 64.0;
const PART: f64 = 0.25;
/// How long the shard rests at least: its runtime's clock knows milliseconds.
const REST: Duration = Duration::from_millis(1);
/// How much of what a visit costs is told by the last slice.
const NEWER: f64 = 0.1;

/// See the module.
#[derive(Debug)]
pub struct Rounds {
    tempo: Tempo,
    /// The place of the one whose turn it is.
    next: usize,
    /// How many from there on may lack something.
    left: usize,
    /// Visits that may be made now.
    credit: f64,
    /// When credit was given last.
    at: Instant,
    /// What a visit with a write costs, in seconds.
    cost: f64,
    /// The turn under way: since when, and how many visits.
    since: Instant,
    visits: usize,
}

/// A time round all viewers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Round {
    /// How long it took, rests included: how late the last of them was.
    pub took: Duration,
    /// What a sweep over all of them costs.
    pub sweep: Duration,
}

impl Rounds {
    /// Nobody lacks anything.
    #[must_use]
    pub const fn new(tempo: Tempo, now: Instant) -> Self {
        Self {
            tempo,
            next: 0,
            left: 0,
            credit: 0.0,
            at: now,
            cost: 0.0,
            since: now,
            visits: 0,
        }
    }

    /// All `members` lack something, from the one whose turn it is.
    pub fn news(&mut self, members: usize, now: Instant) {
        if self.left == 0 {
            (self.since, self.visits) = (now, 0);
        }
        self.left = members;
    }

    /// One has come, at the end of the list, and lacks nothing.
    pub const fn joined(&mut self) {
        if self.left > 0 {
            self.left += 1;
        }
    }

    /// One has gone, and the last of the list has taken the place: perhaps one that was
    /// visited already. `members` are left.
    pub const fn parted(&mut self, members: usize) {
        if self.left > 0 {
            self.left = members;
        }
    }

    /// Whether nobody lacks anything.
    #[must_use]
    pub const fn at_rest(&self) -> bool {
        self.left == 0
    }

    /// What a sweep over `members` costs.
    #[must_use]
    pub fn sweep(&self, members: usize) -> Duration {
        Duration::from_secs_f64(self.cost * members as f64)
    }

    /// Gives credit for the time that has passed; how long to rest until there is enough of
    /// it to go on, or `None`.
    pub fn rest(&mut self, members: usize, now: Instant) -> Option<Duration> {
        // Whoever has gone needs nothing.
        self.left = self.left.min(members);
        if self.left == 0 {
            return None;
        }
        let per_second = members as f64 / self.tempo.round(self.sweep(members)).as_secs_f64();
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        // At most a whole round is saved up: after a rest as long as that, everybody is visited
        // as fast as it goes.
        self.credit = (self.credit + passed * per_second).min(members as f64);
        self.at = now;
        let wanted = WORTH_WAKING.max(members as f64 * PART).min(self.left as f64);
        (self.credit < wanted).then(|| Duration::from_secs_f64((wanted - self.credit) / per_second).max(REST))
    }

    /// The place of the next to be visited; `None` when credit is used up or nobody is left.
    pub fn visit(&mut self, members: usize) -> Option<usize> {
        if self.left == 0 || members == 0 {
            self.left = 0;
            return None;
        }
        if self.credit < 1.0 {
            return None;
        }
        let place = if self.next < members { self.next } else { 0 };
        self.next = place + 1;
        self.left -= 1;
        self.credit -= 1.0;
        self.visits += 1;
        Some(place)
    }

    /// A slice of the round has come to its end: `writes` of its visits wrote something,
    /// which took so long in all. The round, when all `members` have been visited in it.
    pub fn worked(&mut self, writes: usize, took: Duration, members: usize, now: Instant) -> Option<Round> {
        if writes > 0 {
            let cost = took.as_secs_f64() / writes as f64;
            let newer = if self.cost == 0.0 { 1.0 } else { NEWER };
            self.cost += (cost - self.cost) * newer;
        }
        if self.visits < members {
            return None;
        }
        let round = Round {
            took: now.saturating_duration_since(self.since),
            sweep: self.sweep(members),
        };
        (self.since, self.visits) = (now, 0);
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COST: Duration = Duration::from_micros(5);

    /// Goes on until everybody has everything or `until` has come; who was visited, and when
    /// it ended.
    fn go_round(rounds: &mut Rounds, members: usize, mut now: Instant, until: Instant) -> (Vec<usize>, Instant) {
        let mut visited = Vec::new();
        while !rounds.at_rest() && now < until {
            if let Some(rest) = rounds.rest(members, now) {
                now += rest;
                continue;
            }
            let before = visited.len();
            while visited.len() - before < 100
                && let Some(place) = rounds.visit(members)
            {
                visited.push(place);
            }
            let writes = visited.len() - before;
            let took = COST * u32::try_from(writes).expect("few");
            now += took;
            rounds.worked(writes, took, members, now);
        }
        (visited, now)
    }

    #[test]
    fn a_quiet_room_is_gone_round_as_fast_as_it_goes_and_a_busy_one_at_its_pace() {
        let (start, members) = (Instant::now(), 5000);
        let later = start + Duration::from_secs(60);
        let mut rounds = Rounds::new(Tempo::default(), start - Duration::from_secs(1));
        rounds.news(members, start);
        let (visited, end) = go_round(&mut rounds, members, start, later);
        assert_eq!(visited, (0..members).collect::<Vec<_>>());
        assert_eq!(end - start, COST * 5000);
        // Something new all the time, for a second.
        let (mut now, mut writes) = (end, 0);
        while now < end + Duration::from_secs(1) {
            rounds.news(members, now);
            let (visited, then) = go_round(&mut rounds, members, now, now + Duration::from_millis(10));
            (now, writes) = (then, writes + visited.len());
        }
        let round = Tempo::default().round(COST * 5000).as_secs_f64();
        let expected = 5000.0 / round;
        assert!(
            (0.9..1.1).contains(&(writes as f64 / expected)),
            "{writes} visits, {expected} expected"
        );
    }

    #[test]
    fn a_round_tells_how_late_its_last_was() {
        let (start, members) = (Instant::now(), 10);
        let mut rounds = Rounds::new(Tempo::default(), start - Duration::from_secs(1));
        rounds.news(members, start);
        assert_eq!(rounds.rest(members, start), None);
        while rounds.visit(members).is_some() {}
        let now = start + Duration::from_millis(3);
        let round = rounds.worked(10, Duration::from_millis(2), members, now);
        let (took, sweep) = (Duration::from_millis(3), Duration::from_millis(2));
        assert_eq!(round, Some(Round { took, sweep }));
    }

    #[test]
    fn a_room_that_everybody_has_left_in_the_middle_of_a_round_is_at_rest() {
        let start = Instant::now();
        let mut rounds = Rounds::new(Tempo::default(), start);
        rounds.news(1000, start);
        assert!(rounds.rest(1000, start).is_some());
        assert_eq!(rounds.rest(0, start), None);
        assert!(rounds.at_rest());
    }

    proptest! {
        #[test]
        fn whoever_lacks_something_is_visited(
            steps in prop::collection::vec((0..4_u8, 0..50_usize), 1..200)
        ) {
            let mut now = Instant::now();
            let mut rounds = Rounds::new(Tempo::default(), now);
            // Whether each viewer has everything.
            let mut viewers: Vec<bool> = Vec::new();
            for (what, which) in steps {
                match what {
                    0 => {
                        viewers.push(true);
                        rounds.joined();
                    }
                    1 if !viewers.is_empty() => {
                        viewers.swap_remove(which % viewers.len());
                        rounds.parted(viewers.len());
                    }
                    2 => {
                        viewers.fill(false);
                        rounds.news(viewers.len(), now);
                    }
                    _ => {
                        now += Duration::from_millis(1);
                        let _ = rounds.rest(viewers.len(), now);
                        for _ in 0..which {
                            let Some(place) = rounds.visit(viewers.len()) else { break };
                            viewers[place] = true;
                        }
                    }
                }
            }
            let mut turns = 0;
            while !rounds.at_rest() {
                now += Duration::from_millis(1);
                let _ = rounds.rest(viewers.len(), now);
                while let Some(place) = rounds.visit(viewers.len()) {
                    viewers[place] = true;
                }
                turns += 1;
                prop_assert!(turns < 1000, "it comes to its end");
            }
            prop_assert!(viewers.iter().all(|has| *has));
        }
    }
}
