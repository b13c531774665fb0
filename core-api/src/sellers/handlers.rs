//! Shops over HTTP.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use shared::ids::SellerId;

use super::model::{AdminSeller, Application, Decision, Filter, FollowedShop, Reason, Seller, SellerPage};
use super::page;
use crate::catalog::pages;
use crate::http::{Admin, Body, Caller, Confirmed, Created, Id, List, MaybeCaller, Page, Result};
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

/// The page of an approved shop, a second old at most. One that is suspended or closed has
/// none. Without a session, send its `ETag` as `If-None-Match` to be told only whether it has
/// changed.
#[utoipa::path(
    tag = "sellers",
    params(("If-None-Match" = Option<String>, Header, description = "Entity tags of copies one has")),
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The shop", body = SellerPage),
        (status = 304, description = "It is as one of the copies")
    )
)]
#[get("/sellers/{id}")]
pub async fn get(
    state: web::Data<State>,
    caller: MaybeCaller,
    id: Id<SellerId>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    show(&state, caller, id.0, &request).await
}

/// The same page, by the shop's name in addresses of pages.
#[utoipa::path(
    tag = "sellers",
    params(
        ("slug" = String, Path, description = "The shop's name in addresses of pages"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags of copies one has")
    ),
    security((), ("bearer" = [])),
    responses(
        (status = 200, description = "The shop", body = SellerPage),
        (status = 304, description = "It is as one of the copies")
    )
)]
#[get("/sellers/by-slug/{slug}")]
pub async fn get_by_slug(
    state: web::Data<State>,
    caller: MaybeCaller,
    slug: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let id = page::id_of(&state.db, &slug).await?;
    show(&state, caller, id, &request).await
}

async fn show(state: &State, caller: MaybeCaller, id: SellerId, request: &HttpRequest) -> Result<HttpResponse> {
    let Some(caller) = caller.0 else {
        return Ok(pages::handlers::answer(&*page::public(state, id).await?, request));
    };
    let own = page::of(state, id, caller.id).await?;
    // It says whom the caller follows: no cache on the way keeps it.
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .json(own))
}

/// The shops that the caller follows, the youngest first; suspended ones are not shown.
#[utoipa::path(
    tag = "sellers",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<FollowedShop>))
)]
#[get("/users/follows")]
pub async fn followed(state: web::Data<State>, caller: Caller, page: Page) -> Result<List<FollowedShop>> {
    sellers::followed(&state.db, caller.id, &page).await
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
    params(Filter, Page),
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
    let decided = sellers::decide(state, admin.id, id, decision, body.reason.trim()).await?;
    Ok(web::Json(decided))
}

/// Grants an application.
#[utoipa::path(
    tag = "admin",
    request_body = Reason,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Approved", body = AdminSeller),
        (status = 409, description = "`wrong_state`: it is not waiting, or its owner is suspended or gone")
    )
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

/// Turns an application down, for a reason that whoever applied is told.
#[utoipa::path(
    tag = "admin",
    request_body = Reason,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Rejected", body = AdminSeller),
        (status = 409, description = "`wrong_state`: it is not waiting")
    )
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
    responses(
        (status = 200, description = "Suspended", body = AdminSeller),
        (status = 409, description = "`wrong_state`: it is not approved")
    )
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
    responses(
        (status = 200, description = "Approved again", body = AdminSeller),
        (status = 409, description = "`wrong_state`: it is not suspended, or its owner is suspended or gone")
    )
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
