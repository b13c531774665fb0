//! Categories over HTTP.

use actix_web::{HttpResponse, delete, get, patch, post, web};
use shared::ids::CategoryId;

use super::model::{Category, CategoryChange, CategoryRow, NewCategory};
use crate::catalog::categories;
use crate::http::{Admin, Body, Created, Id, List, Result};
use crate::state::State;

/// The tree of categories, without those that are retired.
#[utoipa::path(tag = "catalog", responses((status = 200, description = "All of it", body = List<Category>)))]
#[get("/categories")]
pub async fn tree(state: web::Data<State>) -> Result<List<Category>> {
    Ok(List::whole(categories::tree(&state.db).await?))
}

/// Every category, retired ones included, siblings in order.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses((status = 200, description = "All of them", body = List<CategoryRow>))
)]
#[get("/admin/categories")]
pub async fn list(state: web::Data<State>, _admin: Admin) -> Result<List<CategoryRow>> {
    Ok(List::whole(categories::list(&state.db).await?))
}

/// Adds a category.
#[utoipa::path(
    tag = "admin",
    request_body = NewCategory,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Added", body = CategoryRow),
        (status = 409, description = "`conflict`: the slug is taken, or there are too many. `wrong_state`: the parent is retired")
    )
)]
#[post("/admin/categories")]
pub async fn create(state: web::Data<State>, admin: Admin, body: Body<NewCategory>) -> Result<Created<CategoryRow>> {
    Ok(Created(categories::create(&state.db, admin.id, body.0).await?))
}

/// Changes a category, moves it with what stands below it, retires it or takes it back;
/// what is absent stays.
#[utoipa::path(
    tag = "admin",
    request_body = CategoryChange,
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Changed", body = CategoryRow),
        (status = 409, description = "`category_cycle`: it would stand below itself. `conflict`: the slug is taken. \
                                      `wrong_state`: the parent is retired")
    )
)]
#[patch("/admin/categories/{id}")]
pub async fn change(
    state: web::Data<State>,
    admin: Admin,
    id: Id<CategoryId>,
    body: Body<CategoryChange>,
) -> Result<web::Json<CategoryRow>> {
    Ok(web::Json(categories::change(&state.db, admin.id, id.0, &body.0).await?))
}

/// Deletes a category that nothing stands in or below. Others are retired instead.
#[utoipa::path(
    tag = "admin",
    security(("bearer" = [])),
    responses(
        (status = 204, description = "Deleted"),
        (status = 409, description = "`in_use`: products stand in it, or categories below it")
    )
)]
#[delete("/admin/categories/{id}")]
pub async fn delete(state: web::Data<State>, admin: Admin, id: Id<CategoryId>) -> Result<HttpResponse> {
    categories::delete(&state.db, admin.id, id.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
