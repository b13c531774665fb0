//! SQL of dead letters: rows of `outbox` and `webhook_inbox` that nobody tries any more. What
//! tries them until then belongs to mail and to webhooks.

use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{DeadLetter, DeadLetterKind};
use crate::http::Page;

/// Dead letters, the youngest first.
pub async fn list(conn: &mut PgConnection, kind: Option<DeadLetterKind>, page: &Page) -> sqlx::Result<Vec<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        r#"select id as "id!", kind as "kind!: DeadLetterKind", source as "source!", what as "what!",
                  attempts as "attempts!", last_error as "last_error!", created_at as "created_at!",
                  dead_at as "dead_at!"
             from dead_letters
            where ($1::text is null or kind = $1) and ($2::uuid is null or id < $2)
            order by id desc limit $3"#,
        kind.map(DeadLetterKind::as_str),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// Locks the row of this id, dead or not; false: there is none. Rooms' rows are none of these.
pub async fn lock(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let row = sqlx::query_scalar!(
        "select id from outbox where id = $1 and stream_id is null for update",
        id
    );
    if row.fetch_optional(&mut *conn).await?.is_some() {
        return Ok(true);
    }
    let row = sqlx::query_scalar!("select id from webhook_inbox where id = $1 for update", id);
    Ok(row.fetch_optional(conn).await?.is_some())
}

/// The dead letter with this id.
pub async fn get(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<DeadLetter>> {
    sqlx::query_as!(
        DeadLetter,
        r#"select id as "id!", kind as "kind!: DeadLetterKind", source as "source!", what as "what!",
                  attempts as "attempts!", last_error as "last_error!", created_at as "created_at!",
                  dead_at as "dead_at!"
             from dead_letters where id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await
}

/// It is due at once, and as often as if it were new.
pub async fn revive(conn: &mut PgConnection, kind: DeadLetterKind, id: Uuid) -> sqlx::Result<()> {
    let revived = match kind {
        DeadLetterKind::Outbox => sqlx::query!(
            "update outbox set dead_at = null, attempts = 0, last_error = null, not_before = clock_timestamp()
              where id = $1",
            id
        ),
        DeadLetterKind::Webhook => sqlx::query!(
            "update webhook_inbox set dead_at = null, attempts = 0, last_error = null, not_before = clock_timestamp()
              where id = $1",
            id
        ),
    };
    revived.execute(conn).await?;
    Ok(())
}

/// A row of the outbox goes, with what it says.
pub async fn forget(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from outbox where id = $1", id)
        .execute(conn)
        .await?;
    Ok(())
}

/// A message counts as worked off, with what it came to.
pub async fn settle(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook_inbox set dead_at = null, processed_at = clock_timestamp() where id = $1",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many there are.
pub struct Counts {
    pub outbox: i64,
    pub webhook: i64,
}

/// Counts them, by their own small indexes.
pub async fn count(conn: &mut PgConnection) -> sqlx::Result<Counts> {
    sqlx::query_as!(
        Counts,
        r#"select (select count(*) from outbox where dead_at is not null) as "outbox!",
                  (select count(*) from webhook_inbox where dead_at is not null) as "webhook!""#
    )
    .fetch_one(conn)
    .await
}
