//! What a room does by itself about a host who is away, each in one transaction with the
//! outbox row of the event it causes. Fenced by the room's epoch: an owner that was
//! replaced ends no show.

use chrono::DateTime;
use shared::ids::{SellerId, StreamId};
use shared::outbox::{self, Happened};
use shared::protocol::{HostAway, RoomEvent};
use shared::status::StreamStatus;
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::host::{self, Show};
use super::lease;
use crate::db::Error;
use crate::room::host_watch::HostStep;

/// Carries a step out. What happened; nothing when
/// the room is not ours any more, the show not on air, or nothing is to be changed.
///
/// # Errors
/// When the database fails.
pub async fn carry_out(pool: &PgPool, stream: StreamId, epoch: i64, step: HostStep) -> Result<Vec<Happened>, Error> {
    let mut conn = pool.acquire().await?;
    let mut tx = conn.begin().await?;
    let Some(show) = lock(&mut tx, stream, epoch).await? else {
        return Ok(Vec::new());
    };
    let happened = match step {
        HostStep::Away(away) => gone(&mut tx, stream, away).await?,
        HostStep::Back => back(&mut tx, stream).await?,
        HostStep::End => end(&mut tx, &show).await?,
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

async fn gone(tx: &mut PgConnection, stream: StreamId, away: HostAway) -> Result<Vec<RoomEvent>, sqlx::Error> {
    let since = DateTime::from_timestamp_millis(away.since).unwrap_or_default();
    let noted = sqlx::query!(
        "update streams set host_away_since = $2 where id = $1 and host_away_since is null",
        stream.0,
        since
    )
    .execute(tx)
    .await?;
    Ok((noted.rows_affected() > 0)
        .then_some(RoomEvent::HostAway(away))
        .into_iter()
        .collect())
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
