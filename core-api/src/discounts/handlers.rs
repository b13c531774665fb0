//! Discount codes over HTTP: a shop's own, and the platform's for admins.

use actix_web::{get, patch, post, web};
use shared::ids::DiscountCodeId;

use super::Funder;
use super::model::{DiscountCode, DiscountCodeChange, NewDiscountCode};
use crate::discounts;
use crate::http::{Admin, Body, Created, Id, List, Page, Result, Shopkeeper};
use crate::state::State;

const fn of(shop: &Shopkeeper) -> Funder {
    Funder::Shop(shop.seller, shop.currency)
}

/// The shop's discount codes, newest first.
#[utoipa::path(
    tag = "catalog",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<DiscountCode>))
)]
#[get("/seller/discount-codes")]
pub async fn list(state: web::Data<State>, shop: Shopkeeper, page: Page) -> Result<List<DiscountCode>> {
    discounts::list(&state.db, of(&shop), &page).await
}

/// Adds a discount code for the shop's goods. The shop bears what it takes off.
#[utoipa::path(
    tag = "catalog",
    request_body = NewDiscountCode,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added", body = DiscountCode),
        (status = 409, description = "`conflict`: there is such a code already, or there are too many")
    )
)]
#[post("/seller/discount-codes")]
pub async fn create(
    state: web::Data<State>,
    shop: Shopkeeper,
    body: Body<NewDiscountCode>,
) -> Result<Created<DiscountCode>> {
    Ok(Created(
        discounts::create(&state.db, of(&shop), shop.user, body.0).await?,
    ))
}

/// Switches a discount code of the shop's off or on, or changes when and how often it may
/// be used. Orders that use it keep it.
#[utoipa::path(
    tag = "catalog",
    request_body = DiscountCodeChange,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Changed", body = DiscountCode),
        (status = 409, description = "`conflict`: more orders use it than may then")
    )
)]
#[patch("/seller/discount-codes/{id}")]
pub async fn change(
    state: web::Data<State>,
    shop: Shopkeeper,
    id: Id<DiscountCodeId>,
    body: Body<DiscountCodeChange>,
) -> Result<web::Json<DiscountCode>> {
    let changed = discounts::change(&state.db, of(&shop), shop.user, id.0, &body.0).await?;
    Ok(web::Json(changed))
}

/// The platform's discount codes, newest first.
#[utoipa::path(
    tag = "admin",
    params(Page),
    security(("bearer" = [])),
    responses((status = 200, description = "A page of them", body = List<DiscountCode>))
)]
#[get("/admin/discount-codes")]
pub async fn list_platform(state: web::Data<State>, _admin: Admin, page: Page) -> Result<List<DiscountCode>> {
    discounts::list(&state.db, Funder::Platform, &page).await
}

/// Adds a discount code for all goods. The platform pays what it takes off.
#[utoipa::path(
    tag = "admin",
    request_body = NewDiscountCode,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added", body = DiscountCode),
        (status = 409, description = "`conflict`: there is such a code already, or there are too many")
    )
)]
#[post("/admin/discount-codes")]
pub async fn create_platform(
    state: web::Data<State>,
    admin: Admin,
    body: Body<NewDiscountCode>,
) -> Result<Created<DiscountCode>> {
    Ok(Created(
        discounts::create(&state.db, Funder::Platform, admin.id, body.0).await?,
    ))
}

/// Switches a discount code of the platform's off or on, or changes when and how often it
/// may be used. Orders that use it keep it.
#[utoipa::path(
    tag = "admin",
    request_body = DiscountCodeChange,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Changed", body = DiscountCode),
        (status = 409, description = "`conflict`: more orders use it than may then")
    )
)]
#[patch("/admin/discount-codes/{id}")]
pub async fn change_platform(
    state: web::Data<State>,
    admin: Admin,
    id: Id<DiscountCodeId>,
    body: Body<DiscountCodeChange>,
) -> Result<web::Json<DiscountCode>> {
    let changed = discounts::change(&state.db, Funder::Platform, admin.id, id.0, &body.0).await?;
    Ok(web::Json(changed))
}
