//! SQL of `refresh_tokens`. A session is a family of them, and the row that began it has
//! the session's id.

use chrono::{DateTime, Utc};
use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::identity::client::Client;
use crate::identity::model::OpenSession;

/// A token to store: its row, its hash, and who asked for it.
pub(in crate::identity) struct NewToken<'a> {
    pub id: Uuid,
    pub family: Uuid,
    pub user: UserId,
    pub hash: &'a [u8],
    pub client: &'a Client,
    pub days: i32,
    /// How many days after the session began it ends, whatever renewed it.
    pub days_in_all: i32,
}

pub(in crate::identity) async fn insert(tx: &mut PgConnection, new: NewToken<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into refresh_tokens (id, family_id, user_id, token_hash, user_agent, place, expires_at)
         values ($1, $2, $3, $4, $5, $6,
                 least(now() + make_interval(days => $7),
                       (select created_at from refresh_tokens where id = $2) + make_interval(days => $8)))",
        new.id,
        new.family,
        new.user.0,
        new.hash,
        new.client.agent,
        new.client.place,
        new.days,
        new.days_in_all
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(in crate::identity) async fn family_of(conn: &mut PgConnection, hash: &[u8]) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select family_id from refresh_tokens where token_hash = $1", hash)
        .fetch_optional(conn)
        .await
}

/// Holds the account of a session until the transaction ends, as a row that refers to it
/// does: to be taken before a session's lock by whoever adds a row under it. Whoever
/// has the account locked waits for the session next, and each would wait for the other.
pub(in crate::identity) async fn hold_owner(tx: &mut PgConnection, family: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!(
        "select u.id from users u where u.id = (select user_id from refresh_tokens where id = $1) for key share",
        family
    )
    .fetch_optional(tx)
    .await?;
    Ok(())
}

/// Takes the family's lock: the row that began it. A token's own row would not do: a
/// renewal under way adds a row that a revocation waiting for another could not see.
pub(in crate::identity) async fn lock(tx: &mut PgConnection, family: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("select id from refresh_tokens where id = $1 for update", family)
        .fetch_optional(tx)
        .await?;
    Ok(())
}

pub(in crate::identity) struct Token {
    pub user: UserId,
    pub spent: bool,
    /// What the next token was made with, while the grace after the spending lasts.
    pub seed_in_grace: Option<Vec<u8>>,
    pub revoked: bool,
    pub expired: bool,
    pub suspended: bool,
}

pub(in crate::identity) async fn token(
    tx: &mut PgConnection,
    hash: &[u8],
    grace_seconds: f64,
) -> Result<Option<Token>, sqlx::Error> {
    sqlx::query_as!(
        Token,
        r#"select t.user_id as "user: UserId", t.used_at is not null as "spent!",
                  case when t.used_at > clock_timestamp() - make_interval(secs => $2) then t.next_seed end
                      as seed_in_grace,
                  f.revoked_at is not null as "revoked!", t.expires_at <= clock_timestamp() as "expired!",
                  u.suspended_at is not null as "suspended!"
             from refresh_tokens t join refresh_tokens f on f.id = t.family_id join users u on u.id = t.user_id
            where t.token_hash = $1"#,
        hash,
        grace_seconds
    )
    .fetch_optional(tx)
    .await
}

/// Whether a token is there that was not spent.
pub(in crate::identity) async fn is_unspent(tx: &mut PgConnection, hash: &[u8]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from refresh_tokens where token_hash = $1 and used_at is null) as "unspent!""#,
        hash
    )
    .fetch_one(tx)
    .await
}

pub(in crate::identity) async fn spend(tx: &mut PgConnection, hash: &[u8], seed: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set used_at = clock_timestamp(), next_seed = $2
          where token_hash = $1 and used_at is null",
        hash,
        seed
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends a session, whose lock is held.
pub(in crate::identity) async fn revoke(tx: &mut PgConnection, family: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set revoked_at = clock_timestamp() where id = $1 and revoked_at is null",
        family
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks a session of the person's, over or not; false: there is none.
pub(in crate::identity) async fn lock_own(
    tx: &mut PgConnection,
    user: UserId,
    session: Uuid,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from refresh_tokens where id = $2 and family_id = $2 and user_id = $1 for update",
        user.0,
        session
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// Ends all sessions of a person but `kept`. The account is locked first, so that no
/// session begins meanwhile with what ended the others, and then each session, in order.
pub(in crate::identity) async fn revoke_all(
    tx: &mut PgConnection,
    user: UserId,
    kept: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("select id from users where id = $1 for no key update", user.0)
        .fetch_optional(&mut *tx)
        .await?;
    sqlx::query_scalar!(
        "select id from refresh_tokens
          where user_id = $1 and id = family_id and revoked_at is null order by id for update",
        user.0
    )
    .fetch_all(&mut *tx)
    .await?;
    sqlx::query!(
        "update refresh_tokens set revoked_at = clock_timestamp()
          where user_id = $1 and id = family_id and revoked_at is null and id is distinct from $2",
        user.0,
        kept
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets which programs a person has used.
pub(in crate::identity) async fn forget_agents(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set user_agent = '', place = ''
          where user_id = $1 and (user_agent <> '' or place <> '')",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether somebody signed in to the account of this address from there, or renewed a session.
pub(in crate::identity) async fn is_known(
    conn: &mut PgConnection,
    email: &str,
    place: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from refresh_tokens t join users u on u.id = t.user_id
                           where u.email = $1 and t.place = $2 and t.place <> '') as "known!""#,
        email,
        place
    )
    .fetch_one(conn)
    .await
}

/// Ends the person's oldest sessions beyond so many; how many that were. They are locked
/// first, in order.
pub(in crate::identity) async fn revoke_beyond(
    tx: &mut PgConnection,
    user: UserId,
    max: i64,
) -> Result<usize, sqlx::Error> {
    let too_many = sqlx::query_scalar!(
        "select id from refresh_tokens
          where id in (select id from refresh_tokens
                        where user_id = $1 and id = family_id and revoked_at is null
                        order by id desc offset $2)
          order by id for update",
        user.0,
        max
    )
    .fetch_all(&mut *tx)
    .await?;
    if !too_many.is_empty() {
        sqlx::query!(
            "update refresh_tokens set revoked_at = clock_timestamp()
              where id = any($1) and revoked_at is null",
            &too_many
        )
        .execute(tx)
        .await?;
    }
    Ok(too_many.len())
}

/// The person's sessions that can be renewed, the newest first.
pub(in crate::identity) async fn open(
    conn: &mut PgConnection,
    user: UserId,
    current: Uuid,
) -> Result<Vec<OpenSession>, sqlx::Error> {
    sqlx::query_as!(
        OpenSession,
        r#"select f.id, last.user_agent, f.created_at, last.created_at as "last_used_at: DateTime<Utc>",
                  f.id = $2 as "current!"
             from refresh_tokens f
             cross join lateral (select t.user_agent, t.created_at, t.expires_at from refresh_tokens t
                                  where t.family_id = f.id order by t.id desc limit 1) last
            where f.user_id = $1 and f.id = f.family_id and f.revoked_at is null and last.expires_at > now()
            order by f.id desc"#,
        user.0,
        current
    )
    .fetch_all(conn)
    .await
}

/// Deletes tokens that were spent so many days ago, some at a time; how many. The row that
/// began a session stays as long as the session. One that comes back later than that is
/// refused like any other that nobody knows.
pub(in crate::identity) async fn delete_spent(
    conn: &mut PgConnection,
    days: i32,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from refresh_tokens where id in (
             select id from refresh_tokens
              where used_at < now() - make_interval(days => $1) and id <> family_id
              order by used_at limit $2)",
        days,
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Deletes families whose every token ran out a day ago, some at a time. The first row
/// of a family goes with its last: it is the family's lock. How many tokens.
pub(in crate::identity) async fn delete_expired(conn: &mut PgConnection, families: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from refresh_tokens where family_id in (
             select f.id from refresh_tokens f
              where f.id = f.family_id and f.expires_at < now() - interval '1 day'
                and not exists (select 1 from refresh_tokens t
                                 where t.family_id = f.id and t.expires_at >= now() - interval '1 day')
              limit $1)",
        families
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
