//! Categories, products, stock.

use core_api::catalog::products::{Product, SellerProduct};
use core_api::http::List;
use serde_json::{Value, json};
use shared::bus::Delivery;
use shared::ids::VariantId;
use shared::live::{OUTBOX_HINTS, RoomNotice};
use shared::status::ProductStatus;
use std::time::Duration;
use uuid::Uuid;

use crate::harness::{App, Reply, Session};

fn mug(title: &str, on_hand: i32) -> Value {
    json!({
        "title": title, "description": "Stoneware", "image_url": "/pictures/mug.svg", "status": "active",
        "variants": [{"sku": "MUG-1", "options": {"Colour": "Blue"}, "price_minor": 1999, "on_hand": on_hand}],
    })
}

async fn add(shop: &Session, product: &Value) -> SellerProduct {
    shop.post("/seller/products", product).await.created()
}

async fn adjust(shop: &Session, variant: VariantId, key: Uuid, delta: i32) -> Reply {
    let path = format!("/seller/variants/{variant}/stock");
    shop.post_once(&path, key, &json!({"delta": delta})).await
}

async fn titles(app: &App, query: &str) -> Vec<String> {
    let list: List<Product> = app.get(&format!("/products{query}")).send().await.ok();
    list.items.into_iter().map(|product| product.title).collect()
}

/// `on_hand` and the sum of the movements that explain it.
async fn stock(app: &App, variant: VariantId) -> (i32, i64) {
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
async fn a_product_is_added_shown_changed_and_withdrawn() {
    let app = App::start().await;
    let (shop, seller) = app.seller("Harbour Lane Ceramics").await;
    let own = add(&shop, &mug("Mug", 5)).await;
    assert_eq!((own.version, own.currency.as_str()), (1, "EUR"));
    assert_eq!(stock(&app, own.variants[0].id).await, (5, 5));

    let public = format!("/products/{}", own.id);
    let reply = app.get(&public).send().await;
    let shown: Product = reply.ok();
    assert_eq!(
        (shown.seller.id, shown.seller.shop_name.as_str()),
        (seller, "Harbour Lane Ceramics")
    );
    assert_eq!((shown.variants[0].price.minor, shown.variants[0].available), (1999, 5));
    let value = reply.value();
    assert_eq!(value["variants"][0]["price"], json!({"minor": 1999, "currency": "EUR"}));
    assert!(
        value["variants"][0].get("reserved").is_none(),
        "the shop's own business"
    );

    let path = format!("/seller/products/{}", own.id);
    let changed: SellerProduct = shop.patch(&path, &json!({"title": "Big Mug"})).await.ok();
    assert_eq!((changed.title.as_str(), changed.version), ("Big Mug", 2));
    assert_eq!(changed.description, "Stoneware");
    let variant = json!({"sku": "MUG-2", "price_minor": 2499, "on_hand": 0});
    let with_two: SellerProduct = shop.post(&format!("{path}/variants"), &variant).await.created();
    assert_eq!((with_two.variants.len(), with_two.version), (2, 3));
    assert_eq!(with_two.variants[1].sku, "MUG-2");
    shop.post(&format!("{path}/variants"), &variant)
        .await
        .refused(409, "conflict");

    let cheaper = format!("/seller/variants/{}", own.variants[0].id);
    let cheaper: SellerProduct = shop.patch(&cheaper, &json!({"price_minor": 999})).await.ok();
    assert_eq!((cheaper.variants[0].price.minor, cheaper.version), (999, 4));
    assert_eq!(cheaper.variants[0].options["Colour"], "Blue");

    shop.patch(&path, &json!({"status": "draft"}))
        .await
        .refused(409, "wrong_state");
    let gone: SellerProduct = shop.patch(&path, &json!({"status": "archived"})).await.ok();
    assert_eq!(gone.status, ProductStatus::Archived);
    app.get(&public).send().await.refused(404, "not_found");
    assert!(titles(&app, "").await.is_empty());
}

#[tokio::test]
async fn what_is_not_on_sale_is_not_shown() {
    let app = App::start().await;
    let (shop, seller) = app.seller("Some Shop").await;
    let mut draft = mug("Draft", 1);
    draft["status"] = json!("draft");
    let draft = add(&shop, &draft).await;
    add(&shop, &mug("Active", 1)).await;
    app.get(&format!("/products/{}", draft.id))
        .send()
        .await
        .refused(404, "not_found");
    assert_eq!(titles(&app, "").await, ["Active"]);

    let suspend = format!("/admin/sellers/{seller}/suspend");
    app.admin().await.post(&suspend, &json!({})).await.ok::<Value>();
    assert!(titles(&app, "").await.is_empty(), "a stopped shop sells nothing");
    app.get(&format!("/sellers/{seller}/products"))
        .send()
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn a_category_is_found_with_what_it_divides_into() {
    let app = App::start().await;
    let admin = app.admin().await;
    let make = async |slug: &str, parent: Option<&Value>| -> Value {
        let parent = parent.map(|p| p["id"].clone());
        let body = json!({"name": slug, "slug": slug, "parent_id": parent});
        admin.post("/admin/categories", &body).await.created()
    };
    let home = make("home", None).await;
    let kitchen = make("kitchen", Some(&home)).await;
    let mugs = make("mugs", Some(&kitchen)).await;
    make("garden", None).await;
    let problem = admin
        .post("/admin/categories", &json!({"name": "Again", "slug": "home"}))
        .await;
    assert_eq!(problem.refused(409, "conflict")["field"], "slug");
    let tree: Value = app.get("/categories").send().await.ok();
    assert_eq!(tree["items"][0]["slug"], "garden");
    assert_eq!(tree["items"][1]["children"][0]["children"][0]["slug"], "mugs");

    let (shop, seller) = app.seller("Some Shop").await;
    for (title, category) in [("Mug", &mugs), ("Pan", &kitchen), ("Lamp", &home)] {
        let mut product = mug(title, 1);
        product["category_id"] = category["id"].clone();
        add(&shop, &product).await;
    }
    add(&shop, &mug("Nowhere", 0)).await;
    assert_eq!(titles(&app, "?category=kitchen").await, ["Pan", "Mug"]);
    let by_id = format!("?category={}", home["id"].as_str().expect("an id"));
    assert_eq!(titles(&app, &by_id).await, ["Lamp", "Pan", "Mug"]);
    assert!(titles(&app, "?category=nothing").await.is_empty());
    assert_eq!(titles(&app, "?in_stock=true").await, ["Lamp", "Pan", "Mug"]);
    assert_eq!(titles(&app, "?in_stock=false").await, ["Nowhere"]);
    assert_eq!(titles(&app, &format!("?seller={seller}&category=mugs")).await, ["Mug"]);
    assert!(titles(&app, &format!("?seller={}", Uuid::now_v7())).await.is_empty());
}

#[tokio::test]
async fn pages_of_a_list_are_whole_and_do_not_overlap() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    for number in 0..5 {
        add(&shop, &mug(&format!("Mug {number}"), 1)).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let list: List<Product> = app.get(&format!("/products?limit=2{cursor}")).send().await.ok();
        assert!(list.items.len() <= 2);
        assert!(list.items.iter().all(|product| product.variants.len() == 1));
        seen.extend(list.items.into_iter().map(|product| product.title));
        match list.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["Mug 4", "Mug 3", "Mug 2", "Mug 1", "Mug 0"]);
    app.get("/products?limit=101")
        .send()
        .await
        .refused(400, "invalid_parameter");
    app.get("/products?in_stock=perhaps")
        .send()
        .await
        .refused(400, "invalid_parameter");
}

#[tokio::test]
async fn somebody_elses_product_is_not_there() {
    let app = App::start().await;
    let ((owner, _), (other, _)) = (app.seller("One").await, app.seller("Two").await);
    let product = add(&owner, &mug("Mug", 5)).await;
    let path = format!("/seller/products/{}", product.id);
    let variant = product.variants[0].id;
    other.get(&path).await.refused(404, "not_found");
    other
        .patch(&path, &json!({"title": "Mine"}))
        .await
        .refused(404, "not_found");
    let new = json!({"sku": "X", "price_minor": 1, "on_hand": 1});
    other
        .post(&format!("{path}/variants"), &new)
        .await
        .refused(404, "not_found");
    other
        .patch(&format!("/seller/variants/{variant}"), &json!({"price_minor": 1}))
        .await
        .refused(404, "not_found");
    adjust(&other, variant, Uuid::now_v7(), 1)
        .await
        .refused(404, "not_found");
    let same: SellerProduct = owner.get(&path).await.ok();
    assert_eq!((same.version, same.variants[0].on_hand), (1, 5));

    let profile = json!({"name": "Parcel", "base_minor": 499});
    let profile: Value = owner.post("/seller/shipping-profiles", &profile).await.created();
    assert_eq!(profile["base"], json!({"minor": 499, "currency": "EUR"}));
    let mut theirs = mug("Mug", 1);
    theirs["shipping_profile_id"] = profile["id"].clone();
    let problem = other.post("/seller/products", &theirs).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "shipping_profile_id");
    let own = add(&owner, &theirs).await;
    assert_eq!(
        own.shipping_profile_id.map(|id| id.to_string()).as_deref(),
        profile["id"].as_str()
    );
    let without: SellerProduct = owner
        .patch(
            &format!("/seller/products/{}", own.id),
            &json!({"shipping_profile_id": null}),
        )
        .await
        .ok();
    assert_eq!(without.shipping_profile_id, None);
    let list: Value = other.get("/seller/shipping-profiles").await.ok();
    assert_eq!(list["items"], json!([]));
}

#[tokio::test]
async fn a_product_names_the_field_at_fault() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let cases = [
        ("/title", json!(""), "title"),
        ("/image_url", json!("javascript:alert(1)"), "image_url"),
        ("/status", json!("archived"), "status"),
        ("/category_id", json!(Uuid::now_v7()), "category_id"),
        ("/variants", json!([]), "variants"),
        ("/variants/0/price_minor", json!(-1), "variants.0.price_minor"),
        ("/variants/0/on_hand", json!(1.5), "variants.0.on_hand"),
        ("/variants/0/sku", json!(" "), "variants.0.sku"),
    ];
    for (pointer, value, field) in cases {
        let mut body = mug("Mug", 1);
        body["category_id"] = json!(null);
        *body.pointer_mut(pointer).expect("a field") = value;
        let problem = shop.post("/seller/products", &body).await.refused(422, "invalid_body");
        assert_eq!(problem["field"], field);
    }
    let mut twice = mug("Mug", 1);
    let variant = twice["variants"][0].clone();
    twice["variants"] = json!([variant, variant]);
    let problem = shop.post("/seller/products", &twice).await.refused(422, "invalid_body");
    assert_eq!(problem["field"], "variants");
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
    assert_eq!(problem.refused(409, "insufficient_stock")["field"], "delta");
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

/// Waits until somebody in the test's database waits for a lock.
async fn somebody_waits(app: &App) {
    let looking = async {
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        loop {
            turns.tick().await;
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
            )
            .fetch_one(&app.db.pool)
            .await
            .expect("a count");
            if waiting > 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking)
        .await
        .expect("somebody waits");
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
    somebody_waits(&app).await;
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
    somebody_waits(&app).await;
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

#[tokio::test]
async fn rooms_on_air_hear_of_each_change_of_their_products() {
    let app = App::start().await;
    let world = testkit::fixtures::shop(&app.db.pool, 10, 1_500).await;
    let shop = app.session_of(world.owner);
    let mut hints = app.bus.subscribe(OUTBOX_HINTS).await.expect("subscribed");
    let key = Uuid::now_v7();
    let versions = [
        adjust(&shop, world.variant, key, 5).await,
        adjust(&shop, world.variant, key, 5).await,
        shop.patch(
            &format!("/seller/variants/{}", world.variant),
            &json!({"price_minor": 1_200}),
        )
        .await,
        shop.patch(&format!("/seller/products/{}", world.product), &json!({"title": "New"}))
            .await,
        adjust(&shop, world.variant, Uuid::now_v7(), -99).await,
    ]
    .map(|reply| reply.value()["version"].as_i64());
    let first = versions[0].expect("a version");
    let expected = [Some(first), Some(first), Some(first + 1), Some(first + 2), None];
    assert_eq!(versions, expected, "a resend and a refusal change nothing");

    let rows: Vec<(Value,)> =
        sqlx::query_as("select payload from outbox where stream_id = $1 and delivered_at is null")
            .bind(world.stream.0)
            .fetch_all(&app.db.pool)
            .await
            .expect("the outbox");
    assert_eq!(rows.len(), 3);
    for (payload,) in rows {
        let notice: RoomNotice = serde_json::from_value(payload).expect("a notice");
        assert_eq!(notice, RoomNotice::ProductChanged { product: world.product });
    }
    for _ in 0..3 {
        let hint = tokio::time::timeout(Duration::from_secs(5), hints.next())
            .await
            .expect("in time");
        assert!(matches!(hint, Some(Delivery::Message(_))));
    }
}

#[tokio::test]
async fn what_the_catalog_writes_satisfies_every_invariant() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let product = add(&shop, &mug("Mug", 10)).await;
    adjust(&shop, product.variants[0].id, Uuid::now_v7(), -3)
        .await
        .ok::<SellerProduct>();
    let new = json!({"sku": "MUG-2", "price_minor": 1, "on_hand": 7});
    shop.post(&format!("/seller/products/{}/variants", product.id), &new)
        .await
        .created::<SellerProduct>();
    let report = shared::verify::run(&app.db.pool).await.expect("verified");
    assert!(report.is_clean(), "{report:?}");
}
