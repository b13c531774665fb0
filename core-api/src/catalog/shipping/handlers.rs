//! Shipping profiles over HTTP.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use shared::ids::ShippingProfileId;

use super::model::{Filter, NewProfile, ProfileChange, ShippingProfile};
use crate::catalog::shipping;
use crate::http::{Body, Created, Id, List, Page, Result, Shopkeeper};
use crate::state::State;

/// The shop's shipping profiles, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Filter, Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<ShippingProfile>))
)]
#[get("/seller/shipping-profiles")]
pub async fn list(
    state: web::Data<State>,
    shop: Shopkeeper,
    filter: web::Query<Filter>,
    page: Page,
) -> Result<List<ShippingProfile>> {
    shipping::list(&state.db, &shop, *filter, &page).await
}

/// Adds a shipping profile, in the shop's currency.
#[utoipa::path(
    tag = "catalog",
    request_body = NewProfile,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added", body = ShippingProfile),
        (status = 409, description = "`conflict`: there are too many")
    )
)]
#[post("/seller/shipping-profiles")]
pub async fn create(
    state: web::Data<State>,
    shop: Shopkeeper,
    body: Body<NewProfile>,
) -> Result<Created<ShippingProfile>> {
    Ok(Created(shipping::create(&state.db, &shop, body.0).await?))
}

/// One of the shop's shipping profiles.
#[utoipa::path(
    tag = "catalog",
    security(("bearer" = [])),
    responses((status = 200, description = "The profile", body = ShippingProfile))
)]
#[get("/seller/shipping-profiles/{id}")]
pub async fn get(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ShippingProfileId>,
) -> Result<web::Json<ShippingProfile>> {
    Ok(web::Json(shipping::get(&state.db, &shop, id.0).await?))
}

/// Changes a shipping profile, archives it or takes it back; what is absent stays.
/// Checkouts from then on are priced by it.
#[utoipa::path(
    tag = "catalog",
    request_body = ProfileChange,
    security(("bearer" = [])),
    responses((status = 200, description = "Changed", body = ShippingProfile))
)]
#[patch("/seller/shipping-profiles/{id}")]
pub async fn change(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<ShippingProfileId>,
    body: Body<ProfileChange>,
) -> Result<web::Json<ShippingProfile>> {
    Ok(web::Json(shipping::change(&state.db, &shop, id.0, &body.0).await?))
}

/// Deletes a shipping profile that no product has. Others are archived instead.
#[utoipa::path(
    tag = "catalog",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "`in_use`: a product has it")
    )
)]
#[delete("/seller/shipping-profiles/{id}")]
pub async fn delete(state: web::Data<State>, shop: Shopkeeper, id: Id<ShippingProfileId>) -> Result<HttpResponse> {
    shipping::delete(&state.db, &shop, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
