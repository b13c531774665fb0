//! Whoever acts, the other side is told.

use core_api::http::List;
use core_api::notifications::model::Notification;
use core_api::orders::model::Order;
use core_api::returns::model::Return;
use serde_json::{Value, json};
use shared::notification::NotificationKind::{self, OrderCancelled, RefundPaid, ReturnAnswered, ReturnRequested};
use uuid::Uuid;

use super::returns::arrives;
use crate::harness::Session;
use crate::market::Market;

/// What somebody was told of these matters, the newest first: the kind and the reason.
async fn told(session: &Session, order: &Order) -> Vec<(NotificationKind, String)> {
    let list: List<Notification> = session.get("/notifications?limit=100").await.ok();
    let ours = [OrderCancelled, RefundPaid, ReturnAnswered, ReturnRequested];
    let of = list.items.into_iter().filter(|told| ours.contains(&told.kind));
    of.map(|told| {
        assert_eq!(told.order.map(|of| of.id), Some(order.id));
        (told.kind, told.reason)
    })
    .collect()
}

#[tokio::test]
async fn what_a_buyer_calls_off_the_shop_hears_of_and_the_money_the_buyer() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 2, "test_success").await;
    for _ in 0..2 {
        buyer.try_cancel(&order).await.ok::<Order>();
    }
    assert_eq!(told(&market.owner(), &order).await, [(OrderCancelled, String::new())]);
    assert_eq!(told(&buyer.session, &order).await, [(RefundPaid, String::new())]);
}

#[tokio::test]
async fn what_a_shop_calls_off_the_buyer_hears_of_and_why() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 2, "test_success").await;
    let path = format!("/seller/orders/{}/items/{}/cancel", order.id, order.items[0].id);
    let body = json!({"quantity": 1, "reason": "broken"});
    for _ in 0..2 {
        market
            .owner()
            .post_once(&path, Uuid::now_v7(), &body)
            .await
            .ok::<Value>();
    }
    let cancelled = (OrderCancelled, "broken".to_owned());
    let paid = (RefundPaid, String::new());
    assert_eq!(
        told(&buyer.session, &order).await,
        [paid.clone(), cancelled.clone(), paid, cancelled]
    );
    assert_eq!(told(&market.owner(), &order).await, []);
}

#[tokio::test]
async fn of_a_return_each_side_hears_what_the_other_says() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success").await;
    arrives(&market, &order, 1.0).await;
    let reason = "ö".repeat(1_000);
    let body = json!({"order_item_id": order.items[0].id, "quantity": 1, "reason": reason});
    let path = format!("/orders/{}/returns", order.id);
    let asked: Return = buyer.session.post_once(&path, Uuid::now_v7(), &body).await.created();
    assert_eq!(
        told(&market.owner(), &order).await,
        [(ReturnRequested, "ö".repeat(500))]
    );
    let approve = format!("/seller/returns/{}/approve", asked.id);
    for _ in 0..2 {
        let answer = json!({"answer": "To the quay"});
        market.owner().post(&approve, &answer).await.ok::<Return>();
    }
    assert_eq!(
        told(&buyer.session, &order).await,
        [(ReturnAnswered, "To the quay".to_owned())]
    );
}

#[tokio::test]
async fn who_has_stock_in_hand_waits_for_nobodys_account_to_tell_them() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let (order, unpaid) = (
        buyer.paid(&market, 2, "test_success").await,
        buyer.order(market.shop.variant, 1).await,
    );
    // As everybody's checkout does before it takes units: they would wait for each other.
    let mut checkouts = market.app.db.pool.begin().await.expect("a transaction");
    let lock = sqlx::query("select id from users order by id for no key update");
    lock.execute(&mut *checkouts).await.expect("locked");
    let path = format!("/seller/orders/{}/items/{}/cancel", order.id, order.items[0].id);
    let one = json!({"quantity": 1, "reason": "broken"});
    let owner = market.owner();
    owner.post_once(&path, Uuid::now_v7(), &one).await.ok::<Value>();
    buyer.pay(unpaid.id, "test_success").await;
    checkouts.rollback().await.expect("ended");
    let (buyer_told, owner_told) = (told(&buyer.session, &order).await, told(&owner, &order).await);
    assert_eq!((buyer_told.len(), owner_told.len()), (2, 0));
    market.verified().await;
}
