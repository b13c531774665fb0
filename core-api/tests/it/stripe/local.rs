//! Against localstripe, which others wrote to stand for Stripe: intents, a second step,
//! refunds, calling off, and the events that it signs and sends by itself. It knows no
//! idempotency keys, no transfers and no disputes.

use core_api::payments::model::Payment;
use core_api::webhooks::signature::sign;
use reqwest::Method;
use serde_json::{Value, json};
use shared::status::PaymentStatus;
use uuid::Uuid;

use super::tools::{Local, run};
use super::{WEBHOOK_SECRET, market_at};
use crate::market::{Buyer, Market};

/// Waits until localstripe has told of a payment, and works it off.
async fn hears_of(market: &Market, local: &Local, payment: &Payment, kind: &str) {
    let looking = async {
        let mut turns = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            turns.tick().await;
            let heard: bool = sqlx::query_scalar(
                "select exists (select from webhook_inbox where provider = 'stripe' and kind = $1
                                 and payload ->> 'payment' = $2)",
            )
            .bind(kind)
            .bind(payment.id.to_string())
            .fetch_one(&market.app.db.pool)
            .await
            .expect("an answer");
            if heard {
                return;
            }
        }
    };
    let deadline = std::time::Duration::from_secs(30);
    tokio::time::timeout(deadline, looking)
        .await
        .expect("localstripe tells");
    market.works_off(&local.api).await;
}

async fn open() -> (Market, Local) {
    let local = Local::start().await;
    let market = market_at(&local.api).await;
    let url = format!("{}/webhooks/stripe", market.app.origin());
    local.tells(&url, WEBHOOK_SECRET).await;
    (market, local)
}

async fn intent_of(market: &Market, local: &Local, payment: &Payment) -> Value {
    let reference: String = sqlx::query_scalar("select provider_ref from payments where id = $1")
        .bind(payment.id.0)
        .fetch_one(&market.app.db.pool)
        .await
        .expect("the payment");
    local
        .ask(Method::GET, &format!("/v1/payment_intents/{reference}"), &Value::Null)
        .await
}

/// A card whose bank asks back.
async fn card_that_asks_back(local: &Local) -> String {
    let card = json!({"number": "4000002500003155", "exp_month": "12", "exp_year": "2030", "cvc": "123"});
    let made = local
        .ask(
            Method::POST,
            "/v1/payment_methods",
            &json!({"type": "card", "card": card}),
        )
        .await;
    made["id"].as_str().expect("an id").to_owned()
}

/// The buyer answers their bank.
async fn answers(market: &Market, local: &Local, payment: &Payment, success: bool) {
    let intent = intent_of(market, local, payment).await;
    let body = json!({"client_secret": intent["client_secret"], "success": success});
    let id = intent["id"].as_str().expect("an id");
    local
        .ask(Method::POST, &format!("/v1/payment_intents/{id}/_authenticate"), &body)
        .await;
}

async fn confirm(buyer: &Buyer, payment: &Payment) -> Payment {
    let path = format!("/orders/{}/payments/{}/confirm", payment.order_id, payment.id);
    buyer.session.post_once(&path, Uuid::now_v7(), &json!({})).await.ok()
}

#[tokio::test]
async fn localstripe_takes_payments_and_refunds_and_tells_of_them_signed() {
    let (market, local) = open().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 3).await;
    let declined = buyer.pay(order.id, "pm_card_chargeCustomerFail").await;
    assert_eq!(declined.status, PaymentStatus::Failed);
    assert_eq!(declined.failure_code.as_deref(), Some("card_declined"));
    let paid = buyer.pay(order.id, "pm_card_visa").await;
    assert_eq!(paid.status, PaymentStatus::Captured);
    let intent = intent_of(&market, &local, &paid).await;
    assert_eq!(
        (&intent["status"], &intent["amount"]),
        (&json!("succeeded"), &json!(15_000))
    );

    let path = format!("/admin/orders/{}/refunds", order.id);
    let admin = market.app.admin().await;
    for quantity in [1, 2] {
        let items = json!([{"order_item_id": order.items[0].id, "quantity": quantity}]);
        let body = json!({"items": items, "reason": "goodwill"});
        admin.post_once(&path, Uuid::now_v7(), &body).await.created::<Value>();
    }
    let id = intent["id"].as_str().expect("an id");
    let refunds = local
        .ask(Method::GET, &format!("/v1/refunds?payment_intent={id}"), &Value::Null)
        .await;
    let mut amounts: Vec<_> = refunds["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["amount"].clone())
        .collect();
    amounts.sort_by_key(Value::as_i64);
    assert_eq!(amounts, [json!(5_000), json!(10_000)]);
    let now = buyer.order_now(order.id).await;
    assert_eq!(now.refunded, order.total);
    hears_of(&market, &local, &declined, "payment_intent.payment_failed").await;
    hears_of(&market, &local, &paid, "payment_intent.succeeded").await;
    assert_eq!(
        market
            .number("select count(*) from webhook_inbox where processed_at is null")
            .await,
        0
    );
    market.verified().await;
}

#[tokio::test]
async fn a_second_step_at_localstripe_is_heard_of_asked_about_and_called_off() {
    let (market, local) = open().await;
    let card = card_that_asks_back(&local).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let refused = buyer.pay(order.id, &card).await;
    assert_eq!(
        (refused.status, &refused.next_action),
        (PaymentStatus::RequiresAction, &None)
    );
    answers(&market, &local, &refused, false).await;
    let failed = confirm(&buyer, &refused).await;
    assert_eq!(failed.failure_code.as_deref(), Some("authentication_failed"));

    let approved = buyer.pay(order.id, &card).await;
    answers(&market, &local, &approved, true).await;
    assert_eq!(
        buyer.payment_now(&approved).await.status,
        PaymentStatus::RequiresAction,
        "nobody was told yet"
    );
    hears_of(&market, &local, &approved, "payment_intent.succeeded").await;
    assert_eq!(buyer.payment_now(&approved).await.status, PaymentStatus::Captured);

    let order = buyer.order(market.shop.variant, 1).await;
    let overdue = buyer.pay(order.id, &card).await;
    market.order_lapses(order.id).await;
    market.asks(&local.api).await;
    assert_eq!(buyer.payment_now(&overdue).await.status, PaymentStatus::Cancelled);
    assert_eq!(intent_of(&market, &local, &overdue).await["status"], "canceled");
    market.verified().await;
}

#[tokio::test]
async fn stripes_own_sdk_believes_what_we_sign_and_nothing_else() {
    let body = json!({"id": "evt_ours", "object": "event", "type": "payment_intent.succeeded", "data": {"object": {}}});
    let (body, now) = (body.to_string(), chrono::Utc::now().timestamp());
    let believes = async |header: &str| {
        let (is_content, said) = run("signed.py", &[WEBHOOK_SECRET, header], body.as_bytes()).await;
        assert!(is_content, "{said}");
        said.trim().to_owned()
    };
    let signed = |secret: &str, at| sign(secret.as_bytes(), at, body.as_bytes());
    let forged = signed("whsec_another", now);
    let rolled = format!(
        "{forged},{}",
        signed(WEBHOOK_SECRET, now).split_once(',').expect("two parts").1
    );
    let refused = "SignatureVerificationError";
    let (good, old) = (signed(WEBHOOK_SECRET, now), signed(WEBHOOK_SECRET, now - 400));
    let said = tokio::join!(believes(&good), believes(&rolled), believes(&forged), believes(&old));
    assert_eq!(
        said,
        ("evt_ours".into(), "evt_ours".into(), refused.into(), refused.into())
    );
}
