//! The id of the REST request that a task works for, so that what goes on elsewhere can
//! name it. For logs alone: nothing is decided by it.

use std::future::Future;

use uuid::Uuid;

tokio::task_local! {
    static REQUEST: Uuid;
}

/// Works for a request.
pub async fn within<T>(request: Option<Uuid>, work: impl Future<Output = T>) -> T {
    match request {
        Some(request) => REQUEST.scope(request, work).await,
        None => work.await,
    }
}

/// The request that is worked for; `None` in jobs.
#[must_use]
pub fn current() -> Option<Uuid> {
    REQUEST.try_with(|request| *request).ok()
}
