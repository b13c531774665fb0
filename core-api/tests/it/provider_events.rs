//! What the payment provider tells of by itself: believed by its signature, kept once, and
//! never more than a hint.

use core_api::orders::model::Order;
use core_api::payments::{TestProvider, Till};
use core_api::payouts::model::Payout;
use core_api::webhooks::signature::sign;
use core_api::webhooks::{self, SIGNATURE};
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use shared::config::Secret;
use shared::status::{OrderStatus, PaymentStatus, PayoutStatus, RefundStatus};
use uuid::Uuid;

use crate::harness::Reply;
use crate::market::Market;
use crate::refunds::only_refund;

/// What the test provider signs with.
pub const SECRET: &str = "whsec_of_the_test_provider";

/// Has the test provider tell of what happens.
pub fn telling(config: &mut core_api::Config) {
    config.webhooks.test = Some(Secret::new(SECRET.to_owned()));
}

/// A market whose provider tells of what happens.
async fn market(on_hand: i32, price_minor: i64) -> Market {
    Market::open_with(on_hand, price_minor, telling).await
}

impl Market {
    /// What it takes to be paid, where the test provider tells of what happens.
    pub fn telling_till(&self) -> Till {
        let db = self.app.db.pool.clone();
        let secret = Some(Secret::new(SECRET.to_owned()));
        let provider = TestProvider::new(db.clone(), self.commerce.test_provider_delay)
            .charging(self.commerce.test_provider_fee)
            .telling(secret);
        Till::of(db, self.app.bus.clone(), &self.commerce, provider)
    }

    /// The test provider's time passes, and all that it has to tell is heard and worked off.
    /// Returns how many messages were.
    pub async fn hears(&self) -> u64 {
        let till = self.telling_till();
        let mut heard = 0;
        loop {
            let sent = webhooks::send_own(&till, 100).await.expect("sent");
            let worked = webhooks::work(&till, &self.commerce, 100).await.expect("worked off");
            heard += worked;
            if sent + worked == 0 {
                return heard;
            }
        }
    }

    /// Posts a message as the test provider would.
    pub async fn told(&self, message: &Value) -> Reply {
        let body = message.to_string();
        let header = sign(SECRET.as_bytes(), now(), body.as_bytes());
        let call = self.app.post("/webhooks/test").header(SIGNATURE, &header);
        call.body("application/json", body).send().await
    }

    /// All that the test provider has to tell, in the order of its happening.
    pub async fn events(&self) -> Vec<Value> {
        let text = "select json_build_object('id', id, 'type', kind, 'subject', subject)
                      from test_provider_events order by created_at";
        let events = sqlx::query_scalar(text).fetch_all(&self.app.db.pool).await;
        events.expect("events")
    }
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn succeeded(id: &str, payment: Uuid) -> Value {
    json!({"id": id, "type": "payment.succeeded", "subject": payment})
}

#[tokio::test]
async fn only_what_the_provider_has_signed_just_now_is_kept_and_of_it_only_what_it_is_about() {
    let market = market(1, 1_000).await;
    let payment = Uuid::now_v7();
    let body = succeeded("evt_1", payment).to_string();
    let send = async |path: &str, header: &str, body: &str| {
        let call = market.app.post(path).header(SIGNATURE, header);
        call.body("application/json", body.to_owned()).send().await
    };
    let signed = |secret: &str, at: i64, body: &str| sign(secret.as_bytes(), at, body.as_bytes());
    for header in [
        String::new(),
        signed("another secret of somebody's", now(), &body),
        signed(SECRET, now() - 310, &body),
        signed(SECRET, now(), "{}"),
    ] {
        let refused = send("/webhooks/test", &header, &body).await;
        assert_eq!(refused.refused(400, "signature_invalid")["field"], SIGNATURE);
    }
    for no_event in ["{", "{}", r#"{"id": "", "type": "x", "subject": "y"}"#] {
        let header = signed(SECRET, now(), no_event);
        send("/webhooks/test", &header, no_event)
            .await
            .refused(400, "malformed");
    }
    let long = " ".repeat(70_000);
    let header = signed(SECRET, now(), &long);
    send("/webhooks/test", &header, &long)
        .await
        .refused(413, "payload_too_large");
    let header = signed(SECRET, now(), &body);
    send("/webhooks/stripe", &header, &body).await.refused(404, "not_found");
    assert_eq!(market.number("select count(*) from webhook_inbox").await, 0);
    for _ in 0..2 {
        send("/webhooks/test", &header, &body).await.ok::<Value>();
    }
    let kept: Value = sqlx::query_scalar("select payload from webhook_inbox")
        .fetch_one(&market.app.db.pool)
        .await
        .expect("one is kept");
    assert_eq!(kept, json!({"payment": payment}));
}

#[tokio::test]
async fn a_provider_without_a_secret_is_not_listened_to_and_sends_nothing() {
    let market = Market::open(5, 1_000).await;
    market
        .told(&succeeded("evt_1", Uuid::now_v7()))
        .await
        .refused(404, "not_found");
    let buyer = market.buyer().await;
    buyer.paid(&market, 1, "test_success").await;
    assert_eq!(market.events().await, Vec::<Value>::new());
}

#[tokio::test]
async fn what_succeeds_late_is_noticed_by_its_event_and_not_only_when_asked_for() {
    let market = market(5, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_late_success").await;
    market.hears().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Processing);
    market.provider_is_through(payment.id).await;
    market.hears().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    market.verified().await;
}

#[tokio::test]
async fn refunds_and_payouts_end_by_their_events_also_when_the_answer_was_lost() {
    let market = market(10, 5_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = buyer.order(market.shop.variant, 1).await;
    let lost = buyer.pay(order.id, "test_timeout").await;
    assert_eq!(lost.status, PaymentStatus::Processing);
    market.hears().await;
    assert_eq!(buyer.payment_now(&lost).await.status, PaymentStatus::Captured);

    let late = buyer.paid(&market, 1, "test_success_refund_late").await;
    let refund = only_refund(&buyer.try_cancel(&late).await.ok::<Order>());
    assert_eq!(refund.status, RefundStatus::Submitted);
    market.refunds_are_through().await;
    market.hears().await;
    let refund = only_refund(&buyer.order_now(late.id).await);
    assert_eq!(refund.status, RefundStatus::Succeeded);

    market.arrives(&buyer, order.id).await;
    market
        .sql(
            "update order_items set released_at = now(), release_after = now() where order_id = $1",
            order.id.0,
        )
        .await;
    market
        .sql("update orders set status = 'completed' where id = $1", order.id.0)
        .await;
    let account = json!({"destination": "test_bank_returns"});
    owner.post("/seller/payout-accounts", &account).await.created::<Value>();
    let asked = owner.post_once("/seller/payouts", Uuid::now_v7(), &json!({})).await;
    let payout: Payout = asked.created();
    market.hears().await;
    let path = format!("/seller/payouts/{}", payout.id);
    assert_eq!(owner.get(&path).await.ok::<Payout>().status, PayoutStatus::Paid);
    market.refunds_are_through().await;
    market.hears().await;
    assert_eq!(owner.get(&path).await.ok::<Payout>().status, PayoutStatus::Returned);
    market.verified().await;
}

#[tokio::test]
async fn an_event_is_a_hint_and_never_a_fact() {
    let market = market(5, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_second_step").await;
    let declined = market.events().await;
    assert_eq!(declined.len(), 1, "{declined:?}");
    for (n, kind) in ["payment.succeeded", "payment.cancelled", "payment.declined"]
        .iter()
        .enumerate()
    {
        let lie = json!({"id": format!("evt_{n}"), "type": kind, "subject": payment.id});
        market.told(&lie).await.ok::<Value>();
    }
    market
        .told(&succeeded("evt_strange", Uuid::now_v7()))
        .await
        .ok::<Value>();
    let irrelevant = json!({"id": "evt_other", "type": "price.changed", "subject": payment.id});
    market.told(&irrelevant).await.ok::<Value>();
    assert_eq!(market.hears().await, 6);
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::RequiresAction);
    assert_eq!(
        market
            .number("select count(*) from webhook_inbox where processed_at is null")
            .await,
        0
    );
    market.verified().await;
}

#[tokio::test]
async fn events_that_come_often_shuffled_and_at_once_end_where_the_provider_is() {
    let market = market(50, 1_000).await;
    let buyer = market.buyer().await;
    let tokens = [
        "test_success",
        "test_timeout",
        "test_decline",
        "test_success_refund_timeout",
    ];
    let mut orders = Vec::new();
    for token in tokens.iter().cycle().take(8) {
        let order = buyer.order(market.shop.variant, 1).await;
        buyer.pay(order.id, token).await;
        orders.push(order.id);
    }
    buyer.try_cancel(&buyer.order_now(orders[3]).await).await.ok::<Order>();
    let events = market.events().await;
    assert_eq!(events.len(), 9, "one of each change");
    let mut sent: Vec<Value> = events.iter().cycle().take(events.len() * 8).cloned().collect();
    sent.shuffle(&mut StdRng::seed_from_u64(11));
    let till = market.telling_till();
    let posting = async {
        let posts = sent.iter().map(|event| market.told(event));
        for reply in futures_util::future::join_all(posts).await {
            reply.ok::<Value>();
        }
    };
    let working = async {
        for _ in 0..10 {
            webhooks::work(&till, &market.commerce, 3).await.expect("worked off");
        }
    };
    tokio::join!(posting, working);
    market.hears().await;
    assert_eq!(market.number("select count(*) from webhook_inbox").await, 9);
    let unsettled = "select count(*) from payments where status not in ('captured', 'failed')";
    assert_eq!(market.number(unsettled).await, 0);
    assert_eq!(
        buyer.order_now(orders[3]).await.refunded.minor,
        1_000,
        "its answer was lost"
    );
    market.verified().await;
}

#[tokio::test]
async fn strangers_use_up_no_messages_of_the_providers() {
    let market = Market::open_with(1, 1_000, |config| {
        telling(config);
        config.limits.webhooks_per_minute = std::num::NonZeroU32::new(3).expect("three");
        config.trusted_proxies = vec![std::net::IpAddr::from([127, 0, 0, 1])];
    })
    .await;
    let from = async |address: &str, event: &Value, secret: &str| {
        let body = event.to_string();
        let header = sign(secret.as_bytes(), now(), body.as_bytes());
        let call = market.app.post("/webhooks/test").header(SIGNATURE, &header);
        let call = call.header("X-Forwarded-For", address);
        call.body("application/json", body).send().await
    };
    let event = succeeded("evt_1", Uuid::now_v7());
    for _ in 0..3 {
        let refused = from("203.0.113.9", &event, "a stranger's own secret").await;
        refused.refused(400, "signature_invalid");
    }
    let refused = from("203.0.113.9", &event, "a stranger's own secret").await;
    refused.refused(429, "rate_limited");
    from("198.51.100.1", &event, SECRET).await.ok::<Value>();
}
