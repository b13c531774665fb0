//! Who gives money back, of what, and what is refused.

use core_api::checkout::model::Checkout;
use core_api::http::List;
use core_api::orders::model::Order;
use core_api::refunds::model::{CalledOff, Refund, RefundKind};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::status::{OrderStatus, RefundStatus};
use uuid::Uuid;

use super::only_refund;
use crate::harness::{Reply, Session};
use crate::market::Market;

/// Calls units of a line off, under a new key; the caller is the buyer, or the shop's owner
/// with `/seller` before the path.
async fn call_off(session: &Session, prefix: &str, order: &Order, nth: usize, quantity: i32) -> Reply {
    let path = format!("{prefix}/orders/{}/items/{}/cancel", order.id, order.items[nth].id);
    let body = json!({"quantity": quantity, "reason": "broken"});
    session.post_once(&path, Uuid::now_v7(), &body).await
}

/// An admin's refund of units of the first line.
async fn give(admin: &Session, order: &Order, quantity: i32, more: &Value) -> Reply {
    let mut body = json!({
        "items": [{"order_item_id": order.items[0].id, "quantity": quantity}], "reason": "goodwill"});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let path = format!("/admin/orders/{}/refunds", order.id);
    admin.post_once(&path, Uuid::now_v7(), &body).await
}

#[tokio::test]
async fn a_shop_calls_its_units_off_and_its_shipping_goes_back_with_the_last() {
    let market = Market::open(10, 1_000).await;
    let other = market.other_shop(10, 333).await;
    let buyer = market.buyer().await;
    let basket = buyer.basket(&[(market.shop.variant, 1), (other.variant, 3)], &[]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(order.id, "test_success").await;
    let owner = market.app.session_of(other.owner);
    let theirs = order
        .items
        .iter()
        .position(|item| item.seller.id == other.seller)
        .expect("their line");
    let mine = 1 - theirs;

    call_off(&owner, "/seller", &order, mine, 1)
        .await
        .refused(404, "not_found");
    call_off(&owner, "/seller", &order, theirs, 4)
        .await
        .refused(409, "wrong_state");
    let first: CalledOff = call_off(&owner, "/seller", &order, theirs, 1).await.ok();
    let refund = first.refund.expect("money goes back");
    assert_eq!((refund.amount.minor, refund.reason.as_str()), (333, "broken"));
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    let last: CalledOff = call_off(&owner, "/seller", &order, theirs, 2).await.ok();
    assert_eq!(last.refund.expect("money goes back").amount.minor, 666 + 499);
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.status, now.refunded.minor), (OrderStatus::Paid, 3 * 333 + 499));
    assert_eq!(market.stock(other.variant).await, (10, 0));
    // What is left of the order is its buyer's to call off.
    let rest: Order = buyer.try_cancel(&order).await.ok();
    assert_eq!((rest.status, rest.refunded), (OrderStatus::Cancelled, order.total));
    market.verified().await;
}

#[tokio::test]
async fn a_buyer_calls_units_off_once_under_a_key() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let unpaid = buyer.order(market.shop.variant, 1).await;
    call_off(&buyer.session, "", &unpaid, 0, 1)
        .await
        .refused(409, "wrong_state");
    let order = buyer.paid(&market, 3, "test_success").await;
    let path = format!("/orders/{}/items/{}/cancel", order.id, order.items[0].id);
    let (key, body) = (Uuid::now_v7(), json!({"quantity": 1}));
    let first: CalledOff = buyer.session.post_once(&path, key, &body).await.ok();
    let again: CalledOff = buyer.session.post_once(&path, key, &body).await.ok();
    assert_eq!(first, again);
    let another = json!({"quantity": 2});
    buyer
        .session
        .post_once(&path, key, &another)
        .await
        .refused(422, "request_id_reused");
    buyer
        .session
        .post_once(&path, Uuid::now_v7(), &json!({"quantity": 0}))
        .await
        .refused(422, "invalid_body");
    let stranger = market.buyer().await;
    call_off(&stranger.session, "", &order, 0, 1)
        .await
        .refused(404, "not_found");
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.refunds.len(), now.refunded.minor), (1, 1_000));
    market.verified().await;
}

#[tokio::test]
async fn of_fifty_refunds_at_once_exactly_those_fit_that_there_is_money_for() {
    let market = Market::open(100, 999).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 20, "test_success").await;
    let owner = market.owner();
    let replies = join_all((0..50).map(async |n| match n % 3 {
        0 => give(&admin, &order, 1, &json!({})).await,
        1 => call_off(&owner, "/seller", &order, 0, 1).await,
        _ => give(&admin, &order, 1, &json!({"restock": true})).await,
    }))
    .await;
    let given = replies.iter().filter(|reply| reply.status.is_success()).count();
    // Goodwill takes money and no units, so some that were called off had theirs back before.
    let called_off = market
        .number("select cancelled::bigint from order_items where cancelled > 0")
        .await;
    let now = buyer.order_now(order.id).await;
    assert_eq!(now.refunded, order.total, "{given} were decided");
    assert_eq!(now.refunds.iter().map(|r| r.amount.minor).sum::<i64>(), 20 * 999);
    assert!(called_off <= 20);
    for reply in replies.iter().filter(|reply| !reply.status.is_success()) {
        let code = reply.value()["code"].as_str().expect("a code").to_owned();
        assert!(["refund_too_large", "wrong_state"].contains(&code.as_str()), "{code}");
    }
    market.verified().await;
}

#[tokio::test]
async fn of_fifty_goodwill_refunds_at_once_as_many_succeed_as_there_are_units() {
    let market = Market::open(100, 333).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 7, "test_success").await;
    let nothing = json!({});
    let replies = join_all((0..50).map(|_| give(&admin, &order, 1, &nothing))).await;
    let created = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(created, 7);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(409, "refund_too_large");
    }
    let now = buyer.order_now(order.id).await;
    assert_eq!(
        (now.refunded, now.status),
        (order.total, OrderStatus::Paid),
        "goods may still be sent"
    );
    market.verified().await;
}

#[tokio::test]
async fn an_admin_gives_back_what_is_named_and_nothing_twice() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let other = market.other_shop(10, 500).await;
    let order = buyer.order(other.variant, 2).await;
    give(&admin, &order, 1, &json!({})).await.refused(409, "wrong_state");
    buyer.pay(order.id, "test_success").await;

    give(&admin, &order, 0, &json!({})).await.refused(422, "invalid_body");
    give(&admin, &order, 1, &json!({"reason": " "}))
        .await
        .refused(422, "invalid_body");
    let line = json!({"order_item_id": order.items[0].id, "quantity": 1});
    give(&admin, &order, 1, &json!({"items": [line, line]}))
        .await
        .refused(422, "invalid_body");
    let strange = json!({"items": [{"order_item_id": Uuid::now_v7(), "quantity": 1}]});
    give(&admin, &order, 1, &strange).await.refused(404, "not_found");
    give(&admin, &order, 3, &json!({}))
        .await
        .refused(409, "refund_too_large");

    let shipping: Refund = give(&admin, &order, 0, &json!({"shipping": true})).await.created();
    assert_eq!((shipping.kind, shipping.amount.minor), (RefundKind::Goodwill, 499));
    give(&admin, &order, 0, &json!({"shipping": true}))
        .await
        .refused(409, "refund_too_large");
    let unit: Refund = give(&admin, &order, 1, &json!({})).await.created();
    assert_eq!((unit.status, unit.amount.minor), (RefundStatus::Pending, 500));
    let now: Refund = admin.get(&format!("/admin/refunds/{}", unit.id)).await.ok();
    assert_eq!(now.status, RefundStatus::Succeeded);
    // The units of the refund are still to be sent; the last one's money goes back once.
    let restocked: Refund = give(&admin, &order, 2, &json!({"restock": true})).await.created();
    assert_eq!(
        (restocked.kind, restocked.amount.minor),
        (RefundKind::Cancellation, 500)
    );
    let ended = buyer.order_now(order.id).await;
    assert_eq!((ended.status, ended.refunded), (OrderStatus::Cancelled, order.total));
    assert_eq!(market.stock(other.variant).await, (10, 0));

    let page: List<Refund> = admin.get("/admin/refunds?limit=2&status=succeeded").await.ok();
    assert_eq!(
        page.items.iter().map(|r| r.id).collect::<Vec<_>>(),
        [restocked.id, unit.id]
    );
    let path = format!("/admin/refunds?order_id={}", order.id);
    assert_eq!(admin.get(&path).await.ok::<List<Refund>>().items.len(), 3);
    let failed: List<Refund> = admin.get("/admin/refunds?status=failed").await.ok();
    assert_eq!(failed.items, []);
    market.verified().await;
}

#[tokio::test]
async fn what_is_called_off_with_its_shipping_takes_that_of_lines_named_with_no_unit_along() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let other = market.other_shop(10, 500).await;
    let order = buyer.order(other.variant, 2).await;
    buyer.pay(order.id, "test_success").await;
    let more = json!({"restock": true, "shipping": true});
    let shipping: Refund = give(&admin, &order, 0, &more).await.created();
    assert_eq!(
        (shipping.kind, shipping.amount.minor, shipping.items[0].quantity),
        (RefundKind::Cancellation, 499, 0)
    );
    give(&admin, &order, 0, &more).await.refused(409, "refund_too_large");
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    market.verified().await;
}

#[tokio::test]
async fn a_refund_that_failed_is_decided_anew_once() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 2, "test_success_refund_fails").await;
    let failed = only_refund(&buyer.try_cancel(&order).await.ok());
    assert_eq!(failed.status, RefundStatus::Failed);
    let path = format!("/admin/refunds/{}/retry", failed.id);
    let nothing = json!({});
    let retries = join_all((0..10).map(|_| admin.post_once(&path, Uuid::now_v7(), &nothing))).await;
    let (created, refused): (Vec<_>, Vec<_>) = retries.iter().partition(|reply| reply.status == 201);
    assert_eq!(created.len(), 1);
    refused.iter().for_each(|reply| drop(reply.refused(409, "wrong_state")));
    let anew: Refund = created[0].created();
    assert_eq!((anew.amount, anew.kind), (order.total, RefundKind::Cancellation));
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    let path = format!("/admin/refunds/{}/retry", anew.id);
    admin
        .post_once(&path, Uuid::now_v7(), &json!({}))
        .await
        .refused(409, "wrong_state");
    market.verified().await;
}

#[tokio::test]
async fn a_late_payment_whose_refund_failed_is_given_back_anew() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.order(market.shop.variant, 2).await;
    let payment = buyer.pay(order.id, "test_second_step").await;
    market
        .sql("update orders set status = 'cancelled' where id = $1", order.id.0)
        .await;
    market
        .sql(
            "update product_variants set reserved = 0 where id = $1",
            market.shop.variant.0,
        )
        .await;
    let fails = "update test_provider_intents set token = 'test_success_refund_fails' where payment_id = $1";
    market.sql(fails, payment.id.0).await;
    let confirm = format!("/orders/{}/payments/{}/confirm", order.id, payment.id);
    buyer
        .session
        .post_once(&confirm, Uuid::now_v7(), &json!({}))
        .await
        .ok::<Value>();
    let failed = only_refund(&buyer.order_now(order.id).await);
    assert_eq!(
        (failed.kind, failed.status),
        (RefundKind::LatePayment, RefundStatus::Failed)
    );
    assert_eq!(
        market.balance("refunds_payable").await,
        2_000,
        "it is still the buyer's"
    );
    market.verified().await;
    let path = format!("/admin/refunds/{}/retry", failed.id);
    admin
        .post_once(&path, Uuid::now_v7(), &json!({}))
        .await
        .created::<Refund>();
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    assert_eq!(market.balance("refunds_payable").await, 0);
    admin
        .post_once(&path, Uuid::now_v7(), &json!({}))
        .await
        .refused(409, "wrong_state");
    market.verified().await;
}
