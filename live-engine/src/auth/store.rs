//! What the database knows of an account that connects with its access token.

use shared::ids::UserId;
use sqlx::PgConnection;

/// The display name of an account that may act; `None` for one that is suspended or unknown.
pub(super) async fn name_of(conn: &mut PgConnection, user: UserId) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select p.display_name from users u join profiles p on p.user_id = u.id
          where u.id = $1 and u.suspended_at is null",
        user.0
    )
    .fetch_optional(conn)
    .await
}
