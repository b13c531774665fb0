//! From a paid order to money that may be paid out: parcels, word of their arrival, and the
//! release of what was earned.
//!
//! A shop sends what it has in an order, in as many parcels as it likes. That a parcel has
//! arrived is said by its carrier or by whom it was for, never by the shop. Everything here
//! happens under the order's lock: whatever else moves units of the same order, a
//! cancellation above all, comes before or after.

pub mod carrier;
pub mod handlers;
pub mod model;
pub mod release;
mod store;

use std::collections::HashMap;

use serde::Serialize;
use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{OrderId, RequestId, SellerId, ShipmentId, UserId};
use shared::notification::NotificationKind;
use shared::outbox;
use shared::status::OrderStatus;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::commerce::Commerce;
use crate::http::{Owner, Result};
use crate::idempotency::{self, Answer};
use crate::notifications::{self, News};
use crate::orders::model::{Locked, Order};
use crate::state::State;
use crate::{audit, claims, orders};
use model::{DeliveredBy, NewShipment, Shipment, ShipmentChange};
use store::Changed;

/// Sends units of a shop's part of a paid order.
///
/// # Errors
/// `not_found`, `wrong_state` when nothing is left to be sent or the order was called off,
/// `not_enough_left`, `invalid_body`, `conflict` when the carrier's number is another parcel's.
pub async fn ship(
    state: &State,
    shop: &Owner,
    order: OrderId,
    key: RequestId,
    new: &NewShipment,
) -> Result<Answer<Shipment>> {
    #[derive(Serialize)]
    struct Act<'a>(OrderId, &'a NewShipment);
    let act = Act(order, new);
    let settings = &state.config.commerce;
    let answer = idempotency::once(&state.db, shop.user, key, "shipment.create", &act, 201, async |conn| {
        ship_in(conn, settings, shop, order, new).await
    })
    .await?;
    if !answer.replayed {
        tell(state).await;
    }
    Ok(answer)
}

async fn ship_in(
    conn: &mut PgConnection,
    settings: &Commerce,
    shop: &Owner,
    id: OrderId,
    new: &NewShipment,
) -> Result<Shipment> {
    let order = orders::lock_of_shop(conn, id, shop.seller).await?;
    if matches!(order.status, OrderStatus::Cancelled) {
        return Err(Refusal::new(ErrorCode::WrongState, "the order was called off").into());
    }
    let left = store::left(conn, id, shop.seller).await?;
    let items = model::packed(&left, new.items.as_deref())?;
    let row = store::NewRow {
        id: ShipmentId::new(),
        order: id,
        seller: shop.seller,
        carrier: &model::carrier_name(&new.carrier),
        tracking: &model::tracking_number(&new.tracking),
        items: &items,
    };
    if !store::insert(conn, &row).await? {
        return Err(taken().into());
    }
    orders::follow_units(conn, settings, &order, Some(shop.user)).await?;
    let detail = json!({"before": null, "after": {"order": id, "items": items}});
    audit::record(conn, shop.user, "shipment.create", row.id.0, detail).await?;
    let news = news(NotificationKind::OrderShipped, row.id.0, shop.seller, id);
    notifications::tell(conn, order.buyer, &news).await?;
    get(conn, row.id, shop.seller).await
}

fn taken() -> Refusal {
    Refusal::new(ErrorCode::Conflict, "another parcel of this carrier has the number").at("tracking")
}

const fn news(kind: NotificationKind, subject: Uuid, seller: SellerId, order: OrderId) -> News<'static> {
    News {
        kind,
        subject,
        seller,
        product: None,
        order: Some(order),
        reason: "",
    }
}

/// After the commit: letters and sockets.
async fn tell(state: &State) {
    state.mailer.nudge();
    outbox::hint_notifications(state.bus.as_ref()).await;
}

async fn get(conn: &mut PgConnection, id: ShipmentId, seller: SellerId) -> Result<Shipment> {
    Ok(store::get(conn, id, seller).await?.ok_or(ErrorCode::NotFound)?)
}

/// Step: the parcels of these orders, of one shop where one is given, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_orders(
    conn: &mut PgConnection,
    orders: &[Uuid],
    seller: Option<SellerId>,
) -> Result<HashMap<OrderId, Vec<Shipment>>> {
    Ok(store::of_orders(conn, orders, seller).await?)
}

/// Corrects what a parcel on its way is called by.
///
/// # Errors
/// `not_found`, `wrong_state` once it has arrived, `conflict` when the number is another
/// parcel's.
pub async fn change(db: &PgPool, shop: &Owner, id: ShipmentId, change: &ShipmentChange) -> Result<Shipment> {
    let mut tx = db.begin().await?;
    let known = get(&mut tx, id, shop.seller).await?;
    // Word of its arrival comes under the same lock, and means the number of then.
    orders::lock_of_shop(&mut tx, known.order_id, shop.seller).await?;
    let carrier = change.carrier.as_deref().map(model::carrier_name);
    let tracking = change.tracking.as_deref().map(model::tracking_number);
    match store::change(&mut tx, id, shop.seller, carrier.as_deref(), tracking.as_deref()).await? {
        Changed::Done => {}
        Changed::Closed => return Err(Refusal::new(ErrorCode::WrongState, "the parcel has arrived").into()),
        Changed::Taken => return Err(taken().into()),
    }
    let changed = get(&mut tx, id, shop.seller).await?;
    let called = |parcel: &Shipment| json!({"carrier": parcel.carrier, "tracking": parcel.tracking});
    let detail = json!({"before": called(&known), "after": called(&changed)});
    audit::record(&mut tx, shop.user, "shipment.change", id.0, detail).await?;
    tx.commit().await?;
    Ok(changed)
}

/// Says for the buyer that a parcel has arrived, or every one that is on its way. Doing it
/// twice is no error.
///
/// # Errors
/// `not_found`, `wrong_state` when nothing was sent.
pub async fn confirm(state: &State, buyer: UserId, id: OrderId, parcel: Option<ShipmentId>) -> Result<Order> {
    let mut tx = state.db.begin().await?;
    let order = orders::lock(&mut tx, id, Some(buyer)).await?;
    if !store::has_parcel(&mut tx, id, parcel).await? {
        return Err(match parcel {
            Some(_) => ErrorCode::NotFound.into(),
            None => Refusal::new(ErrorCode::WrongState, "nothing of the order was sent").into(),
        });
    }
    arrive(&mut tx, &state.config.commerce, &order, parcel, DeliveredBy::Buyer).await?;
    claims::arrived(&mut tx, id, buyer).await?;
    let confirmed = orders::view(&mut tx, buyer, id).await?;
    tx.commit().await?;
    tell(state).await;
    Ok(confirmed)
}

/// Step: a parcel of a locked order has arrived, or every one that is on its way. The other
/// side is told: the shop by its buyer's word, both by the carrier's.
async fn arrive(
    conn: &mut PgConnection,
    settings: &Commerce,
    order: &Locked,
    parcel: Option<ShipmentId>,
    by: DeliveredBy,
) -> Result<()> {
    let arrived = store::arrive(conn, order.id, parcel, by).await?;
    if arrived.is_empty() {
        return Ok(());
    }
    let actor = (by == DeliveredBy::Buyer).then_some(order.buyer);
    orders::follow_units(conn, settings, order, actor).await?;
    for parcel in arrived {
        let detail = json!({"before": {"delivered_by": null}, "after": {"delivered_by": by}, "order": order.id});
        audit::record(conn, actor, "shipment.deliver", parcel.id.0, detail).await?;
        let news = news(NotificationKind::OrderDelivered, parcel.id.0, parcel.seller, order.id);
        notifications::tell(conn, parcel.owner, &news).await?;
        if by == DeliveredBy::Carrier {
            notifications::tell(conn, order.buyer, &news).await?;
        }
    }
    Ok(())
}
