//! Sessions over HTTP. In cookie mode the refresh token travels only in a cookie that
//! scripts cannot read, that goes only to these paths, and that counts only on a request
//! from a page of ours.

use actix_web::cookie::time::Duration;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::{HttpRequest, HttpResponse, delete, get, post, web};
use shared::error::{ErrorCode, Refusal};
use uuid::Uuid;

use super::attempts;
use super::client::Client;
use super::model::{Keep, Login, OpenSession, Renew, Session};
use super::secrets::Secret;
use super::sessions::{self, Opened, REFRESH_DAYS};
use crate::config::Config;
use crate::http::{Body, Caller, Id, List, Result, client_address, require_origin};
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
pub(super) fn respond(
    config: &Config,
    mut response: actix_web::HttpResponseBuilder,
    opened: Opened,
    keep: Keep,
) -> HttpResponse {
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
pub(super) fn check_origin(request: &HttpRequest, config: &Config, keep: Keep) -> Result<()> {
    match keep {
        Keep::Token => Ok(()),
        Keep::Cookie => require_origin(request, config),
    }
}

/// Signs in.
#[utoipa::path(
    tag = "identity",
    request_body = Login,
    responses((status = 200, description = "Signed in", body = Session))
)]
#[post("/auth/login")]
pub async fn login(request: HttpRequest, state: web::Data<State>, body: Body<Login>) -> Result<HttpResponse> {
    state.rates.login.check(client_address(&request, &state.config))?;
    let client = Client::of(&request, &state.config)?;
    attempts::count(&state, &body.0.email, &client).await?;
    let keep = body.0.session;
    check_origin(&request, &state.config, keep)?;
    let opened = identity::login(&state, body.0, &client).await?;
    Ok(respond(&state.config, HttpResponse::Ok(), opened, keep))
}

/// The refresh token that a request carries, and where its client keeps it. A body's goes
/// before a cookie's.
fn refresh_token(request: &HttpRequest, config: &Config, body: Renew) -> Result<Option<(Secret, Keep)>> {
    if let Some(token) = body.refresh_token {
        return Ok(Some((Secret::received(token), Keep::Token)));
    }
    let Some(cookie) = request.cookie(COOKIE) else {
        return Ok(None);
    };
    require_origin(request, config)?;
    Ok(Some((Secret::received(cookie.value().to_owned()), Keep::Cookie)))
}

/// Spends the refresh token, from the body or the cookie, for a new session.
///
/// A token that was spent before ends the session for whoever holds a part of it. Within
/// ten seconds of its spending, and until the next one is spent, it gets that same next
/// one again: two tabs may renew at once, and an answer may be lost.
#[utoipa::path(
    tag = "identity",
    request_body = Renew,
    responses((status = 200, description = "Renewed", body = Session))
)]
#[post("/auth/refresh")]
pub async fn refresh(request: HttpRequest, state: web::Data<State>, body: Body<Renew>) -> Result<HttpResponse> {
    state.rates.refresh.check(client_address(&request, &state.config))?;
    let (token, keep) = refresh_token(&request, &state.config, body.0)?
        .ok_or_else(|| Refusal::new(ErrorCode::Unauthenticated, "Send a refresh token").at("refresh_token"))?;
    let opened = sessions::refresh(&state, &token, &Client::of(&request, &state.config)?).await?;
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
    state.rates.refresh.check(client_address(&request, &state.config))?;
    let session = caller.ok().map(|caller| caller.session);
    let token = refresh_token(&request, &state.config, body.0)?.map(|(token, _)| token);
    sessions::logout(&state, session, token.as_ref()).await?;
    let mut response = HttpResponse::NoContent();
    if request.cookie(COOKIE).is_some() {
        response.cookie(cookie(&state.config, String::new(), Duration::ZERO));
    }
    Ok(response.finish())
}

/// Ends every session of the caller's, this one included.
#[utoipa::path(
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 204, description = "Over, everywhere"))
)]
#[post("/auth/logout/everywhere")]
pub async fn logout_everywhere(request: HttpRequest, state: web::Data<State>, caller: Caller) -> Result<HttpResponse> {
    sessions::logout_everywhere(&state, caller.id).await?;
    let mut response = HttpResponse::NoContent();
    if request.cookie(COOKIE).is_some() {
        response.cookie(cookie(&state.config, String::new(), Duration::ZERO));
    }
    Ok(response.finish())
}

/// The caller's sessions, the newest first: 50 at most, because one more ends the oldest.
#[utoipa::path(
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = List<OpenSession>))
)]
#[get("/auth/sessions")]
pub async fn list(state: web::Data<State>, caller: Caller) -> Result<List<OpenSession>> {
    let sessions = sessions::list(&state.db, caller.id, caller.session).await?;
    Ok(List::whole(sessions))
}

/// Ends one of the caller's sessions: its tokens are worthless at once, and its live
/// sockets are closed within a second. Ending one that is over is fine.
#[utoipa::path(
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 204, description = "Over"))
)]
#[delete("/auth/sessions/{id}")]
pub async fn end(state: web::Data<State>, caller: Caller, id: Id<Uuid>) -> Result<HttpResponse> {
    sessions::end(&state, caller.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
