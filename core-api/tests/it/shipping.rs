//! Shipping profiles: where a shop ships to and what it takes.

use serde_json::{Value, json};

use crate::catalog::{add, mug};
use crate::harness::{App, Session};
use crate::market::Market;

async fn profile(shop: &Session, body: &Value) -> (String, Value) {
    let made: Value = shop.post("/seller/shipping-profiles", body).await.created();
    let id = made["id"].as_str().expect("an id");
    (format!("/seller/shipping-profiles/{id}"), made)
}

#[tokio::test]
async fn a_profile_is_added_changed_archived_and_deleted() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let body = json!({"name": "Parcel", "base_minor": 499, "extra_item_minor": 100, "free_from_minor": 5000,
                      "show_cap_minor": 999, "regions": ["DE", "AT"]});
    let (path, made) = profile(&shop, &body).await;
    let euros = |minor: i64| json!({"minor": minor, "currency": "EUR"});
    assert_eq!(
        (&made["show_cap"], &made["regions"]),
        (&euros(999), &json!(["DE", "AT"]))
    );
    let change = json!({"base_minor": 599, "free_from_minor": null, "show_cap_minor": null, "regions": []});
    let changed: Value = shop.patch(&path, &change).await.ok();
    assert_eq!((&changed["base"], &changed["extra_item"]), (&euros(599), &euros(100)));
    assert_eq!(
        (&changed["free_from"], &changed["show_cap"], &changed["regions"]),
        (&Value::Null, &Value::Null, &json!([]))
    );

    let mut product = mug("Mug", 1);
    product["shipping_profile_id"] = made["id"].clone();
    let product = add(&shop, &product).await;
    shop.delete(&path).await.refused(409, "in_use");
    shop.patch(&path, &json!({"archived": true})).await.ok::<Value>();
    let open: Value = shop.get("/seller/shipping-profiles?archived=false").await.ok();
    assert_eq!(open["items"], json!([]));
    let mut another = mug("Another", 1);
    another["shipping_profile_id"] = made["id"].clone();
    let problem = shop.post("/seller/products", &another).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "shipping_profile_id");
    let own = format!("/seller/products/{}", product.id);
    let kept: Value = shop.patch(&own, &json!({"title": "Big Mug"})).await.ok();
    assert_eq!(kept["shipping_profile_id"], made["id"]);
    shop.patch(&own, &json!({"shipping_profile_id": null}))
        .await
        .ok::<Value>();
    shop.delete(&path).await.gone();
    shop.get(&path).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_profile_is_the_shops_own() {
    let app = App::start().await;
    let ((owner, _), (other, _)) = (app.seller("One").await, app.seller("Two").await);
    let (path, _) = profile(&owner, &json!({"name": "Parcel", "base_minor": 499})).await;
    other.get(&path).await.refused(404, "not_found");
    other
        .patch(&path, &json!({"base_minor": 0}))
        .await
        .refused(404, "not_found");
    other.delete(&path).await.refused(404, "not_found");
    for (field, value) in [
        ("base_minor", json!(-1)),
        ("regions", json!(["Germany"])),
        ("regions", json!(["DE", "DE"])),
        ("free_from_minor", json!(0)),
    ] {
        let problem = owner.patch(&path, &json!({field: value})).await;
        let at = problem.refused(422, "invalid_body")["field"]
            .as_str()
            .expect("a field")
            .to_owned();
        assert!(at.starts_with(field), "{at}");
    }
}

#[tokio::test]
async fn what_is_not_shipped_to_an_address_is_not_sold_there() {
    let market = Market::open(5, 1_500).await;
    let owner = market.owner();
    let (path, made) = profile(&owner, &json!({"name": "Abroad", "base_minor": 499, "regions": ["AT"]})).await;
    owner
        .patch(
            &format!("/seller/products/{}", market.shop.product),
            &json!({"shipping_profile_id": made["id"]}),
        )
        .await
        .ok::<Value>();
    let buyer = market.buyer().await;
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[]);
    let problem = buyer.try_checkout(&basket).await;
    assert_eq!(problem.refused(422, "not_shipped_there")["field"], "address_id");
    assert_eq!(
        market.stock(market.shop.variant).await,
        (5, 0),
        "nothing is kept from others"
    );
    owner
        .patch(&path, &json!({"regions": ["AT", "DE"]}))
        .await
        .ok::<Value>();
    let checkout: Value = buyer.try_checkout(&basket).await.created();
    assert_eq!(checkout["shipping_total"]["minor"], 499);
}
