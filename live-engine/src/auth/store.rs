//! What the database knows of an account that connects with its access token.

use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

/// An account, and the session it signed in with.
pub(super) struct Account {
    pub(super) name: String,
    pub(super) suspended: bool,
    /// The session is over. One whose rows were swept away ran out long before.
    pub(super) revoked: bool,
}

/// Reads it; `None` for one that is unknown.
pub(super) async fn account(
    conn: &mut PgConnection,
    user: UserId,
    session: Uuid,
) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"select p.display_name as name, u.suspended_at is not null as "suspended!",
                  t.revoked_at is not null as "revoked!"
             from users u
             join profiles p on p.user_id = u.id
             left join refresh_tokens t on t.id = $2 and t.user_id = u.id
            where u.id = $1"#,
        user.0,
        session
    )
    .fetch_optional(conn)
    .await
}
