//! HTTP of returns.

use actix_web::{get, post, web};
use shared::ids::{OrderId, ReturnId};

use super::model::{
    AdminFilter, Filter, NewReturn, Return, ReturnApproval, ReturnParcel, ReturnReceipt, ReturnRejection,
};
use super::{Taker, Whose};
use crate::http::{Admin, Body, Caller, Id, IdempotencyKey, List, Owner, Page, Result};
use crate::idempotency::Answer;
use crate::state::State;

fn taker(shop: &Owner) -> Taker {
    Taker {
        user: shop.user,
        whose: Whose::Shop(shop.seller),
    }
}

fn admin_taker(admin: &Admin) -> Taker {
    Taker {
        user: admin.id,
        whose: Whose::Anybodys,
    }
}

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

/// Says in which parcel the units were sent: from then on the return does not lapse. Doing it
/// twice is no error.
#[utoipa::path(
    tag = "orders",
    security(("bearer" = [])),
    request_body = ReturnParcel,
    responses(
        (status = 200, description = "On its way", body = Return),
        (status = 409, description = "`wrong_state`: it is not approved, or was sent in another parcel")
    )
)]
#[post("/orders/{id}/returns/{return}/sent")]
pub async fn send(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(OrderId, ReturnId)>,
    body: Body<ReturnParcel>,
) -> Result<web::Json<Return>> {
    let (order, id) = ids.0;
    let to = (&state.db, &state.bus);
    Ok(web::Json(super::send(to, caller.id, order, id, &body.0).await?))
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
    shop: Owner,
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
    shop: Owner,
    id: Id<ReturnId>,
    body: Body<ReturnApproval>,
) -> Result<web::Json<Return>> {
    Ok(web::Json(
        super::approve(&state.till, taker(&shop), id.0, &body.0.answer).await?,
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
    shop: Owner,
    id: Id<ReturnId>,
    body: Body<ReturnRejection>,
) -> Result<web::Json<Return>> {
    Ok(web::Json(
        super::reject(&state.till, taker(&shop), id.0, &body.0.answer).await?,
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
        (status = 409, description = "`wrong_state`: it is not approved. `payment_disputed`. `refund_too_large`: so much is not left of the payment. \
                                      `payment_in_progress`")
    )
)]
#[post("/seller/returns/{id}/receive")]
pub async fn receive(
    state: web::Data<State>,
    shop: Owner,
    id: Id<ReturnId>,
    key: IdempotencyKey,
    body: Body<ReturnReceipt>,
) -> Result<Answer<Return>> {
    super::receive(&state.till, taker(&shop), id.0, key.0, &body.0).await
}

/// The returns to all shops, newest first; with `overdue` those that wait for an admin because
/// their shop has had its time.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(AdminFilter, Page),
    responses((status = 200, description = "A page of them", body = List<Return>))
)]
#[get("/admin/returns")]
pub async fn list_all(
    state: web::Data<State>,
    _admin: Admin,
    filter: web::Query<AdminFilter>,
    page: Page,
) -> Result<List<Return>> {
    super::of_all(&state.db, filter.into_inner(), &page).await
}

/// Takes units back in a shop's place. Doing it twice is no error.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    request_body = ReturnApproval,
    responses(
        (status = 200, description = "Approved: the buyer sends it", body = Return),
        (status = 409, description = "`wrong_state`: it was answered or withdrawn")
    )
)]
#[post("/admin/returns/{id}/approve")]
pub async fn approve_any(
    state: web::Data<State>,
    admin: Admin,
    id: Id<ReturnId>,
    body: Body<ReturnApproval>,
) -> Result<web::Json<Return>> {
    let approved = super::approve(&state.till, admin_taker(&admin), id.0, &body.0.answer).await?;
    Ok(web::Json(approved))
}

/// Does not take units back, in a shop's place. Doing it twice is no error.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    request_body = ReturnRejection,
    responses(
        (status = 200, description = "Rejected: the buyer keeps it", body = Return),
        (status = 409, description = "`wrong_state`: it was answered or withdrawn")
    )
)]
#[post("/admin/returns/{id}/reject")]
pub async fn reject_any(
    state: web::Data<State>,
    admin: Admin,
    id: Id<ReturnId>,
    body: Body<ReturnRejection>,
) -> Result<web::Json<Return>> {
    let rejected = super::reject(&state.till, admin_taker(&admin), id.0, &body.0.answer).await?;
    Ok(web::Json(rejected))
}

/// Says that a shop has units back: their money goes to the buyer.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = ReturnReceipt,
    responses(
        (status = 200, description = "Received; it is `refunded` once the buyer has the money", body = Return),
        (status = 409, description = "`wrong_state`: it is not approved. `refund_too_large`: the payment is disputed. \
                                      `payment_in_progress`")
    )
)]
#[post("/admin/returns/{id}/receive")]
pub async fn receive_any(
    state: web::Data<State>,
    admin: Admin,
    id: Id<ReturnId>,
    key: IdempotencyKey,
    body: Body<ReturnReceipt>,
) -> Result<Answer<Return>> {
    super::receive(&state.till, admin_taker(&admin), id.0, key.0, &body.0).await
}
