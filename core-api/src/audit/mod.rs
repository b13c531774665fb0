//! The audit log: who did what to whom, appended in the transaction that does it.

pub mod handlers;
pub mod model;
mod store;

use serde_json::Value;
use shared::ids::UserId;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use model::{AuditEntry, AuditFilter};

use crate::http::rules::named;
use crate::http::{List, Page, Result};

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

/// What was done, newest first.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) async fn list(db: &PgPool, filter: &AuditFilter, page: &Page) -> Result<List<AuditEntry>> {
    named("action", filter.action.as_deref())?;
    let rows = store::list(&mut *db.acquire().await?, filter, page).await?;
    Ok(List::of(rows, page, |entry| entry.id))
}
