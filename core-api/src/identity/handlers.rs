//! Accounts and sessions over HTTP. In cookie mode the refresh token travels only in a
//! cookie that scripts cannot read, that goes only to these paths, and that counts only
//! on a request from a page of ours.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, HttpResponse, get, patch, post, web};
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;

use super::model::{Account, Keep, Login, Me, Profile, Register, Renew, Session, Why};
use super::secrets::RefreshToken;
use super::{Opened, REFRESH_DAYS};
use crate::config::Config;
use crate::http::{Admin, Body, Caller, Id, Result, address_key, client_address, require_origin};
use crate::identity;
use crate::state::State;

const COOKIE: &str = "hawker_refresh";
const COOKIE_PATH: &str = "/auth";

fn cookie(config: &Config, value: String, age: Duration) -> Cookie<'static> {
    Cookie::build(COOKIE, value)
        .path(COOKIE_PATH)
        .http_only(true)
        .secure(config.cookie_secure)
        .same_site(SameSite::Strict)
        .max_age(age)
        .finish()
}

/// Answers with the session, its refresh token where the client keeps it.
fn respond(config: &Config, mut response: actix_web::HttpResponseBuilder, opened: Opened, keep: Keep) -> HttpResponse {
    let Opened {
        mut session,
        refresh: token,
    } = opened;
    let token = token.expose().to_owned();
    match keep {
        Keep::Token => session.refresh_token = Some(token),
        Keep::Cookie => {
            response.cookie(cookie(config, token, Duration::days(REFRESH_DAYS.into())));
        }
    }
    response.json(session)
}

/// A cookie is handed out only to a page that may use it.
fn check_origin(request: &HttpRequest, config: &Config, keep: Keep) -> Result<()> {
    match keep {
        Keep::Token => Ok(()),
        Keep::Cookie => require_origin(request, config),
    }
}

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
    let keep = body.0.session;
    check_origin(&request, &state.config, keep)?;
    let opened = identity::register(&state, body.0).await?;
    Ok(respond(&state.config, HttpResponse::Created(), opened, keep))
}

/// Signs in.
#[utoipa::path(
    tag = "identity",
    request_body = Login,
    responses((status = 200, description = "Signed in", body = Session))
)]
#[post("/auth/login")]
pub async fn login(request: HttpRequest, state: web::Data<State>, body: Body<Login>) -> Result<HttpResponse> {
    let address = address_key(client_address(&request, &state.config));
    state.rates.login.check(&address)?;
    state.rates.login_email.check(&body.0.email.as_str().to_owned())?;
    let keep = body.0.session;
    check_origin(&request, &state.config, keep)?;
    let opened = identity::login(&state, body.0).await?;
    Ok(respond(&state.config, HttpResponse::Ok(), opened, keep))
}

/// The refresh token that a request carries, and where its client keeps it. A body's goes
/// before a cookie's.
fn refresh_token(request: &HttpRequest, config: &Config, body: Renew) -> Result<Option<(RefreshToken, Keep)>> {
    if let Some(token) = body.refresh_token {
        return Ok(Some((RefreshToken::received(token), Keep::Token)));
    }
    let Some(cookie) = request.cookie(COOKIE) else {
        return Ok(None);
    };
    require_origin(request, config)?;
    Ok(Some((RefreshToken::received(cookie.value().to_owned()), Keep::Cookie)))
}

/// Spends the refresh token, from the body or the cookie, for a new session.
///
/// A token that was spent before ends the session for whoever holds a part of it.
#[utoipa::path(
    tag = "identity",
    request_body = Renew,
    responses((status = 200, description = "Renewed", body = Session))
)]
#[post("/auth/refresh")]
pub async fn refresh(request: HttpRequest, state: web::Data<State>, body: Body<Renew>) -> Result<HttpResponse> {
    let address = address_key(client_address(&request, &state.config));
    state.rates.refresh.check(&address)?;
    let (token, keep) = refresh_token(&request, &state.config, body.0)?
        .ok_or_else(|| Refusal::new(ErrorCode::Unauthenticated, "Send a refresh token").at("refresh_token"))?;
    let opened = identity::refresh(&state, &token).await?;
    Ok(respond(&state.config, HttpResponse::Ok(), opened, keep))
}

/// Ends the session. Every token of it is worthless at once, and its live sockets are
/// closed within a second.
#[utoipa::path(
    tag = "identity",
    request_body = Renew,
    security((), ("bearer" = [])),
    responses((status = 204, description = "Over"))
)]
#[post("/auth/logout")]
pub async fn logout(
    request: HttpRequest,
    state: web::Data<State>,
    // An access token that has expired is no reason to keep the session.
    caller: Result<Caller>,
    body: Body<Renew>,
) -> Result<HttpResponse> {
    let address = address_key(client_address(&request, &state.config));
    state.rates.refresh.check(&address)?;
    let session = caller.ok().map(|caller| caller.session);
    let token = refresh_token(&request, &state.config, body.0)?.map(|(token, _)| token);
    identity::logout(&state, session, token.as_ref()).await?;
    let mut response = HttpResponse::NoContent();
    if request.cookie(COOKIE).is_some() {
        response.cookie(cookie(&state.config, String::new(), Duration::ZERO));
    }
    Ok(response.finish())
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
