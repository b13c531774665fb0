//! SQL of `mailed_links`, and of the addresses that they confirm.

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
        "insert into mailed_links (user_id, purpose, email) values ($1, 'email', $2)
         on conflict (user_id, purpose) do update
            set email = excluded.email, token_hash = null, expires_at = null
          where mailed_links.email <> excluded.email",
        user.0,
        email
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Makes the link to the address that a person wants confirmed. The address, unless they
/// want none, or it is somebody else's by now.
pub(in crate::identity) async fn renew_email(
    conn: &mut PgConnection,
    user: UserId,
    hash: &[u8],
    minutes: i32,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "update mailed_links l
            set token_hash = $2, expires_at = clock_timestamp() + make_interval(mins => $3)
          where l.user_id = $1 and l.purpose = 'email'
            and not exists (select 1 from users u where u.email = l.email and u.id <> l.user_id)
         returning l.email",
        user.0,
        hash,
        minutes
    )
    .fetch_optional(conn)
    .await
}

/// Makes the link with which the account of an address gets a new password. The address,
/// if there is such an account.
pub(in crate::identity) async fn make_password(
    conn: &mut PgConnection,
    email: &str,
    hash: &[u8],
    minutes: i32,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into mailed_links (user_id, purpose, email, token_hash, expires_at)
         select id, 'password', email, $2, clock_timestamp() + make_interval(mins => $3)
           from users where email = $1 and deleted_at is null
         on conflict (user_id, purpose) do update
            set email = excluded.email, token_hash = excluded.token_hash, expires_at = excluded.expires_at
         returning email",
        email,
        hash,
        minutes
    )
    .fetch_optional(conn)
    .await
}

/// A link that was spent.
pub(in crate::identity) struct Spent {
    pub user: UserId,
    pub email: String,
}

/// Spends a link, if it is good. Of two that race, one does.
pub(in crate::identity) async fn spend(
    tx: &mut PgConnection,
    purpose: Purpose,
    hash: &[u8],
) -> Result<Option<Spent>, sqlx::Error> {
    sqlx::query_as!(
        Spent,
        r#"delete from mailed_links where token_hash = $2 and purpose = $1 and expires_at > clock_timestamp()
           returning user_id as "user: UserId", email"#,
        purpose.as_str(),
        hash
    )
    .fetch_optional(tx)
    .await
}

pub(in crate::identity) async fn is_good(
    conn: &mut PgConnection,
    purpose: Purpose,
    hash: &[u8],
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from mailed_links
                           where token_hash = $2 and purpose = $1 and expires_at > clock_timestamp()) as "good!""#,
        purpose.as_str(),
        hash
    )
    .fetch_one(conn)
    .await
}

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
    .execute(tx)
    .await?;
    Ok(())
}

/// The address that a person still has to confirm: the one they asked to have, or their
/// own; `None`: neither.
pub(in crate::identity) async fn unconfirmed(
    conn: &mut PgConnection,
    user: UserId,
) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select coalesce(l.email, case when u.email_verified_at is null then u.email end) as email
             from users u left join mailed_links l on l.user_id = u.id and l.purpose = 'email'
            where u.id = $1 and u.deleted_at is null"#,
        user.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.and_then(|row| row.email))
}

pub(in crate::identity) async fn address_of(
    conn: &mut PgConnection,
    user: UserId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!("select email from users where id = $1 and deleted_at is null", user.0)
        .fetch_optional(conn)
        .await
}

/// Locks an account in good standing and reads its address.
pub(in crate::identity) async fn lock_address(
    tx: &mut PgConnection,
    user: UserId,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select email from users
          where id = $1 and suspended_at is null and deleted_at is null for no key update",
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// The account's address is confirmed.
pub(in crate::identity) async fn confirm(tx: &mut PgConnection, user: UserId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update users set email_verified_at = clock_timestamp() where id = $1 and email_verified_at is null",
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
