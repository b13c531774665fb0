//! Categories, products, stock.

use core_api::catalog::products::{Product, SellerProduct};
use core_api::catalog::search::Found;
use serde_json::{Value, json};
use shared::bus::Delivery;
use shared::live::{OUTBOX_HINTS, RoomNotice};
use shared::status::ProductStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use uuid::Uuid;

use crate::adjustments::{adjust, stock};
use crate::harness::{App, Session};

pub fn mug(title: &str, on_hand: i32) -> Value {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let sku = format!("MUG-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    json!({
        "title": title, "description": "Stoneware", "image_url": "/pictures/mug.svg", "status": "active",
        "variants": [{"sku": sku, "options": {"Colour": "Blue"}, "price_minor": 1999, "on_hand": on_hand}],
    })
}

pub async fn add(shop: &Session, product: &Value) -> SellerProduct {
    shop.post("/seller/products", product).await.created()
}

async fn titles(app: &App, query: &str) -> Vec<String> {
    let list: Found = app.get(&format!("/products{query}")).send().await.ok();
    list.items.into_iter().map(|product| product.title).collect()
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
    let variant = json!({"sku": "TALL-2", "options": {"Colour": "Green"}, "price_minor": 2499, "on_hand": 0});
    let with_two: SellerProduct = shop.post(&format!("{path}/variants"), &variant).await.created();
    assert_eq!((with_two.variants.len(), with_two.version), (2, 3));
    assert_eq!(with_two.variants[1].sku, "TALL-2");
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
        let list: Found = app.get(&format!("/products?limit=2{cursor}")).send().await.ok();
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
    for bad in ["in_stock=perhaps", "category=%00"] {
        app.get(&format!("/products?{bad}"))
            .send()
            .await
            .refused(400, "invalid_parameter");
    }
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
    let new = json!({"sku": "X", "options": {"Colour": "Green"}, "price_minor": 1, "on_hand": 1});
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
    let new = json!({"sku": "TALL-2", "options": {"Colour": "Green"}, "price_minor": 1, "on_hand": 7});
    shop.post(&format!("/seller/products/{}/variants", product.id), &new)
        .await
        .created::<SellerProduct>();
    let report = shared::verify::run(&app.db.pool).await.expect("verified");
    assert!(report.is_clean(), "{report:?}");
}
