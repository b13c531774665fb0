//! HTTP of orders as admins look them up.

use actix_web::{get, web};
use shared::ids::OrderId;

use super::admin::{self, AdminFilter, AdminOrder, AdminOrderView};
use crate::http::{Admin, Id, List, Page, Result};
use crate::state::State;

/// Orders of everybody, newest first.
#[utoipa::path(
    tag = "admin",
    params(AdminFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<AdminOrder>))
)]
#[get("/admin/orders")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<AdminFilter>,
    page: Page,
) -> Result<List<AdminOrder>> {
    admin::list(&state.db, *filter, &page).await
}

/// An order.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = AdminOrderView))
)]
#[get("/admin/orders/{id}")]
pub async fn get(state: web::Data<State>, _admin: Admin, id: Id<OrderId>) -> Result<web::Json<AdminOrderView>> {
    Ok(web::Json(admin::get(&state.db, id.0).await?))
}
