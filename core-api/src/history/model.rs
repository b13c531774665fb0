//! Bodies and queries of the history routes.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::error::{ErrorCode, Refusal};
use shared::ids::StreamId;
use utoipa::{IntoParams, ToSchema};

/// Which numbered events.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AfterSeq {
    /// Of this epoch; without it of the first of which something is stored.
    #[param(minimum = 1)]
    pub epoch: Option<i64>,
    /// Those after this number: the last that is known.
    pub after_seq: Option<u64>,
    /// Events at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: Option<i64>,
}

/// Numbered events of one epoch, in order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventsPage {
    /// The epoch.
    pub epoch: i64,
    /// The events. No number is left out.
    pub items: Vec<NumberedEvent>,
    /// Give it as `after_seq` for the next page; null: this was the last for now.
    pub next_after_seq: Option<u64>,
    /// Everything of the epoch up to and including this number is stored, and in these
    /// pages. What the room has told since is not, yet.
    pub complete_to: u64,
    /// The epoch has ended and these pages are all of it: go on with this one, from its
    /// beginning. Null: it may still go on.
    pub next_epoch: Option<i64>,
}

/// One numbered event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct NumberedEvent {
    /// Its number.
    pub seq: u64,
    /// When it was decided.
    pub at: DateTime<Utc>,
    /// As the room told it: see docs/protocol.md, "Numbered events". Null when it is to
    /// be shown no more: a message that was deleted, or a row that the database refused.
    #[schema(value_type = Option<Object>)]
    pub event: Option<Value>,
}

/// From where to play a show again.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct From {
    /// So many milliseconds after the show began; negative: before, in its waiting room.
    #[param(default = 0)]
    pub from_ms: Option<i64>,
    /// The `next_cursor` of the page before; it goes before `from_ms`.
    pub cursor: Option<String>,
    /// Items at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: Option<i64>,
}

/// What happened in a show, by time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplayPage {
    /// What happened, in order.
    pub items: Vec<Replayed>,
    /// Give it as `cursor` for the next page; null: this was the last for now.
    pub next_cursor: Option<String>,
    /// So many milliseconds after the beginning is the last event that is stored.
    pub complete_to_ms: i64,
    /// The show is over.
    pub over: bool,
}

/// Something that happened in a show.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// Milliseconds since the show began.
    pub at_ms: i64,
    /// The epoch of a numbered event.
    pub epoch: Option<i64>,
    /// Its number.
    pub seq: Option<u64>,
    /// A numbered event as the room told it (see docs/protocol.md), or `reactions` with
    /// the `counts` of the minute that begins here.
    #[schema(value_type = Object)]
    pub event: Value,
}

/// What everybody may know of a show that is over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PublicSummary {
    /// The show.
    pub stream: StreamId,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// The most viewers at once.
    pub peak_viewers: u64,
    /// Messages said and not deleted.
    pub chat_messages: u64,
    /// Reactions by kind.
    pub reactions: BTreeMap<String, u64>,
}

/// A place in the order of everything that happened in a show: by time, and where that is
/// the same by epoch and number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cursor {
    /// Microseconds since the Unix epoch, as exact as the database keeps them.
    pub at_us: i64,
    /// The epoch; 0 for what has none.
    pub epoch: i64,
    /// The number; 0 for what has none.
    pub seq: i64,
}

impl Cursor {
    /// Before everything at that time.
    #[must_use]
    pub const fn before(at: DateTime<Utc>) -> Self {
        Self {
            at_us: at.timestamp_micros(),
            epoch: -1,
            seq: 0,
        }
    }

    /// Its time.
    #[must_use]
    pub fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.at_us).unwrap_or_default()
    }

    /// Reads one that [`std::fmt::Display`] has written.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn read(text: &str) -> Result<Self, Refusal> {
        let mut parts = text.splitn(3, '.').map(|part| part.parse().ok());
        let mut next = || parts.next().flatten();
        let read = || Some((next()?, next()?, next()?));
        read_checked(read).ok_or_else(|| Refusal::new(ErrorCode::InvalidParameter, "no page had this").at("cursor"))
    }
}

/// The end of the year 9999, in microseconds.
const LAST_US: i64 = 253_402_300_799_999_999;

fn read_checked(read: impl FnOnce() -> Option<(i64, i64, i64)>) -> Option<Cursor> {
    let (at_us, epoch, seq) = read()?;
    // What is no time of a show is no place, and beyond these years none of the database's.
    if !(-LAST_US..=LAST_US).contains(&at_us) {
        return None;
    }
    Some(Cursor { at_us, epoch, seq })
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.at_us, self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written_and_nothing_else_is() {
        let cursor = Cursor {
            at_us: 1_795_399_200_123_456,
            epoch: 3,
            seq: 41,
        };
        assert_eq!(Cursor::read(&cursor.to_string()), Ok(cursor));
        for wrong in [
            "",
            "1",
            "1.2",
            "1.2.x",
            "1.2.3.4",
            "9223372036854775807.1.1",
            "253402300800000000.1.1",
            "-253402300800000000.1.1",
            "a.b.c",
        ] {
            let refusal = Cursor::read(wrong).expect_err("no cursor");
            assert_eq!(refusal.field.as_deref(), Some("cursor"), "{wrong}");
        }
    }
}
