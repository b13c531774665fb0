//! Calling off what was paid and not sent.

use core_api::checkout::model::Checkout;
use core_api::orders::model::Order;
use core_api::refunds::model::RefundKind;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::status::{OrderStatus, RefundStatus};
use uuid::Uuid;

use super::only_refund;
use crate::fulfilment::try_ship;
use crate::market::Market;
use crate::provider_events::telling;

#[tokio::test]
async fn a_paid_order_is_called_off_whole_and_all_its_money_goes_back() {
    let market = Market::open(10, 2_000).await;
    let other = market.other_shop(5, 700).await;
    let (sale, buyer) = (market.sale(5, 1_500, 2).await, market.buyer().await);
    let hold = buyer.hold(sale, 2).await;
    let basket = buyer.basket(&[(market.shop.variant, 1), (other.variant, 2)], &[&hold]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(order.total.minor, 2_000 + 3_000 + 1_400 + 499);
    buyer.pay(order.id, "test_success").await;
    let cancelled: Order = buyer.try_cancel(&order).await.ok();
    assert_eq!(
        (cancelled.status, cancelled.refunded),
        (OrderStatus::Cancelled, order.total)
    );
    let refund = only_refund(&cancelled);
    assert_eq!(
        (refund.kind, refund.status, refund.amount, refund.items.len()),
        (RefundKind::Cancellation, RefundStatus::Succeeded, order.total, 3)
    );
    // Five are set aside for the sale, of which two were sold and are free now.
    assert_eq!(market.stock(market.shop.variant).await, (10, 3));
    assert_eq!(market.stock(other.variant).await, (5, 0));
    for kind in [
        "provider_clearing",
        "seller_payable",
        "platform_commission",
        "refunds_payable",
    ] {
        assert_eq!(market.balance(kind).await, 0, "{kind}");
    }
    assert_eq!(
        buyer.try_cancel(&order).await.ok::<Order>(),
        cancelled,
        "twice is no error"
    );
    market.verified().await;
}

#[tokio::test]
async fn what_cost_nothing_is_called_off_without_a_provider() {
    let market = Market::open(10, 0).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 2).await;
    assert_eq!(order.status, OrderStatus::Paid);
    let cancelled: Order = buyer.try_cancel(&order).await.ok();
    let refund = only_refund(&cancelled);
    assert_eq!(
        (refund.status, refund.amount.minor, refund.payment_id),
        (RefundStatus::Succeeded, 0, None)
    );
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    market.verified().await;
}

#[tokio::test]
async fn of_many_who_cancel_at_once_one_does() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 3, "test_success").await;
    for reply in join_all((0..20).map(|_| buyer.try_cancel(&order))).await {
        assert_eq!(reply.ok::<Order>().status, OrderStatus::Cancelled);
    }
    assert_eq!(only_refund(&buyer.order_now(order.id).await).amount, order.total);
    assert_eq!(market.number("select count(*) from test_provider_transfers").await, 1);
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    market.verified().await;
}

#[tokio::test]
async fn a_payment_and_a_cancellation_at_once_leave_no_money_without_goods() {
    let market = Market::open(100, 1_000).await;
    for _ in 0..10 {
        let buyer = market.buyer().await;
        let order = buyer.order(market.shop.variant, 1).await;
        let (paid, cancelled) = tokio::join!(
            buyer.pay_once(order.id, "test_success", Uuid::now_v7()),
            buyer.try_cancel(&order)
        );
        let now = buyer.order_now(order.id).await;
        match (paid.status.as_u16(), cancelled.status.as_u16()) {
            // Paid first: cancelled while it was being paid, or after.
            (201, 409) => assert_eq!(now.status, OrderStatus::Paid),
            (201, 200) => assert_eq!(now.refunded, order.total),
            (409, 200) => assert_eq!((now.status, now.refunds.len()), (OrderStatus::Cancelled, 0)),
            both => panic!("{both:?}: {} {}", paid.text, cancelled.text),
        }
    }
    market.verified().await;
}

#[tokio::test]
async fn what_was_sent_is_not_called_off_and_of_another_nothing_is() {
    let market = Market::open(10, 1_000).await;
    let (buyer, stranger) = (market.buyer().await, market.buyer().await);
    let order = buyer.paid(&market, 2, "test_success").await;
    stranger.try_cancel(&order).await.refused(404, "not_found");
    let one = json!({"carrier": "Post", "items": [{"order_item_id": order.items[0].id, "quantity": 1}]});
    try_ship(&market.owner(), order.id, &one).await.created::<Value>();
    buyer.try_cancel(&order).await.refused(409, "wrong_state");
    market.verified().await;
}

#[tokio::test]
async fn money_that_is_disputed_does_not_go_back_twice() {
    let market = Market::open_with(10, 1_000, telling).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 2, "test_success").await;
    let dispute = market.is_disputed(&order, Some(1)).await;
    buyer.try_cancel(&order).await.refused(409, "payment_disputed");
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    market.is_decided(&dispute, true).await;
    assert_eq!(buyer.try_cancel(&order).await.ok::<Order>().refunded, order.total);
    market.verified().await;
}

#[tokio::test]
async fn of_sending_and_calling_off_at_once_each_unit_goes_one_way() {
    let market = Market::open(100, 1_000).await;
    for round in 0..8 {
        let buyer = market.buyer().await;
        let order = buyer.paid(&market, 2, "test_success").await;
        let path = format!("/seller/orders/{}/shipments", order.id);
        let owner = market.owner();
        let parcel = json!({"carrier": "post"});
        let (sent, cancelled) = tokio::join!(
            owner.post_once(&path, Uuid::now_v7(), &parcel),
            buyer.try_cancel(&order)
        );
        let now = buyer.order_now(order.id).await;
        match (sent.status.as_u16(), cancelled.status.as_u16()) {
            (201, 409) => assert_eq!((now.status, now.refunded.minor), (OrderStatus::Shipped, 0)),
            (409, 200) => assert_eq!((now.status, now.refunded), (OrderStatus::Cancelled, order.total)),
            both => panic!("round {round}: {both:?}: {} {}", sent.text, cancelled.text),
        }
    }
    market.verified().await;
}
