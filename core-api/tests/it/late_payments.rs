//! Payments whose outcome is lost, late, wrong, or left behind by a crash.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use core_api::checkout::model::Checkout;
use core_api::orders::model::Order;
use core_api::payments::event::{Event, Unbelieved};
use core_api::payments::model::Payment;
use core_api::payments::provider::{Charge, DisputeFound, Intent, Provider, ProviderError, RefundOrder, Transfer};
use core_api::payments::{self, Till};
use core_api::refunds::model::RefundKind;
use shared::ids::RequestId;
use shared::status::{OrderStatus, PaymentStatus, RefundStatus};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::market::Market;

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(2, 500, 1).await, market.buyer().await);
    let order = buyer.order_hold(&buyer.hold(sale, 1).await).await;
    let key = Uuid::now_v7();
    let payment: Payment = buyer.pay_once(order.id, "test_timeout", key).await.created();
    assert_eq!(payment.status, PaymentStatus::Processing);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::PendingPayment);
    market.verified().await;
    // Nothing ends an order while its payment is under way.
    market.order_lapses(order.id).await;
    assert_eq!(market.expire_orders().await, 0);
    assert_eq!(market.reconcile().await, 1);
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    assert_eq!(market.reconcile().await, 0);
    let again: Payment = buyer.pay_once(order.id, "test_timeout", key).await.created();
    assert_eq!(again, payment, "the same key has the same answer");
    market.verified().await;
}

#[tokio::test]
async fn what_succeeds_late_but_in_time_is_paid() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_late_success").await;
    assert_eq!(payment.status, PaymentStatus::Processing);
    assert_eq!(market.reconcile().await, 1);
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Processing);
    market.provider_is_through(payment.id).await;
    market.reconcile().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    market.verified().await;
}

#[tokio::test]
async fn what_is_too_late_is_called_off_before_the_stock_is_free() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_late_success").await;
    market.order_lapses(order.id).await;
    assert_eq!(market.expire_orders().await, 0, "a payment is under way");
    market.reconcile().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Cancelled);
    assert_eq!(market.expire_orders().await, 1);
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    // However late: the provider never charges what it has called off.
    market.provider_is_through(payment.id).await;
    let late = market
        .till()
        .provider
        .find(&crate::payments::charge(&payment))
        .await
        .expect("answers")
        .expect("knows it");
    assert_eq!(late.state, payments::provider::IntentState::Cancelled);
    market.verified().await;
}

/// Ends an order behind its payment's back, as nothing in the service does.
async fn order_ends_regardless(market: &Market, order: &Order) {
    market
        .sql(
            "update orders set status = 'expired', expires_at = clock_timestamp() where id = $1",
            order.id.0,
        )
        .await;
    let give_back = "update product_variants v set reserved = reserved - i.quantity from order_items i
                      where i.variant_id = v.id and i.order_id = $1 and i.reservation_id is null";
    market.sql(give_back, order.id.0).await;
}

#[tokio::test]
async fn a_success_after_the_order_expired_takes_every_item_again() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 2).await;
    let payment = buyer.pay(order.id, "test_timeout").await;
    order_ends_regardless(&market, &order).await;
    market.reconcile().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    assert_eq!(market.stock(market.shop.variant).await, (8, 0));
    market.verified().await;
}

#[tokio::test]
async fn a_success_whose_goods_are_gone_is_recorded_and_refunded() {
    let market = Market::open(2, 1_000).await;
    let (buyer, other) = (market.buyer().await, market.buyer().await);
    let order = buyer.order(market.shop.variant, 2).await;
    let payment = buyer.pay(order.id, "test_timeout").await;
    order_ends_regardless(&market, &order).await;
    let sold = other.order(market.shop.variant, 1).await;
    market.reconcile().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Captured);
    let ended = buyer.order_now(order.id).await;
    assert_eq!((ended.status, ended.refunded), (OrderStatus::Expired, order.total));
    let [refund] = &ended.refunds[..] else {
        panic!("one refund: {:?}", ended.refunds);
    };
    assert_eq!(
        (refund.kind, refund.status),
        (RefundKind::LatePayment, RefundStatus::Succeeded)
    );
    assert_eq!((refund.payment_id, refund.amount), (Some(payment.id), order.total));
    assert_eq!(market.number("select count(*) from seller_earnings").await, 0);
    let refused = buyer.pay_once(order.id, "test_success", Uuid::now_v7()).await;
    refused.refused(409, "order_expired");
    other.pay(sold.id, "test_success").await;
    market.verified().await;
}

#[tokio::test]
async fn a_success_after_the_order_was_cancelled_is_refunded_whatever_the_stock() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 2).await;
    buyer.pay(order.id, "test_timeout").await;
    order_ends_regardless(&market, &order).await;
    let cancelled = "update orders set status = 'cancelled' where id = $1";
    market.sql(cancelled, order.id.0).await;
    market.reconcile().await;
    let ended = buyer.order_now(order.id).await;
    assert_eq!((ended.status, ended.refunded), (OrderStatus::Cancelled, order.total));
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    market.verified().await;
}

#[tokio::test]
async fn what_a_late_success_began_to_take_is_given_up_again() {
    let market = Market::open(10, 1_000).await;
    let second = market.product(1, 700).await;
    let (buyer, other) = (market.buyer().await, market.buyer().await);
    let basket = buyer.basket(&[(market.shop.variant, 1), (second, 1)], &[]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(order.id, "test_timeout").await;
    order_ends_regardless(&market, &order).await;
    other.order(second, 1).await;
    market.reconcile().await;
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    market.verified().await;
}

/// A provider that is asked and never answers, as when the process dies meanwhile.
pub struct Silent(pub Notify);

#[async_trait::async_trait]
impl Provider for Silent {
    fn name(&self) -> &'static str {
        "test"
    }

    fn knows(&self, _: &str) -> bool {
        true
    }

    async fn charge(&self, _: &Charge) -> Result<Intent, ProviderError> {
        self.0.notify_one();
        std::future::pending().await
    }

    async fn confirm(&self, _: &Charge) -> Result<Intent, ProviderError> {
        std::future::pending().await
    }

    async fn find(&self, _: &Charge) -> Result<Option<Intent>, ProviderError> {
        std::future::pending().await
    }

    async fn cancel(&self, _: &Charge) -> Result<Intent, ProviderError> {
        std::future::pending().await
    }

    async fn refund(&self, _: &RefundOrder) -> Result<Transfer, ProviderError> {
        self.0.notify_one();
        std::future::pending().await
    }

    async fn find_refund(&self, _: &RefundOrder) -> Result<Option<Transfer>, ProviderError> {
        std::future::pending().await
    }

    async fn find_dispute(&self, _: &str) -> Result<Option<DisputeFound>, ProviderError> {
        std::future::pending().await
    }

    fn event(&self, _: &HeaderMap, _: &[u8]) -> Result<Event, Unbelieved> {
        Err(Unbelieved::NobodyListens)
    }
}

/// Pays up to the call of the provider, and dies there.
async fn dies_while_paying(market: &Market, buyer: &crate::market::Buyer, order: &Order, key: Uuid) {
    let silent = Arc::new(Silent(Notify::new()));
    let till = Till {
        provider: silent.clone(),
        ..market.till()
    };
    let (user, order) = (buyer.session.id, order.id);
    let paying = tokio::spawn(async move {
        payments::pay(&till, user, order, RequestId(key), "test_success")
            .await
            .map(|_| ())
    });
    silent.0.notified().await;
    paying.abort();
    assert!(paying.await.is_err_and(|error| error.is_cancelled()));
}

#[tokio::test]
async fn the_same_key_goes_on_after_a_crash() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(2, 500, 1).await, market.buyer().await);
    let order = buyer.order_hold(&buyer.hold(sale, 1).await).await;
    let key = Uuid::now_v7();
    dies_while_paying(&market, &buyer, &order, key).await;
    assert_eq!(
        market
            .number("select count(*) from payments where status = 'created'")
            .await,
        1
    );
    market.verified().await;
    buyer
        .pay_once(order.id, "test_decline", key)
        .await
        .refused(422, "request_id_reused");
    let payment: Payment = buyer.pay_once(order.id, "test_success", key).await.created();
    assert_eq!(payment.status, PaymentStatus::Captured);
    let again: Payment = buyer.pay_once(order.id, "test_success", key).await.created();
    assert_eq!(again, payment);
    assert_eq!(market.number("select count(*) from payments").await, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_payment_that_never_reached_the_provider_is_called_off_for_good() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let key = Uuid::now_v7();
    dies_while_paying(&market, &buyer, &order, key).await;
    assert_eq!(market.reconcile().await, 0, "the call may still be on its way");
    market
        .sql(
            "update payments set updated_at = now() - interval '1 minute' where order_id = $1",
            order.id.0,
        )
        .await;
    assert_eq!(market.reconcile().await, 1);
    // The retry comes after all: the provider has it as cancelled, and so have we.
    let payment: Payment = buyer.pay_once(order.id, "test_success", key).await.created();
    assert_eq!(payment.status, PaymentStatus::Cancelled);
    let charge = Charge {
        token: "test_success".into(),
        ..crate::payments::charge(&payment)
    };
    let late = market.till().provider.charge(&charge).await.expect("answers");
    assert_eq!(late.state, payments::provider::IntentState::Cancelled);
    assert_eq!(
        buyer.pay(order.id, "test_success").await.status,
        PaymentStatus::Captured
    );
    market.verified().await;
}

#[tokio::test]
async fn an_amount_that_is_not_ours_is_never_captured() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_timeout").await;
    let tamper = "update test_provider_intents set amount_minor = 1 where payment_id = $1";
    market.sql(tamper, payment.id.0).await;
    market.reconcile().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Processing);
    assert_eq!(market.number("select count(*) from ledger_entries").await, 0);
    let back = "update test_provider_intents set amount_minor = 1000, currency = 'USD' where payment_id = $1";
    market.sql(back, payment.id.0).await;
    market.reconcile().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Processing);
}
