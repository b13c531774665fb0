//! HTTP of a shop's orders.

use actix_web::http::header;
use actix_web::{HttpResponse, get, web};
use futures_util::TryStreamExt as _;
use shared::ids::OrderId;

use super::model::{Filter, SellerOrder};
use crate::http::{Id, List, Owner, Page, Result};
use crate::seller_orders;
use crate::state::State;

/// Paid orders with goods of the shop, newest first: of each the shop's own part.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    params(Filter, Page),
    responses((status = 200, description = "A page of them", body = List<SellerOrder>))
)]
#[get("/seller/orders")]
pub async fn list(
    state: web::Data<State>,
    shop: Owner,
    filter: web::Query<Filter>,
    page: Page,
) -> Result<List<SellerOrder>> {
    seller_orders::list(&state.db, shop.seller, filter.status()?, &page).await
}

/// The shop's part of a paid order.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    responses((status = 200, description = "As it is now", body = SellerOrder))
)]
#[get("/seller/orders/{id}")]
pub async fn get(state: web::Data<State>, shop: Owner, id: Id<OrderId>) -> Result<web::Json<SellerOrder>> {
    Ok(web::Json(seller_orders::get(&state.db, shop.seller, id.0).await?))
}

/// The shop's part of paid orders as a file, newest first. No cell begins as a spreadsheet's
/// formula does: such a one has a `'` in front.
#[utoipa::path(
    tag = "fulfilment",
    security(("bearer" = [])),
    params(Filter),
    responses((status = 200, description = "One line a line of an order", body = String, content_type = "text/csv"))
)]
#[get("/seller/orders/export")]
pub async fn export(state: web::Data<State>, shop: Owner, filter: web::Query<Filter>) -> Result<HttpResponse> {
    let status = filter.status()?;
    state.rates.order_exports.check(&shop.seller)?;
    let table = seller_orders::export::export(&state.db, shop.seller, status);
    let table = table.map_err(|error| {
        // The head is sent: all that is left is to break off, which the client notices.
        tracing::error!(%error, "an export broke off");
        std::io::Error::other("the export broke off")
    });
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8")
        .insert_header((header::CONTENT_DISPOSITION, "attachment; filename=\"orders.csv\""))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(table))
}
