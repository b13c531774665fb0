//! The audit log: who did what to whom, appended in the transaction that does it.

mod store;

use serde_json::Value;
use shared::ids::UserId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::Result;

/// Appends that `actor` did `action` to `subject`; without an actor the service did.
///
/// # Errors
/// When the database fails.
pub async fn record(
    tx: &mut PgConnection,
    actor: impl Into<Option<UserId>>,
    action: &'static str,
    subject: Uuid,
    detail: Value,
) -> Result<()> {
    store::append(tx, actor.into(), action, subject, detail).await?;
    Ok(())
}
