//! The SQL behind accounts made from the command line.

use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

/// An account as it is.
pub struct Existing {
    pub id: UserId,
    /// Somebody who reads the address's mail has said that it is theirs.
    pub is_confirmed: bool,
    pub is_suspended: bool,
}

/// The account with this address, if there is one, locked.
pub async fn find(tx: &mut PgConnection, email: &str) -> Result<Option<Existing>, sqlx::Error> {
    sqlx::query_as!(
        Existing,
        r#"select id as "id: UserId", email_verified_at is not null as "is_confirmed!",
                  suspended_at is not null as "is_suspended!"
             from users where email = $1 and deleted_at is null for update"#,
        email
    )
    .fetch_optional(tx)
    .await
}

/// Makes an administrator of an account.
pub async fn raise(conn: &mut PgConnection, id: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!("update users set role = 'admin' where id = $1", id.0)
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn insert(
    conn: &mut PgConnection,
    id: UserId,
    email: &str,
    name: &str,
    hash: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into users (id, email, email_verified_at, password_hash, role) values ($1, $2, now(), $3, 'admin')",
        id.0,
        email,
        hash
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into profiles (user_id, display_name) values ($1, $2)",
        id.0,
        name
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes to the audit log; from the command line nobody is the actor.
pub async fn record(conn: &mut PgConnection, subject: UserId, action: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_log (id, action, subject_id) values ($1, $2, $3)",
        Uuid::now_v7(),
        action,
        subject.0
    )
    .execute(conn)
    .await?;
    Ok(())
}
