//! SQL of what the relay takes from `outbox`: rows without a stream. Letters are those under
//! one topic; there are no others yet, and one that nobody knows shall not lie for ever.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// The topic of letters.
pub(super) const TOPIC: &str = "mail";

pub(super) async fn insert(tx: &mut PgConnection, id: Uuid, payload: Value) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into outbox (id, topic, payload) values ($1, 'mail', $2)",
        id,
        payload
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds a letter that sets a password, unless `max` of them wait; false: they do.
pub(super) async fn insert_reset(
    conn: &mut PgConnection,
    id: Uuid,
    payload: Value,
    max: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into outbox (id, topic, payload)
         select $1, 'mail', $2
          where (select count(*) from (
                     select from outbox
                      where topic = 'mail' and stream_id is null and delivered_at is null and dead_at is null
                        and payload ->> 'letter' = 'reset_password' limit $3) waiting) < $3",
        id,
        payload,
        max
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A row that is due.
pub(super) struct Due {
    pub id: Uuid,
    pub topic: String,
    pub payload: Value,
    /// This one counted.
    pub attempts: i32,
}

/// Takes rows that are due for so many seconds: letters that somebody waits for first, and
/// then the rest, most of it letters that tell many of something, each in order. No row stays
/// locked: sending takes time.
pub(super) async fn take(conn: &mut PgConnection, limit: i64, lease_seconds: f64) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"with urgent as materialized (
               select id from outbox
                where topic = 'mail' and stream_id is null and delivered_at is null and dead_at is null
                  and payload ->> 'letter' <> 'notification' and not_before <= clock_timestamp()
                order by id limit $1 for update skip locked
           ), others as materialized (
               select id from outbox
                where stream_id is null and delivered_at is null and dead_at is null
                  and (topic = 'mail' and payload ->> 'letter' <> 'notification') is not true
                  and not_before <= clock_timestamp()
                order by id limit $1 - (select count(*) from urgent) for update skip locked
           )
           update outbox
              set attempts = attempts + 1, not_before = clock_timestamp() + make_interval(secs => $2)
            where id in (select id from urgent union all select id from others)
           returning id, topic, payload, attempts"#,
        limit,
        lease_seconds
    )
    .fetch_all(conn)
    .await
}

/// Lets a letter wait so many seconds.
pub(super) async fn postpone(conn: &mut PgConnection, id: Uuid, seconds: f64, why: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update outbox set not_before = clock_timestamp() + make_interval(secs => $2), last_error = $3
          where id = $1 and delivered_at is null and dead_at is null",
        id,
        seconds,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Nobody tries it any more, and it stands in nobody's way. What it says stays, for whoever
/// has it tried anew.
pub(super) async fn bury(conn: &mut PgConnection, id: Uuid, why: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update outbox set dead_at = clock_timestamp(), last_error = $2
          where id = $1 and delivered_at is null and dead_at is null",
        id,
        why
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets a letter that goes to nobody.
pub(super) async fn delete(conn: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from outbox where id = $1", id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Nothing more is to be done about a letter: what it said is forgotten.
pub(super) async fn done(conn: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update outbox set delivered_at = clock_timestamp(), payload = '{}', last_error = null, dead_at = null
          where id = $1",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}
