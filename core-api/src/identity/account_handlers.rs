//! Over HTTP: confirming an address, changing it, changing and resetting the password.
//! What asks for a link answers 202 before anybody knows whether one is mailed.

use actix_web::{HttpRequest, HttpResponse, post, web};

use super::links::Confirming;
use super::model::{ChangeEmail, ChangePassword, ConfirmEmail, Reset, ResetPassword};
use super::secrets::Secret;
use super::{change, links};
use crate::http::{Body, Caller, MaybeCaller, Result, client_address};
use crate::state::State;

/// Mails another link that confirms the caller's address, or the one they asked to have.
///
/// Until the address is confirmed, the account cannot apply for a shop.
#[utoipa::path(
    tag = "identity",
    security(("bearer" = [])),
    responses((status = 202, description = "It will be mailed"))
)]
#[post("/auth/email/verification")]
pub async fn resend_verification(state: web::Data<State>, caller: Caller) -> Result<HttpResponse> {
    links::resend(&state, caller.id).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Confirms an address with what was mailed there. If it is one that was asked for, it is
/// the account's from now on, and the old one is told.
///
/// The link alone is not enough: anybody may open an account under any address. The caller
/// is signed in to the account, or sends its password. Who has neither and reads the mail
/// of the address asks for a new password, which confirms it, too, and ends every session.
#[utoipa::path(
    tag = "identity",
    request_body = ConfirmEmail,
    security((), ("bearer" = [])),
    responses((status = 204, description = "Confirmed"))
)]
#[post("/auth/email/confirm")]
pub async fn confirm_email(
    request: HttpRequest,
    state: web::Data<State>,
    caller: MaybeCaller,
    body: Body<ConfirmEmail>,
) -> Result<HttpResponse> {
    state.rates.links.check(client_address(&request, &state.config))?;
    let ConfirmEmail { token, password } = body.0;
    let caller = caller.0.map(|caller| caller.id);
    let who = Confirming { caller, password };
    links::confirm_email(&state, &Secret::received(token), who).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Asks for another address. It is the account's once the link that is mailed there was
/// followed; whether somebody has it already is not told.
#[utoipa::path(
    tag = "identity",
    request_body = ChangeEmail,
    security(("bearer" = [])),
    responses((status = 202, description = "A link will be mailed to the new address"))
)]
#[post("/auth/email")]
pub async fn change_email(state: web::Data<State>, caller: Caller, body: Body<ChangeEmail>) -> Result<HttpResponse> {
    change::email(&state, caller.id, body.0).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Changes the password and ends the caller's other sessions.
#[utoipa::path(
    tag = "identity",
    request_body = ChangePassword,
    security(("bearer" = [])),
    responses((status = 204, description = "Changed"))
)]
#[post("/auth/password")]
pub async fn change_password(
    state: web::Data<State>,
    caller: Caller,
    body: Body<ChangePassword>,
) -> Result<HttpResponse> {
    change::password(&state, caller.id, caller.session, body.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Mails a link that sets a new password, if the address has an account. The answer is
/// the same if it has none, or if several were mailed to it within the hour: those are
/// good still.
#[utoipa::path(
    tag = "identity",
    request_body = ResetPassword,
    responses((status = 202, description = "If there is such an account, a link will be mailed"))
)]
#[post("/auth/password/reset")]
pub async fn ask_to_reset(
    request: HttpRequest,
    state: web::Data<State>,
    body: Body<ResetPassword>,
) -> Result<HttpResponse> {
    state.rates.links.check(client_address(&request, &state.config))?;
    links::ask_to_reset(&state, body.0.email).await?;
    Ok(HttpResponse::Accepted().finish())
}

/// Sets a new password with what was mailed, and ends every session.
#[utoipa::path(
    tag = "identity",
    request_body = Reset,
    responses((status = 204, description = "Set: sign in with it"))
)]
#[post("/auth/password/reset/confirm")]
pub async fn reset(request: HttpRequest, state: web::Data<State>, body: Body<Reset>) -> Result<HttpResponse> {
    state.rates.links.check(client_address(&request, &state.config))?;
    let Reset { token, password } = body.0;
    links::reset(&state, &Secret::received(token), password).await?;
    Ok(HttpResponse::NoContent().finish())
}
