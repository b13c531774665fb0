//! HTTP of refunds, and of calling units off.

use actix_web::{get, post, web};
use shared::ids::{OrderId, OrderItemId, RefundId};

use super::model::{CalledOff, Filter, NewCancellation, NewRefund, OutsideSettlement, Refund};
use super::{acts, anew};
use crate::http::{Admin, Body, Caller, Id, IdempotencyKey, List, Owner, Page, Result};
use crate::idempotency::Answer;
use crate::orders::{self, Who};
use crate::state::State;

/// Calls units of a line of the caller's paid order off that were not sent. Their money goes
/// back, and the shop's shipping with the last of what it was to send.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewCancellation,
    responses(
        (status = 200, description = "What was called off, with its refund as it was decided", body = CalledOff),
        (status = 409, description = "`payment_in_progress`. `wrong_state`: the order is not paid, or so many are not \
                                      unsent. `payment_disputed`. `refund_too_large`: so much is not left of the payment")
    )
)]
#[post("/orders/{id}/items/{item}/cancel")]
pub async fn cancel_item(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(OrderId, OrderItemId)>,
    key: IdempotencyKey,
    body: Body<NewCancellation>,
) -> Result<Answer<CalledOff>> {
    let who = Who::Buyer(caller.id);
    orders::cancel_item(&state.till, &state.config.commerce, who, ids.0, key.0, &body.0).await
}

/// Calls units off that were sold by the caller's shop and not sent. Their money goes back to
/// the buyer, and the shipping with the last of what the shop was to send.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewCancellation,
    responses(
        (status = 200, description = "What was called off, with its refund as it was decided", body = CalledOff),
        (status = 409, description = "`payment_in_progress`. `wrong_state`: the order is not paid, or so many are not \
                                      unsent. `payment_disputed`. `refund_too_large`: so much is not left of the payment")
    )
)]
#[post("/seller/orders/{id}/items/{item}/cancel")]
pub async fn cancel_sold_item(
    state: web::Data<State>,
    shop: Owner,
    ids: Id<(OrderId, OrderItemId)>,
    key: IdempotencyKey,
    body: Body<NewCancellation>,
) -> Result<Answer<CalledOff>> {
    let who = Who::Shop(shop.user, shop.seller);
    orders::cancel_item(&state.till, &state.config.commerce, who, ids.0, key.0, &body.0).await
}

/// Gives money of a paid order back.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewRefund,
    responses(
        (status = 201, description = "As it was decided; its status moves on", body = Refund),
        (status = 404, description = "`not_found`: the order, or one of the lines"),
        (status = 409, description = "`payment_in_progress`. `wrong_state`: the order is not paid, or so many are not \
                                      unsent. `payment_disputed`. `refund_too_large`: so many, or so much, is not left")
    )
)]
#[post("/admin/orders/{id}/refunds")]
pub async fn create(
    state: web::Data<State>,
    admin: Admin,
    order: Id<OrderId>,
    key: IdempotencyKey,
    body: Body<NewRefund>,
) -> Result<Answer<Refund>> {
    acts::create(&state.till, &state.config.commerce, admin.id, order.0, key.0, &body.0).await
}

/// Refunds, newest first.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(Filter, Page),
    responses((status = 200, description = "A page of them", body = List<Refund>))
)]
#[get("/admin/refunds")]
pub async fn list(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<Filter>,
    page: Page,
) -> Result<List<Refund>> {
    acts::list(&state.db, filter.into_inner(), &page).await
}

/// A refund.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = Refund))
)]
#[get("/admin/refunds/{id}")]
pub async fn get(state: web::Data<State>, _admin: Admin, id: Id<RefundId>) -> Result<web::Json<Refund>> {
    let refund = super::get(&mut *state.db.acquire().await?, id.0).await?;
    Ok(web::Json(refund))
}

/// Decides a refund anew that has failed: a new one, of what is owed; of goodwill as far as it
/// has not gone back since.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(IdempotencyKey),
    responses(
        (status = 201, description = "The new one, as it was decided; its status moves on", body = Refund),
        (status = 409, description = "`payment_in_progress`, `payment_disputed`. `wrong_state`: it has not failed, or another has replaced \
                                      it. `refund_too_large`: what was goodwill has gone back otherwise")
    )
)]
#[post("/admin/refunds/{id}/retry")]
pub async fn retry(
    state: web::Data<State>,
    admin: Admin,
    id: Id<RefundId>,
    key: IdempotencyKey,
) -> Result<Answer<Refund>> {
    anew::retry(&state.till, admin.id, id.0, key.0).await
}

/// Says that the buyer has the money of a refund otherwise, which has failed and cannot be
/// made through the payment provider.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = OutsideSettlement,
    responses(
        (status = 201, description = "The one that has replaced it", body = Refund),
        (status = 409, description = "`wrong_state`: nothing is owed for it, or another has replaced it")
    )
)]
#[post("/admin/refunds/{id}/settle-outside")]
pub async fn settle_outside(
    state: web::Data<State>,
    admin: Admin,
    id: Id<RefundId>,
    key: IdempotencyKey,
    body: Body<OutsideSettlement>,
) -> Result<Answer<Refund>> {
    anew::settle_outside(&state.till, admin.id, id.0, key.0, &body.0).await
}
