//! Every test has a database of its own, quickly, with a world in it that is sound.
#![allow(clippy::unwrap_used)]

use testkit::fixtures;

#[tokio::test]
async fn two_tests_never_see_each_other() {
    let (a, b) = (testkit::database().await, testkit::database().await);
    fixtures::user(&a.pool, "Somebody").await;
    let count = |pool| sqlx::query_scalar::<_, i64>("select count(*) from users").fetch_one(pool);
    assert_eq!(count(&a.pool).await.unwrap(), 1);
    assert_eq!(count(&b.pool).await.unwrap(), 0);
}

#[tokio::test]
async fn a_database_goes_with_its_handle() {
    let (kept, gone) = (testkit::database().await, testkit::database().await);
    let name = gone.url.rsplit('/').next().unwrap().to_owned();
    drop(gone);
    let there = "select exists (select 1 from pg_database where datname = $1)";
    let waiting = async {
        while sqlx::query_scalar::<_, bool>(there)
            .bind(&name)
            .fetch_one(&kept.pool)
            .await
            .unwrap()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), waiting)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_shop_is_on_air_with_its_product() {
    let db = testkit::database().await;
    let shop = fixtures::shop(&db.pool, 5, 1999).await;
    let buyer = fixtures::user(&db.pool, "Buyer").await;
    fixtures::address(&db.pool, buyer).await;
    fixtures::address(&db.pool, buyer).await;
    let lined_up = "select v.on_hand from streams s join stream_products sp on sp.stream_id = s.id
                    join product_variants v using (product_id) where s.id = $1 and s.status = 'live'";
    let on_hand: i32 = sqlx::query_scalar(lined_up)
        .bind(shop.stream.0)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(on_hand, 5);
}

#[tokio::test]
async fn a_database_takes_milliseconds() {
    testkit::database().await;
    let start = std::time::Instant::now();
    for _ in 0..10 {
        testkit::database().await;
    }
    let each = start.elapsed() / 10;
    // Thirty is usual; a busy machine gets room.
    assert!(each < std::time::Duration::from_millis(500), "{each:?} for a database");
}
