//! Opening a room: its lease is taken, which starts a new epoch and fences the former
//! owner, and then it is read from its rows.

use std::sync::Arc;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::StreamId;
use tokio::time::Instant;

use super::leases::{Held, LEASE};
use super::state::SNAPSHOT_MESSAGES;
use super::store::lease::{self, Lease};
use super::store::load::{self, LoadedRoom};
use crate::db::{Error, Purpose};
use crate::engine::Shared;

/// How long to wait for the lease of an owner that does not answer to run out.
const PATIENCE: Duration = Duration::from_secs(8);

/// A room that is ours.
pub struct Opened {
    /// Its lease, and with it the new epoch.
    pub lease: Held,
    /// What it is made from.
    pub rows: LoadedRoom,
}

/// Opens a room. An owner that has died keeps it for a lease's length at most, so that
/// is waited for.
///
/// # Errors
/// `NotFound`, `RoomUnavailable` when another node has it, or that the database cannot
/// be asked.
pub async fn open(shared: Arc<Shared>, stream: StreamId) -> Result<Opened, Refusal> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let node = shared.node;
        let db = (shared.db.pool(), shared.db.health(), shared.db.spawner());
        let attempt = shared.db.call(Purpose::Opening, None, async move |pool: sqlx::PgPool| {
            let mut conn = pool.acquire().await?;
            // Given back if nobody waits for the room any more, or it cannot be read.
            let lease = match lease::acquire_lease(&mut conn, stream, node, LEASE).await? {
                Lease::Taken { epoch } => Held::new(db, stream, node, epoch),
                Lease::Elsewhere { expires_in, .. } => return Ok(Err(expires_in)),
            };
            let rows = load::load_room(&mut conn, stream, SNAPSHOT_MESSAGES).await?;
            let rows = rows.ok_or_else(|| Error::from(ErrorCode::NotFound))?;
            Ok(Ok(Opened { lease, rows }))
        });
        let until = match attempt.await? {
            Ok(opened) => return Ok(opened),
            Err(expires_in) => Instant::now() + expires_in + Duration::from_millis(20),
        };
        if until > give_up {
            return Err(Refusal::new(ErrorCode::RoomUnavailable, "another node has the room"));
        }
        tokio::time::sleep_until(until).await;
    }
}
