//! How far a paid order is, as its lines' units say. A step in the caller's transaction,
//! under the order's lock.

use shared::ids::UserId;
use shared::status::OrderStatus;
use sqlx::PgConnection;

use super::model::{Facts, Locked, derive_status};
use super::store;
use crate::commerce::Commerce;
use crate::http::Result;

/// Step: brings the status of a locked order to where its units are. Returns it.
///
/// # Errors
/// A fault when the units have gone a way that no status goes.
pub async fn follow_units(
    conn: &mut PgConnection,
    _settings: &Commerce,
    order: &Locked,
    actor: Option<UserId>,
) -> Result<OrderStatus> {
    let items = store::progress::fulfilments(conn, order.id).await?;
    let to = derive_status(&Facts {
        paid: true,
        ending: None,
        items: &items,
        settled: false,
    });
    if to != order.status && !store::step(conn, order.id, to, actor).await? {
        return Err(anyhow::anyhow!("order {} is {}, its units are {to}", order.id, order.status).into());
    }
    Ok(to)
}
