//! What a room does by itself about a host who is away, each in one transaction with the
//! outbox row of the event it causes. Fenced by the room's epoch: an owner that was
//! replaced ends no show. By the database's clock alone it is decided how long the host has
//! been away: a node's clock that is off ends no show early.

use std::time::Duration;

use shared::ids::{SellerId, StreamId};
use shared::outbox::{self, Happened};
use shared::protocol::RoomEvent;
use shared::status::StreamStatus;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::host::{self, Show};
use super::lease;
use crate::db::Error;
use crate::room::host_watch::{HostPatience, HostStep};

/// Carries a step out. What happened; nothing when
/// the room is not ours any more, the show not on air, the host's time not up, or nothing
/// is to be changed.
///
/// # Errors
/// When the database fails.
pub async fn carry_out(
    pool: &PgPool,
    stream: StreamId,
    epoch: i64,
    patience: HostPatience,
    step: HostStep,
) -> Result<Vec<Happened>, Error> {
    let mut conn = pool.acquire().await?;
    let mut tx = conn.begin().await?;
    let Some(show) = lock(&mut tx, stream, epoch).await? else {
        return Ok(Vec::new());
    };
    let happened = match step {
        HostStep::Away(missing) => gone(&mut tx, stream, patience, missing).await?,
        HostStep::Back => back(&mut tx, stream).await?,
        HostStep::End if is_given_up(&mut tx, stream, patience).await? => end(&mut tx, &show).await?,
        HostStep::End => Vec::new(),
    };
    let mut events = Vec::with_capacity(happened.len());
    for event in happened {
        events.push(outbox::push_happened(&mut tx, stream, event).await?);
    }
    tx.commit().await?;
    Ok(events)
}

/// Locks a show that is on air and whose room is ours.
async fn lock(tx: &mut PgConnection, stream: StreamId, epoch: i64) -> Result<Option<Show>, sqlx::Error> {
    if !lease::lock_epoch(&mut *tx, stream, epoch).await? {
        return Ok(None);
    }
    let row = sqlx::query!(
        r#"select status as "status: StreamStatus", seller_id as "seller: SellerId",
                  featured_product_id is not null as "featured!"
             from streams where id = $1 for no key update"#,
        stream.0
    )
    .fetch_one(tx)
    .await?;
    Ok((row.status == StreamStatus::Live).then_some(Show {
        stream,
        seller: row.seller,
        status: row.status,
        featured: row.featured,
        is_permitted: true,
    }))
}

async fn gone(
    tx: &mut PgConnection,
    stream: StreamId,
    patience: HostPatience,
    missing: Duration,
) -> Result<Vec<RoomEvent>, sqlx::Error> {
    let since = sqlx::query_scalar!(
        r#"update streams set host_away_since = clock_timestamp() - make_interval(secs => $2)
            where id = $1 and host_away_since is null
        returning host_away_since as "since!""#,
        stream.0,
        missing.as_secs_f64()
    )
    .fetch_optional(tx)
    .await?;
    let away = since.map(|since| patience.away(since.timestamp_millis()));
    Ok(away.map(RoomEvent::HostAway).into_iter().collect())
}

/// Whether the host has been away for as long as they may be.
async fn is_given_up(tx: &mut PgConnection, stream: StreamId, patience: HostPatience) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(host_away_since + make_interval(secs => $2) <= clock_timestamp(), false) as "is_up!"
             from streams where id = $1"#,
        stream.0,
        patience.ends_after.as_secs_f64()
    )
    .fetch_one(tx)
    .await
}

async fn back(tx: &mut PgConnection, stream: StreamId) -> Result<Vec<RoomEvent>, sqlx::Error> {
    let noted = sqlx::query!(
        "update streams set host_away_since = null where id = $1 and host_away_since is not null",
        stream.0
    )
    .execute(tx)
    .await?;
    Ok((noted.rows_affected() > 0)
        .then_some(RoomEvent::HostBack)
        .into_iter()
        .collect())
}

async fn end(tx: &mut PgConnection, show: &Show) -> Result<Vec<RoomEvent>, Error> {
    let (_, events) = host::end(tx, show).await?;
    sqlx::query!(
        "insert into audit_log (id, actor_id, action, subject_id, detail)
         values ($1, null, 'room.end_unattended', $2, '{}')",
        Uuid::now_v7(),
        show.stream.0
    )
    .execute(tx)
    .await?;
    Ok(events)
}

/// Shows on air whose host has been in the room, and whose room nobody has any more: its
/// owner has died, and no viewer has brought it back. Somebody must look after the host.
///
/// # Errors
/// When the database fails.
pub async fn orphans(conn: &mut PgConnection, limit: i64) -> Result<Vec<StreamId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select s.id as "id: StreamId" from streams s join room_leases l on l.stream_id = s.id
            where s.status = 'live' and s.host_seen_at is not null
              and l.expires_at < clock_timestamp() - interval '5 seconds'
            order by l.expires_at limit $1"#,
        limit
    )
    .fetch_all(conn)
    .await
}
