//! Addresses over HTTP.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use shared::ids::AddressId;

use super::model::{Address, Change, MakeDefault, NewAddress};
use crate::addresses;
use crate::http::{Body, Caller, Created, Id, List, Result};
use crate::state::State;

/// The caller's addresses, newest first.
#[utoipa::path(
    tag = "addresses",
    security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = List<Address>))
)]
#[get("/users/addresses")]
pub async fn list(state: web::Data<State>, caller: Caller) -> Result<List<Address>> {
    Ok(List::whole(addresses::list(&state.db, caller.id).await?))
}

/// Adds an address. The first is the default for everything.
#[utoipa::path(
    tag = "addresses",
    request_body = NewAddress,
    security(("bearer" = [])),
    responses((status = 201, description = "Added", body = Address))
)]
#[post("/users/addresses")]
pub async fn add(state: web::Data<State>, caller: Caller, body: Body<NewAddress>) -> Result<Created<Address>> {
    Ok(Created(addresses::add(&state.db, caller.id, body.0).await?))
}

/// Changes an address; what is absent stays. Orders keep the address they were placed with.
#[utoipa::path(
    tag = "addresses",
    request_body = Change,
    security(("bearer" = [])),
    responses((status = 200, description = "Changed", body = Address))
)]
#[patch("/users/addresses/{id}")]
pub async fn change(
    state: web::Data<State>,
    caller: Caller,
    id: Id<AddressId>,
    body: Body<Change>,
) -> Result<web::Json<Address>> {
    Ok(web::Json(addresses::change(&state.db, caller.id, id.0, body.0).await?))
}

/// Deletes an address. What it was the default for, the newest one left becomes.
#[utoipa::path(
    tag = "addresses",
    security(("bearer" = [])),
    responses((status = 204, description = "Deleted"))
)]
#[delete("/users/addresses/{id}")]
pub async fn delete(state: web::Data<State>, caller: Caller, id: Id<AddressId>) -> Result<HttpResponse> {
    addresses::delete(&state.db, caller.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Makes an address the default of a kind.
#[utoipa::path(
    tag = "addresses",
    request_body = MakeDefault,
    security(("bearer" = [])),
    responses((status = 200, description = "It is the default", body = Address))
)]
#[post("/users/addresses/{id}/default")]
pub async fn make_default(
    state: web::Data<State>,
    caller: Caller,
    id: Id<AddressId>,
    body: Body<MakeDefault>,
) -> Result<web::Json<Address>> {
    let address = addresses::make_default(&state.db, caller.id, id.0, body.0.kind).await?;
    Ok(web::Json(address))
}
