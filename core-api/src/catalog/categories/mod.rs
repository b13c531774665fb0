//! The tree of categories. Admins shape it; the database refuses a cycle.
//!
//! A category that products stand in is retired rather than deleted: it leaves the public
//! tree and takes no more products, and those that stand in it stay. Whatever stands below
//! a retired category is retired with it.

pub mod handlers;
pub mod model;
mod store;

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{CategoryId, UserId};
use sqlx::{Connection, PgConnection, PgPool};

pub use model::Category;
use model::{CategoryChange, CategoryRow, NewCategory};

use crate::audit;
use crate::http::{Error, Result};

/// Categories at most: the tree is always shown whole.
const CATEGORIES_MAX: i64 = 2_000;

/// The whole public tree.
///
/// # Errors
/// When the database fails.
pub async fn tree(db: &PgPool) -> Result<Vec<Category>> {
    let rows = store::all(&mut *db.acquire().await?).await?;
    Ok(model::tree(rows))
}

/// Every category, retired ones included, siblings in order.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool) -> Result<Vec<CategoryRow>> {
    Ok(store::all(&mut *db.acquire().await?).await?)
}

/// Adds a category.
///
/// # Errors
/// `Conflict` for a slug that is taken or too many, `InvalidBody` for a parent that is not
/// there, `WrongState` for one that is retired.
pub(crate) async fn create(db: &PgPool, admin: UserId, new: NewCategory) -> Result<CategoryRow> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    store::lock_tree(&mut tx).await?;
    open_parent(&mut tx, new.parent_id).await?;
    if store::count(&mut tx).await? >= CATEGORIES_MAX {
        let detail = format!("{CATEGORIES_MAX} categories are the most");
        return Err(Refusal::new(ErrorCode::Conflict, detail).into());
    }
    let id = CategoryId::new();
    if !store::insert(&mut tx, id, &new).await? {
        return Err(slug_taken());
    }
    let row = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    let detail = json!({"before": null, "after": row});
    audit::record(&mut tx, admin, "category.create", id.0, detail).await?;
    tx.commit().await?;
    Ok(row)
}

/// Changes a category, moves it with what stands below it, retires it or takes it back.
///
/// # Errors
/// `NotFound`, `CategoryCycle`, `Conflict` for a slug that is taken, `InvalidBody` for a
/// parent that is not there, `WrongState` for one that is retired.
pub(crate) async fn change(db: &PgPool, admin: UserId, id: CategoryId, change: &CategoryChange) -> Result<CategoryRow> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    // Nobody else shapes the tree until this is done: what is looked at here stays so.
    store::lock_tree(&mut tx).await?;
    let before = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    let parent = change.parent_id.unwrap_or(before.parent_id);
    let retired = change.retired.unwrap_or(before.retired);
    if let Some(to) = parent.filter(|_| parent != before.parent_id)
        && (to == id || store::is_below(&mut tx, to, id).await?)
    {
        return Err(Refusal::from(ErrorCode::CategoryCycle).at("parent_id").into());
    }
    if !retired {
        open_parent(&mut tx, parent).await?;
    }
    if let Some(slug) = &change.slug
        && store::slug_is_of_another(&mut tx, id, slug).await?
    {
        return Err(slug_taken());
    }
    store::update(&mut tx, id, change).await?;
    match (before.retired, retired) {
        (false, true) => store::retire_subtree(&mut tx, id).await?,
        (true, false) => store::take_back(&mut tx, id).await?,
        _ => {}
    }
    let row = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    let detail = json!({"before": before, "after": row});
    audit::record(&mut tx, admin, "category.change", id.0, detail).await?;
    tx.commit().await?;
    Ok(row)
}

/// Deletes a category that nothing stands in or below.
///
/// # Errors
/// `NotFound`, `InUse`.
pub(crate) async fn delete(db: &PgPool, admin: UserId, id: CategoryId) -> Result<()> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    store::lock_tree(&mut tx).await?;
    let row = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    if !store::delete(&mut tx, id).await? {
        let detail = "Products stand in it, or categories below it: retire it instead";
        return Err(Refusal::new(ErrorCode::InUse, detail).into());
    }
    let detail = json!({"before": row, "after": null});
    audit::record(&mut tx, admin, "category.delete", id.0, detail).await?;
    tx.commit().await?;
    Ok(())
}

/// What something is put below is there and not retired. The top always is.
async fn open_parent(tx: &mut PgConnection, parent: Option<CategoryId>) -> Result<()> {
    let Some(parent) = parent else { return Ok(()) };
    match store::get(tx, parent).await? {
        None => Err(Refusal::new(ErrorCode::InvalidBody, "There is no such category")
            .at("parent_id")
            .into()),
        Some(row) if row.retired => Err(Refusal::new(ErrorCode::WrongState, "The parent is retired")
            .at("parent_id")
            .into()),
        Some(_) => Ok(()),
    }
}

fn slug_taken() -> Error {
    Refusal::new(ErrorCode::Conflict, "Another category has this slug")
        .at("slug")
        .into()
}

/// Whether there is such a category that takes products. It stays so until the
/// transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn is_open(conn: &mut PgConnection, id: CategoryId) -> Result<bool> {
    Ok(store::is_open(conn, id).await?)
}

/// All categories by their slugs, retired ones included.
///
/// # Errors
/// When the database fails.
pub async fn by_slug(conn: &mut PgConnection) -> Result<Vec<(String, CategoryId)>> {
    let rows = store::all(conn).await?;
    Ok(rows.into_iter().map(|row| (row.slug, row.id)).collect())
}

/// A category, named by its id or its slug, and all that stands below it, retired or not.
/// Empty: there is none of that name.
///
/// # Errors
/// When the database fails.
pub async fn subtree(conn: &mut PgConnection, name: &str) -> Result<Vec<CategoryId>> {
    Ok(store::subtree(conn, name).await?)
}
