//! SQL of `audit_log`.

use serde_json::Value;
use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

pub(super) async fn append(
    tx: &mut PgConnection,
    actor: Option<UserId>,
    action: &str,
    subject: Uuid,
    detail: Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_log (id, actor_id, action, subject_id, detail) values ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        actor.map(|actor| actor.0),
        action,
        subject,
        detail
    )
    .execute(tx)
    .await?;
    Ok(())
}
