//! One's own account over HTTP: registering, the profile. What signs in and out is in
//! `session_handlers.rs`, what is mailed in `account_handlers.rs`.

use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};

use super::client::Client;
use super::model::{Me, Profile, PublicProfile, Register, Session};
use super::session_handlers::{check_origin, respond};
use crate::http::{Body, Caller, Result, client_address};
use crate::identity;
use crate::state::State;

/// Makes an account and signs it in. A link that confirms its address is mailed there;
/// until then it cannot apply for a shop.
#[utoipa::path(
    tag = "identity",
    request_body = Register,
    responses((status = 201, description = "Made and signed in", body = Session))
)]
#[post("/auth/register")]
pub async fn register(request: HttpRequest, state: web::Data<State>, body: Body<Register>) -> Result<HttpResponse> {
    state.rates.register.check(client_address(&request, &state.config))?;
    state.rates.register_email.check(&body.0.email)?;
    let keep = body.0.session;
    check_origin(&request, &state.config, keep)?;
    let opened = identity::register(&state, body.0, &Client::of(&request, &state.config)?).await?;
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

/// A person as everybody sees them.
#[utoipa::path(
    tag = "identity",
    params(("handle" = String, Path, description = "The person's handle; case does not count", max_length = 30)),
    responses((status = 200, description = "The person", body = PublicProfile))
)]
#[get("/profiles/{handle}")]
pub async fn public_profile(state: web::Data<State>, handle: web::Path<String>) -> Result<web::Json<PublicProfile>> {
    Ok(web::Json(identity::public_profile(&state.db, &handle).await?))
}
