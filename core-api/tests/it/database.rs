//! Which databases are not worked on.

use shared::db::{self, DbError};

#[tokio::test]
async fn a_database_that_stores_text_otherwise_is_refused_in_words() {
    let db = testkit::empty_database().await;
    let name = format!("ascii_{}", uuid::Uuid::now_v7().simple());
    let make = format!("create database {name} encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' template template0");
    let run = async |sql: String| sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&db.pool).await;
    run(make).await.expect("made");
    let own: String = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&db.pool)
        .await
        .expect("a name");
    let refused = db::connect(&db.url.replace(&own, &name), &testkit::db_options()).await;
    run(format!("drop database {name} with (force)"))
        .await
        .expect("dropped");
    let error = refused.expect_err("it is refused");
    assert!(matches!(error, DbError::Encoding(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains("SQL_ASCII") && said.contains("encoding 'UTF8'"), "{said}");
}
