//! A payment's second step: the buyer is sent to a page of their bank's and comes back to a
//! page of ours, which asks what became of it.

use core_api::payments::model::{NextAction, Payment};
use core_api::payments::{Providers, StripeConfig};
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::config::Secret;
use shared::ids::OrderId;
use shared::status::PaymentStatus;
use uuid::Uuid;

use crate::harness::Reply;
use crate::market::{Buyer, Market};
use crate::provider_events::telling;

const SHOP: &str = "https://shop.example";

/// A market whose pages are at [`SHOP`] and at this server's own address.
async fn market() -> Market {
    Market::open_with(10, 1_999, |config| {
        telling(config);
        config.allowed_origins = vec![SHOP.to_owned()];
    })
    .await
}

async fn try_pay(buyer: &Buyer, order: OrderId, key: Uuid, return_url: &str) -> Reply {
    let body = json!({"token": "test_second_step", "return_url": return_url});
    buyer
        .session
        .post_once(&format!("/orders/{order}/payments"), key, &body)
        .await
}

async fn pay(buyer: &Buyer, order: OrderId) -> Payment {
    let return_url = format!("{SHOP}/orders?tab=1");
    try_pay(buyer, order, Uuid::now_v7(), &return_url).await.created()
}

/// The path of the page that a buyer is sent to.
#[track_caller]
fn page_of(payment: &Payment) -> String {
    let Some(NextAction { url, .. }) = &payment.next_action else {
        panic!("nowhere to go: {payment:?}");
    };
    let path = url
        .strip_prefix("http://127.0.0.1:8080")
        .expect("this server's own page");
    path.to_owned()
}

/// Presses a button, and answers where the buyer is sent then.
async fn press(market: &Market, page: &str, choice: &str) -> String {
    let call = market.app.post(page);
    let form = format!("choice={choice}");
    let call = call.body("application/x-www-form-urlencoded", form);
    let (status, headers, _) = call.fetch().await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    headers["location"].to_str().expect("text").to_owned()
}

async fn page_now(market: &Market, page: &str) -> String {
    let (status, headers, body) = market.app.get(page).fetch().await;
    assert_eq!(
        (status, &headers["cache-control"]),
        (StatusCode::OK, &"no-store".parse().expect("a value"))
    );
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(
        policy.contains("default-src 'none'") && policy.contains(&format!("form-action 'self' {SHOP};")),
        "{policy}"
    );
    String::from_utf8(body).expect("text")
}

#[tokio::test]
async fn the_buyer_approves_at_the_bank_and_comes_back_without_being_told_what_became_of_it() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = pay(&buyer, order.id).await;
    assert_eq!(payment.status, PaymentStatus::RequiresAction);
    assert_eq!(
        buyer.payment_now(&payment).await,
        payment,
        "it says so whenever it is asked"
    );
    let page = page_of(&payment);
    let shown = page_now(&market, &page).await;
    assert!(
        shown.contains("EUR 19.99") && shown.contains("approve") && shown.contains("refuse"),
        "{shown}"
    );

    let back = press(&market, &page, "approve").await;
    assert_eq!(back, format!("{SHOP}/orders?tab=1&payment={}", payment.id));
    assert_eq!(
        buyer.payment_now(&payment).await.status,
        PaymentStatus::RequiresAction,
        "nobody was told yet"
    );
    market.hears().await;
    let paid = buyer.payment_now(&payment).await;
    assert_eq!((paid.status, paid.next_action), (PaymentStatus::Captured, None));
    assert_eq!(press(&market, &page, "refuse").await, back, "it is too late to refuse");
    market.hears().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    assert!(!page_now(&market, &page).await.contains("<button"));
    market.verified().await;
}

#[tokio::test]
async fn the_app_may_ask_at_once_what_became_of_it() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = pay(&buyer, order.id).await;
    press(&market, &page_of(&payment), "refuse").await;
    let path = format!("/orders/{}/payments/{}/confirm", order.id, payment.id);
    let refused: Payment = buyer.session.post_once(&path, Uuid::now_v7(), &json!({})).await.ok();
    assert_eq!(refused.status, PaymentStatus::Failed);
    assert_eq!(refused.failure_code.as_deref(), Some("authentication_failed"));
    assert_eq!(refused.next_action, None);
    let again = pay(&buyer, order.id).await;
    assert_eq!(
        again.status,
        PaymentStatus::RequiresAction,
        "another attempt is possible"
    );
    market.verified().await;
}

#[tokio::test]
async fn at_the_deadline_it_is_called_off_and_the_page_says_so() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = pay(&buyer, order.id).await;
    let page = page_of(&payment);
    market.order_lapses(order.id).await;
    market.reconcile().await;
    let ended = buyer.payment_now(&payment).await;
    assert_eq!((ended.status, ended.next_action), (PaymentStatus::Cancelled, None));
    let shown = page_now(&market, &page).await;
    assert!(
        !shown.contains("<button") && shown.contains(&format!("{SHOP}/orders?tab=1&amp;payment=")),
        "{shown}"
    );
    press(&market, &page, "approve").await;
    market.hears().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Cancelled);
    market.verified().await;
}

#[tokio::test]
async fn nobody_is_sent_on_to_a_strangers_page() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    for stranger in [
        "https://evil.example/",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "http://shop.example/",
        "javascript:alert(1)",
        "/orders",
    ] {
        let refused = try_pay(&buyer, order.id, Uuid::now_v7(), stranger).await;
        assert_eq!(
            refused.refused(422, "invalid_body")["field"],
            "return_url",
            "{stranger}"
        );
    }
    assert_eq!(market.number("select count(*) from payments").await, 0);
    let own = try_pay(&buyer, order.id, Uuid::now_v7(), "http://127.0.0.1:8080/watch").await;
    assert_eq!(own.created::<Payment>().status, PaymentStatus::RequiresAction);
}

#[tokio::test]
async fn a_key_is_for_one_way_back() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let key = Uuid::now_v7();
    let first: Payment = try_pay(&buyer, order.id, key, &format!("{SHOP}/a")).await.created();
    let again: Payment = try_pay(&buyer, order.id, key, &format!("{SHOP}/a")).await.created();
    assert_eq!(first, again);
    let other = try_pay(&buyer, order.id, key, &format!("{SHOP}/b")).await;
    other.refused(422, "request_id_reused");
}

#[tokio::test]
async fn without_a_way_back_there_is_no_page_and_apps_confirm_as_before() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_second_step").await;
    assert_eq!(
        (payment.status, &payment.next_action),
        (PaymentStatus::RequiresAction, &None)
    );
    let path = format!("/orders/{}/payments/{}/confirm", order.id, payment.id);
    let paid: Payment = buyer.session.post_once(&path, Uuid::now_v7(), &json!({})).await.ok();
    assert_eq!(paid.status, PaymentStatus::Captured);
}

#[tokio::test]
async fn a_page_is_found_by_whoever_was_sent_there_and_only_with_the_test_provider() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = pay(&buyer, order.id).await;
    let page = page_of(&payment);
    let (base, _) = page.rsplit_once('/').expect("a path");
    for wrong in [
        payment.id.to_string(),
        order.id.to_string(),
        Uuid::now_v7().to_string(),
        "x".to_owned(),
    ] {
        market
            .app
            .get(&format!("{base}/{wrong}"))
            .send()
            .await
            .refused(404, "not_found");
    }
    for no_choice in ["", "choice=pay", "choice"] {
        let call = market.app.post(&page);
        let (status, ..) = call.body("application/x-www-form-urlencoded", no_choice).fetch().await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{no_choice:?}");
    }
    let another = crate::harness::App::start_at(market.app.stop().await, shared::bus::MemoryBus::shared(), |config| {
        config.payments = Providers::Stripe(StripeConfig {
            secret_key: Secret::new("sk_test_of_nobody".to_owned()),
            webhook_secret: Secret::new("whsec_of_nobody".to_owned()),
            api: "http://127.0.0.1:9".parse().expect("an address"),
        });
    })
    .await;
    another.get(&page).send().await.refused(404, "not_found");
    let call = another.post("/webhooks/test").json(&Value::Null);
    call.send().await.refused(404, "not_found");
}
