//! What the platform keeps of a line: rules for a shop, for a category with all below it, or
//! for everybody. Append-only: a rule is replaced by a newer one, and what was placed before
//! keeps its rate. Which rule counts is the order's business, when it is placed.

pub mod handlers;
pub mod model;
mod store;

use chrono::Utc;
use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, UserId};
use sqlx::PgPool;

use model::{CommissionRule, NewCommissionRule, RuleFilter};

use crate::audit;
use crate::http::{List, Page, Result};
use crate::idempotency::{self, Answer};

/// Rules, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, filter: RuleFilter, page: &Page) -> Result<List<CommissionRule>> {
    let rows = store::list(&mut *db.acquire().await?, filter, page).await?;
    Ok(List::of(rows, page, |rule| rule.id))
}

/// Adds a rule, once for each key.
///
/// # Errors
/// `InvalidBody` for a rule of a shop and a category at once, or one that begins in the past;
/// `NotFound` when there is no such shop or category.
pub(crate) async fn add(
    db: &PgPool,
    admin: UserId,
    key: RequestId,
    new: &NewCommissionRule,
) -> Result<Answer<CommissionRule>> {
    let refused = |field: &'static str, detail: &'static str| Refusal::new(ErrorCode::InvalidBody, detail).at(field);
    if new.seller_id.is_some() && new.category_id.is_some() {
        return Err(refused("category_id", "a rule is of a shop or of a category").into());
    }
    idempotency::once(db, admin, key, "commission_rule.add", new, 201, async |conn| {
        // Within: a request that is sent again may come when its time has begun.
        if new.valid_from.is_some_and(|from| from < Utc::now()) {
            return Err(refused("valid_from", "must not be in the past: placed orders keep their rates").into());
        }
        let before = store::current(conn, new).await?;
        let rule = store::insert(conn, admin, new).await?.ok_or(ErrorCode::NotFound)?;
        let detail = json!({"before": {"rate_bps": before}, "after": rule});
        audit::record(conn, admin, "commission_rule.added", rule.id, detail).await?;
        Ok(rule)
    })
    .await
}
