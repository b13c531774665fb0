//! Refunds over Stripe: each goes once, in parts and whole, and is found when its answer is
//! lost.

use core_api::orders::model::Order;
use core_api::payments::provider::{ProviderError, RefundOrder, TransferState};
use serde_json::{Value, json};
use shared::ids::{PaymentId, RefundId};
use shared::money::{Currency, Money};
use shared::status::RefundStatus;
use uuid::Uuid;

use super::double::{Double, Trouble};
use super::{market, market_at};
use crate::market::{Buyer, Market};

/// Gives one unit's money of an order back.
async fn give_back_one(market: &Market, order: &Order) {
    let path = format!("/admin/orders/{}/refunds", order.id);
    let items = json!([{"order_item_id": order.items[0].id, "quantity": 1}]);
    let body = json!({"items": items, "reason": "goodwill"});
    let admin = market.app.admin().await;
    admin.post_once(&path, Uuid::now_v7(), &body).await.created::<Value>();
}

async fn settles(market: &Market, double: &Double) -> u64 {
    let till = market.stripe_till(&double.api);
    core_api::refunds::reconcile(&till, 100).await.expect("settled")
}

async fn statuses(buyer: &Buyer, order: &Order) -> Vec<RefundStatus> {
    let now = buyer.order_now(order.id).await;
    now.refunds.iter().map(|refund| refund.status).collect()
}

#[tokio::test]
async fn money_goes_back_in_parts_until_all_of_it_has() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 3, "pm_card_visa").await;
    give_back_one(&market, &order).await;
    double.trouble("/refunds", Trouble::AnswerLost);
    give_back_one(&market, &order).await;
    double.trouble("/refunds", Trouble::TooMany);
    give_back_one(&market, &order).await;
    let (done, open) = (RefundStatus::Succeeded, RefundStatus::Submitted);
    assert_eq!(statuses(&buyer, &order).await, [done, open, open]);
    settles(&market, &double).await;
    assert_eq!(statuses(&buyer, &order).await, [done; 3]);
    let given: Vec<i64> = double.look(|books| {
        let amounts = books.refunds.iter().filter_map(|refund| refund["amount"].as_i64());
        amounts.collect()
    });
    assert_eq!(given, [5_000; 3]);
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    market.verified().await;
}

#[tokio::test]
async fn a_refund_that_stripe_fails_or_forgets_is_told_by_its_event_or_its_age() {
    let (market, double) = market().await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 2, "pm_card_visa").await;
    double.trouble("/refunds", Trouble::AnswerLost);
    give_back_one(&market, &order).await;
    let made = double.look(|books| {
        books.refunds[0]["status"] = json!("failed");
        books.refunds[0]["failure_reason"] = json!("expired_or_canceled_card");
        books.refunds[0].clone()
    });
    market.stripe_tells("refund.failed", &made).await.ok::<Value>();
    market.works_off(&double.api).await;
    let failed = buyer.order_now(order.id).await.refunds[0].clone();
    assert_eq!(
        (failed.status, failed.failure_code.as_deref()),
        (RefundStatus::Failed, Some("card_closed"))
    );
    double.look(|books| books.refunds.clear());

    double.trouble("/refunds", Trouble::TooMany);
    give_back_one(&market, &order).await;
    market.a_day_passes("refunds").await;
    settles(&market, &double).await;
    let never = buyer.order_now(order.id).await.refunds[1].clone();
    assert_eq!(
        (never.status, never.failure_code.as_deref()),
        (RefundStatus::Failed, Some("never_sent"))
    );
    assert!(double.look(|books| books.refunds.is_empty()));
    market.verified().await;
}

fn of(intent: &str, minor: i64) -> RefundOrder {
    let euro = Currency::parse("EUR").expect("a currency");
    RefundOrder {
        refund: RefundId::new(),
        payment: PaymentId::new(),
        payment_reference: intent.to_owned(),
        amount: Money::new(minor, euro),
    }
}

#[tokio::test]
async fn a_refund_is_found_among_hundreds_and_a_final_no_is_told_from_trouble() {
    let double = Double::start();
    let market = market_at(&double.api).await;
    let buyer = market.buyer().await;
    buyer.paid(&market, 1, "pm_card_visa").await;
    let stripe = market.stripe_till(&double.api).provider;
    let intent = double.look(|books| books.intents[0]["id"].as_str().expect("an id").to_owned());
    let first = of(&intent, 10);
    for _ in 0..2 {
        let made = stripe.refund(&first).await.expect("an answer");
        assert_eq!((made.state, made.amount), (TransferState::Succeeded, first.amount));
    }
    assert_eq!(double.look(|books| books.refunds.len()), 1, "once");
    // Under the same key Stripe says what it said then, and much may have happened since.
    double.look(|books| books.refunds[0]["status"] = json!("failed"));
    let now = stripe.refund(&first).await.expect("an answer");
    assert_eq!(now.state, TransferState::Failed("refund_failed".to_owned()));
    double.look(|books| books.refunds[0]["status"] = json!("succeeded"));
    double.look(|books| {
        for nth in 0..230 {
            let mut other = books.refunds[0].clone();
            (other["id"], other["metadata"]) = (json!(format!("re_other{nth}")), json!({}));
            (other["amount"], other["object"]) = (json!(1), json!("refund"));
            books.refunds.push(other);
        }
    });
    let found = stripe
        .find_refund(&first)
        .await
        .expect("an answer")
        .expect("it is there");
    assert_eq!(found.state, TransferState::Succeeded);
    assert_eq!(stripe.find_refund(&of(&intent, 10)).await.expect("an answer"), None);

    let too_much = stripe.refund(&of(&intent, 4_990)).await.expect("an answer");
    assert_eq!(too_much.state, TransferState::Failed("amount_too_large".to_owned()));
    let elsewhere = stripe.refund(&of("pi_elsewhere", 10)).await;
    assert!(matches!(elsewhere, Err(ProviderError::Failed(_))), "{elsewhere:?}");
    assert!(
        stripe
            .find_refund(&of("pi_1", 1))
            .await
            .is_ok_and(|found| found.is_none())
    );
}
