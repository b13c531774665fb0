//! Product pages in a rush: one reading for all, and never what is not so any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use core_api::catalog::products::Product;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::bus::MemoryBus;
use uuid::Uuid;

use crate::adjustments::adjust;
use crate::catalog::{add, mug};
use crate::harness::{App, Twin};
use crate::market::Market;

/// Long enough for the slowest machine; what is awaited takes half a second.
const DEADLINE: Duration = Duration::from_secs(20);

/// Backends of this database that wait for a lock.
pub async fn waiting(app: &App) -> i64 {
    sqlx::query_scalar(
        "select count(distinct l.pid) from pg_locks l join pg_stat_activity a on a.pid = l.pid
          where not l.granted and a.datname = current_database()",
    )
    .fetch_one(&app.db.pool)
    .await
    .expect("the locks")
}

/// Until a twin shows this title, and how long that took.
async fn shown_by(twin: &Twin, path: &str, title: &str) -> Duration {
    let began = Instant::now();
    loop {
        let page: Product = twin.get(path).await.ok();
        if page.title == title {
            return began.elapsed();
        }
        assert!(began.elapsed() < DEADLINE, "{} is shown for good", page.title);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_rush_on_a_cold_page_costs_one_query() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 5)).await;
    let path = format!("/products/{}", own.id);
    // Another process has not read it yet. For a while nobody can read products.
    let twin = Arc::new(app.twin(MemoryBus::shared()).await);
    let mut stop = app.db.pool.begin().await.expect("a transaction");
    sqlx::query("lock table products in access exclusive mode")
        .execute(&mut *stop)
        .await
        .expect("locked");
    let rush: Vec<_> = (0..200)
        .map(|_| {
            let (twin, path) = (twin.clone(), path.clone());
            tokio::spawn(async move { twin.get(&path).await })
        })
        .collect();
    let began = Instant::now();
    while waiting(&app).await == 0 {
        assert!(began.elapsed() < DEADLINE, "nobody reads the page");
    }
    // All who have come meanwhile wait for that one, and not for the database.
    for _ in 0..50 {
        assert_eq!(waiting(&app).await, 1);
    }
    stop.commit().await.expect("unlocked");
    for reply in rush {
        let page: Product = reply.await.expect("answered").ok();
        assert_eq!(page.title, "Mug");
    }
}

#[tokio::test]
async fn an_edit_is_seen_by_the_next_reader() {
    let app = App::start().await;
    let (shop, seller) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 5)).await;
    let (public, path) = (format!("/products/{}", own.id), format!("/seller/products/{}", own.id));
    let variant = own.variants[0].id;
    app.get(&public).send().await.ok::<Product>();
    for round in 0..10 {
        let title = format!("Mug {round}");
        shop.patch(&path, &json!({"title": title})).await.ok::<Value>();
        assert_eq!(app.get(&public).send().await.ok::<Product>().title, title);
        let price = json!({"price_minor": 1_000 + round});
        shop.patch(&format!("/seller/variants/{variant}"), &price)
            .await
            .ok::<Value>();
        let page: Product = app.get(&public).send().await.ok();
        assert_eq!(page.variants[0].price.minor, 1_000 + round);
        adjust(&shop, variant, Uuid::now_v7(), 1).await.ok::<Value>();
        let page: Product = app.get(&public).send().await.ok();
        assert_eq!(i64::from(page.variants[0].available), 6 + round);
    }
    shop.patch(&path, &json!({"status": "archived"})).await.ok::<Value>();
    app.get(&public).send().await.refused(404, "not_found");
    shop.patch(&path, &json!({"status": "active"})).await.ok::<Value>();
    app.get(&public).send().await.ok::<Product>();
    let suspend = format!("/admin/sellers/{seller}/suspend");
    app.admin().await.post(&suspend, &json!({})).await.ok::<Value>();
    app.get(&public).send().await.refused(404, "not_found");
}

#[tokio::test]
async fn another_process_shows_an_edit_within_a_second_without_any_hint() {
    let app = App::start().await;
    let (shop, seller) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 5)).await;
    let (public, path) = (format!("/products/{}", own.id), format!("/seller/products/{}", own.id));
    // On a bus of its own it hears nothing, and has the rows alone.
    let twin = app.twin(MemoryBus::shared()).await;
    twin.get(&public).await.ok::<Product>();
    let mut quickest = Duration::MAX;
    for round in 0..3 {
        let title = format!("Mug {round}");
        shop.patch(&path, &json!({"title": title})).await.ok::<Value>();
        quickest = quickest.min(shown_by(&twin, &public, &title).await);
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    let suspend = format!("/admin/sellers/{seller}/suspend");
    app.admin().await.post(&suspend, &json!({})).await.ok::<Value>();
    let began = Instant::now();
    while twin.get(&public).await.status != StatusCode::NOT_FOUND {
        assert!(began.elapsed() < DEADLINE, "a suspended shop's page stays");
    }
}

#[tokio::test]
async fn pages_are_kept_while_another_transaction_stays_open_through_many_changes() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let (kept, other) = (add(&shop, &mug("Mug", 5)).await, add(&shop, &mug("Plate", 5)).await);
    let path = format!("/products/{}", kept.id);
    let twin = app.twin(MemoryBus::shared()).await;
    // Somebody has written something, and goes for lunch.
    let mut open = app.db.pool.begin().await.expect("a transaction");
    let write = sqlx::query("update products set updated_at = now() where id = $1").bind(other.id.0);
    write.execute(&mut *open).await.expect("written");
    let many = "insert into product_changes (product_id) select gen_random_uuid() from generate_series(1, 6000)";
    sqlx::query(many).execute(&app.db.pool).await.expect("written");
    let other = add(&shop, &mug("Bowl", 5)).await;
    let elsewhere = format!("/products/{}", other.id);
    let rename = async |title: &str| {
        let change = sqlx::query("update products set title = $2 where id = $1");
        let change = change.bind(other.id.0).bind(title);
        change.execute(&app.db.pool).await.expect("renamed");
        shown_by(&twin, &elsewhere, title).await;
    };
    // All those changes are read: a copy is forgotten that was kept. Then the page is kept,
    // then some more are read.
    rename("Dish").await;
    rename("Platter").await;
    twin.get(&path).await.ok::<Product>();
    rename("Tray").await;
    rename("Cup").await;

    let mut stop = app.db.pool.begin().await.expect("a transaction");
    let lock = sqlx::query("lock table product_variants in access exclusive mode");
    lock.execute(&mut *stop).await.expect("locked");
    let page = tokio::time::timeout(DEADLINE, twin.get(&path)).await;
    assert_eq!(page.expect("from memory").ok::<Product>().title, "Mug");
}

#[tokio::test]
async fn what_a_checkout_takes_is_seen_by_whoever_looks() {
    let market = Market::open(5, 1_500).await;
    let public = format!("/products/{}", market.shop.product);
    market.app.get(&public).send().await.ok::<Product>();
    let buyer = market.buyer().await;
    buyer.checkout(market.shop.variant, 2).await;
    let began = Instant::now();
    loop {
        let page: Product = market.app.get(&public).send().await.ok();
        if page.variants[0].available == 3 {
            break;
        }
        assert!(
            began.elapsed() < DEADLINE,
            "{} are shown for good",
            page.variants[0].available
        );
    }
}

#[tokio::test]
async fn a_copy_that_is_still_so_is_not_sent_again() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 5)).await;
    let path = format!("/products/{}", own.id);
    let first = app.get(&path).send().await;
    let etag = first.header("etag").to_owned();
    assert_eq!(first.header("cache-control"), "public, no-cache");
    let same = app.get(&path).header("If-None-Match", &etag).send().await;
    assert_eq!((same.status, same.text.as_str()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(same.header("etag"), etag);
    let edit = json!({"title": "New Mug"});
    shop.patch(&format!("/seller/products/{}", own.id), &edit)
        .await
        .ok::<Value>();
    let changed = app.get(&path).header("If-None-Match", &etag).send().await;
    assert_eq!(changed.ok::<Product>().title, "New Mug");
    assert_ne!(changed.header("etag"), etag);
}
