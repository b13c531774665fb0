//! Product pages over HTTP.

use actix_web::{get, web};
use shared::ids::ProductId;

use crate::catalog::pages;
use crate::catalog::products::Product;
use crate::http::{Id, Result};
use crate::state::State;

/// An active product.
#[utoipa::path(tag = "catalog", responses((status = 200, description = "The product", body = Product)))]
#[get("/products/{id}")]
pub async fn get(state: web::Data<State>, id: Id<ProductId>) -> Result<web::Json<Product>> {
    Ok(web::Json(pages::get(&state.db, id.0).await?))
}
