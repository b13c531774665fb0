//! Stock, and what doing an act once means.

use core_api::catalog::products::SellerProduct;
use serde_json::json;
use shared::ids::VariantId;
use uuid::Uuid;

use crate::catalog::{add, mug};
use crate::harness::{App, Reply, Session};

pub async fn adjust(shop: &Session, variant: VariantId, key: Uuid, delta: i32) -> Reply {
    let path = format!("/seller/variants/{variant}/stock");
    shop.post_once(&path, key, &json!({"delta": delta})).await
}

/// `on_hand` and the sum of the movements that explain it.
pub async fn stock(app: &App, variant: VariantId) -> (i32, i64) {
    sqlx::query_as(
        "select v.on_hand, coalesce(sum(m.on_hand), 0) from product_variants v
           left join inventory_movements m on m.variant_id = v.id where v.id = $1 group by v.id",
    )
    .bind(variant.0)
    .fetch_one(&app.db.pool)
    .await
    .expect("the variant")
}

#[tokio::test]
async fn stock_never_falls_below_what_is_promised() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let variant = add(&shop, &mug("Mug", 10)).await.variants[0].id;
    sqlx::query("update product_variants set reserved = 4 where id = $1")
        .bind(variant.0)
        .execute(&app.db.pool)
        .await
        .expect("promised");
    let after: SellerProduct = adjust(&shop, variant, Uuid::now_v7(), -5).await.ok();
    assert_eq!((after.variants[0].on_hand, after.variants[0].available), (5, 1));
    let problem = adjust(&shop, variant, Uuid::now_v7(), -2).await;
    let problem = problem.refused(409, "insufficient_stock");
    assert_eq!(problem["field"], "delta");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("5 units are there and 4 of them promised"), "{detail}");
    adjust(&shop, variant, Uuid::now_v7(), 0)
        .await
        .refused(422, "invalid_body");
    adjust(&shop, variant, Uuid::now_v7(), 3).await.ok::<SellerProduct>();
    assert_eq!(stock(&app, variant).await, (8, 8));
}

#[tokio::test]
async fn racing_adjustments_all_count_and_none_goes_too_far() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let variant = add(&shop, &mug("Mug", 10)).await.variants[0].id;
    let takes = (0..15).map(|_| {
        let shop = shop.clone();
        tokio::spawn(async move { adjust(&shop, variant, Uuid::now_v7(), -1).await.status })
    });
    let mut taken = 0;
    for take in takes.collect::<Vec<_>>() {
        match take.await.expect("an answer").as_u16() {
            200 => taken += 1,
            status => assert_eq!(status, 409),
        }
    }
    assert_eq!(taken, 10);
    assert_eq!(stock(&app, variant).await, (0, 0));
}

#[tokio::test]
async fn an_adjustment_sent_again_is_made_once() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let product = add(&shop, &mug("Mug", 10)).await;
    let (variant, key) = (product.variants[0].id, Uuid::now_v7());
    let first = adjust(&shop, variant, key, 5).await;
    let again = adjust(&shop, variant, key, 5).await;
    assert_eq!((again.status, again.value()), (first.status, first.value()));
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            again.header("idempotency-replayed")
        ),
        ("", "true")
    );
    assert_eq!(stock(&app, variant).await, (15, 15));

    adjust(&shop, variant, key, 6).await.refused(422, "request_id_reused");
    let other = add(&shop, &mug("Other", 1)).await.variants[0].id;
    adjust(&shop, other, key, 5).await.refused(422, "request_id_reused");
    // A key is one person's: another's act under the same key is another act.
    let (neighbour, _) = app.seller("Next Door").await;
    let theirs = add(&neighbour, &mug("Theirs", 1)).await.variants[0].id;
    adjust(&neighbour, theirs, key, 5).await.ok::<SellerProduct>();

    // A refusal is not kept: the same request may succeed later.
    let key = Uuid::now_v7();
    adjust(&shop, variant, key, -20)
        .await
        .refused(409, "insufficient_stock");
    adjust(&shop, variant, Uuid::now_v7(), 10).await.ok::<SellerProduct>();
    adjust(&shop, variant, key, -20).await.ok::<SellerProduct>();

    let path = format!("/seller/variants/{variant}/stock");
    let body = json!({"delta": 1});
    shop.post(&path, &body).await.refused(400, "idempotency_key_missing");
    let call = shop.call(reqwest::Method::POST, &path).json(&body);
    let problem = call.header("Idempotency-Key", "one").send().await;
    assert_eq!(problem.refused(400, "invalid_parameter")["field"], "Idempotency-Key");
}

#[tokio::test]
async fn answers_are_kept_for_a_day() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let variant = add(&shop, &mug("Mug", 10)).await.variants[0].id;
    let (old, fresh) = (Uuid::now_v7(), Uuid::now_v7());
    for key in [old, fresh] {
        adjust(&shop, variant, key, 1).await.ok::<SellerProduct>();
    }
    sqlx::query("update idempotency_keys set created_at = now() - interval '25 hours' where key = $1")
        .bind(old)
        .execute(&app.db.pool)
        .await
        .expect("aged");
    core_api::idempotency::sweep(&app.db.pool).await.expect("swept");
    assert_eq!(
        adjust(&shop, variant, fresh, 1).await.header("idempotency-replayed"),
        "true"
    );
    assert_eq!(adjust(&shop, variant, old, 1).await.header("idempotency-replayed"), "");
}

#[tokio::test]
async fn all_old_answers_are_forgotten_in_one_run() {
    let app = App::start().await;
    let person = app.register("Somebody").await;
    let many = "insert into idempotency_keys (user_id, key, operation, body_hash, status, response, created_at)
                select $1, gen_random_uuid(), 'test', '', 200, '{}', now() - interval '25 hours'
                  from generate_series(1, 20500)";
    let done = sqlx::query(many).bind(person.id.0).execute(&app.db.pool).await;
    assert_eq!(done.expect("inserted").rows_affected(), 20_500);
    core_api::idempotency::sweep(&app.db.pool).await.expect("swept");
    let left: i64 = sqlx::query_scalar("select count(*) from idempotency_keys")
        .fetch_one(&app.db.pool)
        .await
        .expect("counted");
    assert_eq!(left, 0, "more than two batches of them");
}

#[tokio::test]
async fn the_same_request_under_way_is_told_so() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let (variant, key) = (add(&shop, &mug("Mug", 10)).await.variants[0].id, Uuid::now_v7());
    let mut busy = app.db.pool.begin().await.expect("a transaction");
    sqlx::query("select 1 from product_variants where id = $1 for update")
        .bind(variant.0)
        .execute(&mut *busy)
        .await
        .expect("locked");
    let first = tokio::spawn({
        let shop = shop.clone();
        async move { adjust(&shop, variant, key, 1).await }
    });
    app.somebody_waits().await;
    let problem = adjust(&shop, variant, key, 1).await.refused(409, "request_in_flight");
    assert!(problem["retry_after_ms"].is_u64());
    busy.commit().await.expect("released");
    let first = first.await.expect("an answer");
    first.ok::<SellerProduct>();
    assert_eq!(adjust(&shop, variant, key, 1).await.value(), first.value());
    assert_eq!(stock(&app, variant).await, (11, 11));
}

#[tokio::test]
async fn a_stopping_service_finishes_what_it_has_begun() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let variant = add(&shop, &mug("Mug", 10)).await.variants[0].id;
    let mut busy = app.db.pool.begin().await.expect("a transaction");
    sqlx::query("select 1 from product_variants where id = $1 for update")
        .bind(variant.0)
        .execute(&mut *busy)
        .await
        .expect("locked");
    let asked = tokio::spawn(async move { adjust(&shop, variant, Uuid::now_v7(), 1).await });
    app.somebody_waits().await;
    let stopping = tokio::spawn(app.stop());
    busy.commit().await.expect("released");
    asked.await.expect("an answer").ok::<SellerProduct>();
    let db = stopping.await.expect("stopped");
    let on_hand: i32 = sqlx::query_scalar("select on_hand from product_variants where id = $1")
        .bind(variant.0)
        .fetch_one(&db.pool)
        .await
        .expect("the variant");
    assert_eq!(on_hand, 11);
}
