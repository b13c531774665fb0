//! What variants differ in, their prices, and what became of their stock.

use core_api::catalog::products::SellerProduct;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::catalog::{add, mug};
use crate::harness::{App, Session};

fn shirt(variants: &Value) -> Value {
    json!({"title": "Shirt", "option_axes": ["Size", "Colour"], "variants": variants})
}

fn variant(sku: &str, size: &str, colour: &str) -> Value {
    json!({"sku": sku, "options": {"Size": size, "Colour": colour}, "price_minor": 1900, "on_hand": 1})
}

#[tokio::test]
async fn variants_are_distinct_combinations_of_the_declared_options() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let two = json!([variant("S-BLUE", "S", "Blue"), variant("M-BLUE", "M", "Blue")]);
    let own = add(&shop, &shirt(&two)).await;
    assert_eq!(own.option_axes, ["Size", "Colour"]);
    let path = format!("/seller/products/{}/variants", own.id);
    let problem = shop.post(&path, &variant("S-BLUE-2", "S", "Blue")).await;
    assert_eq!(problem.refused(409, "conflict")["field"], "options");
    let short = json!({"sku": "L", "options": {"Size": "L"}, "price_minor": 1, "on_hand": 0});
    let problem = shop.post(&path, &short).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "options");
    let to_m = json!({"options": {"Size": "M", "Colour": "Blue"}});
    let problem = shop
        .patch(&format!("/seller/variants/{}", own.variants[0].id), &to_m)
        .await;
    assert_eq!(problem.refused(409, "conflict")["field"], "options");

    let twice = json!([variant("A", "S", "Blue"), variant("B", "S", "Blue")]);
    let problem = shop.post("/seller/products", &shirt(&twice)).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "variants.1.options");
    let mut four = shirt(&json!([variant("A", "S", "Blue")]));
    four["option_axes"] = json!(["Size", "Colour", "Cut", "Print"]);
    let problem = shop.post("/seller/products", &four).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "option_axes");
}

#[tokio::test]
async fn what_variants_differ_in_is_said_anew_for_all_of_them_at_once() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let two = json!([variant("S-BLUE", "S", "Blue"), variant("M-BLUE", "M", "Blue")]);
    let own = add(&shop, &shirt(&two)).await;
    let path = format!("/seller/products/{}/options", own.id);
    let (small, medium) = (own.variants[0].id, own.variants[1].id);
    let place = |id, size: &str| json!({"id": id, "options": {"Size": size}});
    let body = |places: Value| json!({"option_axes": ["Size"], "variants": places});
    // Each goes where the other stands.
    let swapped = body(json!([place(small, "M"), place(medium, "S")]));
    let changed: SellerProduct = shop.put(&path, &swapped).await.ok();
    assert_eq!(changed.option_axes, ["Size"]);
    assert_eq!(changed.variants[0].options["Size"], "M");
    assert_eq!(changed.version, own.version + 1);

    let one = body(json!([place(small, "M")]));
    assert_eq!(
        shop.put(&path, &one).await.refused(422, "invalid_body")["field"],
        "variants"
    );
    let same = body(json!([place(small, "M"), place(medium, "M")]));
    let problem = shop.put(&path, &same).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "variants.1.options");
    let (other, _) = app.seller("Another Shop").await;
    other.put(&path, &swapped).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_sku_is_one_in_the_shop() {
    let app = App::start().await;
    let ((shop, _), (other, _)) = (app.seller("One").await, app.seller("Two").await);
    let mut first = mug("First", 1);
    first["variants"][0]["sku"] = json!("SAME");
    add(&shop, &first).await;
    let mut second = mug("Second", 1);
    let fresh = json!({"sku": "FRESH", "options": {"Colour": "Red"}, "price_minor": 1, "on_hand": 1});
    second["variants"] = json!([fresh, first["variants"][0]]);
    let problem = shop.post("/seller/products", &second).await;
    assert_eq!(problem.refused(409, "conflict")["field"], "variants.1.sku");
    let list: Value = shop.get("/seller/products").await.ok();
    assert_eq!(
        list["items"].as_array().map(Vec::len),
        Some(1),
        "nothing of the second stays"
    );
    add(&other, &first).await;
    let third = add(&shop, &mug("Third", 1)).await;
    let path = format!("/seller/variants/{}", third.variants[0].id);
    let problem = shop.patch(&path, &json!({"sku": "SAME"})).await;
    assert_eq!(problem.refused(409, "conflict")["field"], "sku");
}

#[tokio::test]
async fn what_it_cost_before_is_not_less_than_it_costs() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let mut product = mug("Mug", 1);
    product["variants"][0]["compare_at_minor"] = json!(1998);
    let problem = shop.post("/seller/products", &product).await;
    assert_eq!(
        problem.refused(422, "invalid_body")["field"],
        "variants.0.compare_at_minor"
    );
    product["variants"][0]["compare_at_minor"] = json!(2499);
    let own = add(&shop, &product).await;
    let public: Value = app.get(&format!("/products/{}", own.id)).send().await.ok();
    assert_eq!(public["variants"][0]["compare_at"]["minor"], 2499);
    let path = format!("/seller/variants/{}", own.variants[0].id);
    let problem = shop.patch(&path, &json!({"price_minor": 2500})).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "compare_at_minor");
    let both = json!({"price_minor": 2500, "compare_at_minor": null});
    let changed: SellerProduct = shop.patch(&path, &both).await.ok();
    assert!(changed.variants[0].compare_at.is_none());
}

async fn adjusted(shop: &Session, path: &str, body: &Value) -> Value {
    shop.post_once(&format!("{path}/stock"), Uuid::now_v7(), body)
        .await
        .value()
}

#[tokio::test]
async fn every_movement_of_stock_is_told_with_its_reason() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let own = add(&shop, &mug("Mug", 5)).await;
    let path = format!("/seller/variants/{}", own.variants[0].id);
    adjusted(
        &shop,
        &path,
        &json!({"delta": 20, "reason": "received", "note": "Pallet 7"}),
    )
    .await;
    adjusted(&shop, &path, &json!({"delta": -2, "reason": "damaged"})).await;
    let refused = adjusted(&shop, &path, &json!({"delta": 2, "reason": "lost"})).await;
    assert_eq!(
        (&refused["code"], &refused["field"]),
        (&json!("invalid_body"), &json!("delta"))
    );
    let first: Value = shop.get(&format!("{path}/movements?limit=2")).await.ok();
    let told: Vec<_> = first["items"].as_array().expect("a page").iter().collect();
    assert_eq!((&told[0]["reason"], &told[0]["delta"]), (&json!("damaged"), &json!(-2)));
    assert_eq!(
        (&told[1]["note"], &told[1]["actor_id"]),
        (&json!("Pallet 7"), &json!(shop.id))
    );
    let cursor = first["next_cursor"].as_str().expect("more");
    let last: Value = shop
        .get(&format!("{path}/movements?limit=2&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(
        (&last["items"][0]["reason"], &last["next_cursor"]),
        (&json!("initial"), &Value::Null)
    );
    let (other, _) = app.seller("Another Shop").await;
    other.get(&format!("{path}/movements")).await.refused(404, "not_found");
}
