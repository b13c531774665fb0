//! HTTP of parcels: sending them, correcting them, saying that they arrived.

use actix_web::{get, patch, post, web};
use shared::ids::{OrderId, ShipmentId};

use super::model::{NewShipment, Shipment, ShipmentChange};
use crate::fulfilment;
use crate::http::{Body, Caller, Id, IdempotencyKey, List, Owner, Result};
use crate::idempotency::Answer;
use crate::orders::model::Order;
use crate::seller_orders;
use crate::state::State;

/// Sends units of the shop's part of a paid order: those named, or all that are left.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    params(IdempotencyKey),
    request_body = NewShipment,
    responses(
        (status = 201, description = "On its way; the buyer is told", body = Shipment),
        (status = 409, description = "`wrong_state`: nothing is left, or the order was called off. `not_enough_left`. \
                                      `conflict`: another parcel of the carrier has the number")
    )
)]
#[post("/seller/orders/{id}/shipments")]
pub async fn ship(
    state: web::Data<State>,
    shop: Owner,
    id: Id<OrderId>,
    key: IdempotencyKey,
    body: Body<NewShipment>,
) -> Result<Answer<Shipment>> {
    fulfilment::ship(&state, &shop, id.0, key.0, &body.0).await
}

/// What the shop has sent of an order, oldest first.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    responses((status = 200, description = "All of it", body = List<Shipment>))
)]
#[get("/seller/orders/{id}/shipments")]
pub async fn list(state: web::Data<State>, shop: Owner, id: Id<OrderId>) -> Result<List<Shipment>> {
    let order = seller_orders::get(&state.db, shop.seller, id.0).await?;
    Ok(List::whole(order.shipments))
}

/// Corrects the carrier or the number of a parcel that has not arrived.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    request_body = ShipmentChange,
    responses(
        (status = 200, description = "Corrected", body = Shipment),
        (status = 409, description = "`wrong_state`: it has arrived. `conflict`: another parcel has the number")
    )
)]
#[patch("/seller/shipments/{id}")]
pub async fn change(
    state: web::Data<State>,
    shop: Owner,
    id: Id<ShipmentId>,
    body: Body<ShipmentChange>,
) -> Result<web::Json<Shipment>> {
    Ok(web::Json(fulfilment::change(&state.db, &shop, id.0, &body.0).await?))
}

/// Says that a parcel has arrived. Doing it twice is no error.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    responses((status = 200, description = "The order as it is now", body = Order))
)]
#[post("/orders/{id}/shipments/{shipment}/confirm")]
pub async fn confirm_shipment(
    state: web::Data<State>,
    caller: Caller,
    ids: Id<(OrderId, ShipmentId)>,
) -> Result<web::Json<Order>> {
    let (order, shipment) = ids.0;
    Ok(web::Json(
        fulfilment::confirm(&state, caller.id, order, Some(shipment)).await?,
    ))
}

/// Says that everything that was sent has arrived. Doing it twice is no error.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The order as it is now", body = Order),
        (status = 409, description = "`wrong_state`: nothing of it was sent")
    )
)]
#[post("/orders/{id}/confirm")]
pub async fn confirm(state: web::Data<State>, caller: Caller, id: Id<OrderId>) -> Result<web::Json<Order>> {
    Ok(web::Json(fulfilment::confirm(&state, caller.id, id.0, None).await?))
}
