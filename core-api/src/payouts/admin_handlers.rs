//! HTTP of what admins see of payouts and decide about them.

use actix_web::{HttpResponse, delete, get, post, web};
use shared::ids::{PayoutId, SellerId};

use super::admin;
use super::model::{AdminPayout, NewPayoutHold, NewWriteOff, Payout, PayoutFilter, PayoutHold, WriteOff};
use crate::earnings;
use crate::earnings::model::Earning;
use crate::http::{Admin, Body, Created, Id, IdempotencyKey, List, Page, Result};
use crate::idempotency::Answer;
use crate::payouts;
use crate::state::State;

/// Payouts of all shops, newest first.
#[utoipa::path(
    tag = "admin",
    params(PayoutFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<AdminPayout>))
)]
#[get("/admin/payouts")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<PayoutFilter>,
    page: Page,
) -> Result<List<AdminPayout>> {
    payouts::list(&state.db, None, *filter, &page).await
}

/// A payout.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = AdminPayout))
)]
#[get("/admin/payouts/{id}")]
pub async fn get(state: web::Data<State>, _admin: Admin, id: Id<PayoutId>) -> Result<web::Json<AdminPayout>> {
    Ok(web::Json(payouts::get(&state.db, None, id.0).await?))
}

/// What a payout was made of, newest first.
#[utoipa::path(
    tag = "admin",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<Earning>))
)]
#[get("/admin/payouts/{id}/lines")]
pub async fn lines(state: web::Data<State>, _admin: Admin, id: Id<PayoutId>, page: Page) -> Result<List<Earning>> {
    payouts::get(&state.db, None, id.0).await?;
    earnings::of_payout(&state.db, id.0, &page).await
}

/// Makes a payout again that failed or came back: a new one, of all that may be paid out by
/// now.
#[utoipa::path(
    tag = "admin",
    params(IdempotencyKey),
    security(("bearer" = [])),
    responses(
        (status = 201, description = "The new one", body = Payout),
        (status = 409, description = "`payout_too_small`, `payouts_held`. `wrong_state`: it has neither failed nor come \
                                      back, or no account is named any more")
    )
)]
#[post("/admin/payouts/{id}/retry")]
pub async fn retry(
    state: web::Data<State>,
    who: Admin,
    id: Id<PayoutId>,
    key: IdempotencyKey,
) -> Result<Answer<Payout>> {
    let minimum = state.config.commerce.payout_minimum_minor;
    admin::retry(&state.till, minimum, who.id, id.0, key.0).await
}

/// Holds a shop's payouts: no new one begins, and those that the provider was not asked for
/// wait.
#[utoipa::path(
    tag = "admin",
    request_body = NewPayoutHold,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Held", body = PayoutHold),
        (status = 409, description = "`wrong_state`: they are held already")
    )
)]
#[post("/admin/sellers/{id}/payout-hold")]
pub async fn hold(
    state: web::Data<State>,
    who: Admin,
    id: Id<SellerId>,
    body: Body<NewPayoutHold>,
) -> Result<Created<PayoutHold>> {
    let held = admin::hold(&state.db, who.id, id.0, body.0.reason.trim()).await?;
    Ok(Created(held))
}

/// Lets a shop's payouts go on.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 204, description = "They are not held any more"))
)]
#[delete("/admin/sellers/{id}/payout-hold")]
pub async fn release(state: web::Data<State>, who: Admin, id: Id<SellerId>) -> Result<HttpResponse> {
    admin::release(&state.db, who.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Gives up what a shop owes and will not pay: what may be paid out to it was less than
/// nothing, and is nothing then.
#[utoipa::path(
    tag = "admin",
    params(IdempotencyKey),
    request_body = NewWriteOff,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Given up", body = WriteOff),
        (status = 409, description = "`wrong_state`: it owes nothing")
    )
)]
#[post("/admin/sellers/{id}/write-offs")]
pub async fn write_off(
    state: web::Data<State>,
    who: Admin,
    id: Id<SellerId>,
    key: IdempotencyKey,
    body: Body<NewWriteOff>,
) -> Result<Answer<WriteOff>> {
    admin::write_off(&state.db, who.id, id.0, key.0, &body.0).await
}
