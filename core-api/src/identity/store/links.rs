//! SQL of `mailed_links` and `wished_addresses`, and of the addresses that they confirm.

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use sqlx::PgConnection;

use crate::http::Error;

/// What a link is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(in crate::identity) enum Purpose {
    /// Confirming an address.
    Email,
    /// Setting a new password.
    Password,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Password => "password",
        }
    }
}

/// Notes which address a person wants confirmed. Links to another one are good no more.
pub(in crate::identity) async fn want_email(
    tx: &mut PgConnection,
    user: UserId,
    email: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into wished_addresses (user_id, email) values ($1, $2)
         on conflict (user_id) do update set email = excluded.email",
        user.0,
        email
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "delete from mailed_links where user_id = $1 and purpose = 'email' and email <> $2",
        user.0,
        email
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds a link to the address that a person wants confirmed. The address, unless they want
/// none, or it is somebody else's by now.
pub(in crate::identity) async fn add_email(
    conn: &mut PgConnection,
    user: UserId,
    hash: &[u8],
    minutes: i32,
) -> Result<Option<Link>, sqlx::Error> {
    sqlx::query_as!(
        Link,
        r#"insert into mailed_links (token_hash, user_id, purpose, email, expires_at)
           select $2, w.user_id, 'email', w.email, clock_timestamp() + make_interval(mins => $3)
             from wished_addresses w
            where w.user_id = $1
              and not exists (select 1 from users u where u.email = w.email and u.id <> w.user_id)
           returning user_id as "user: UserId", email"#,
        user.0,
        hash,
        minutes
    )
    .fetch_optional(conn)
    .await
}

/// Adds a link with which the account of an address gets a new password. The address, if
/// there is such an account.
pub(in crate::identity) async fn add_password(
    conn: &mut PgConnection,
    email: &str,
    hash: &[u8],
    minutes: i32,
) -> Result<Option<Link>, sqlx::Error> {
    sqlx::query_as!(
        Link,
        r#"insert into mailed_links (token_hash, user_id, purpose, email, expires_at)
           select $2, id, 'password', email, clock_timestamp() + make_interval(mins => $3)
             from users where email = $1 and deleted_at is null
           returning user_id as "user: UserId", email"#,
        email,
        hash,
        minutes
    )
    .fetch_optional(conn)
    .await
}

/// Forgets a person's links of a purpose but for the newest.
pub(in crate::identity) async fn keep_newest(
    conn: &mut PgConnection,
    user: UserId,
    purpose: Purpose,
    kept: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from mailed_links where token_hash in (
             select token_hash from mailed_links where user_id = $1 and purpose = $2
              order by created_at desc offset $3)",
        user.0,
        purpose.as_str(),
        kept
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whose a link is, and which address it was mailed to.
pub(in crate::identity) struct Link {
    pub user: UserId,
    pub email: String,
}

/// A link that is good: one that confirms an address must still be to the one that the
/// person wants.
pub(in crate::identity) async fn find(
    conn: &mut PgConnection,
    purpose: Purpose,
    hash: &[u8],
) -> Result<Option<Link>, sqlx::Error> {
    sqlx::query_as!(
        Link,
        r#"select l.user_id as "user: UserId", l.email from mailed_links l
            where l.token_hash = $2 and l.purpose = $1 and l.expires_at > clock_timestamp()
              and (l.purpose = 'password'
                   or exists (select 1 from wished_addresses w where w.user_id = l.user_id and w.email = l.email))"#,
        purpose.as_str(),
        hash
    )
    .fetch_optional(conn)
    .await
}

/// Forgets a person's links of a purpose, and the address that they wanted confirmed. Whoever
/// spends one has locked the account before they found it good: of two that race, one does.
pub(in crate::identity) async fn forget(
    tx: &mut PgConnection,
    user: UserId,
    purpose: Purpose,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from mailed_links where user_id = $1 and purpose = $2",
        user.0,
        purpose.as_str()
    )
    .execute(&mut *tx)
    .await?;
    if purpose == Purpose::Email {
        sqlx::query!("delete from wished_addresses where user_id = $1", user.0)
            .execute(tx)
            .await?;
    }
    Ok(())
}

/// Forgets links that ran out, some at a time.
pub(in crate::identity) async fn delete_expired(conn: &mut PgConnection, limit: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from mailed_links where token_hash in (
             select token_hash from mailed_links where expires_at <= now() order by expires_at limit $1)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An address that is to be confirmed.
pub(in crate::identity) struct Unconfirmed {
    pub email: String,
    /// It is the account's already.
    pub is_own: bool,
}

/// Locks an account and reads the address that its owner still has to confirm: the one they
/// asked to have, or their own; `None`: neither.
pub(in crate::identity) async fn unconfirmed(
    tx: &mut PgConnection,
    user: UserId,
) -> Result<Option<Unconfirmed>, sqlx::Error> {
    sqlx::query_as!(
        Unconfirmed,
        r#"select coalesce(w.email, u.email) as "email!", coalesce(w.email, u.email) = u.email as "is_own!"
             from users u left join wished_addresses w on w.user_id = u.id
            where u.id = $1 and u.deleted_at is null
              and (w.email is not null or u.email_verified_at is null) for no key update of u"#,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// The address of somebody who is there and reads its mail, in good standing or not.
pub(in crate::identity) async fn address_of(
    conn: &mut PgConnection,
    user: UserId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select email from users where id = $1 and deleted_at is null and email_verified_at is not null",
        user.0
    )
    .fetch_optional(conn)
    .await
}

pub(in crate::identity) async fn confirmed_address_of(
    conn: &mut PgConnection,
    user: UserId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select email from users where id = $1 and suspended_at is null and email_verified_at is not null",
        user.0
    )
    .fetch_optional(conn)
    .await
}

/// The address that an account has.
pub(in crate::identity) struct Address {
    pub email: String,
    /// Its owner has shown that they read its mail.
    pub is_confirmed: bool,
}

/// Locks an account in good standing and reads its address.
pub(in crate::identity) async fn lock_address(
    tx: &mut PgConnection,
    user: UserId,
) -> Result<Option<Address>, sqlx::Error> {
    sqlx::query_as!(
        Address,
        r#"select email, email_verified_at is not null as "is_confirmed!" from users
          where id = $1 and suspended_at is null and deleted_at is null for no key update"#,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// The account's address is confirmed.
pub(in crate::identity) async fn confirm(tx: &mut PgConnection, user: UserId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update users set email_verified_at = clock_timestamp()
          where id = $1 and email_verified_at is null and deleted_at is null",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives the account another address, which is confirmed. Two accounts with one address
/// meet in `users_email_key`.
pub(in crate::identity) async fn set_address(
    tx: &mut PgConnection,
    user: UserId,
    email: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set email = $2, email_verified_at = clock_timestamp() where id = $1",
        user.0,
        email
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What an address that somebody has is to whoever wants it.
pub(in crate::identity) fn email_taken(error: sqlx::Error) -> Error {
    let constraint = error.as_database_error().and_then(|cause| cause.constraint());
    match constraint {
        Some("users_email_key") => Refusal::from(ErrorCode::EmailTaken).into(),
        _ => error.into(),
    }
}
