//! SQL of `audit_log`.

use serde_json::Value;
use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{AuditEntry, AuditFilter};
use crate::http::Page;

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

/// What was done, newest first.
pub(super) async fn list(
    conn: &mut PgConnection,
    filter: &AuditFilter,
    page: &Page,
) -> Result<Vec<AuditEntry>, sqlx::Error> {
    sqlx::query_as!(
        AuditEntry,
        r#"select id, actor_id as "actor_id: UserId", action, subject_id, detail, created_at
             from audit_log
            where ($1::uuid is null or actor_id = $1) and ($2::uuid is null or subject_id = $2)
              and ($3::text is null or action = $3) and ($4::uuid is null or id < $4)
            order by id desc limit $5"#,
        filter.actor_id.map(|id| id.0),
        filter.subject_id,
        filter.action,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}
