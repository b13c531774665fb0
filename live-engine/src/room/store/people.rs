//! Reading who moderates a show, who may not chat in it, and who may not come in.

use shared::Timestamp;
use shared::ids::{SellerId, StreamId, UserId};
use shared::protocol::{Millis, Muted};
use shared::rights::Rights;
use shared::status::StreamStatus;
use sqlx::PgConnection;

/// Mutes read of one show at most; the room makes no more.
const MAX_MUTES: i64 = 10_000;

/// Who moderates a show, and what they may do there.
///
/// # Errors
/// When the database fails.
pub async fn moderators(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<(UserId, Rights)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select p.user_id as "user: UserId", moderator_rights($1, p.user_id) as "rights!"
             from (select distinct m.user_id
                     from streams s
                     join moderators m on m.seller_id = s.seller_id and (m.stream_id is null or m.stream_id = s.id)
                    where s.id = $1) p"#,
        stream.0
    )
    .fetch_all(conn)
    .await?;
    let rights = rows.into_iter().map(|row| (row.user, Rights::of_names(&row.rights)));
    Ok(rights.filter(|(_, rights)| !rights.is_empty()).collect())
}

/// Who may not chat in a show, those whose time is over the soonest last.
///
/// # Errors
/// When the database fails.
pub async fn mutes(conn: &mut PgConnection, stream: StreamId) -> Result<Vec<(UserId, Muted)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select user_id as "user: UserId", reason,
                  (extract(epoch from until - clock_timestamp()) * 1000)::bigint as "left_ms!"
             from muted_viewers where stream_id = $1 and until > now() order by until desc limit $2"#,
        stream.0,
        MAX_MUTES
    )
    .fetch_all(conn)
    .await?;
    let mutes = rows.into_iter().map(|row| (row.user, muted(row.left_ms, row.reason)));
    Ok(mutes.collect())
}

/// The mute of one person, if there is one.
///
/// # Errors
/// When the database fails.
pub async fn mute(conn: &mut PgConnection, stream: StreamId, user: UserId) -> Result<Option<Muted>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select reason, (extract(epoch from until - clock_timestamp()) * 1000)::bigint as "left_ms!"
             from muted_viewers where stream_id = $1 and user_id = $2 and until > now()"#,
        stream.0,
        user.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| muted(row.left_ms, row.reason)))
}

/// What is left by the database's clock, from now on by ours.
fn muted(left_ms: Millis, reason: String) -> Muted {
    Muted {
        until: chrono::Utc::now().timestamp_millis() + left_ms,
        reason,
    }
}

/// A show as somebody finds it who wants to come in.
pub struct DoorRow {
    /// How far it has come.
    pub status: StreamStatus,
    /// When it is to begin.
    pub scheduled_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Whose it is.
    pub host: UserId,
}

/// What a show's doors go by, if there is the show.
///
/// # Errors
/// When the database fails.
pub async fn door(conn: &mut PgConnection, stream: StreamId) -> Result<Option<DoorRow>, sqlx::Error> {
    sqlx::query_as!(
        DoorRow,
        r#"select s.status as "status: StreamStatus", s.scheduled_at, s.ended_at, l.user_id as "host: UserId"
             from streams s join sellers l on l.id = s.seller_id where s.id = $1"#,
        stream.0
    )
    .fetch_optional(conn)
    .await
}

/// What keeps somebody out of a shop's shows.
pub struct BanRow {
    /// Why; empty: nothing was said.
    pub reason: String,
    /// For how long, in ms; none: for good.
    pub left_ms: Option<Millis>,
}

/// The ban of an account, if there is one.
///
/// # Errors
/// When the database fails.
pub async fn ban(conn: &mut PgConnection, seller: SellerId, user: UserId) -> Result<Option<BanRow>, sqlx::Error> {
    sqlx::query_as!(
        BanRow,
        "select reason, (extract(epoch from until - now()) * 1000)::bigint as left_ms
           from banned_viewers where seller_id = $1 and user_id = $2 and (until is null or until > now())",
        seller.0,
        user.0
    )
    .fetch_optional(conn)
    .await
}
