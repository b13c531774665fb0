//! The audit log: who did what to whom, appended in the transaction that does it.

mod store;

use serde_json::Value;
use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::Result;

/// Appends that `actor` did `action` to `subject`.
///
/// # Errors
/// When the database fails.
pub async fn record(
    tx: &mut PgConnection,
    actor: UserId,
    action: &'static str,
    subject: Uuid,
    detail: Value,
) -> Result<()> {
    store::append(tx, actor, action, subject, detail).await?;
    Ok(())
}
