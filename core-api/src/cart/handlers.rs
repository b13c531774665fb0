//! The cart over HTTP: always the caller's own.

use actix_web::{HttpResponse, delete, get, post, put, web};
use shared::ids::VariantId;

use super::model::{Cart, Merge, Merged, Quantity};
use crate::cart;
use crate::http::{Body, Caller, Id, OptionalKey, Result};
use crate::idempotency::Answer;
use crate::state::State;

/// The caller's cart, with prices and stock as they are now. What has changed since the
/// caller last saw a line stands with it.
#[utoipa::path(
    tag = "cart",
    security(("bearer" = [])),
    responses((status = 200, description = "The cart", body = Cart))
)]
#[get("/cart")]
pub async fn get(state: web::Data<State>, caller: Caller) -> Result<web::Json<Cart>> {
    Ok(web::Json(cart::get(&state.db, caller.id).await?))
}

/// Puts so many of a variant into the cart, or makes them so many. Nothing is held by it.
#[utoipa::path(
    tag = "cart",
    request_body = Quantity,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The cart", body = Cart),
        (status = 403, description = "`own_shop`, `banned`"),
        (status = 409, description = "`conflict`: a cart has a hundred lines at most")
    )
)]
#[put("/cart/items/{variant}")]
pub async fn put(
    state: web::Data<State>,
    caller: Caller,
    variant: Id<VariantId>,
    body: Body<Quantity>,
) -> Result<web::Json<Cart>> {
    let cart = cart::put(&state.db, caller.id, variant.0, body.0.quantity).await?;
    Ok(web::Json(cart))
}

/// Takes a variant out of the cart. Doing it twice is no error.
#[utoipa::path(
    tag = "cart",
    security(("bearer" = [])),
    responses((status = 204, description = "It is not in the cart"))
)]
#[delete("/cart/items/{variant}")]
pub async fn remove(state: web::Data<State>, caller: Caller, variant: Id<VariantId>) -> Result<HttpResponse> {
    cart::remove(&state.db, caller.id, variant.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes everything out of the cart. Doing it twice is no error.
#[utoipa::path(
    tag = "cart",
    security(("bearer" = [])),
    responses((status = 204, description = "It is empty"))
)]
#[delete("/cart")]
pub async fn clear(state: web::Data<State>, caller: Caller) -> Result<HttpResponse> {
    cart::clear(&state.db, caller.id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Takes a cart that the client has kept into the caller's, at login: of what both have,
/// the larger quantity. Sent again it changes nothing, and with a key not even when what it has
/// brought was ordered in the meantime. What cannot be taken is said.
#[utoipa::path(
    tag = "cart",
    params(OptionalKey),
    request_body = Merge,
    security(("bearer" = [])),
    responses((status = 200, description = "The cart, and what was left out", body = Merged))
)]
#[post("/cart/merge")]
pub async fn merge(
    state: web::Data<State>,
    caller: Caller,
    key: OptionalKey,
    body: Body<Merge>,
) -> Result<Answer<Merged>> {
    cart::merge(&state.db, caller.id, key.0, &body.0).await
}
