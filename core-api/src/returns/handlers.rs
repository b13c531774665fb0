//! HTTP of returns.

use actix_web::{get, post, web};
use shared::ids::{OrderId, ReturnId};

use super::model::{Filter, NewReturn, Return, ReturnApproval, ReturnReceipt, ReturnRejection};
use crate::http::{Body, Caller, Id, IdempotencyKey, List, Page, Result, Shopkeeper};
use crate::idempotency::Answer;
use crate::state::State;

/// Asks the shop to take units back that have arrived.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewReturn,
    responses(
        (status = 201, description = "Asked for", body = Return),
        (status = 409, description = "`wrong_state`: so many have not arrived or are in a return, or the time for \
                                      returns is over")
    )
)]
#[post("/orders/{id}/returns")]
pub async fn request(
    state: web::Data<State>,
    caller: Caller,
    order: Id<OrderId>,
    key: IdempotencyKey,
    body: Body<NewReturn>,
) -> Result<Answer<Return>> {
    let to = (&state.db, &state.bus);
    super::request(to, &state.config.commerce, caller.id, order.0, key.0, &body.0).await
}

/// The returns of an order of the caller's, oldest first.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = List<Return>))
)]
#[get("/orders/{id}/returns")]
pub async fn list(state: web::Data<State>, caller: Caller, order: Id<OrderId>) -> Result<List<Return>> {
    super::of_order(&state.db, caller.id, order.0).await
}

/// Keeps the units after all. Doing it twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Withdrawn", body = Return),
        (status = 409, description = "`wrong_state`: the shop has it, or has refused it")
    )
)]
#[post("/orders/{id}/returns/{return}/withdraw")]
pub async fn withdraw(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(OrderId, ReturnId)>,
) -> Result<web::Json<Return>> {
    let (order, id) = ids.0;
    Ok(web::Json(super::withdraw(&state.db, caller.id, order, id).await?))
}

/// The returns to the caller's shop, newest first.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(Filter, Page),
    responses((status = 200, description = "A page of them", body = List<Return>))
)]
#[get("/seller/returns")]
pub async fn list_of_shop(
    state: web::Data<State>,
    shop: Shopkeeper,
    filter: web::Query<Filter>,
    page: Page,
) -> Result<List<Return>> {
    super::of_shop(&state.db, shop.seller, filter.into_inner(), &page).await
}

/// Takes units back. Doing it twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    request_body = ReturnApproval,
    responses(
        (status = 200, description = "Approved: the buyer sends it", body = Return),
        (status = 409, description = "`wrong_state`: it was answered or withdrawn")
    )
)]
#[post("/seller/returns/{id}/approve")]
pub async fn approve(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ReturnId>,
    body: Body<ReturnApproval>,
) -> Result<web::Json<Return>> {
    Ok(web::Json(
        super::approve(&state.till, &shop, id.0, &body.0.answer).await?,
    ))
}

/// Does not take units back. Doing it twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    request_body = ReturnRejection,
    responses(
        (status = 200, description = "Rejected: the buyer keeps it", body = Return),
        (status = 409, description = "`wrong_state`: it was answered or withdrawn")
    )
)]
#[post("/seller/returns/{id}/reject")]
pub async fn reject(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ReturnId>,
    body: Body<ReturnRejection>,
) -> Result<web::Json<Return>> {
    Ok(web::Json(
        super::reject(&state.till, &shop, id.0, &body.0.answer).await?,
    ))
}

/// Has units back: their money goes to the buyer.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = ReturnReceipt,
    responses(
        (status = 200, description = "Received; it is `refunded` once the buyer has the money", body = Return),
        (status = 409, description = "`wrong_state`: it is not approved. `refund_too_large`: the payment is disputed. \
                                      `payment_in_progress`")
    )
)]
#[post("/seller/returns/{id}/receive")]
pub async fn receive(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ReturnId>,
    key: IdempotencyKey,
    body: Body<ReturnReceipt>,
) -> Result<Answer<Return>> {
    super::receive(&state.till, &shop, id.0, key.0, &body.0).await
}
