//! Refunds that have failed: their money is still their buyer's, and nobody else's, until it
//! has gone back once.

use core_api::fulfilment::release::release;
use core_api::http::List;
use core_api::ledger::parts::ShippingBack;
use core_api::orders::model::Order;
use core_api::refunds::model::{Back, CalledOff, Refund, RefundKind};
use core_api::refunds::{self, Decision};
use core_api::returns::model::Return;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::ids::RefundId;
use shared::status::{RefundStatus, ReturnStatus};
use uuid::Uuid;

use super::only_refund;
use super::returns::arrives;
use crate::harness::{Reply, Session};
use crate::market::{Buyer, Market};
use crate::payouts::{account, ask, balance, paid};
use crate::provider_events::telling;

const DUE: &str = "update order_items set release_after = clock_timestamp() where order_id = $1";
/// The provider's first refund of a payment fails: it has forgotten that it had one.
const FORGETS: &str = "update test_provider_transfers set payment_id = $1 where kind = 'refund'";

async fn retry(admin: &Session, id: RefundId) -> Reply {
    let path = format!("/admin/refunds/{id}/retry");
    admin.post_once(&path, Uuid::now_v7(), &json!({})).await
}

async fn settle(admin: &Session, id: RefundId) -> Reply {
    let path = format!("/admin/refunds/{id}/settle-outside");
    let body = json!({"reason": "bank transfer, the card is closed"});
    admin.post_once(&path, Uuid::now_v7(), &body).await
}

async fn call_off(buyer: &Buyer, order: &Order, quantity: i32) -> CalledOff {
    let path = format!("/orders/{}/items/{}/cancel", order.id, order.items[0].id);
    let body = json!({"quantity": quantity});
    buyer.session.post_once(&path, Uuid::now_v7(), &body).await.ok()
}

/// Units of these lines as goodwill, decided and not yet with the provider.
async fn goodwill(market: &Market, order: &Order) -> RefundId {
    let mut tx = market.app.db.pool.begin().await.expect("begun");
    let purchase = refunds::lock(&mut tx, order.id, None).await.expect("locked");
    let back = order.items.iter().map(|item| Back {
        item: item.id,
        units: item.quantity,
        shipping: ShippingBack::Stays,
    });
    let what: Vec<_> = back.collect();
    let decision = Decision {
        kind: RefundKind::Goodwill,
        reason: "sorry",
        by: None,
    };
    let id = refunds::decide(&mut tx, &purchase, &what, &decision).await;
    tx.commit().await.expect("committed");
    id.expect("decided").expect("something is left")
}

/// A return of all of an order that has arrived, received; its refund.
async fn sent_back(market: &Market, buyer: &Buyer, order: &Order) -> Return {
    let line = &order.items[0];
    let body = json!({"order_item_id": line.id, "quantity": line.quantity, "reason": "Too small"});
    let path = format!("/orders/{}/returns", order.id);
    let asked: Return = buyer.session.post_once(&path, Uuid::now_v7(), &body).await.created();
    for (act, body) in [("approve", json!({})), ("receive", json!({"restocked": line.quantity}))] {
        let path = format!("/seller/returns/{}/{act}", asked.id);
        market
            .owner()
            .post_once(&path, Uuid::now_v7(), &body)
            .await
            .ok::<Return>();
    }
    let all: List<Return> = buyer.session.get(&format!("/orders/{}/returns", order.id)).await.ok();
    all.items
        .into_iter()
        .find(|one| one.id == asked.id)
        .expect("it is there")
}

#[tokio::test]
async fn what_was_called_off_and_could_not_be_given_back_is_the_buyers_and_never_the_shops() {
    let market = Market::open(10, 5_000).await;
    let (buyer, owner, admin) = (market.buyer().await, market.owner(), market.app.admin().await);
    account(&owner, "test_bank").await;
    let order = buyer.paid(&market, 1, "test_success_refund_fails").await;
    let cancelled: Order = buyer.try_cancel(&order).await.ok();
    let failed = only_refund(&cancelled);
    assert_eq!((failed.status, failed.owed), (RefundStatus::Failed, true));
    assert_eq!((cancelled.refunded.minor, cancelled.owed_back), (0, order.total));
    market.sql(DUE, order.id.0).await;
    release(&market.app.db.pool, 100).await.expect("released");
    assert_eq!(balance(&owner).await.available_minor, 0);
    ask(&owner, Uuid::now_v7()).await.refused(409, "payout_too_small");
    market.verified().await;

    let owed: List<Refund> = admin.get("/admin/refunds?owed=true").await.ok();
    assert_eq!(owed.items, std::slice::from_ref(&failed));
    let settled: Refund = settle(&admin, failed.id).await.created();
    assert_eq!(
        (settled.status, settled.outside, settled.replaces),
        (RefundStatus::Succeeded, true, Some(failed.id))
    );
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.refunded, now.owed_back.minor), (order.total, 0));
    assert_eq!(market.balance("refunds_payable").await, 0);
    assert_eq!(market.balance("paid_outside").await, 5_000);
    for id in [failed.id, settled.id] {
        settle(&admin, id).await.refused(409, "wrong_state");
        retry(&admin, id).await.refused(409, "wrong_state");
    }
    let owed: List<Refund> = admin.get("/admin/refunds?owed=true").await.ok();
    assert_eq!(owed.items, []);
    market.verified().await;
}

#[tokio::test]
async fn of_a_line_that_was_sent_in_part_the_shop_is_paid_for_what_it_sent() {
    let market = Market::open(10, 5_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    account(&owner, "test_bank").await;
    let order = buyer.paid(&market, 2, "test_success_refund_fails").await;
    call_off(&buyer, &order, 1).await;
    market.arrives(&buyer, order.id).await;
    market.sql(DUE, order.id.0).await;
    assert_eq!(release(&market.app.db.pool, 100).await.expect("released"), 1);
    assert_eq!(paid(&owner).await.amount.minor, 4_500);
    assert_eq!(buyer.order_now(order.id).await.owed_back.minor, 5_000);
    market.verified().await;
}

#[tokio::test]
async fn what_came_back_after_its_release_and_could_not_be_paid_for_is_not_paid_to_the_shop() {
    let market = Market::open(10, 5_000).await;
    let (buyer, owner, admin) = (market.buyer().await, market.owner(), market.app.admin().await);
    let order = buyer.paid(&market, 1, "test_success_refund_fails").await;
    arrives(&market, &order, 1.0).await;
    market.sql(DUE, order.id.0).await;
    assert_eq!(release(&market.app.db.pool, 100).await.expect("released"), 1);
    let returned = sent_back(&market, &buyer, &order).await;
    assert_eq!(returned.status, ReturnStatus::Received);
    let failed = returned.refund_id.expect("a refund");
    assert_eq!(balance(&owner).await.available_minor, 0);
    market.verified().await;
    // Nor can the same unit's money go back as something else beside it.
    let items = json!([{"order_item_id": order.items[0].id, "quantity": 1}]);
    let path = format!("/admin/orders/{}/refunds", order.id);
    let body = json!({"items": items, "reason": "sorry"});
    admin
        .post_once(&path, Uuid::now_v7(), &body)
        .await
        .refused(409, "refund_too_large");
    settle(&admin, failed).await.created::<Refund>();
    let ended = "select count(*) from returns where status = 'refunded'";
    assert_eq!(market.number(ended).await, 1);
    let audited = "select count(*) from audit_log where action = 'return.refunded'";
    assert_eq!(market.number(audited).await, 1);
    assert_eq!(balance(&owner).await.available_minor, 0);
    market.verified().await;
}

#[tokio::test]
async fn each_that_fails_is_replaced_once_however_often_and_by_however_many() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 3, "test_success_refund_fails").await;
    let first = call_off(&buyer, &order, 1).await.refund.expect("a refund").id;
    assert_eq!(market.sql(FORGETS, Uuid::now_v7()).await, 1);
    let second: Refund = retry(&admin, first).await.created();
    let second: Refund = admin.get(&format!("/admin/refunds/{}", second.id)).await.ok();
    assert_eq!(
        (second.status, second.owed, second.replaces),
        (RefundStatus::Failed, true, Some(first))
    );
    assert_eq!(market.sql(FORGETS, order.payments[0].id.0).await, 2);
    market.verified().await;
    retry(&admin, first).await.refused(409, "wrong_state");
    let retries = join_all((0..10).map(|_| retry(&admin, second.id))).await;
    let (created, refused): (Vec<_>, Vec<_>) = retries.iter().partition(|reply| reply.status == 201);
    assert_eq!(created.len(), 1);
    refused.iter().for_each(|reply| drop(reply.refused(409, "wrong_state")));
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.refunded.minor, now.owed_back.minor), (1_000, 0));
    for refund in &now.refunds {
        retry(&admin, refund.id).await.refused(409, "wrong_state");
    }
    let submitted = "select count(distinct subject_id) from audit_log where action = 'refund.decided'";
    assert_eq!(market.number(submitted).await, 3);
    market.verified().await;
}

#[tokio::test]
async fn goodwill_that_fails_is_undone_and_given_anew_as_far_as_it_has_not_gone_back_since() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin, second) = (
        market.buyer().await,
        market.app.admin().await,
        market.product(10, 500).await,
    );
    let basket = buyer.basket(&[(market.shop.variant, 1), (second, 1)], &[]);
    let checkout: core_api::checkout::model::Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(order.id, "test_success_refund_fails").await;
    let order = buyer.order_now(order.id).await;
    let failed = goodwill(&market, &order).await;
    refunds::submit(&market.till(), failed).await.expect("asked");
    let now = buyer.order_now(order.id).await;
    assert!(!only_refund(&now).owed, "nobody owes goodwill");
    assert_eq!(now.owed_back.minor, 0);
    assert_eq!(market.balance("seller_payable").await, 1_350);
    settle(&admin, failed).await.refused(409, "wrong_state");
    market.verified().await;
    let first = call_off(&buyer, &order, 1).await.refund.expect("a refund").amount;
    let anew: Refund = retry(&admin, failed).await.created();
    assert_eq!(anew.amount.minor, order.total.minor - first.minor);
    assert_eq!((anew.items.len(), anew.replaces), (1, Some(failed)));
    retry(&admin, failed).await.refused(409, "wrong_state");
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    market.verified().await;
}

#[tokio::test]
async fn goodwill_for_units_that_were_called_off_since_is_owed() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success_refund_fails").await;
    let first = goodwill(&market, &order).await;
    buyer.try_cancel(&order).await.ok::<Order>();
    refunds::submit(&market.till(), first).await.expect("asked");
    let now = buyer.order_now(order.id).await;
    assert!(only_refund(&now).owed);
    assert_eq!(now.owed_back, order.total);
    assert_eq!(market.balance("seller_payable").await, 0);
    market.verified().await;
}

#[tokio::test]
async fn what_is_owed_does_not_go_back_beside_a_dispute_of_the_same_money() {
    let market = Market::open_with(10, 1_000, telling).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 1, "test_success_refund_fails").await;
    let failed = only_refund(&buyer.try_cancel(&order).await.ok()).id;
    let dispute = market.is_disputed(&order, None).await;
    retry(&admin, failed).await.refused(409, "payment_disputed");
    market.is_decided(&dispute, true).await;
    retry(&admin, failed).await.created::<Value>();
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    market.verified().await;
}
