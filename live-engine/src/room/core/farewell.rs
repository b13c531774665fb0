//! The end of a show: viewers are sent away a while after it, and when its last event is
//! stored the show is counted. Pure: it is told the time and what is stored.

use std::time::Duration;

use shared::protocol::{Millis, RoomEvent, StreamCard};
use shared::status::{Machine as _, StreamStatus};

/// How long whoever waits for a show that is called off may read so.
const CALLED_OFF: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Farewell {
    /// When viewers are sent away.
    at: Option<Millis>,
    /// The number of the show's end, until it is stored.
    end: Option<u64>,
}

impl Farewell {
    /// Of a room that opens: one whose show was over before sends whoever comes away.
    #[must_use]
    pub fn of(stream: &StreamCard, close_after: Duration, now: Millis) -> Self {
        let over_since = stream.status.is_final().then(|| stream.ended_at.unwrap_or(now));
        Self {
            at: over_since.map(|since| later(since, stream.status, close_after)),
            end: None,
        }
    }

    /// An event with this number.
    pub fn note(&mut self, event: &RoomEvent, seq: u64, now: Millis, close_after: Duration) {
        if let RoomEvent::StreamStatus { status } = event
            && status.is_final()
        {
            self.at = Some(later(now, *status, close_after));
            self.end = (*status == StreamStatus::Ended).then_some(seq);
        }
    }

    /// Whether it is time to send viewers away: once.
    pub fn is_due(&mut self, now: Millis) -> bool {
        self.at.take_if(|at| *at <= now).is_some()
    }

    /// Whether the show's end, and so everything before it, is stored now: once.
    pub fn is_stored(&mut self, committed: u64) -> bool {
        self.end.take_if(|seq| *seq <= committed).is_some()
    }

    /// Whether something is still to come.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.at.is_some() || self.end.is_some()
    }
}

fn later(since: Millis, status: StreamStatus, close_after: Duration) -> Millis {
    let wait = match status {
        StreamStatus::Cancelled => CALLED_OFF,
        StreamStatus::Ended | StreamStatus::Live | StreamStatus::Scheduled => close_after,
    };
    since.saturating_add(Millis::try_from(wait.as_millis()).unwrap_or(Millis::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE_AFTER: Duration = Duration::from_secs(30);

    #[test]
    fn viewers_are_sent_away_once_and_the_show_is_counted_when_its_end_is_stored() {
        let mut farewell = Farewell::default();
        farewell.note(&RoomEvent::Unfeatured, 6, 1_000, CLOSE_AFTER);
        assert!(!farewell.is_under_way());
        let ended = RoomEvent::StreamStatus {
            status: StreamStatus::Ended,
        };
        farewell.note(&ended, 7, 1_000, CLOSE_AFTER);
        assert!(!farewell.is_stored(6));
        assert!(farewell.is_stored(7));
        assert!(!farewell.is_stored(8), "once");
        assert!(!farewell.is_due(30_999));
        assert!(farewell.is_due(31_000));
        assert!(!farewell.is_due(32_000) && !farewell.is_under_way());
    }

    #[test]
    fn a_show_that_is_called_off_is_counted_by_nobody() {
        let mut farewell = Farewell::default();
        let cancelled = RoomEvent::StreamStatus {
            status: StreamStatus::Cancelled,
        };
        farewell.note(&cancelled, 1, 0, CLOSE_AFTER);
        assert!(!farewell.is_stored(9));
        assert!(farewell.is_due(2_000));
    }
}
