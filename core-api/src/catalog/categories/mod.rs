//! The tree of categories. Admins shape it; the database refuses a cycle.

pub mod handlers;
pub mod model;
mod store;

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{CategoryId, UserId};
use sqlx::{Connection, PgConnection, PgPool};

pub use model::Category;
use model::NewCategory;

use crate::audit;
use crate::http::Result;

/// The whole tree.
///
/// # Errors
/// When the database fails.
pub async fn tree(db: &PgPool) -> Result<Vec<Category>> {
    let nodes = store::all(&mut *db.acquire().await?).await?;
    Ok(model::tree(nodes))
}

/// Adds a category.
///
/// # Errors
/// `Conflict` for a slug that is taken, `InvalidBody` for a parent that is not there.
pub(crate) async fn create(db: &PgPool, admin: UserId, new: NewCategory) -> Result<Category> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    if let Some(parent) = new.parent_id
        && !exists(&mut tx, parent).await?
    {
        return Err(Refusal::new(ErrorCode::InvalidBody, "There is no such category")
            .at("parent_id")
            .into());
    }
    let id = CategoryId::new();
    if !store::insert(&mut tx, id, &new).await? {
        return Err(Refusal::new(ErrorCode::Conflict, "Another category has this slug")
            .at("slug")
            .into());
    }
    audit::record(&mut tx, admin, "category.create", id.0, json!({"slug": new.slug})).await?;
    tx.commit().await?;
    Ok(Category {
        id,
        name: new.name.trim().to_owned(),
        slug: new.slug,
        children: Vec::new(),
    })
}

/// Whether there is such a category.
///
/// # Errors
/// When the database fails.
pub async fn exists(conn: &mut PgConnection, id: CategoryId) -> Result<bool> {
    Ok(store::exists(conn, id).await?)
}
