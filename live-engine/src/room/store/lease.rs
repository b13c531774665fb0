//! Leases: who owns a room. Taking one raises the epoch, and the row stays for good, so
//! that no epoch ever comes twice. The database's clock says when one has run out.

use std::time::Duration;

use shared::error::ErrorCode;
use shared::ids::{NodeId, StreamId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::Error;

/// What became of an attempt to own a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lease {
    /// It is ours, in this epoch.
    Taken {
        /// The new epoch.
        epoch: i64,
    },
    /// Another node has it.
    Elsewhere {
        /// That node.
        node: NodeId,
        /// Until its lease runs out, unless it is renewed.
        expires_in: Duration,
    },
}

/// Whether the room is still that of `epoch`; it stays so until the transaction ends, and
/// whoever takes it over then reads what was written.
///
/// # Errors
/// When the database fails.
pub(super) async fn lock_epoch(tx: &mut PgConnection, stream: StreamId, epoch: i64) -> Result<bool, sqlx::Error> {
    let owned = sqlx::query_scalar!(
        r#"select epoch = $2 as "owned!" from room_leases where stream_id = $1 for share"#,
        stream.0,
        epoch
    )
    .fetch_optional(tx)
    .await?;
    Ok(owned == Some(true))
}

/// Takes a room that is free, has run out, or is this node's already; the epoch is a new
/// one in any case.
///
/// # Errors
/// `not_found` when there is no such stream.
pub async fn acquire_lease(
    conn: &mut PgConnection,
    stream: StreamId,
    node: NodeId,
    ttl: Duration,
) -> Result<Lease, Error> {
    let epoch = sqlx::query_scalar!(
        "insert into room_leases as l (stream_id, epoch, node_id, expires_at)
         values ($1, 1, $2, clock_timestamp() + make_interval(secs => $3))
         on conflict (stream_id) do update
            set epoch = l.epoch + 1, node_id = excluded.node_id, expires_at = excluded.expires_at
          where l.node_id = excluded.node_id or l.expires_at <= clock_timestamp()
         returning epoch",
        stream.0,
        node.0,
        ttl.as_secs_f64()
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(no_such_stream)?;
    if let Some(epoch) = epoch {
        return Ok(Lease::Taken { epoch });
    }
    let row = sqlx::query!(
        r#"select node_id as "node: NodeId",
                  (extract(epoch from expires_at - clock_timestamp()) * 1000)::bigint as "left_ms!"
             from room_leases where stream_id = $1"#,
        stream.0
    )
    .fetch_one(conn)
    .await?;
    Ok(Lease::Elsewhere {
        node: row.node,
        expires_in: Duration::from_millis(u64::try_from(row.left_ms).unwrap_or(0)),
    })
}

/// Who owns a room at present, if anybody does.
///
/// # Errors
/// When the database fails.
pub async fn owner(conn: &mut PgConnection, stream: StreamId) -> Result<Option<NodeId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select node_id as "node: NodeId" from room_leases
            where stream_id = $1 and expires_at > clock_timestamp()"#,
        stream.0
    )
    .fetch_optional(conn)
    .await
}

fn no_such_stream(error: sqlx::Error) -> Error {
    match error.as_database_error() {
        Some(cause) if cause.is_foreign_key_violation() => ErrorCode::NotFound.into(),
        _ => error.into(),
    }
}

/// Renews this node's leases; those that are still its own. Late is fine as long as
/// nobody has taken the room. In id order, like everybody who locks leases.
///
/// # Errors
/// When the database fails.
pub async fn renew_leases(
    conn: &mut PgConnection,
    node: NodeId,
    rooms: &[(StreamId, i64)],
    ttl: Duration,
) -> Result<Vec<StreamId>, sqlx::Error> {
    let (streams, epochs): (Vec<Uuid>, Vec<i64>) = rooms.iter().map(|(stream, epoch)| (stream.0, *epoch)).unzip();
    sqlx::query_scalar!(
        r#"with ours as (
               select l.stream_id from room_leases l
                 join unnest($2::uuid[], $3::bigint[]) as t (stream_id, epoch)
                   on t.stream_id = l.stream_id and t.epoch = l.epoch
                where l.node_id = $1 order by l.stream_id for no key update of l
           )
           update room_leases l set expires_at = clock_timestamp() + make_interval(secs => $4)
             from ours where l.stream_id = ours.stream_id
           returning l.stream_id as "stream: StreamId""#,
        node.0,
        &streams,
        &epochs,
        ttl.as_secs_f64()
    )
    .fetch_all(conn)
    .await
}

/// Gives a room back, so that another node may take it at once. The row stays: its
/// epoch must never come again.
///
/// # Errors
/// When the database fails.
pub async fn release_lease(
    conn: &mut PgConnection,
    stream: StreamId,
    node: NodeId,
    epoch: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update room_leases set expires_at = clock_timestamp() where stream_id = $1 and node_id = $2 and epoch = $3",
        stream.0,
        node.0,
        epoch
    )
    .execute(conn)
    .await?;
    Ok(())
}
