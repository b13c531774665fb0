//! A shop's orders: of each its own part, once it is paid, and where that goes. What else
//! the buyer bought, and who they are beyond the address, is none of its business.

pub mod export;
pub mod handlers;
pub mod model;
mod store;

use shared::error::ErrorCode;
use shared::ids::{OrderId, SellerId};
use shared::status::OrderStatus;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::http::{List, Page, Result};
use crate::{fulfilment, orders};
use model::SellerOrder;
use store::Head;

/// Paid orders with goods of the shop, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(
    db: &PgPool,
    seller: SellerId,
    status: Option<OrderStatus>,
    page: &Page,
) -> Result<List<SellerOrder>> {
    let mut conn = db.acquire().await?;
    let heads = store::heads(&mut conn, seller, status, page.cursor, page.rows()).await?;
    let List { items, next_cursor } = List::of(heads, page, |head| head.id.0);
    Ok(List {
        items: whole(&mut conn, seller, items).await?,
        next_cursor,
    })
}

/// A paid order with goods of the shop.
///
/// # Errors
/// `not_found`.
pub async fn get(db: &PgPool, seller: SellerId, id: OrderId) -> Result<SellerOrder> {
    let mut conn = db.acquire().await?;
    let head = store::head(&mut conn, seller, id).await?.ok_or(ErrorCode::NotFound)?;
    let order = whole(&mut conn, seller, vec![head]).await?.pop();
    Ok(order.ok_or(ErrorCode::NotFound)?)
}

async fn whole(conn: &mut PgConnection, seller: SellerId, heads: Vec<Head>) -> Result<Vec<SellerOrder>> {
    let ids: Vec<Uuid> = heads.iter().map(|head| head.id.0).collect();
    let mut items = orders::items_of(conn, &ids, Some(seller)).await?;
    let mut shipments = fulfilment::of_orders(conn, &ids, Some(seller)).await?;
    let whole = heads.into_iter().map(|head| SellerOrder {
        id: head.id,
        number: head.number,
        status: head.status,
        items: items.remove(&head.id).unwrap_or_default(),
        shipments: shipments.remove(&head.id).unwrap_or_default(),
        address: head.address.0,
        stream_id: head.stream,
        created_at: head.created_at,
        paid_at: head.paid_at,
    });
    Ok(whole.collect())
}
