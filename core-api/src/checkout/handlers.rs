//! HTTP of checkouts.

use actix_web::{HttpResponse, delete, get, post, web};
use shared::ids::CheckoutId;

use super::model::{Checkout, NewCheckout};
use crate::http::{Body, Caller, Id, IdempotencyKey, Result};
use crate::idempotency::Answer;
use crate::state::State;

/// Prices a purchase and holds its stock for ten minutes.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewCheckout,
    responses((status = 201, description = "Priced; the stock is held", body = Checkout))
)]
#[post("/orders/checkout")]
pub async fn create(
    state: web::Data<State>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewCheckout>,
) -> Result<Answer<Checkout>> {
    super::create(&state.db, &state.bus, state.config.terms(), caller.id, key.0, &body.0).await
}

/// A checkout of the caller's, repriced without flash holds that have lapsed.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = Checkout))
)]
#[get("/orders/checkout/{id}")]
pub async fn get(state: web::Data<State>, caller: Caller, id: Id<CheckoutId>) -> Result<web::Json<Checkout>> {
    Ok(web::Json(
        super::get(&state.db, &state.config.taxes, caller.id, id.0).await?,
    ))
}

/// Gives a checkout up; its stock is free again.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 204, description = "Given up"))
)]
#[delete("/orders/checkout/{id}")]
pub async fn cancel(state: web::Data<State>, caller: Caller, id: Id<CheckoutId>) -> Result<HttpResponse> {
    super::cancel(&state.db, &state.bus, caller.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
