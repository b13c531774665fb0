//! What a shop says it has sent and its buyer says never came.

use core_api::claims::model::Claim;
use core_api::earnings::model::{Balance, HeldBecause};
use core_api::fulfilment::release::release;
use core_api::http::List;
use core_api::orders::model::Order;
use core_api::refunds::model::{Refund, RefundKind};
use core_api::returns::model::Return;
use futures_util::future::join_all;
use serde_json::json;
use shared::ids::ClaimId;
use shared::status::{ClaimStatus, OrderStatus, RefundStatus};
use uuid::Uuid;

use crate::harness::{Reply, Session};
use crate::market::{Buyer, Market};
use crate::payouts::earnings;
use crate::refunds::only_refund;

const DUE: &str = "update order_items set release_after = clock_timestamp() where order_id = $1";

async fn try_claim(buyer: &Buyer, order: &Order, quantity: i32) -> Reply {
    let body = json!({"order_item_id": order.items[0].id, "quantity": quantity, "reason": "Nothing came"});
    let path = format!("/orders/{}/claims", order.id);
    buyer.session.post_once(&path, Uuid::now_v7(), &body).await
}

/// A paid order that its shop says it has sent.
async fn sent(market: &Market, buyer: &Buyer, quantity: i32, token: &str) -> Order {
    let order = buyer.paid(market, quantity, token).await;
    market.ships(order.id).await;
    order
}

async fn decide(admin: &Session, id: ClaimId, act: &str) -> Reply {
    let path = format!("/admin/claims/{id}/{act}");
    let body = json!({"answer": "looked at both sides"});
    admin.post_once(&path, Uuid::now_v7(), &body).await
}

async fn released(market: &Market, order: &Order) -> u64 {
    market.sql(DUE, order.id.0).await;
    release(&market.app.db.pool, 100).await.expect("released")
}

async fn told(market: &Market, kind: &str) -> i64 {
    let count = sqlx::query_scalar("select count(*) from notifications where kind = $1").bind(kind);
    count.fetch_one(&market.app.db.pool).await.expect("a count")
}

#[tokio::test]
async fn what_never_came_is_held_until_an_admin_has_decided() {
    let market = Market::open(10, 1_000).await;
    let (buyer, owner, admin) = (market.buyer().await, market.owner(), market.app.admin().await);
    let order = buyer.paid(&market, 2, "test_success").await;
    try_claim(&buyer, &order, 1).await.refused(409, "wrong_state");
    market.ships(order.id).await;
    try_claim(&buyer, &order, 3).await.refused(409, "wrong_state");
    let claim: Claim = try_claim(&buyer, &order, 2).await.created();
    try_claim(&buyer, &order, 1).await.refused(409, "wrong_state");
    assert_eq!((claim.status, claim.quantity), (ClaimStatus::Open, 2));
    assert_eq!(told(&market, "claim_opened").await, 1);
    assert_eq!(released(&market, &order).await, 0);
    let held = earnings(&owner, "/seller/earnings?state=held").await;
    assert_eq!(held[0].held_because, Some(HeldBecause::NotReceived));

    let shown: List<Claim> = owner.get("/seller/claims?status=open").await.ok();
    assert_eq!(shown.items, std::slice::from_ref(&claim));
    let answer = format!("/seller/claims/{}/answer", claim.id);
    let proof = json!({"answer": "signed for"});
    for _ in 0..2 {
        let answered: Claim = owner.post(&answer, &proof).await.ok();
        assert_eq!(
            (answered.status, answered.answer.as_str()),
            (ClaimStatus::Answered, "signed for")
        );
    }
    assert_eq!(told(&market, "claim_answered").await, 1);
    assert_eq!(released(&market, &order).await, 0, "an answer decides nothing");
    market.verified().await;

    let all: List<Claim> = admin.get("/admin/claims?status=answered").await.ok();
    assert_eq!(all.items.len(), 1);
    let upheld = join_all((0..6).map(|_| decide(&admin, claim.id, "uphold"))).await;
    assert_eq!(upheld.iter().filter(|reply| reply.status == 200).count(), 1);
    decide(&admin, claim.id, "reject").await.refused(409, "wrong_state");
    let now = buyer.order_now(order.id).await;
    let refund = only_refund(&now);
    assert_eq!(
        (refund.kind, refund.status, now.refunded),
        (RefundKind::NotReceived, RefundStatus::Succeeded, order.total)
    );
    assert_eq!(told(&market, "claim_decided").await, 2);
    assert_eq!(now.status, OrderStatus::Delivered, "nobody waits for it any more");
    assert_eq!(released(&market, &order).await, 1);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Completed);
    let balance: Balance = owner.get("/seller/balance").await.ok();
    assert_eq!(balance.balances[0].available_minor, 0);
    market.verified().await;
}

#[tokio::test]
async fn a_claim_that_is_rejected_or_withdrawn_holds_nothing_any_more() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = sent(&market, &buyer, 1, "test_success").await;
    let claim: Claim = try_claim(&buyer, &order, 1).await.created();
    let withdraw = format!("/orders/{}/claims/{}/withdraw", order.id, claim.id);
    let stranger = market.buyer().await;
    stranger
        .session
        .post(&withdraw, &json!({}))
        .await
        .refused(404, "not_found");
    try_claim(&stranger, &order, 1).await.refused(404, "not_found");
    let list = format!("/orders/{}/claims", order.id);
    stranger.session.get(&list).await.refused(404, "not_found");
    for _ in 0..2 {
        let withdrawn: Claim = buyer.session.post(&withdraw, &json!({})).await.ok();
        assert_eq!(withdrawn.status, ClaimStatus::Withdrawn);
    }
    // It may be claimed again, and is not when it has come.
    let again: Claim = try_claim(&buyer, &order, 1).await.created();
    let confirm = format!("/orders/{}/confirm", order.id);
    buyer.session.post(&confirm, &json!({})).await.ok::<Order>();
    let claims: List<Claim> = buyer.session.get(&list).await.ok();
    assert_eq!((claims.items[0].id, claims.items.len()), (again.id, 2));
    assert_eq!(claims.items[0].status, ClaimStatus::Withdrawn);
    decide(&admin, again.id, "uphold").await.refused(409, "wrong_state");
    try_claim(&buyer, &order, 1).await.refused(409, "wrong_state");
    assert_eq!(released(&market, &order).await, 1);

    let second = sent(&market, &buyer, 1, "test_success").await;
    let claim: Claim = try_claim(&buyer, &second, 1).await.created();
    let rejected: Claim = decide(&admin, claim.id, "reject").await.ok();
    assert_eq!(
        (rejected.status, rejected.decision.as_str()),
        (ClaimStatus::Rejected, "looked at both sides")
    );
    assert_eq!(released(&market, &second).await, 1);
    market.verified().await;
}

#[tokio::test]
async fn what_is_not_received_and_cannot_be_given_back_is_owed_and_what_comes_later_is_not_returned() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = sent(&market, &buyer, 2, "test_success_refund_fails").await;
    let claim: Claim = try_claim(&buyer, &order, 1).await.created();
    let upheld: Claim = decide(&admin, claim.id, "uphold").await.ok();
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.owed_back.minor, only_refund(&now).owed), (1_000, true));
    assert_eq!(now.status, OrderStatus::Shipped, "the other one may arrive");
    market.verified().await;
    let forgotten = "update order_items set lost = 0 where order_id = $1";
    market.sql(forgotten, order.id.0).await;
    assert_eq!(market.broken().await, ["claims_are_of_what_was_sent"]);
    market
        .sql("update order_items set lost = 1 where order_id = $1", order.id.0)
        .await;
    let retry = format!("/admin/refunds/{}/retry", upheld.refund_id.expect("a refund"));
    let anew: Refund = admin.post_once(&retry, Uuid::now_v7(), &json!({})).await.created();
    let claims: List<Claim> = buyer.session.get(&format!("/orders/{}/claims", order.id)).await.ok();
    assert_eq!(claims.items[0].refund_id, Some(anew.id));
    // Both come after all: one of them is paid back for already.
    let confirm = format!("/orders/{}/confirm", order.id);
    let confirmed: Order = buyer.session.post(&confirm, &json!({})).await.ok();
    assert_eq!(confirmed.status, OrderStatus::Delivered);
    let send_back = async |quantity: i32| {
        let body = json!({"order_item_id": order.items[0].id, "quantity": quantity, "reason": "Too small"});
        let path = format!("/orders/{}/returns", order.id);
        buyer.session.post_once(&path, Uuid::now_v7(), &body).await
    };
    send_back(2).await.refused(409, "wrong_state");
    send_back(1).await.created::<Return>();
    market.verified().await;
    let harm = "update claims set status = 'withdrawn', refund_id = null where order_id = $1";
    market.sql(harm, order.id.0).await;
    assert!(market.broken().await.contains(&"units_refunded"));
}
