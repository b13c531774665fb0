//! Categories over HTTP.

use actix_web::{get, post, web};

use super::model::{Category, NewCategory};
use crate::catalog::categories;
use crate::http::{Admin, Body, Created, List, Result};
use crate::state::State;

/// The tree of categories.
#[utoipa::path(tag = "catalog", responses((status = 200, description = "All of it", body = List<Category>)))]
#[get("/categories")]
pub async fn tree(state: web::Data<State>) -> Result<List<Category>> {
    Ok(List::whole(categories::tree(&state.db).await?))
}

/// Adds a category.
#[utoipa::path(
    tag = "admin",
    request_body = NewCategory,
    security(("bearer" = [])),
    responses((status = 201, description = "Added", body = Category))
)]
#[post("/admin/categories")]
pub async fn create(state: web::Data<State>, admin: Admin, body: Body<NewCategory>) -> Result<Created<Category>> {
    Ok(Created(categories::create(&state.db, admin.id, body.0).await?))
}
