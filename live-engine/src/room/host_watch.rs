//! A host whose connection is lost: after a while viewers are told, and when they do not
//! come back the show ends. Who runs a show over REST alone, and was never in its room, is
//! never missed.
//!
//! Pure: it is told the time. Its clock is in the rows (`streams.host_away_since`), so
//! that a room that changes hands goes on with it.

use std::time::Duration;

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
    /// Say that they are away.
    Away(HostAway),
    /// Say that they are back.
    Back,
    /// End the show.
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
    since: Option<Millis>,
    /// A step is under way.
    busy: bool,
}

impl HostWatch {
    /// A watch over a host who `was_here` before the room was opened, and away `since`
    /// then.
    #[must_use]
    pub const fn new(patience: HostPatience, was_here: bool, since: Option<Millis>) -> Self {
        Self {
            patience,
            was_here,
            since,
            busy: false,
        }
    }

    /// What is to be done now; nothing else is until [`Self::done`].
    pub fn look(&mut self, show: Show, now: Millis) -> Option<HostStep> {
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
            let missing = now.saturating_sub(since);
            if missing >= millis(self.patience.ends_after) {
                Some(HostStep::End)
            } else if !show.is_told && missing >= millis(self.patience.grace) {
                Some(HostStep::Away(self.patience.away(since)))
            } else {
                None
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

    fn show(has_host: bool, is_told: bool) -> Show {
        Show {
            is_live: true,
            has_host,
            is_told,
        }
    }

    #[test]
    fn a_host_who_does_not_come_back_is_missed_told_of_and_given_up() {
        let mut watch = HostWatch::new(PATIENCE, false, None);
        assert_eq!(watch.look(show(false, false), 0), None, "never been here");
        assert_eq!(watch.look(show(true, false), 1_000), None);
        assert_eq!(watch.look(show(false, false), 5_000), None);
        assert_eq!(watch.look(show(false, false), 14_999), None);
        let away = HostAway {
            since: 5_000,
            ends_at: 65_000,
        };
        assert_eq!(watch.look(show(false, false), 15_000), Some(HostStep::Away(away)));
        assert_eq!(watch.look(show(false, false), 16_000), None, "it is under way");
        watch.done();
        assert_eq!(watch.look(show(false, true), 64_999), None);
        assert_eq!(watch.look(show(false, true), 65_000), Some(HostStep::End));
        watch.done();
        assert_eq!(
            watch.look(show(false, true), 66_000),
            Some(HostStep::End),
            "it had failed"
        );
    }

    #[test]
    fn a_host_who_comes_back_stops_the_clock() {
        let mut watch = HostWatch::new(PATIENCE, true, None);
        assert_eq!(watch.look(show(false, false), 0), None);
        assert_eq!(watch.look(show(true, false), 9_000), None, "nobody had noticed");
        assert_eq!(watch.look(show(false, false), 10_000), None);
        assert_eq!(watch.look(show(false, false), 19_999), None, "a clock of its own");
        assert!(matches!(
            watch.look(show(false, false), 20_000),
            Some(HostStep::Away(_))
        ));
        watch.done();
        assert_eq!(watch.look(show(true, true), 30_000), Some(HostStep::Back));
        watch.done();
        assert_eq!(watch.look(show(true, false), 31_000), None);
    }

    #[test]
    fn a_room_that_has_changed_hands_goes_on_with_the_clock() {
        let mut watch = HostWatch::new(PATIENCE, true, Some(1_000));
        assert_eq!(watch.look(show(false, true), 60_999), None);
        assert_eq!(watch.look(show(false, true), 61_000), Some(HostStep::End));
        let mut unknown = HostWatch::new(PATIENCE, true, None);
        assert_eq!(unknown.look(show(false, false), 100_000), None, "the clock begins anew");
        assert!(unknown.look(show(false, false), 159_999).is_some());
    }

    #[test]
    fn a_show_that_is_not_on_air_needs_no_host() {
        let mut watch = HostWatch::new(PATIENCE, true, None);
        let off_air = Show {
            is_live: false,
            has_host: false,
            is_told: false,
        };
        assert_eq!(watch.look(off_air, 0), None);
        assert_eq!(watch.look(off_air, 1_000_000), None);
        assert_eq!(
            watch.look(show(false, false), 1_000_001),
            None,
            "missed from the start on"
        );
    }
}
