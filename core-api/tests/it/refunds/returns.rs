//! Returns: asked for, answered, received and refunded.

use std::time::Duration;

use core_api::commerce::Commerce;
use core_api::http::List;
use core_api::orders::model::Order;
use core_api::refunds::model::{Refund, RefundKind};
use core_api::returns::model::Return;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::ids::ReturnId;
use shared::status::{RefundStatus, ReturnStatus};
use uuid::Uuid;

use super::only_refund;
use crate::harness::Reply;
use crate::market::{Buyer, Market};

/// Everything of an order has arrived, so long ago.
pub async fn arrives(market: &Market, order: &Order, days_ago: f64) {
    let db = &market.app.db.pool;
    let parcel = "with parcel as (
            insert into shipments (id, order_id, seller_id, carrier, shipped_at, delivered_at, delivered_by)
            select gen_random_uuid(), order_id, seller_id, 'post', now() - make_interval(secs => ($2 + 1) * 86400),
                   now() - make_interval(secs => $2 * 86400), 'carrier'
              from order_items where order_id = $1 limit 1
            returning id)
        insert into shipment_items (shipment_id, order_item_id, quantity)
        select p.id, i.id, i.quantity from parcel p, order_items i where i.order_id = $1";
    sqlx::query(parcel)
        .bind(order.id.0)
        .bind(days_ago)
        .execute(db)
        .await
        .expect("a parcel");
    let units =
        "update order_items set shipped = quantity, delivered = quantity, release_after = now() + interval '3 days'
                  where order_id = $1";
    market.sql(units, order.id.0).await;
    market
        .sql("update orders set status = 'delivered' where id = $1", order.id.0)
        .await;
}

impl Buyer {
    async fn try_return(&self, order: &Order, quantity: i32) -> Reply {
        let body = json!({"order_item_id": order.items[0].id, "quantity": quantity, "reason": "Too small"});
        let path = format!("/orders/{}/returns", order.id);
        self.session.post_once(&path, Uuid::now_v7(), &body).await
    }

    async fn return_now(&self, order: &Order, id: ReturnId) -> Return {
        let all: List<Return> = self.session.get(&format!("/orders/{}/returns", order.id)).await.ok();
        all.items.into_iter().find(|one| one.id == id).expect("it is there")
    }
}

impl Market {
    /// The shop's owner does something about a return.
    async fn answer(&self, id: ReturnId, act: &str, body: &Value) -> Reply {
        let path = format!("/seller/returns/{id}/{act}");
        self.owner().post_once(&path, Uuid::now_v7(), body).await
    }
}

#[tokio::test]
async fn what_comes_back_is_refunded_and_sold_again_as_far_as_it_can_be() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 3, "test_success").await;
    buyer.try_return(&order, 1).await.refused(409, "wrong_state");
    arrives(&market, &order, 1.0).await;
    let asked: Return = buyer.try_return(&order, 2).await.created();
    assert_eq!((asked.status, asked.quantity), (ReturnStatus::Requested, 2));
    buyer.try_return(&order, 2).await.refused(409, "wrong_state");
    let shown: List<Return> = market.owner().get("/seller/returns?status=requested").await.ok();
    assert_eq!(shown.items, std::slice::from_ref(&asked));
    market
        .answer(asked.id, "receive", &json!({"restocked": 1}))
        .await
        .refused(409, "wrong_state");
    let approved: Return = market
        .answer(asked.id, "approve", &json!({"answer": "To the quay"}))
        .await
        .ok();
    assert_eq!(
        (approved.status, approved.answer.as_str()),
        (ReturnStatus::Approved, "To the quay")
    );
    market.answer(asked.id, "approve", &json!({})).await.ok::<Return>();
    market
        .answer(asked.id, "reject", &json!({"answer": "no"}))
        .await
        .refused(409, "wrong_state");
    market
        .answer(asked.id, "receive", &json!({"restocked": 3}))
        .await
        .refused(422, "invalid_body");
    let received: Return = market.answer(asked.id, "receive", &json!({"restocked": 1})).await.ok();
    assert_eq!((received.status, received.restocked), (ReturnStatus::Received, 1));
    let now = buyer.return_now(&order, asked.id).await;
    assert_eq!(now.status, ReturnStatus::Refunded);
    let refund = only_refund(&buyer.order_now(order.id).await);
    assert_eq!(
        (refund.kind, refund.amount.minor, Some(refund.id)),
        (RefundKind::Return, 2_000, now.refund_id)
    );
    assert_eq!(market.stock(market.shop.variant).await, (8, 0));
    market.verified().await;
}

#[tokio::test]
async fn what_a_shop_does_not_take_the_buyer_keeps() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success").await;
    arrives(&market, &order, 1.0).await;
    let asked: Return = buyer.try_return(&order, 1).await.created();
    market
        .answer(asked.id, "reject", &json!({"answer": " "}))
        .await
        .refused(422, "invalid_body");
    let rejected: Return = market
        .answer(asked.id, "reject", &json!({"answer": "Made to order"}))
        .await
        .ok();
    assert_eq!(
        (rejected.status, rejected.answer.as_str()),
        (ReturnStatus::Rejected, "Made to order")
    );
    market
        .answer(asked.id, "receive", &json!({"restocked": 0}))
        .await
        .refused(409, "wrong_state");
    // It may be asked again, and withdrawn.
    let again: Return = buyer.try_return(&order, 1).await.created();
    let withdraw = format!("/orders/{}/returns/{}/withdraw", order.id, again.id);
    for _ in 0..2 {
        let withdrawn: Return = buyer.session.post(&withdraw, &json!({})).await.ok();
        assert_eq!(withdrawn.status, ReturnStatus::Withdrawn);
    }
    market
        .answer(again.id, "approve", &json!({}))
        .await
        .refused(409, "wrong_state");
    let stranger = market.buyer().await;
    stranger
        .session
        .post(&withdraw, &json!({}))
        .await
        .refused(404, "not_found");
    stranger.try_return(&order, 1).await.refused(404, "not_found");
    let list = format!("/orders/{}/returns", order.id);
    stranger.session.get(&list).await.refused(404, "not_found");
    assert_eq!(buyer.order_now(order.id).await.refunds, []);
    market.verified().await;
}

#[tokio::test]
async fn after_a_while_nothing_is_sent_back_and_what_never_came_is_given_up() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let (late, order) = (
        buyer.paid(&market, 1, "test_success").await,
        buyer.paid(&market, 1, "test_success").await,
    );
    let days = |time: Duration| time.as_secs_f64() / 86_400.0;
    let settings = Commerce::default();
    arrives(&market, &late, days(settings.return_time) + 0.1).await;
    buyer.try_return(&late, 1).await.refused(409, "wrong_state");
    arrives(&market, &order, days(settings.return_time) - 0.1).await;
    let asked: Return = buyer.try_return(&order, 1).await.created();
    market.answer(asked.id, "approve", &json!({})).await.ok::<Return>();
    let lapse = async || {
        core_api::returns::lapse(&market.app.db.pool, &settings, 100)
            .await
            .expect("looked")
    };
    assert_eq!(lapse().await, 0);
    let long_ago = "update returns set answered_at = now() - interval '1 year' where id = $1";
    market.sql(long_ago, asked.id.0).await;
    assert_eq!(lapse().await, 1);
    assert_eq!(buyer.return_now(&order, asked.id).await.status, ReturnStatus::Withdrawn);
    market
        .answer(asked.id, "receive", &json!({"restocked": 1}))
        .await
        .refused(409, "wrong_state");
    market.verified().await;
}

#[tokio::test]
async fn of_many_requests_and_receipts_at_once_each_unit_comes_back_once() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 3, "test_success").await;
    arrives(&market, &order, 1.0).await;
    let asked = join_all((0..12).map(|_| buyer.try_return(&order, 1))).await;
    let returns: Vec<Return> = asked.iter().filter(|r| r.status == 201).map(Reply::created).collect();
    assert_eq!(returns.len(), 3);
    let first = returns[0].id;
    market.answer(first, "approve", &json!({})).await.ok::<Return>();
    let goodwill = json!({"items": [{"order_item_id": order.items[0].id, "quantity": 3}], "reason": "sorry"});
    let path = format!("/admin/orders/{}/refunds", order.id);
    let body = json!({"restocked": 1});
    let (received, given) = tokio::join!(
        join_all((0..8).map(|_| market.answer(first, "receive", &body))),
        admin.post_once(&path, Uuid::now_v7(), &goodwill)
    );
    assert_eq!(received.iter().filter(|reply| reply.status == 200).count(), 1);
    // Whichever of the two came first has the money; the other has what is left.
    let now = buyer.order_now(order.id).await;
    let expected = if given.status == 201 { 3_000 } else { 1_000 };
    assert_eq!((now.refunded.minor, now.refunds.len()), (expected, 1), "{}", given.text);
    assert_eq!(buyer.return_now(&order, first).await.status, ReturnStatus::Refunded);
    assert_eq!(market.stock(market.shop.variant).await, (8, 0));
    market.verified().await;
}

#[tokio::test]
async fn a_return_whose_refund_failed_waits_for_the_next() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 1, "test_success_refund_fails").await;
    arrives(&market, &order, 1.0).await;
    let asked: Return = buyer.try_return(&order, 1).await.created();
    market.answer(asked.id, "approve", &json!({})).await.ok::<Return>();
    market
        .answer(asked.id, "receive", &json!({"restocked": 1, "shipping": true}))
        .await
        .ok::<Return>();
    let failed = only_refund(&buyer.order_now(order.id).await);
    assert_eq!(failed.status, RefundStatus::Failed);
    assert_eq!(buyer.return_now(&order, asked.id).await.status, ReturnStatus::Received);
    market.verified().await;
    let path = format!("/admin/refunds/{}/retry", failed.id);
    let anew: Refund = admin.post_once(&path, Uuid::now_v7(), &json!({})).await.created();
    let now = buyer.return_now(&order, asked.id).await;
    assert_eq!((now.status, now.refund_id), (ReturnStatus::Refunded, Some(anew.id)));
    market.verified().await;
    let wrong = "update order_items set returned = 0 where order_id = $1";
    market.sql(wrong, order.id.0).await;
    let report = shared::verify::run(&market.app.db.pool).await.expect("verified");
    assert!(report.broken().any(|check| check.name == "returned_units"));
}
