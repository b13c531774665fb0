//! What the platform keeps of a line: rules for a shop, for a category with all below it, or
//! for everybody. Append-only: a rule is replaced by a newer one, and what was placed before
//! keeps its rate. Which rule counts is the order's business, when it is placed.

pub mod handlers;
pub mod model;
mod store;

use chrono::Utc;
use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use sqlx::PgPool;

use model::{CommissionRule, NewCommissionRule, RuleFilter};

use crate::audit;
use crate::http::{List, Page, Result};

/// Rules, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, filter: RuleFilter, page: &Page) -> Result<List<CommissionRule>> {
    let rows = store::list(&mut *db.acquire().await?, filter, page).await?;
    Ok(List::of(rows, page, |rule| rule.id))
}

/// Adds a rule.
///
/// # Errors
/// `InvalidBody` for a rule of a shop and a category at once, or one that begins in the past;
/// `NotFound` when there is no such shop or category.
pub(crate) async fn add(db: &PgPool, admin: UserId, new: &NewCommissionRule) -> Result<CommissionRule> {
    let refused = |field: &'static str, detail: &'static str| Refusal::new(ErrorCode::InvalidBody, detail).at(field);
    if new.seller_id.is_some() && new.category_id.is_some() {
        return Err(refused("category_id", "a rule is of a shop or of a category").into());
    }
    if new.valid_from.is_some_and(|from| from < Utc::now()) {
        return Err(refused("valid_from", "must not be in the past: placed orders keep their rates").into());
    }
    let mut tx = db.begin().await?;
    let before = store::current(&mut tx, new).await?;
    let rule = store::insert(&mut tx, admin, new).await?.ok_or(ErrorCode::NotFound)?;
    let detail = json!({"before_bps": before, "after": rule});
    audit::record(&mut tx, admin, "commission_rule.added", rule.id, detail).await?;
    tx.commit().await?;
    Ok(rule)
}
