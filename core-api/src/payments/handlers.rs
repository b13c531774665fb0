//! HTTP of payments.

use actix_web::{get, post, web};
use shared::ids::{OrderId, PaymentId};

use super::model::{NewPayment, Payment};
use crate::http::{Body, Caller, Id, IdempotencyKey, Result};
use crate::idempotency::Answer;
use crate::state::State;

/// Pays an order of the caller's, whole and at once. A decline is answered as a payment
/// that has `failed`.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewPayment,
    responses((status = 201, description = "How it stands", body = Payment))
)]
#[post("/orders/{id}/payments")]
pub async fn pay(
    state: web::Data<State>,
    caller: Caller,
    order: Id<OrderId>,
    key: IdempotencyKey,
    body: Body<NewPayment>,
) -> Result<Answer<Payment>> {
    let means = body.0.means(state.config.page_origins())?;
    super::pay(&state.till, caller.id, order.0, key.0, means).await
}

/// Goes on with a payment whose second step the buyer has taken.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    responses((status = 200, description = "How it stands", body = Payment))
)]
#[post("/orders/{id}/payments/{payment}/confirm")]
pub async fn confirm(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(OrderId, PaymentId)>,
    key: IdempotencyKey,
) -> Result<Answer<Payment>> {
    let (order, payment) = ids.0;
    super::confirm(&state.till, caller.id, order, payment, key.0).await
}

/// Calls an attempt to pay off, such as one whose second step the buyer does not take: then
/// the order can be paid otherwise, or called off. Money that has moved stays where it is, and
/// the payment is answered as `captured`. Doing it twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 200, description = "How it stands: `processing` if the provider has not told yet", body = Payment))
)]
#[post("/orders/{id}/payments/{payment}/cancel")]
pub async fn cancel(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(OrderId, PaymentId)>,
) -> Result<web::Json<Payment>> {
    let (order, payment) = ids.0;
    Ok(web::Json(super::cancel(&state.till, caller.id, order, payment).await?))
}

/// A payment of an order of the caller's.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 200, description = "How it stands", body = Payment))
)]
#[get("/orders/{id}/payments/{payment}")]
pub async fn get(state: web::Data<State>, caller: Caller, ids: Id<(OrderId, PaymentId)>) -> Result<web::Json<Payment>> {
    let (order, payment) = ids.0;
    Ok(web::Json(super::get(&state.db, caller.id, order, payment).await?))
}
