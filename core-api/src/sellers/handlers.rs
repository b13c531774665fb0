//! Shops over HTTP.

use actix_web::{HttpResponse, delete, get, post, web};
use shared::ids::SellerId;

use super::model::{AdminSeller, Application, Decision, Filter, Reason, Seller};
use crate::http::{Admin, Body, Caller, Confirmed, Created, Id, List, Page, Result};
use crate::sellers;
use crate::state::State;

/// Applies for a shop: one a person, whose e-mail address is confirmed. A rejected
/// application may be made again.
#[utoipa::path(
    tag = "sellers",
    request_body = Application,
    security(("bearer" = [])),
    responses((status = 201, description = "Applied", body = Seller))
)]
#[post("/sellers/apply")]
pub async fn apply(state: web::Data<State>, caller: Confirmed, body: Body<Application>) -> Result<Created<Seller>> {
    Ok(Created(sellers::apply(&state.db, caller.id, body.0).await?))
}

/// An approved shop.
#[utoipa::path(tag = "sellers", responses((status = 200, description = "The shop", body = Seller)))]
#[get("/sellers/{id}")]
pub async fn get(state: web::Data<State>, id: Id<SellerId>) -> Result<web::Json<Seller>> {
    Ok(web::Json(sellers::get(&state.db, id.0).await?))
}

/// Follows a shop. Doing it twice is no error.
#[utoipa::path(
    tag = "sellers",
    security(("bearer" = [])),
    responses((status = 204, description = "The caller follows it"))
)]
#[post("/sellers/{id}/follow")]
pub async fn follow(state: web::Data<State>, caller: Caller, id: Id<SellerId>) -> Result<HttpResponse> {
    sellers::follow(&state.db, caller.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Follows a shop no more. Doing it twice is no error.
#[utoipa::path(
    tag = "sellers",
    security(("bearer" = [])),
    responses((status = 204, description = "The caller does not follow it"))
)]
#[delete("/sellers/{id}/follow")]
pub async fn unfollow(state: web::Data<State>, caller: Caller, id: Id<SellerId>) -> Result<HttpResponse> {
    sellers::unfollow(&state.db, caller.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Shops, newest first.
#[utoipa::path(
    tag = "admin",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<AdminSeller>))
)]
#[get("/admin/sellers")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<Filter>,
    page: Page,
) -> Result<List<AdminSeller>> {
    sellers::list(&state.db, filter.status, &page).await
}

async fn decide(
    state: &State,
    admin: Admin,
    id: SellerId,
    decision: Decision,
    body: Reason,
) -> Result<web::Json<AdminSeller>> {
    let decided = sellers::decide(&state.db, &state.bus, admin.id, id, decision, body.reason.trim()).await?;
    // Before the answer: no page of the shop is shown from here as it was.
    state.pages.forget_shop(id);
    Ok(web::Json(decided))
}

/// Grants an application.
#[utoipa::path(
    tag = "admin",
    request_body = Reason,
    security(("bearer" = [])),
    responses((status = 200, description = "Approved", body = AdminSeller))
)]
#[post("/admin/sellers/{id}/approve")]
pub async fn approve(
    state: web::Data<State>,
    admin: Admin,
    id: Id<SellerId>,
    body: Body<Reason>,
) -> Result<web::Json<AdminSeller>> {
    decide(&state, admin, id.0, Decision::Approve, body.0).await
}

/// Turns an application down.
#[utoipa::path(
    tag = "admin",
    request_body = Reason,
    security(("bearer" = [])),
    responses((status = 200, description = "Rejected", body = AdminSeller))
)]
#[post("/admin/sellers/{id}/reject")]
pub async fn reject(
    state: web::Data<State>,
    admin: Admin,
    id: Id<SellerId>,
    body: Body<Reason>,
) -> Result<web::Json<AdminSeller>> {
    decide(&state, admin, id.0, Decision::Reject, body.0).await
}

/// Stops a shop: it sells nothing and is not shown, its shows on air and its flash sales end.
#[utoipa::path(
    tag = "admin",
    request_body = Reason,
    security(("bearer" = [])),
    responses((status = 200, description = "Suspended", body = AdminSeller))
)]
#[post("/admin/sellers/{id}/suspend")]
pub async fn suspend(
    state: web::Data<State>,
    admin: Admin,
    id: Id<SellerId>,
    body: Body<Reason>,
) -> Result<web::Json<AdminSeller>> {
    decide(&state, admin, id.0, Decision::Suspend, body.0).await
}

/// Lets a stopped shop go on; not one whose owner's account is suspended or deleted.
#[utoipa::path(
    tag = "admin",
    request_body = Reason,
    security(("bearer" = [])),
    responses((status = 200, description = "Approved again", body = AdminSeller))
)]
#[post("/admin/sellers/{id}/reinstate")]
pub async fn reinstate(
    state: web::Data<State>,
    admin: Admin,
    id: Id<SellerId>,
    body: Body<Reason>,
) -> Result<web::Json<AdminSeller>> {
    decide(&state, admin, id.0, Decision::Reinstate, body.0).await
}
