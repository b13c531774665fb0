//! HTTP of commission rules.

use actix_web::{get, post, web};

use super::model::{CommissionRule, NewCommissionRule, RuleFilter};
use crate::commission;
use crate::http::{Admin, Body, IdempotencyKey, List, Page, Result};
use crate::idempotency::Answer;
use crate::state::State;

/// What the platform keeps of lines, newest first.
#[utoipa::path(
    tag = "admin",
    params(RuleFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<CommissionRule>))
)]
#[get("/admin/commission-rules")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<RuleFilter>,
    page: Page,
) -> Result<List<CommissionRule>> {
    commission::list(&state.db, *filter, &page).await
}

/// Adds a rule. It counts for orders that are placed from then on; the shop's own goes before
/// the nearest category's, and that before everybody's.
#[utoipa::path(
    tag = "admin",
    params(IdempotencyKey),
    request_body = NewCommissionRule,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added", body = CommissionRule),
        (status = 404, description = "`not_found`: there is no such shop or category")
    )
)]
#[post("/admin/commission-rules")]
pub async fn add(
    state: web::Data<State>,
    who: Admin,
    key: IdempotencyKey,
    body: Body<NewCommissionRule>,
) -> Result<Answer<CommissionRule>> {
    commission::add(&state.db, who.id, key.0, &body.0).await
}
