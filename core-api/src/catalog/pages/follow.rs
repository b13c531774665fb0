//! Hearing of changes: `product_changes`, which triggers write, is read on a hint and
//! twice a second: what was committed since the last reading, each change once.
//! A lost hint costs half a second. While it cannot be read, no page is kept.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use shared::Timestamp;
use shared::bus::{SharedBus, Subscription};
use shared::ids::ProductId;
use shared::live::OUTBOX_HINTS;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::store;

/// How often changes are looked for without a hint.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// The shortest time between two readings, however many hints come.
const BREATH: Duration = Duration::from_millis(20);
/// How long a reading may take before its outcome is not waited for.
pub(super) const DEADLINE: Duration = Duration::from_secs(2);
/// Changes of one reading at most; beyond, everything is forgotten.
const MOST: i64 = 5_000;
/// Changes are kept for ten minutes: after half of that without a reading, somebody else may
/// have deleted what was not read, and everything is forgotten.
const KEPT_FOR_SURE: TimeDelta = TimeDelta::minutes(5);

/// Follows changes until `stopping`; says so once it does.
pub(super) async fn run(
    db: PgPool,
    bus: SharedBus,
    cache: Arc<Cache<ProductId>>,
    stopping: CancellationToken,
    follows: oneshot::Sender<()>,
) {
    let following = async {
        let (mut hints, mut follows) = (None, Some(follows));
        loop {
            if let Err(error) = follow(&db, &bus, &cache, &mut hints, &mut follows).await {
                tracing::warn!(%error, "changes of products cannot be read; no page is kept until they can");
            }
            cache.follow(false);
            tokio::time::sleep(POLL_EVERY).await;
        }
    };
    tokio::select! {
        () = stopping.cancelled() => {}
        () = following => {}
    }
    cache.follow(false);
}

/// Follows on a connection of its own, so that a rush which takes all others does not take
/// this one; ends when it fails.
async fn follow(
    db: &PgPool,
    bus: &SharedBus,
    cache: &Cache<ProductId>,
    hints: &mut Option<Subscription>,
    follows: &mut Option<oneshot::Sender<()>>,
) -> anyhow::Result<()> {
    let mut conn = timeout(DEADLINE, PgConnection::connect_with(&db.connect_options())).await??;
    let mut place = timeout(DEADLINE, Place::now(&mut conn)).await??;
    cache.follow(true);
    if let Some(follows) = follows.take() {
        // Whoever waited may have gone on without.
        let _ = follows.send(());
    }
    loop {
        wait(bus, hints).await;
        timeout(DEADLINE, place.read(&mut conn, cache)).await??;
    }
}

/// Until a hint or the next poll, and at least a breath.
async fn wait(bus: &SharedBus, hints: &mut Option<Subscription>) {
    tokio::time::sleep(BREATH).await;
    if hints.is_none() {
        *hints = bus.subscribe(OUTBOX_HINTS).await.ok();
    }
    let heard = async {
        match hints {
            // Whether heard or missed: the rows tell what there is.
            Some(subscription) => subscription.next().await.is_some(),
            None => std::future::pending().await,
        }
    };
    if let Ok(false) = timeout(POLL_EVERY, heard).await {
        *hints = None;
    }
}

/// Where the reading stands.
struct Place {
    /// What was committed at the last reading: all of it is read.
    snapshot: String,
    /// When that was, by the database's clock, which goes on while this process stands still.
    read_at: Timestamp,
}

impl Place {
    async fn now(conn: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let now = store::now(conn).await?;
        Ok(Self {
            snapshot: now.snapshot,
            read_at: now.read_at,
        })
    }

    async fn read(&mut self, conn: &mut PgConnection, cache: &Cache<ProductId>) -> Result<(), sqlx::Error> {
        let changes = store::changes_since(conn, &self.snapshot, MOST).await?;
        let was_read_at = std::mem::replace(&mut self.read_at, changes.read_at);
        self.snapshot = changes.snapshot;
        let is_late = self.read_at - was_read_at > KEPT_FOR_SURE;
        if is_late || i64::try_from(changes.rows.len()).is_ok_and(|rows| rows >= MOST) {
            // What commits after the snapshot is heard of, and what was committed before it is
            // seen by every reading of a page from now on.
            cache.follow(true);
            return Ok(());
        }
        for change in changes.rows {
            if let Some(product) = change.product_id {
                cache.forget(product);
            }
            if let Some(seller) = change.seller_id {
                cache.forget_shop(seller);
            }
        }
        Ok(())
    }
}
