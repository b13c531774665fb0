//! The REST request that a task works for: its id, so that what goes on elsewhere can name
//! it, and how long the work on it may still take.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// A request that is worked for.
struct Current {
    /// For logs alone: nothing is decided by it.
    id: Option<Uuid>,
    /// How long the work may take; `None`: as long as it does.
    time: Option<Duration>,
    /// When its time is over; `None`: its time does not run.
    ends: Cell<Option<Instant>>,
}

impl Current {
    fn start(&self) {
        self.ends
            .set(self.time.and_then(|time| Instant::now().checked_add(time)));
    }
}

tokio::task_local! {
    static REQUEST: Current;
}

/// The work on a request took longer than it may, and was dropped where it stood: a
/// transaction that it had open is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

/// Works for a request, and no longer than `time` if there is one.
///
/// # Errors
/// When the time is over first.
pub async fn within<T>(
    id: Option<Uuid>,
    time: Option<Duration>,
    work: impl Future<Output = T>,
) -> std::result::Result<T, Late> {
    let current = Current {
        id,
        time,
        ends: Cell::new(None),
    };
    current.start();
    REQUEST.scope(current, in_its_time(work)).await
}

async fn in_its_time<T>(work: impl Future<Output = T>) -> std::result::Result<T, Late> {
    let mut work = pin!(work);
    let mut end = pin!(sleep_until(Instant::now()));
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        // Only the work itself moves the end, and it has just been asked.
        let Some(ends) = REQUEST.with(|current| current.ends.get()) else {
            return Poll::Pending;
        };
        if end.deadline() != ends {
            end.as_mut().reset(ends);
        }
        end.as_mut().poll(cx).map(|()| Err(Late))
    })
    .await
}

/// Waits for something of the caller's, which has a time of its own: the work's time begins
/// anew when it is there.
pub(super) async fn outside_of_work<T>(wait: impl Future<Output = T>) -> T {
    // Outside of a request there is no time to stop.
    let _ = REQUEST.try_with(|current| current.ends.set(None));
    let there = wait.await;
    let _ = REQUEST.try_with(Current::start);
    there
}

/// The request that is worked for; `None` in jobs.
#[must_use]
pub fn current() -> Option<Uuid> {
    REQUEST.try_with(|current| current.id).ok().flatten()
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const TIME: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn work_has_its_time_and_no_more() {
        let id = Some(Uuid::now_v7());
        let known = within(id, Some(TIME), async { current() }).await;
        assert_eq!(known, Ok(id));
        let begun = Instant::now();
        assert_eq!(within(id, Some(TIME), pending::<()>()).await, Err(Late));
        assert!(begun.elapsed() >= TIME);
        assert_eq!(within(id, None, tokio::time::sleep(TIME)).await, Ok(()));
    }

    #[tokio::test]
    async fn waiting_for_the_caller_is_no_work() {
        let wait = || outside_of_work(tokio::time::sleep(TIME * 3));
        assert_eq!(within(None, Some(TIME), wait()).await, Ok(()));
        let begun = Instant::now();
        let work = async {
            wait().await;
            pending::<()>().await;
        };
        assert_eq!(within(None, Some(TIME), work).await, Err(Late));
        assert!(begun.elapsed() >= TIME * 4);
    }
}
