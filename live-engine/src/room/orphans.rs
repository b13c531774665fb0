//! Takes up rooms that nobody has: shows on air whose owner has died and whom no viewer
//! brings back. A show whose host is away ends all the same, and what its outbox holds is
//! delivered.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;

use super::store::unattended;
use crate::db::{self, Db};
use crate::router::{Router, ToWorker};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(10);
/// Rooms that are taken up at once.
const AT_ONCE: i64 = 50;

/// Starts looking, on the database's threads.
pub fn start(db: &Db, router: Arc<Router>) {
    let (pool, health, stopping) = (db.pool(), db.health(), db.stopping());
    db.spawn(async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stopping.cancelled() => return,
            }
            let work = async |conn: &mut PgConnection| unattended::orphans(conn, AT_ONCE).await;
            match db::alone(&pool, work).await {
                Ok(streams) => {
                    for stream in streams {
                        tracing::info!(%stream, "a show on air has no room; it is opened");
                        // One that cannot be sent now is found again.
                        let _ = router.send(router.home(stream), ToWorker::Open(stream));
                    }
                }
                Err(error) => {
                    health.failed("looking for rooms without an owner", &error);
                }
            }
        }
    });
}
