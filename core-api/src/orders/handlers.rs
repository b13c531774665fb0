//! HTTP of orders.

use actix_web::{get, post, web};
use shared::ids::OrderId;

use super::model::{NewOrder, Order, Receipt};
use crate::http::{Body, Caller, Id, IdempotencyKey, List, Page, Result};
use crate::idempotency::Answer;
use crate::state::State;

/// Places an open checkout as an order, to be paid within 15 minutes.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewOrder,
    responses(
        (status = 201, description = "Placed; paid already if it costs nothing", body = Order),
        (status = 409, description = "`checkout_expired`, `hold_expired`, `wrong_state`. `conflict`: the cap of the show \
                                      makes its shipping another one; look at the checkout again, or pay or cancel the \
                                      show's order before it")
    )
)]
#[post("/orders")]
pub async fn place(
    state: web::Data<State>,
    caller: Caller,
    key: IdempotencyKey,
    body: Body<NewOrder>,
) -> Result<Answer<Order>> {
    super::place(&state.db, &state.bus, &state.config.commerce, caller.id, key.0, &body.0).await
}

/// The caller's orders, newest first.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Order>))
)]
#[get("/orders")]
pub async fn list(state: web::Data<State>, caller: Caller, page: Page) -> Result<List<Order>> {
    super::list(&state.db, caller.id, &page).await
}

/// An order of the caller's.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = Order))
)]
#[get("/orders/{id}")]
pub async fn get(state: web::Data<State>, caller: Caller, id: Id<OrderId>) -> Result<web::Json<Order>> {
    Ok(web::Json(super::get(&state.db, caller.id, id.0).await?))
}

/// Calls an order off: an unpaid one, or a paid one of which nothing was sent, whose money
/// goes back. Doing it twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Cancelled; its stock is free again, and its `refunds` tell how its money \
                                      goes back", body = Order),
        (status = 409, description = "`payment_in_progress`, `order_expired`. `wrong_state`: some of it was sent. \
                                      `payment_disputed`. `refund_too_large`: so much is not left of the payment")
    )
)]
#[post("/orders/{id}/cancel")]
pub async fn cancel(state: web::Data<State>, caller: Caller, id: Id<OrderId>) -> Result<web::Json<Order>> {
    let order = super::cancel(&state.till, &state.config.commerce, caller.id, id.0).await?;
    Ok(web::Json(order))
}

/// The receipt of a paid order.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    responses((status = 200, description = "What was paid, for what, and when", body = Receipt))
)]
#[get("/orders/{id}/receipt")]
pub async fn receipt(state: web::Data<State>, caller: Caller, id: Id<OrderId>) -> Result<web::Json<Receipt>> {
    Ok(web::Json(super::receipt(&state.db, caller.id, id.0).await?))
}
