//! When people may be in a show's room. Pure: it is told the time.

use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::protocol::Millis;
use shared::status::StreamStatus;

/// When viewers may be in a room whose show is not on air.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doors {
    /// How long before it is to begin.
    pub open_before: Duration,
    /// How long after its end.
    pub close_after: Duration,
}

/// How far a show has come, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShowTimes {
    /// Its status.
    pub status: StreamStatus,
    /// When it is to begin.
    pub scheduled_at: Millis,
    /// When it ended.
    pub ended_at: Option<Millis>,
}

impl Doors {
    /// Whether somebody may come in now. The doors open a while before a show is to begin,
    /// for its host at any time; they close a while after its end.
    ///
    /// # Errors
    /// `TooEarly`, with the time until the doors open; `ShowOver`.
    pub fn admit(&self, show: &ShowTimes, is_host: bool, now: Millis) -> Result<(), Refusal> {
        let millis = |duration: Duration| Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX);
        match show.status {
            StreamStatus::Live => Ok(()),
            StreamStatus::Scheduled => {
                let open_in = show.scheduled_at.saturating_sub(millis(self.open_before)) - now;
                if is_host || open_in <= 0 {
                    return Ok(());
                }
                Err(Refusal::from(ErrorCode::TooEarly).retry_after_ms(open_in.unsigned_abs()))
            }
            StreamStatus::Ended => {
                let ended_at = show.ended_at.unwrap_or(now);
                if now < ended_at.saturating_add(millis(self.close_after)) {
                    return Ok(());
                }
                Err(ErrorCode::ShowOver.into())
            }
            StreamStatus::Cancelled => Err(ErrorCode::ShowOver.into()),
        }
    }
}
