//! HTTP of claims.

use actix_web::{get, post, web};
use shared::ids::{ClaimId, OrderId};

use super::model::{Claim, ClaimAnswer, ClaimFilter, NewClaim};
use crate::http::{Admin, Body, Caller, Id, IdempotencyKey, List, Owner, Page, Result};
use crate::idempotency::Answer;
use crate::state::State;

/// Says that units of an order of the caller's were sent and did not come. As long as that is
/// open, what their line earned is not paid out.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewClaim,
    responses(
        (status = 201, description = "Opened: the shop is asked", body = Claim),
        (status = 409, description = "`wrong_state`: so many were not sent, have arrived or are in a claim, or the time \
                                      for claims is over")
    )
)]
#[post("/orders/{id}/claims")]
pub async fn open(
    state: web::Data<State>,
    caller: Caller,
    order: Id<OrderId>,
    key: IdempotencyKey,
    body: Body<NewClaim>,
) -> Result<Answer<Claim>> {
    let to = (&state.db, &state.bus);
    super::open(to, &state.config.commerce, caller.id, order.0, key.0, &body.0).await
}

/// The claims of an order of the caller's, newest first.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = List<Claim>))
)]
#[get("/orders/{id}/claims")]
pub async fn list(state: web::Data<State>, caller: Caller, order: Id<OrderId>) -> Result<List<Claim>> {
    super::of_order(&state.db, caller.id, order.0).await
}

/// Withdraws a claim: the units have come after all. Doing it twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Withdrawn", body = Claim),
        (status = 409, description = "`wrong_state`: it is decided")
    )
)]
#[post("/orders/{id}/claims/{claim}/withdraw")]
pub async fn withdraw(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(OrderId, ClaimId)>,
) -> Result<web::Json<Claim>> {
    let (order, id) = ids.0;
    Ok(web::Json(super::withdraw(&state.db, caller.id, order, id).await?))
}

/// What buyers say did not come of the caller's shop, newest first.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(ClaimFilter, Page),
    responses((status = 200, description = "A page of them", body = List<Claim>))
)]
#[get("/seller/claims")]
pub async fn list_of_shop(
    state: web::Data<State>,
    shop: Owner,
    filter: web::Query<ClaimFilter>,
    page: Page,
) -> Result<List<Claim>> {
    super::list(&state.db, Some(shop.seller), filter.into_inner(), &page).await
}

/// Says what proves the delivery. Doing it twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    request_body = ClaimAnswer,
    responses(
        (status = 200, description = "Answered: an admin decides", body = Claim),
        (status = 409, description = "`wrong_state`: it has ended")
    )
)]
#[post("/seller/claims/{id}/answer")]
pub async fn answer(
    state: web::Data<State>,
    shop: Owner,
    id: Id<ClaimId>,
    body: Body<ClaimAnswer>,
) -> Result<web::Json<Claim>> {
    let claim = super::answer(&state.till, &shop, id.0, &body.0.answer).await?;
    Ok(web::Json(claim))
}

/// What buyers say did not come, of all shops, newest first.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(ClaimFilter, Page),
    responses((status = 200, description = "A page of them", body = List<Claim>))
)]
#[get("/admin/claims")]
pub async fn list_of_all(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<ClaimFilter>,
    page: Page,
) -> Result<List<Claim>> {
    super::list(&state.db, None, filter.into_inner(), &page).await
}

/// Decides a claim for the shop. Doing it twice is no error.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    request_body = ClaimAnswer,
    responses(
        (status = 200, description = "Rejected: what the line earned is released when it is due", body = Claim),
        (status = 409, description = "`wrong_state`: it has ended")
    )
)]
#[post("/admin/claims/{id}/reject")]
pub async fn reject(
    state: web::Data<State>,
    admin: Admin,
    id: Id<ClaimId>,
    body: Body<ClaimAnswer>,
) -> Result<web::Json<Claim>> {
    let claim = super::reject(&state.till, admin.id, id.0, &body.0.answer).await?;
    Ok(web::Json(claim))
}

/// Decides a claim for the buyer: the units' money goes back.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = ClaimAnswer,
    responses(
        (status = 200, description = "Upheld, with its refund as it was decided", body = Claim),
        (status = 409, description = "`wrong_state`: it has ended, or its units are in a return. `refund_too_large`: the \
                                      payment is disputed. `payment_in_progress`")
    )
)]
#[post("/admin/claims/{id}/uphold")]
pub async fn uphold(
    state: web::Data<State>,
    admin: Admin,
    id: Id<ClaimId>,
    key: IdempotencyKey,
    body: Body<ClaimAnswer>,
) -> Result<Answer<Claim>> {
    super::uphold(&state.till, admin.id, id.0, key.0, &body.0).await
}
