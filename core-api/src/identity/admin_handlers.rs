//! Accounts over HTTP, for those who run the market: finding them, and their standing.

use actix_web::{get, post, web};
use shared::ids::UserId;

use super::model::{Account, Find, Why};
use crate::http::{Admin, Body, Id, List, Page, Result};
use crate::identity;
use crate::state::State;

/// Accounts, the newest first: all of them, or those whose address begins so or whose
/// handle it is.
#[utoipa::path(
    tag = "admin",
    params(Find, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<Account>))
)]
#[get("/admin/users")]
pub async fn list(state: web::Data<State>, _: Admin, find: web::Query<Find>, page: Page) -> Result<List<Account>> {
    identity::accounts(&state.db, &find, &page).await
}

/// One account.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "It", body = Account))
)]
#[get("/admin/users/{id}")]
pub async fn get(state: web::Data<State>, _: Admin, id: Id<UserId>) -> Result<web::Json<Account>> {
    Ok(web::Json(identity::account(&state.db, id.0).await?))
}

/// Confirms an account's address on the admin's word, where mail gets lost. Doing it twice
/// is no error.
#[utoipa::path(
    tag = "admin",
    request_body = Why,
    security(("bearer" = [])),
    responses((status = 200, description = "Confirmed", body = Account))
)]
#[post("/admin/users/{id}/confirm-email")]
pub async fn confirm_email(
    state: web::Data<State>,
    admin: Admin,
    id: Id<UserId>,
    body: Body<Why>,
) -> Result<web::Json<Account>> {
    let account = identity::vouch(&state, admin.id, id.0, body.0.reason.trim()).await?;
    Ok(web::Json(account))
}

/// Suspends an account: it is refused everywhere at once, its live sockets are closed within
/// a second, and its shop is suspended with it: shows and flash sales end, products are
/// hidden. Doing it twice is no error.
#[utoipa::path(
    tag = "admin",
    request_body = Why,
    security(("bearer" = [])),
    responses((status = 200, description = "Suspended", body = Account))
)]
#[post("/admin/users/{id}/suspend")]
pub async fn suspend(
    state: web::Data<State>,
    admin: Admin,
    id: Id<UserId>,
    body: Body<Why>,
) -> Result<web::Json<Account>> {
    let account = identity::suspend(&state, admin.id, id.0, true, body.0.reason.trim()).await?;
    Ok(web::Json(account))
}

/// Lifts the suspension of an account. Its shop stays suspended until it is reinstated
/// itself. Doing it twice is no error.
#[utoipa::path(
    tag = "admin",
    request_body = Why,
    security(("bearer" = [])),
    responses((status = 200, description = "In good standing", body = Account))
)]
#[post("/admin/users/{id}/reinstate")]
pub async fn reinstate(
    state: web::Data<State>,
    admin: Admin,
    id: Id<UserId>,
    body: Body<Why>,
) -> Result<web::Json<Account>> {
    let account = identity::suspend(&state, admin.id, id.0, false, body.0.reason.trim()).await?;
    Ok(web::Json(account))
}
