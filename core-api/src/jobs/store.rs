//! SQL of clearing away what the engine and the outbox leave behind. Writing the outbox is
//! the features' business, through `shared::outbox`; taking it is the rooms'.

use sqlx::PgConnection;

/// Rows delivered more than a day ago, the oldest first.
pub(super) async fn delete_delivered(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from outbox where id in (
             select id from outbox where delivered_at < now() - interval '1 day'
              order by delivered_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Undelivered rows of shows that are over for an hour or were called off. They are an
/// hour old themselves: a room that is still looked at has had its time to take them.
pub(super) async fn delete_left_behind(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from outbox where id in (
             select o.id from outbox o join streams s on s.id = o.stream_id
              where o.delivered_at is null and o.created_at < now() - interval '1 hour'
                and (s.status = 'cancelled' or s.ended_at < now() - interval '1 hour')
              limit $1 for update of o skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Empties rows that the database refused to store 30 days ago: what somebody said must
/// not stay for good where nobody looks. The row itself is its number's place.
pub(super) async fn empty_rejects(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update persist_rejects set payload = null where id in (
             select id from persist_rejects
              where payload is not null and created_at < now() - interval '30 days'
              order by created_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Empties held messages that were decided about 30 days ago: what was let pass is in the
/// chat, and the rest was for its moderators alone.
pub(super) async fn empty_reviews(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update chat_reviews set text = '', detail = '' where message_id in (
             select message_id from chat_reviews
              where decided_at < now() - interval '30 days' and text <> ''
              order by decided_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets processes of the engine that have written no reactions for a day.
pub(super) async fn delete_reaction_writers(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from reaction_writers where id in (
             select id from reaction_writers where written_at < now() - interval '1 day'
              order by written_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
