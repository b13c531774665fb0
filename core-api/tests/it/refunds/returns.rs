//! Returns: asked for, answered, received and refunded.

use std::time::Duration;

use core_api::commerce::Commerce;
use core_api::fulfilment;
use core_api::http::List;
use core_api::notifications::model::Notification;
use core_api::orders::model::Order;
use core_api::refunds::model::{Refund, RefundKind};
use core_api::returns::model::Return;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::ids::{OrderId, ReturnId};
use shared::notification::NotificationKind;
use shared::status::{RefundStatus, ReturnStatus};
use uuid::Uuid;

use super::only_refund;
use crate::harness::{Reply, Session};
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
    /// Moves returns on whose time is over, on so many processes at once; how many.
    async fn lapse(&self, processes: usize) -> u64 {
        let settings = Commerce::default();
        let (db, bus) = (&self.app.db.pool, &self.app.bus);
        let jobs = join_all((0..processes).map(|_| core_api::returns::lapse(db, bus, &settings, 100))).await;
        jobs.into_iter().map(|moved| moved.expect("looked")).sum()
    }

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
    assert_eq!(market.lapse(1).await, 0);
    market
        .sql(
            "update order_items set release_after = now() where order_id = $1",
            order.id.0,
        )
        .await;
    let release = async || {
        fulfilment::release::release(&market.app.db.pool, 100)
            .await
            .expect("looked")
    };
    assert_eq!(release().await, 0, "a return is open");
    market.sql(LONG_AGO, asked.id.0).await;
    assert_eq!(market.lapse(4).await, 1, "once, by however many");
    assert_eq!(buyer.return_now(&order, asked.id).await.status, ReturnStatus::Withdrawn);
    market
        .answer(asked.id, "receive", &json!({"restocked": 1}))
        .await
        .refused(409, "wrong_state");
    assert_eq!(release().await, 1);
    for side in [&buyer.session, &market.owner()] {
        assert_eq!(told(side, NotificationKind::ReturnLapsed).await, [order.id]);
    }
    market.verified().await;
}

/// Everything of a return happened so long ago.
const LONG_AGO: &str =
    "update returns set created_at = now() - interval '1 year', answered_at = answered_at - interval '1 year',
                               sent_at = sent_at - interval '1 year' where id = $1";

/// Of which orders somebody was told so.
async fn told(session: &Session, kind: NotificationKind) -> Vec<OrderId> {
    let list: List<Notification> = session.get("/notifications").await.ok();
    let of_kind = list.items.into_iter().filter(|news| news.kind == kind);
    of_kind.filter_map(|news| news.order.map(|order| order.id)).collect()
}

#[tokio::test]
async fn what_was_sent_back_does_not_lapse_by_a_shops_silence_an_admin_decides() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 2, "test_success").await;
    arrives(&market, &order, 1.0).await;
    let asked: Return = buyer.try_return(&order, 2).await.created();
    let parcel = json!({"carrier": "DHL", "tracking": "A1"});
    let path = format!("/orders/{}/returns/{}/sent", order.id, asked.id);
    buyer.session.post(&path, &parcel).await.refused(409, "wrong_state");
    market.answer(asked.id, "approve", &json!({})).await.ok::<Return>();
    for _ in 0..2 {
        let sent: Return = buyer.session.post(&path, &parcel).await.ok();
        assert!(sent.sent_at.is_some() && sent.tracking == "A1", "{sent:?}");
    }
    let other = json!({"carrier": "DHL", "tracking": "A2"});
    buyer.session.post(&path, &other).await.refused(409, "wrong_state");
    assert_eq!(told(&market.owner(), NotificationKind::ReturnSent).await, [order.id]);
    assert_eq!(market.lapse(1).await, 0);
    let waiting = async || {
        admin
            .get("/admin/returns?overdue=true")
            .await
            .ok::<List<Return>>()
            .items
    };
    assert_eq!(waiting().await, []);

    market.sql(LONG_AGO, asked.id.0).await;
    assert_eq!(market.lapse(4).await, 1, "once, by however many");
    assert_eq!(market.lapse(1).await, 0);
    let [waits] = &waiting().await[..] else {
        panic!("one waits");
    };
    assert_eq!((waits.id, waits.status), (asked.id, ReturnStatus::Approved));
    for side in [&buyer.session, &market.owner()] {
        assert_eq!(told(side, NotificationKind::ReturnWaits).await, [order.id]);
    }
    let path = format!("/admin/returns/{}/receive", asked.id);
    let (key, body) = (Uuid::now_v7(), json!({"restocked": 0}));
    for _ in 0..2 {
        admin.post_once(&path, key, &body).await.ok::<Return>();
    }
    assert_eq!(only_refund(&buyer.order_now(order.id).await).amount.minor, 2_000);
    assert_eq!(waiting().await, []);
    market.verified().await;
}

#[tokio::test]
async fn a_return_that_its_shop_does_not_answer_waits_for_an_admin() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 3, "test_success").await;
    arrives(&market, &order, 1.0).await;
    let mut asked: Vec<Return> = Vec::new();
    for _ in 0..3 {
        asked.push(buyer.try_return(&order, 1).await.created());
    }
    for one in &asked[..2] {
        market.sql(LONG_AGO, one.id.0).await;
    }
    assert_eq!(market.lapse(4).await, 2);
    let waiting = async || {
        let list: List<Return> = admin.get("/admin/returns?status=requested&overdue=true").await.ok();
        list.items.iter().map(|one| one.id).collect::<Vec<_>>()
    };
    assert_eq!(waiting().await, [asked[1].id, asked[0].id]);
    let all: List<Return> = admin.get("/admin/returns?limit=2").await.ok();
    assert!(all.items.len() == 2 && all.next_cursor.is_some(), "{all:?}");
    let act = async |id: ReturnId, act: &str| {
        let path = format!("/admin/returns/{id}/{act}");
        admin.post(&path, &json!({"answer": "To the marketplace"})).await
    };
    for _ in 0..2 {
        act(asked[0].id, "approve").await.ok::<Return>();
    }
    // The shop may still answer what waits.
    market.answer(asked[1].id, "approve", &json!({})).await.ok::<Return>();
    act(asked[1].id, "reject").await.refused(409, "wrong_state");
    act(asked[2].id, "reject").await.ok::<Return>();
    assert_eq!(waiting().await, []);
    let now = buyer.return_now(&order, asked[0].id).await;
    assert_eq!(
        (now.status, now.answer.as_str()),
        (ReturnStatus::Approved, "To the marketplace")
    );
    let by_admin = "select count(*) from audit_log a join users u on u.id = a.actor_id and u.role = 'admin'
                     where a.action in ('return.approved', 'return.rejected') and a.detail ->> 'before' = 'requested'";
    assert_eq!(market.number(by_admin).await, 2);
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
