//! SQL of `categories`.

use shared::ids::CategoryId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{CategoryChange, CategoryRow, NewCategory};

/// Whoever shapes the tree comes one at a time. The trigger against cycles takes the same
/// lock, so that rows written by others are held to it too.
pub(super) async fn lock_tree(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('categories'))")
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn all(conn: &mut PgConnection) -> Result<Vec<CategoryRow>, sqlx::Error> {
    sqlx::query_as!(
        CategoryRow,
        r#"select id as "id: CategoryId", parent_id as "parent_id: CategoryId", name, slug, position,
                  retired_at is not null as "retired!"
             from categories order by position, name, id"#
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn get(conn: &mut PgConnection, id: CategoryId) -> Result<Option<CategoryRow>, sqlx::Error> {
    sqlx::query_as!(
        CategoryRow,
        r#"select id as "id: CategoryId", parent_id as "parent_id: CategoryId", name, slug, position,
                  retired_at is not null as "retired!"
             from categories where id = $1"#,
        id.0
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn count(conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select count(*) as "count!" from categories"#)
        .fetch_one(conn)
        .await
}

/// Adds a category; false: the slug is taken.
pub(super) async fn insert(tx: &mut PgConnection, id: CategoryId, new: &NewCategory) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into categories (id, parent_id, name, slug, position) values ($1, $2, $3, $4, $5)
         on conflict (slug) do nothing",
        id.0,
        new.parent_id.map(|parent| parent.0),
        new.name.trim(),
        new.slug,
        new.position
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn slug_is_of_another(
    conn: &mut PgConnection,
    id: CategoryId,
    slug: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from categories where slug = $2 and id <> $1) as "exists!""#,
        id.0,
        slug
    )
    .fetch_one(conn)
    .await
}

/// Whether `id` stands below `above`.
pub(super) async fn is_below(conn: &mut PgConnection, id: CategoryId, above: CategoryId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with recursive up (id, parent_id) as (
               select c.id, c.parent_id from categories c where c.id = $1
               union
               select c.id, c.parent_id from categories c join up on c.id = up.parent_id
           )
           select exists(select 1 from up where parent_id = $2) as "exists!""#,
        id.0,
        above.0
    )
    .fetch_one(conn)
    .await
}

pub(super) async fn update(tx: &mut PgConnection, id: CategoryId, change: &CategoryChange) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update categories
            set name = coalesce($2, name), slug = coalesce($3, slug), position = coalesce($4, position),
                parent_id = case when $5 then $6 else parent_id end
          where id = $1",
        id.0,
        change.name.as_deref().map(str::trim),
        change.slug.as_deref(),
        change.position,
        change.parent_id.is_some(),
        change.parent_id.flatten().map(|parent| parent.0)
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn retire_subtree(tx: &mut PgConnection, id: CategoryId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with recursive tree (id) as (
             select $1::uuid
             union
             select c.id from categories c join tree t on c.parent_id = t.id
         )
         update categories set retired_at = now() where id in (select id from tree) and retired_at is null",
        id.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn take_back(tx: &mut PgConnection, id: CategoryId) -> Result<(), sqlx::Error> {
    sqlx::query!("update categories set retired_at = null where id = $1", id.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// Deletes a category; false: something stands in it or below it. A product that is being
/// put there at this moment is waited for, by the lock of its foreign key.
pub(super) async fn delete(tx: &mut PgConnection, id: CategoryId) -> Result<bool, sqlx::Error> {
    sqlx::query!("select id from categories where id = $1 for update", id.0)
        .fetch_optional(&mut *tx)
        .await?;
    let done = sqlx::query!(
        "delete from categories where id = $1
            and not exists (select 1 from categories where parent_id = $1)
            and not exists (select 1 from products where category_id = $1)",
        id.0
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The share lock keeps it from being retired or deleted before the caller's commit.
pub(super) async fn is_open(conn: &mut PgConnection, id: CategoryId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from categories where id = $1 and retired_at is null for share",
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

pub(super) async fn subtree(conn: &mut PgConnection, name: &str) -> Result<Vec<CategoryId>, sqlx::Error> {
    let id: Option<Uuid> = name.parse().ok();
    sqlx::query_scalar!(
        r#"with recursive tree (id) as (
               select c.id from categories c where c.id = $1 or c.slug = $2
               union
               select c.id from categories c join tree t on c.parent_id = t.id
           )
           select id as "id!: CategoryId" from tree"#,
        id,
        name
    )
    .fetch_all(conn)
    .await
}
