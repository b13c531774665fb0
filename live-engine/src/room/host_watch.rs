//! A host whose connection is lost: after a while viewers are told, and when they do not
//! come back the show ends. Who runs a show over REST alone, and was never in its room, is
//! never missed.
//!
//! Pure: it is told the time, by a clock that only measures how long something takes. When
//! the host went is in the rows (`streams.host_away_since`), by the database's clock, so
//! that a room that changes hands goes on with it; and only by that clock a show ends. The
//! one here says when it is worth asking.

use std::time::{Duration, Instant};

use shared::protocol::{HostAway, Millis};

/// How long a host may be away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostPatience {
    /// Before viewers are told.
    pub grace: Duration,
    /// Before the show ends.
    pub ends_after: Duration,
}

impl HostPatience {
    /// Somebody who has been away since then.
    #[must_use]
    pub fn away(self, since: Millis) -> HostAway {
        HostAway {
            since,
            ends_at: since.saturating_add(millis(self.ends_after)),
        }
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// What is to be done about a host, each in a transaction of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostStep {
    /// Note and say that they are away, for so long already.
    Away(Duration),
    /// Say that they are back.
    Back,
    /// End the show, if the database finds that their time is up.
    End,
}

/// What is known of the show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Show {
    /// It is on air.
    pub is_live: bool,
    /// The host is in the room, as the host.
    pub has_host: bool,
    /// Viewers were told that the host is away.
    pub is_told: bool,
}

/// See the module.
#[derive(Debug)]
pub struct HostWatch {
    patience: HostPatience,
    /// They have been in the room.
    was_here: bool,
    /// They are missing.
    since: Option<Instant>,
    /// A step is under way.
    busy: bool,
}

impl HostWatch {
    /// A watch over a host who `was_here` before the room was opened, and away `since`
    /// then.
    #[must_use]
    pub const fn new(patience: HostPatience, was_here: bool, since: Option<Instant>) -> Self {
        Self {
            patience,
            was_here,
            since,
            busy: false,
        }
    }

    /// What is to be done now; nothing else is until [`Self::done`].
    pub fn look(&mut self, show: Show, now: Instant) -> Option<HostStep> {
        self.was_here |= show.has_host;
        if self.busy || !show.is_live || !self.was_here {
            if !show.is_live {
                self.since = None;
            }
            return None;
        }
        let step = if show.has_host {
            self.since = None;
            show.is_told.then_some(HostStep::Back)
        } else {
            let since = *self.since.get_or_insert(now);
            let missing = now.saturating_duration_since(since);
            let HostPatience { grace, ends_after } = self.patience;
            // Whoever is missing is noted first: by that the end is decided.
            match show.is_told {
                false if missing >= grace.min(ends_after) => Some(HostStep::Away(missing)),
                true if missing >= ends_after => Some(HostStep::End),
                _ => None,
            }
        };
        self.busy = step.is_some();
        step
    }

    /// The step has come to something, or to nothing: then it is tried again.
    pub const fn done(&mut self) {
        self.busy = false;
    }

    /// Whether a step is under way.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: HostPatience = HostPatience {
        grace: Duration::from_secs(10),
        ends_after: Duration::from_secs(60),
    };

    const fn show(has_host: bool, is_told: bool) -> Show {
        Show {
            is_live: true,
            has_host,
            is_told,
        }
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_host_who_does_not_come_back_is_missed_told_of_and_given_up() {
        let (mut watch, t) = (HostWatch::new(PATIENCE, false, None), Instant::now());
        assert_eq!(watch.look(show(false, false), t), None, "never been here");
        assert_eq!(watch.look(show(true, false), t + s(1)), None);
        assert_eq!(watch.look(show(false, false), t + s(5)), None);
        assert_eq!(watch.look(show(false, false), t + s(14)), None);
        let away = Some(HostStep::Away(s(10)));
        assert_eq!(watch.look(show(false, false), t + s(15)), away);
        assert_eq!(watch.look(show(false, false), t + s(16)), None, "it is under way");
        watch.done();
        assert_eq!(watch.look(show(false, true), t + s(64)), None);
        assert_eq!(watch.look(show(false, true), t + s(65)), Some(HostStep::End));
        watch.done();
        let again = watch.look(show(false, true), t + s(66));
        assert_eq!(again, Some(HostStep::End), "it had failed, or their time was not up");
    }

    #[test]
    fn a_host_who_comes_back_stops_the_clock() {
        let (mut watch, t) = (HostWatch::new(PATIENCE, true, None), Instant::now());
        assert_eq!(watch.look(show(false, false), t), None);
        assert_eq!(watch.look(show(true, false), t + s(9)), None, "nobody had noticed");
        assert_eq!(watch.look(show(false, false), t + s(10)), None);
        assert_eq!(watch.look(show(false, false), t + s(19)), None, "a clock of its own");
        let away = watch.look(show(false, false), t + s(20));
        assert!(matches!(away, Some(HostStep::Away(_))), "{away:?}");
        watch.done();
        assert_eq!(watch.look(show(true, true), t + s(30)), Some(HostStep::Back));
        watch.done();
        assert_eq!(watch.look(show(true, false), t + s(31)), None);
    }

    #[test]
    fn a_room_that_has_changed_hands_goes_on_with_the_clock() {
        let t = Instant::now();
        let mut watch = HostWatch::new(PATIENCE, true, Some(t));
        assert_eq!(watch.look(show(false, true), t + s(59)), None);
        assert_eq!(watch.look(show(false, true), t + s(60)), Some(HostStep::End));
        let mut unknown = HostWatch::new(PATIENCE, true, None);
        assert_eq!(
            unknown.look(show(false, false), t + s(100)),
            None,
            "the clock begins anew"
        );
        assert!(unknown.look(show(false, false), t + s(110)).is_some());
    }

    #[test]
    fn nobody_is_given_up_who_was_not_missed_first() {
        let hasty = HostPatience {
            grace: s(100),
            ends_after: s(60),
        };
        let (mut watch, t) = (HostWatch::new(hasty, true, None), Instant::now());
        assert_eq!(watch.look(show(false, false), t), None);
        assert_eq!(watch.look(show(false, false), t + s(60)), Some(HostStep::Away(s(60))));
    }

    #[test]
    fn a_show_that_is_not_on_air_needs_no_host() {
        let (mut watch, t) = (HostWatch::new(PATIENCE, true, None), Instant::now());
        let off_air = Show {
            is_live: false,
            has_host: false,
            is_told: false,
        };
        assert_eq!(watch.look(off_air, t), None);
        assert_eq!(watch.look(off_air, t + s(1_000)), None);
        let first = watch.look(show(false, false), t + s(1_001));
        assert_eq!(first, None, "missed from the start on");
    }
}
