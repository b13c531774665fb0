//! HTTP of disputes: admins look at them. They are decided elsewhere.

use actix_web::{get, web};
use shared::ids::DisputeId;

use super::model::{Dispute, DisputeDetail, Filter};
use crate::http::{Admin, Id, List, Page, Result};
use crate::state::State;

/// Disputes, newest first.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(Filter, Page),
    responses((status = 200, description = "A page of them", body = List<Dispute>))
)]
#[get("/admin/disputes")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<Filter>,
    page: Page,
) -> Result<List<Dispute>> {
    super::list(&state.db, filter.into_inner(), &page).await
}

/// A dispute: what the bank has taken, what was booked, and what each shop of the order has
/// earned, lost and been paid.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = DisputeDetail))
)]
#[get("/admin/disputes/{id}")]
pub async fn get(state: web::Data<State>, _admin: Admin, id: Id<DisputeId>) -> Result<web::Json<DisputeDetail>> {
    Ok(web::Json(super::get(&state.db, id.0).await?))
}
