//! A shop's own products over HTTP.

use actix_web::{get, patch, post, web};
use shared::ids::ProductId;

use super::input::{Change, NewProduct, OwnFilter};
use super::model::SellerProduct;
use crate::catalog::products;
use crate::http::{Body, Created, Id, List, Page, Result, Shopkeeper};
use crate::state::State;

/// The shop's own products, newest first.
#[utoipa::path(
    tag = "catalog",
    params(OwnFilter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<SellerProduct>))
)]
#[get("/seller/products")]
pub async fn list_own(
    state: web::Data<State>,
    shop: Shopkeeper,
    filter: web::Query<OwnFilter>,
    page: Page,
) -> Result<List<SellerProduct>> {
    products::list_own(&state.db, shop.seller, filter.status, &page).await
}

/// One of the shop's own products.
#[utoipa::path(
    tag = "catalog",
    security(("bearer" = [])),
    responses((status = 200, description = "The product", body = SellerProduct))
)]
#[get("/seller/products/{id}")]
pub async fn get_own(state: web::Data<State>, shop: Shopkeeper, id: Id<ProductId>) -> Result<web::Json<SellerProduct>> {
    let conn = &mut *state.db.acquire().await?;
    Ok(web::Json(products::get_own(conn, shop.seller, id.0).await?))
}

/// Adds a product with its variants and their first stock.
#[utoipa::path(
    tag = "catalog",
    request_body = NewProduct,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added", body = SellerProduct),
        (status = 409, description = "`conflict`: the shop has a variant of this SKU or a product of this key already")
    )
)]
#[post("/seller/products")]
pub async fn create(
    state: web::Data<State>,
    shop: Shopkeeper,
    body: Body<NewProduct>,
) -> Result<Created<SellerProduct>> {
    Ok(Created(products::create(&state, &shop, body.0).await?))
}

/// Changes a product; what is absent stays.
#[utoipa::path(
    tag = "catalog",
    request_body = Change,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Changed", body = SellerProduct),
        (status = 409, description = "`wrong_state`: this status may not follow, or its category is retired or its \
                                      shipping profile archived. `conflict`: the shop has a product of this key")
    )
)]
#[patch("/seller/products/{id}")]
pub async fn change(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ProductId>,
    body: Body<Change>,
) -> Result<web::Json<SellerProduct>> {
    Ok(web::Json(products::change(&state, &shop, id.0, body.0).await?))
}
