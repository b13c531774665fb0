//! Keeps this node's rooms its own: all leases are renewed in one statement, several
//! times in their life. A room whose lease is found to be another's is told so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::ids::{NodeId, StreamId};

use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::store::lease;
use crate::db::{self, CALL_DEADLINE, Db, Health, Spawner};
use crate::types::{PersistReport, Sink};

/// How long a lease lasts unless it is renewed: as long as rooms stay without an owner
/// when a node dies.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often leases are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(2);

/// The leases of a node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Leases {
    owned: Arc<Mutex<HashMap<StreamId, Lease>>>,
}

/// A room's lease.
#[derive(Clone, Copy)]
struct Lease {
    epoch: i64,
    /// Before it was last taken or renewed: it holds for [`LEASE`] from there at least.
    since: Instant,
}

impl Leases {
    /// Starts renewing, on the database's threads.
    #[must_use]
    pub fn start(db: &Db, node: NodeId, sink: Arc<dyn Sink>) -> Self {
        let leases = Self::default();
        let renewer = Renewer {
            pool: db.pool(),
            health: db.health(),
            stopping: db.stopping(),
            node,
            sink,
            leases: leases.clone(),
        };
        db.spawn(renewer.run());
        leases
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Lease>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews a room's lease from now on.
    pub fn keep(&self, stream: StreamId, epoch: i64) {
        let since = Instant::now();
        self.lock().insert(stream, Lease { epoch, since });
    }

    /// Renews it no more.
    pub fn forget(&self, stream: StreamId, epoch: i64) {
        let mut owned = self.lock();
        if owned.get(&stream).is_some_and(|lease| lease.epoch == epoch) {
            owned.remove(&stream);
        }
    }

    /// How long a room's lease holds unless it is renewed, about; `None` where it has none.
    #[must_use]
    pub fn left(&self, stream: StreamId) -> Option<Duration> {
        let since = self.lock().get(&stream)?.since;
        Some(LEASE.saturating_sub(since.elapsed()))
    }

    fn all(&self) -> Vec<(StreamId, i64)> {
        let owned = self.lock();
        owned.iter().map(|(stream, lease)| (*stream, lease.epoch)).collect()
    }

    /// These were renewed by a statement that was sent after `since`.
    fn renewed(&self, streams: &HashSet<StreamId>, since: Instant) {
        for (stream, lease) in self.lock().iter_mut() {
            if streams.contains(stream) {
                lease.since = lease.since.max(since);
            }
        }
    }
}

/// A lease that was taken, until it is given back: when this is dropped, by whomever and
/// for whatever reason, so that no room is without an owner for longer than it must be.
pub struct Held {
    stream: StreamId,
    epoch: i64,
    node: NodeId,
    db: Option<(PgPool, Arc<Health>, Spawner)>,
}

impl Held {
    /// Of a lease that `node` has taken.
    #[must_use]
    pub fn new(db: (PgPool, Arc<Health>, Spawner), stream: StreamId, node: NodeId, epoch: i64) -> Self {
        Self {
            stream,
            epoch,
            node,
            db: Some(db),
        }
    }

    /// The epoch that began with it.
    #[must_use]
    pub const fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Leaves it to run out, or to whoever has it now.
    pub fn leave(mut self) {
        self.db = None;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((pool, health, spawner)) = self.db.take() else {
            return;
        };
        let (stream, node, epoch) = (self.stream, self.node, self.epoch);
        spawner.spawn(async move {
            let work = async |conn: &mut PgConnection| lease::release_lease(conn, stream, node, epoch).await;
            if let Err(error) = db::within(&pool, CALL_DEADLINE, work).await {
                health.failed("giving a lease back", &error);
            }
        });
    }
}

struct Renewer {
    pool: PgPool,
    health: Arc<Health>,
    stopping: CancellationToken,
    node: NodeId,
    sink: Arc<dyn Sink>,
    leases: Leases,
}

impl Renewer {
    async fn run(self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEW_EVERY) => {}
                () = self.stopping.cancelled() => return,
            }
            let rooms = self.leases.all();
            if rooms.is_empty() {
                continue;
            }
            let since = Instant::now();
            match self.renew(&rooms).await {
                Ok(ours) => {
                    self.health.answered();
                    let ours: HashSet<_> = ours.into_iter().collect();
                    self.leases.renewed(&ours, since);
                    for (stream, epoch) in rooms.into_iter().filter(|(stream, _)| !ours.contains(stream)) {
                        self.sink.persisted(PersistReport::Fenced { stream, epoch });
                    }
                }
                // The rooms go on: their epochs fence them, not the clock.
                Err(error) => {
                    self.health.failed("renewing leases", &error);
                }
            }
        }
    }

    async fn renew(&self, rooms: &[(StreamId, i64)]) -> Result<Vec<StreamId>, sqlx::Error> {
        let work = async |conn: &mut PgConnection| lease::renew_leases(conn, self.node, rooms, LEASE).await;
        db::within(&self.pool, CALL_DEADLINE, work).await
    }
}
