//! Addresses that things are sent to: defaults, what a country asks of one, and whose they are.

use core_api::addresses::Address;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{App, Session};

fn address(line1: &str) -> Value {
    json!({"recipient": "Demo Buyer", "line1": line1, "city": "Hamburg", "postal_code": "20095", "country": "DE"})
}

async fn add_address(who: &Session, line1: &str) -> Address {
    who.post("/users/addresses", &address(line1)).await.created()
}

async fn defaults(who: &Session) -> (Vec<String>, Vec<String>) {
    let list: Value = who.get("/users/addresses").await.ok();
    let named = |flag: &str| {
        let items = list["items"].as_array().expect("items").iter();
        items
            .filter(|a| a[flag] == true)
            .map(|a| a["line1"].as_str().expect("line1").to_owned())
            .collect()
    };
    (named("is_default_shipping"), named("is_default_billing"))
}

fn one(line1: &str) -> Vec<String> {
    vec![line1.to_owned()]
}

#[tokio::test]
async fn there_is_one_default_of_each_kind() {
    let app = App::start().await;
    let buyer = app.register("Buyer").await;
    let first = add_address(&buyer, "First").await;
    assert!(first.is_default_shipping && first.is_default_billing);
    let second = add_address(&buyer, "Second").await;
    add_address(&buyer, "Third").await;
    let path = format!("/users/addresses/{}/default", second.id);
    buyer.post(&path, &json!({"kind": "shipping"})).await.ok::<Address>();
    assert_eq!(defaults(&buyer).await, (one("Second"), one("First")));

    buyer.delete(&format!("/users/addresses/{}", first.id)).await.gone();
    assert_eq!(defaults(&buyer).await, (one("Second"), one("Third")));
    buyer
        .post(
            &format!("/users/addresses/{}/default", first.id),
            &json!({"kind": "billing"}),
        )
        .await
        .refused(404, "not_found");
    let kept: i64 = sqlx::query_scalar("select count(*) from addresses where user_id = $1")
        .bind(buyer.id.0)
        .fetch_one(&app.db.pool)
        .await
        .expect("a count");
    assert_eq!(kept, 3, "a deleted address stays for the orders sent there");
}

#[tokio::test]
async fn an_address_is_one_that_its_country_can_have() {
    let app = App::start().await;
    let buyer = app.register("Buyer").await;
    let with = |changes: Value| {
        let mut body = address("Quay Street 1");
        for (key, value) in changes.as_object().expect("fields") {
            body[key] = value.clone();
        }
        body
    };
    for (changes, field) in [
        (json!({"postal_code": "2009"}), "postal_code"),
        (json!({"postal_code": ""}), "postal_code"),
        (json!({"country": "ZZ"}), "country"),
        (json!({"country": "US", "postal_code": "97201"}), "region"),
    ] {
        let problem = buyer.post("/users/addresses", &with(changes)).await;
        assert_eq!(problem.refused(422, "invalid_body")["field"], field);
    }
    for (country, region, code, postal_code) in [
        ("US", "oregon", "OR", "97201"),
        ("US", " D.C. ", "DC", "20001"),
        ("CA", "Québec", "QC", "H2Y 1C6"),
        ("CA", "CA-ON", "ON", "K1A 0B1"),
        ("AU", "New South Wales", "NSW", "2000"),
    ] {
        let there = with(json!({"country": country, "region": region, "postal_code": postal_code}));
        let added: Address = buyer.post("/users/addresses", &there).await.created();
        assert_eq!(added.region, code);
        let path = format!("/users/addresses/{}", added.id);
        let problem = buyer.patch(&path, &json!({"region": "Bavaria"})).await;
        assert_eq!(problem.refused(422, "invalid_body")["field"], "region");
    }
    let hongkong = json!({"country": "HK", "postal_code": ""});
    let added: Address = buyer.post("/users/addresses", &with(hongkong)).await.created();
    // What is changed has to fit what stays.
    let path = format!("/users/addresses/{}", added.id);
    let problem = buyer.patch(&path, &json!({"country": "DE"})).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "postal_code");
    let moved = json!({"country": "DE", "postal_code": "20095"});
    let moved: Address = buyer.patch(&path, &moved).await.ok();
    assert_eq!((moved.country.as_str(), moved.line1.as_str()), ("DE", "Quay Street 1"));
}

#[tokio::test]
async fn fifty_addresses_are_the_most() {
    let app = App::start().await;
    let buyer = app.register("Buyer").await;
    for _ in 0..49 {
        testkit::fixtures::address(&app.db.pool, buyer.id).await;
    }
    let body = address("One more");
    let (a, b) = tokio::join!(
        buyer.post("/users/addresses", &body),
        buyer.post("/users/addresses", &body)
    );
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
}

#[tokio::test]
async fn racing_first_addresses_leave_one_default() {
    let app = App::start().await;
    let buyer = app.register("Buyer").await;
    tokio::join!(
        add_address(&buyer, "A"),
        add_address(&buyer, "B"),
        add_address(&buyer, "C"),
        add_address(&buyer, "D")
    );
    let (shipping, billing) = defaults(&buyer).await;
    assert_eq!((shipping.len(), billing.len()), (1, 1));
}

#[tokio::test]
async fn somebody_elses_address_is_not_there() {
    let app = App::start().await;
    let (owner, stranger) = (app.register("Owner").await, app.register("Stranger").await);
    let address = add_address(&owner, "Mine").await;
    let path = format!("/users/addresses/{}", address.id);
    stranger
        .patch(&path, &json!({"line1": "Yours"}))
        .await
        .refused(404, "not_found");
    stranger.delete(&path).await.refused(404, "not_found");
    stranger
        .post(&format!("{path}/default"), &json!({"kind": "billing"}))
        .await
        .refused(404, "not_found");
    let kept: Address = owner.patch(&path, &json!({"city": "Bremen"})).await.ok();
    assert_eq!((kept.line1.as_str(), kept.city.as_str()), ("Mine", "Bremen"));
    let unknown = format!("/users/addresses/{}", Uuid::now_v7());
    owner.delete(&unknown).await.refused(404, "not_found");
    app.method(Method::GET, "/users/addresses")
        .send()
        .await
        .refused(401, "unauthenticated");
}
