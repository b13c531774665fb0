//! Accounts over HTTP: registering, one's own account, an account's standing. What signs
//! in and out is in `session_handlers.rs`.

use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};
use shared::ids::UserId;

use super::model::{Account, Me, Profile, Register, Session, Why};
use super::session_handlers::{check_origin, respond, user_agent};
use crate::http::{Admin, Body, Caller, Id, Result, address_key, client_address};
use crate::identity;
use crate::state::State;

/// Makes an account and signs it in.
#[utoipa::path(
    tag = "identity",
    request_body = Register,
    responses((status = 201, description = "Made and signed in", body = Session))
)]
#[post("/auth/register")]
pub async fn register(request: HttpRequest, state: web::Data<State>, body: Body<Register>) -> Result<HttpResponse> {
    let address = address_key(client_address(&request, &state.config));
    state.rates.register.check(&address)?;
    state.rates.register_email.check(&body.0.email)?;
    let keep = body.0.session;
    check_origin(&request, &state.config, keep)?;
    let opened = identity::register(&state, body.0, &user_agent(&request)).await?;
    Ok(respond(&state.config, HttpResponse::Created(), opened, keep))
}

/// The caller's account.
#[utoipa::path(
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 200, description = "The account", body = Me))
)]
#[get("/auth/me")]
pub async fn me(state: web::Data<State>, caller: Caller) -> Result<web::Json<Me>> {
    Ok(web::Json(identity::me(&state.db, caller.id).await?))
}

/// Changes the caller's profile; what is absent stays.
#[utoipa::path(
    tag = "identity",
    request_body = Profile,
    security(("bearer" = [])),
    responses((status = 200, description = "Changed", body = Me))
)]
#[patch("/auth/profile")]
pub async fn change_profile(state: web::Data<State>, caller: Caller, body: Body<Profile>) -> Result<web::Json<Me>> {
    Ok(web::Json(identity::change_profile(&state.db, caller.id, body.0).await?))
}

/// Suspends an account: it is refused everywhere at once, and its live sockets are closed
/// within a second. Doing it twice is no error.
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

/// Lifts a suspension. Doing it twice is no error.
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
