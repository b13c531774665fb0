//! Shipping profiles over HTTP.

use actix_web::{get, post, web};

use super::model::{NewProfile, ShippingProfile};
use crate::catalog::shipping;
use crate::http::{Body, Created, List, Page, Result, Shopkeeper};
use crate::state::State;

/// The shop's shipping profiles, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<ShippingProfile>))
)]
#[get("/seller/shipping-profiles")]
pub async fn list(state: web::Data<State>, shop: Shopkeeper, page: Page) -> Result<List<ShippingProfile>> {
    shipping::list(&state.db, &shop, &page).await
}

/// Adds a shipping profile, in the shop's currency.
#[utoipa::path(
    tag = "catalog",
    request_body = NewProfile,
    security(("bearer" = [])),
    responses((status = 201, description = "Added", body = ShippingProfile))
)]
#[post("/seller/shipping-profiles")]
pub async fn create(
    state: web::Data<State>,
    shop: Shopkeeper,
    body: Body<NewProfile>,
) -> Result<Created<ShippingProfile>> {
    Ok(Created(shipping::create(&state.db, &shop, body.0).await?))
}
