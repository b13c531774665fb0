//! The end of a worker's connections when the engine stops: each is told when to come
//! back, at a time of its own, so that whoever starts next is not met by all at once.
//!
//! How the times are spread is pure; it is told the chance.

use std::rc::Rc;
use std::time::{Duration, Instant};

use rand::Rng as _;
use shared::protocol::Private;

use super::conn::Conn;
use super::worker::Worker;
use crate::metrics::Parting;

/// How much longer the returns take for each viewer.
const PER_VIEWER: Duration = Duration::from_millis(1);
/// The shortest time over which they are spread.
const LEAST: Duration = Duration::from_millis(250);
/// Going away: the service restarts, come back (RFC 6455's registry).
const RESTART: u16 = 1012;
/// Connections told before others on the worker's thread get their turn.
const CHUNK: usize = 256;
/// How often it is looked whether all are gone.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long those who were told may take to leave.
const LEAVE: Duration = Duration::from_millis(250);

/// Over how long so many viewers come back: in proportion to their number, `most` at most.
#[must_use]
pub fn window(viewers: usize, most: Duration) -> Duration {
    let viewers = u32::try_from(viewers).unwrap_or(u32::MAX);
    PER_VIEWER.saturating_mul(viewers).max(LEAST).min(most.max(LEAST))
}

/// Tells everybody when to come back and closes, then waits for them to leave, until `by`
/// at most. Who reads too slowly to be told, or does not leave when told, is cut off.
pub async fn send_away(worker: &Rc<Worker>, window: Duration, by: Instant) {
    let mut from = 0;
    while let Some(conns) = worker.conns_from(from, CHUNK) {
        from += CHUNK;
        worker.turn.begin();
        for conn in conns {
            if conn.input.borrow().is_request() {
                // Not upgraded yet: it would understand nothing of this.
                conn.end(Parting::Refused);
                continue;
            }
            let resume_after_ms = after(window, rand::rng().random_range(0.0..1.0));
            conn.send(&Private::GoingAway { resume_after_ms });
            conn.close(RESTART, "the service restarts");
        }
        tokio::task::yield_now().await;
    }
    wait_until(|| worker.all(Conn::has_parted), by).await;
    wait_until(|| worker.all(|_| false), by.min(Instant::now() + LEAVE)).await;
}

/// A time within the window, by chance (from 0 to 1).
fn after(window: Duration, chance: f64) -> u64 {
    u64::try_from(window.mul_f64(chance).as_millis()).unwrap_or(u64::MAX)
}

async fn wait_until(done: impl Fn() -> bool, by: Instant) {
    while !done() && Instant::now() < by {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_are_spread_in_proportion_and_within_bounds() {
        let most = Duration::from_secs(30);
        assert_eq!(window(0, most), LEAST);
        assert_eq!(window(10_000, most), Duration::from_secs(10));
        assert_eq!(window(1_000_000, most), most);
        assert_eq!(window(usize::MAX, Duration::ZERO), LEAST, "never all at once");
        assert_eq!(after(most, 0.0), 0);
        assert_eq!(after(most, 0.5), 15_000);
    }
}
