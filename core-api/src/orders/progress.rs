//! How far a paid order is, as its lines' units say: the one place that moves its status on
//! after they were shipped, delivered or called off, and that says from when on what they
//! earned may be paid out. Steps in the caller's transaction, under the order's lock; units
//! are counted by whoever moves them.

use shared::ids::{OrderId, UserId};
use shared::status::{Machine as _, OrderStatus};
use sqlx::PgConnection;

use super::model::{Facts, Fulfilment, Locked, derive_status};
use super::store;
use crate::commerce::Commerce;
use crate::http::Result;

/// Step: brings the status of a locked order to where its units are, and its lines' times of
/// release with it. What is not paid, or has ended, stays as it is. Returns the status.
///
/// # Errors
/// A fault when the units have gone a way that no status goes.
pub async fn follow_units(
    conn: &mut PgConnection,
    settings: &Commerce,
    order: &Locked,
    actor: Option<UserId>,
) -> Result<OrderStatus> {
    let delivery = settings.release_after_delivery.as_secs_f64();
    let shipping = settings.release_after_shipping.as_secs_f64();
    store::progress::set_release_times(conn, order.id, delivery, shipping).await?;
    advance(conn, order.id, order.status, actor).await
}

/// Step: as [`follow_units`], where only earnings were released, or units are not waited for any
/// more: the lines' times of release are as they were.
///
/// # Errors
/// As there.
pub async fn follow_release(conn: &mut PgConnection, id: OrderId, status: OrderStatus) -> Result<OrderStatus> {
    advance(conn, id, status, None).await
}

async fn advance(
    conn: &mut PgConnection,
    id: OrderId,
    mut status: OrderStatus,
    actor: Option<UserId>,
) -> Result<OrderStatus> {
    if status.is_final() || matches!(status, OrderStatus::PendingPayment | OrderStatus::Expired) {
        return Ok(status);
    }
    let units = store::progress::fulfilments(conn, id).await?;
    let items: Vec<Fulfilment> = units.iter().map(|(item, _)| *item).collect();
    let settled = units
        .iter()
        .all(|(item, released)| *released || item.quantity == item.cancelled);
    let facts = |settled| Facts {
        paid: true,
        ending: None,
        items: &items,
        settled,
    };
    // What has arrived is delivered first, however late it was heard of.
    for to in [derive_status(&facts(false)), derive_status(&facts(settled))] {
        if to == status {
            continue;
        }
        if !store::step(conn, id, to, actor).await? {
            return Err(anyhow::anyhow!("order {id} is {status}, its units are {to}").into());
        }
        status = to;
    }
    Ok(status)
}
