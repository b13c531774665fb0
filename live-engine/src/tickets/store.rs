//! The SQL of spent tickets.

use std::collections::HashSet;

use shared::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

/// Spends tickets; those that nobody had spent before.
pub(super) async fn spend(
    conn: &mut PgConnection,
    ids: &[Uuid],
    expiries: &[Timestamp],
) -> Result<HashSet<Uuid>, sqlx::Error> {
    let spent = sqlx::query_scalar!(
        "insert into spent_tickets (id, expires_at)
         select t.id, t.expires_at from unnest($1::uuid[], $2::timestamptz[]) as t (id, expires_at) order by t.id
         on conflict (id) do nothing
         returning id",
        ids,
        expiries
    )
    .fetch_all(conn)
    .await?;
    Ok(spent.into_iter().collect())
}

/// Forgets ids whose tickets are refused for their age anyway, clocks a minute apart included.
pub(super) async fn forget_expired(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from spent_tickets where expires_at < now() - interval '2 minutes'")
        .execute(conn)
        .await?;
    Ok(())
}
