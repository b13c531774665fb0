//! Products over HTTP: for everybody, and for their shop.

use actix_web::{get, patch, post, web};
use shared::ids::{ProductId, SellerId, VariantId};

use super::model::{
    Adjustment, Change, Filter, NewProduct, NewVariant, OwnFilter, Product, SellerProduct, VariantChange,
};
use crate::catalog::products;
use crate::http::{Body, Created, Id, IdempotencyKey, List, Page, Result, Shopkeeper};
use crate::idempotency::Answer;
use crate::sellers;
use crate::state::State;

/// Active products, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Product>))
)]
#[get("/products")]
pub async fn list(state: web::Data<State>, filter: web::Query<Filter>, page: Page) -> Result<List<Product>> {
    products::list(&state.db, &filter, &page).await
}

/// An active product.
#[utoipa::path(tag = "catalog", responses((status = 200, description = "The product", body = Product)))]
#[get("/products/{id}")]
pub async fn get(state: web::Data<State>, id: Id<ProductId>) -> Result<web::Json<Product>> {
    Ok(web::Json(products::get(&state.db, id.0).await?))
}

/// A shop's active products, newest first.
#[utoipa::path(
    tag = "sellers",
    params(Page),
    responses((status = 200, description = "A page of them", body = List<Product>))
)]
#[get("/sellers/{id}/products")]
pub async fn list_of_seller(state: web::Data<State>, id: Id<SellerId>, page: Page) -> Result<List<Product>> {
    let seller = sellers::get(&state.db, id.0).await?;
    let filter = Filter {
        seller: Some(seller.id),
        ..Filter::default()
    };
    products::list(&state.db, &filter, &page).await
}

/// The shop's own products, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
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
    responses((status = 201, description = "Added", body = SellerProduct))
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
    responses((status = 200, description = "Changed", body = SellerProduct))
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

/// Adds a variant with its first stock.
#[utoipa::path(
    tag = "catalog",
    request_body = NewVariant,
    security(("bearer" = [])),
    responses((status = 201, description = "Added; the whole product", body = SellerProduct))
)]
#[post("/seller/products/{id}/variants")]
pub async fn add_variant(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ProductId>,
    body: Body<NewVariant>,
) -> Result<Created<SellerProduct>> {
    Ok(Created(products::add_variant(&state, &shop, id.0, body.0).await?))
}

/// Changes a variant; what is absent stays.
#[utoipa::path(
    tag = "catalog",
    request_body = VariantChange,
    security(("bearer" = [])),
    responses((status = 200, description = "Changed; the whole product", body = SellerProduct))
)]
#[patch("/seller/variants/{id}")]
pub async fn change_variant(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<VariantId>,
    body: Body<VariantChange>,
) -> Result<web::Json<SellerProduct>> {
    Ok(web::Json(products::change_variant(&state, &shop, id.0, body.0).await?))
}

/// Adds to a variant's stock, or takes from it, never below what is promised.
#[utoipa::path(
    tag = "catalog",
    params(IdempotencyKey),
    request_body = Adjustment,
    security(("bearer" = [])),
    responses((status = 200, description = "Adjusted; the whole product", body = SellerProduct))
)]
#[post("/seller/variants/{id}/stock")]
pub async fn adjust_stock(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<VariantId>,
    key: IdempotencyKey,
    body: Body<Adjustment>,
) -> Result<Answer<SellerProduct>> {
    products::adjust_stock(&state, &shop, key.0, id.0, body.0).await
}
