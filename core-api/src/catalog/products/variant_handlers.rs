//! Variants of a shop's products over HTTP.

use actix_web::{get, patch, post, put, web};
use shared::ids::{ProductId, VariantId};

use super::input::{Adjustment, Axes, NewVariant, VariantChange};
use super::model::{Movement, SellerProduct};
use super::variants;
use crate::http::{Body, Created, Id, IdempotencyKey, List, Page, Result, Shopkeeper};
use crate::idempotency::Answer;
use crate::state::State;

/// Adds a variant with its first stock.
#[utoipa::path(
    tag = "catalog",
    request_body = NewVariant,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added; the whole product", body = SellerProduct),
        (status = 409, description = "`conflict`: the SKU or the options are another variant's, or there are too many")
    )
)]
#[post("/seller/products/{id}/variants")]
pub async fn add(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ProductId>,
    body: Body<NewVariant>,
) -> Result<Created<SellerProduct>> {
    Ok(Created(variants::add(&state, &shop, id.0, body.0).await?))
}

/// Changes a variant; what is absent stays.
#[utoipa::path(
    tag = "catalog",
    request_body = VariantChange,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Changed; the whole product", body = SellerProduct),
        (status = 409, description = "`conflict`: the SKU or the options are another variant's")
    )
)]
#[patch("/seller/variants/{id}")]
pub async fn change(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<VariantId>,
    body: Body<VariantChange>,
) -> Result<web::Json<SellerProduct>> {
    Ok(web::Json(variants::change(&state, &shop, id.0, body.0).await?))
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
    variants::adjust_stock(&state, &shop, key.0, id.0, body.0).await
}

/// What became of a variant's stock, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of movements", body = List<Movement>))
)]
#[get("/seller/variants/{id}/movements")]
pub async fn movements(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<VariantId>,
    page: Page,
) -> Result<List<Movement>> {
    variants::movements(&state.db, &shop, id.0, &page).await
}

/// Says anew what a product's variants differ in, and where each of them stands.
#[utoipa::path(
    tag = "catalog",
    request_body = Axes,
    security(("bearer" = [])),
    responses((status = 200, description = "Changed; the whole product", body = SellerProduct))
)]
#[put("/seller/products/{id}/options")]
pub async fn set_axes(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ProductId>,
    body: Body<Axes>,
) -> Result<web::Json<SellerProduct>> {
    Ok(web::Json(variants::set_axes(&state, &shop, id.0, body.0).await?))
}
