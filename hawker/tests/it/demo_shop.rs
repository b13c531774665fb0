//! The demo shop is the same each time, and sound.

use hawker::seed::{self, catalogue};
use sqlx::PgPool;

/// Everything that the shop is, as text, without its times.
async fn contents(db: &PgPool) -> Vec<String> {
    let queries = [
        "select to_jsonb(t) - 'created_at' - 'email_verified_at' from users t order by id",
        "select to_jsonb(t) - 'updated_at' from profiles t order by user_id",
        "select to_jsonb(t) - 'created_at' from addresses t order by id",
        "select to_jsonb(t) - 'created_at' - 'decided_at' from sellers t order by id",
        "select to_jsonb(t) from categories t order by id",
        "select to_jsonb(t) - 'created_at' from shipping_profiles t order by id",
        "select to_jsonb(t) - 'created_at' - 'updated_at' - 'published_at' from products t order by id",
        "select to_jsonb(t) - 'created_at' - 'updated_at' from product_variants t order by id",
        "select to_jsonb(t) - 'created_at' from inventory_movements t order by id",
        "select to_jsonb(t) - 'valid_from' - 'created_at' from commission_rules t order by id",
        "select to_jsonb(t) - 'created_at' - 'scheduled_at' - 'started_at' from streams t order by id",
        "select to_jsonb(t) from stream_products t order by stream_id, product_id",
    ];
    let mut rows = Vec::new();
    for query in queries {
        let found: Vec<serde_json::Value> = sqlx::query_scalar(query).fetch_all(db).await.unwrap();
        assert!(!found.is_empty(), "{query}");
        rows.extend(found.iter().map(ToString::to_string));
    }
    rows
}

#[tokio::test]
async fn two_machines_get_the_same_shop_and_twice_changes_nothing() {
    let (a, b) = (testkit::database().await, testkit::database().await);
    assert!(seed::is_empty(&a.pool).await.unwrap());
    let first = seed::run(&a.pool).await.unwrap();
    assert_eq!((first.accounts, first.products), (6, 40));
    assert!(!seed::is_empty(&a.pool).await.unwrap());
    let shop = contents(&a.pool).await;
    let again = seed::run(&a.pool).await.unwrap();
    assert_eq!((again.accounts, again.products), (0, 0));
    assert_eq!(contents(&a.pool).await, shop);
    seed::run(&b.pool).await.unwrap();
    assert_eq!(contents(&b.pool).await, shop);
}

#[tokio::test]
async fn two_seeds_at_once_write_one_shop() {
    let db = testkit::database().await;
    let (a, b) = tokio::join!(seed::run(&db.pool), seed::run(&db.pool));
    assert_eq!(a.unwrap().products + b.unwrap().products, 40);
}

#[tokio::test]
async fn what_somebody_has_changed_since_stays() {
    let db = testkit::database().await;
    seed::run(&db.pool).await.unwrap();
    let product = catalogue::PRODUCTS[0].id();
    let rename = sqlx::query("update products set title = 'Mine' where id = $1").bind(product);
    rename.execute(&db.pool).await.unwrap();
    let end = "update streams set status = 'ended', ended_at = now() where status = 'live'";
    sqlx::query(end).execute(&db.pool).await.unwrap();
    seed::run(&db.pool).await.unwrap();
    let title = sqlx::query_scalar("select title from products where id = $1").bind(product);
    assert_eq!(title.fetch_one(&db.pool).await.ok(), Some("Mine".to_owned()));
    let live: i64 = sqlx::query_scalar("select count(*) from streams where status = 'live'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(live, 0);
}

#[tokio::test]
async fn the_shop_breaks_no_invariant() {
    let db = testkit::database().await;
    seed::run(&db.pool).await.unwrap();
    let report = shared::verify::run(&db.pool).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.broken().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_live_stream_with_a_line_up_and_an_announced_one_are_there() {
    let db = testkit::database().await;
    seed::run(&db.pool).await.unwrap();
    let streams: Vec<(String, bool, i64)> = sqlx::query_as(
        "select status, scheduled_at > now(), (select count(*) from stream_products where stream_id = s.id)
           from streams s order by status",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_eq!(streams, [("live".into(), false, 10), ("scheduled".into(), true, 8)]);
}
