//! SQL of `categories`.

use shared::ids::CategoryId;
use sqlx::PgConnection;

use super::model::{NewCategory, Node};

pub(super) async fn all(conn: &mut PgConnection) -> Result<Vec<Node>, sqlx::Error> {
    sqlx::query_as!(
        Node,
        r#"select id as "id: CategoryId", parent_id as "parent_id: CategoryId", name, slug
             from categories order by position, name, id"#
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn exists(conn: &mut PgConnection, id: CategoryId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from categories where id = $1) as "exists!""#,
        id.0
    )
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
