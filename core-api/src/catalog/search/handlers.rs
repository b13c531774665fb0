//! Search over HTTP.

use actix_web::{get, web};
use shared::ids::SellerId;

use super::model::{Filter, Found};
use crate::catalog::search;
use crate::http::{Id, Result};
use crate::sellers;
use crate::state::State;

/// Products on sale: by words, category, shop, price and stock.
#[utoipa::path(tag = "catalog", params(Filter), responses((status = 200, description = "A page of them", body = Found)))]
#[get("/products")]
pub async fn list(state: web::Data<State>, filter: web::Query<Filter>) -> Result<web::Json<Found>> {
    Ok(web::Json(search::search(&state.db, &filter).await?))
}

/// A shop's products on sale; as `GET /products` with `seller`.
#[utoipa::path(tag = "sellers", params(Filter), responses((status = 200, description = "A page of them", body = Found)))]
#[get("/sellers/{id}/products")]
pub async fn list_of_seller(
    state: web::Data<State>,
    id: Id<SellerId>,
    filter: web::Query<Filter>,
) -> Result<web::Json<Found>> {
    let seller = sellers::get(&state.db, id.0).await?;
    let filter = Filter {
        seller: Some(seller.id),
        ..filter.into_inner()
    };
    Ok(web::Json(search::search(&state.db, &filter).await?))
}
