//! The SQL behind accounts made from the command line.

use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

/// The account with this address, if there is one.
pub async fn find(conn: &mut PgConnection, email: &str) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: UserId" from users where email = $1 and deleted_at is null"#,
        email
    )
    .fetch_optional(conn)
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
