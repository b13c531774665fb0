//! Refunds whose outcome is late, lost, bad, or left behind by a crash.

use std::sync::Arc;

use actix_web::http::header::HeaderMap;
use core_api::orders;
use core_api::orders::model::Order;
use core_api::payments::Till;
use core_api::payments::event::{Event, Unbelieved};
use core_api::payments::provider::{
    Charge, DisputeFound, Intent, Provider, ProviderError, RefundOrder, Transfer, TransferState,
};
use core_api::refunds::model::RefundKind;
use serde_json::{Value, json};
use shared::ids::RefundId;
use shared::money::Money;
use shared::status::{OrderStatus, RefundStatus};
use tokio::sync::Notify;
use uuid::Uuid;

use super::only_refund;
use crate::late_payments::Silent;
use crate::market::{Buyer, Market};
use crate::provider_events::telling;

#[tokio::test]
async fn a_refund_that_takes_a_while_is_asked_about() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success_refund_late").await;
    let cancelled: Order = buyer.try_cancel(&order).await.ok();
    assert_eq!(only_refund(&cancelled).status, RefundStatus::Submitted);
    assert_eq!(
        (cancelled.status, cancelled.refunded.minor),
        (OrderStatus::Cancelled, 0)
    );
    assert_eq!(market.balance("refunds_payable").await, 1_000);
    market.verified().await;
    assert_eq!(market.settle_refunds().await, 1);
    assert_eq!(
        only_refund(&buyer.order_now(order.id).await).status,
        RefundStatus::Submitted
    );
    market.refunds_are_through().await;
    market.settle_refunds().await;
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    assert_eq!(market.settle_refunds().await, 0);
    market.verified().await;
}

#[tokio::test]
async fn an_answer_about_a_refund_that_was_lost_is_no_failure() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success_refund_timeout").await;
    let cancelled: Order = buyer.try_cancel(&order).await.ok();
    assert_eq!(only_refund(&cancelled).status, RefundStatus::Submitted);
    market.verified().await;
    market.settle_refunds().await;
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    assert_eq!(market.number("select count(*) from test_provider_transfers").await, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_refund_that_fails_is_still_owed_to_its_buyer() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success_refund_fails").await;
    let cancelled: Order = buyer.try_cancel(&order).await.ok();
    let refund = only_refund(&cancelled);
    assert_eq!(
        (refund.status, refund.failure_code.as_deref()),
        (RefundStatus::Failed, Some("card_closed"))
    );
    assert_eq!(
        (cancelled.status, cancelled.refunded.minor),
        (OrderStatus::Cancelled, 0)
    );
    assert_eq!((refund.owed, cancelled.owed_back), (true, order.total));
    assert_eq!(market.balance("seller_payable").await, 0);
    assert_eq!(market.balance("refunds_payable").await, 1_000);
    assert_eq!(market.settle_refunds().await, 0, "it has its outcome");
    assert_eq!(market.balance("refunds_payable").await, 1_000);
    market.verified().await;
}

#[tokio::test]
async fn a_refund_that_comes_back_after_it_had_arrived_is_owed_again_and_once() {
    let market = Market::open_with(10, 1_000, telling).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 1, "test_success").await;
    let cancelled: Order = buyer.try_cancel(&order).await.ok();
    assert_eq!(only_refund(&cancelled).status, RefundStatus::Succeeded);
    market.hears().await;

    let comes_back =
        "update test_provider_transfers set status = 'failed', failure_code = 'card_closed' where our_id = $1";
    let id = only_refund(&cancelled).id;
    assert_eq!(market.sql(comes_back, id.0).await, 1);
    let tells = "insert into test_provider_events (kind, subject) values ('refund.failed', $1)";
    for _ in 0..2 {
        assert_eq!(market.sql(tells, id.0).await, 1);
        market.hears().await;
    }
    let now = buyer.order_now(order.id).await;
    let refund = only_refund(&now);
    assert_eq!(
        (refund.status, refund.owed, refund.failure_code.as_deref()),
        (RefundStatus::Failed, true, Some("card_closed"))
    );
    assert_eq!((now.refunded.minor, now.owed_back), (0, order.total));
    assert_eq!(market.balance("refunds_payable").await, 1_000);
    assert_eq!(market.balance("provider_clearing").await, -1_000);
    assert_eq!(market.balance("seller_payable").await, 0);
    market.verified().await;

    let retry = format!("/admin/refunds/{id}/retry");
    admin
        .post_once(&retry, Uuid::now_v7(), &json!({}))
        .await
        .created::<Value>();
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.refunded, now.owed_back.minor), (order.total, 0));
    assert_eq!(market.balance("refunds_payable").await, 0);
    market.verified().await;
}

/// Calls an order off up to the call of the provider, and dies there.
async fn dies_while_refunding(market: &Market, buyer: &Buyer, order: &Order) {
    let silent = Arc::new(Silent(Notify::new()));
    let till = Till {
        provider: silent.clone(),
        ..market.till()
    };
    let (user, order, settings) = (buyer.session.id, order.id, market.commerce);
    let cancelling = tokio::spawn(async move { orders::cancel(&till, &settings, user, order).await.map(|_| ()) });
    silent.0.notified().await;
    cancelling.abort();
    assert!(cancelling.await.is_err_and(|error| error.is_cancelled()));
}

#[tokio::test]
async fn a_refund_that_was_never_sent_is_sent_after_a_crash() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 2, "test_success").await;
    dies_while_refunding(&market, &buyer, &order).await;
    let left = buyer.order_now(order.id).await;
    assert_eq!(
        (left.status, only_refund(&left).status),
        (OrderStatus::Cancelled, RefundStatus::Pending)
    );
    market.verified().await;
    assert_eq!(market.settle_refunds().await, 0, "the call may still be on its way");
    market
        .sql(
            "update refunds set updated_at = now() - interval '1 minute' where order_id = $1",
            order.id.0,
        )
        .await;
    assert_eq!(market.settle_refunds().await, 1);
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    market.verified().await;
}

#[tokio::test]
async fn a_refund_that_was_carried_out_before_a_crash_is_found() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success").await;
    dies_while_refunding(&market, &buyer, &order).await;
    let refund = only_refund(&buyer.order_now(order.id).await);
    market
        .till()
        .provider
        .refund(&asked(&refund.id, &order, order.total))
        .await
        .expect("answers");
    market
        .sql(
            "update refunds set updated_at = now() - interval '1 minute' where order_id = $1",
            order.id.0,
        )
        .await;
    market.settle_refunds().await;
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    assert_eq!(market.number("select count(*) from test_provider_transfers").await, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_refund_that_is_too_old_to_be_sent_has_failed() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success").await;
    dies_while_refunding(&market, &buyer, &order).await;
    let old = "update refunds set created_at = now() - interval '24 hours', updated_at = now() - interval '1 hour'
                where order_id = $1";
    market.sql(old, order.id.0).await;
    market.settle_refunds().await;
    let refund = only_refund(&buyer.order_now(order.id).await);
    assert_eq!(
        (refund.status, refund.failure_code.as_deref()),
        (RefundStatus::Failed, Some("never_sent"))
    );
    assert_eq!(market.number("select count(*) from test_provider_transfers").await, 0);
    market.verified().await;
}

#[tokio::test]
async fn many_who_settle_at_once_write_one_outcome() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success_refund_late").await;
    buyer.try_cancel(&order).await.ok::<Order>();
    market.refunds_are_through().await;
    let id = only_refund(&buyer.order_now(order.id).await).id;
    let till = market.till();
    let settled = futures_util::future::join_all((0..8).map(|_| core_api::refunds::submit(&till, id))).await;
    assert!(settled.into_iter().all(|outcome| outcome.is_ok()));
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    market.verified().await;
}

#[tokio::test]
async fn an_amount_of_a_refund_that_is_not_ours_is_no_outcome() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success_refund_timeout").await;
    buyer.try_cancel(&order).await.ok::<Order>();
    let tamper = "update test_provider_transfers set amount_minor = 1 where our_id <> $1";
    market.sql(tamper, order.id.0).await;
    market.settle_refunds().await;
    let refund = only_refund(&buyer.order_now(order.id).await);
    assert_eq!(refund.status, RefundStatus::Submitted);
}

fn asked(id: &RefundId, order: &Order, amount: Money) -> RefundOrder {
    RefundOrder {
        refund: *id,
        payment: order.payments[0].id,
        payment_reference: String::new(),
        amount,
    }
}

#[tokio::test]
async fn the_test_provider_never_gives_back_more_than_it_took() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success").await;
    let provider = market.till().provider;
    let part = Money::new(600, order.total.currency);
    let first = RefundId::new();
    for _ in 0..2 {
        let transfer = provider.refund(&asked(&first, &order, part)).await.expect("answers");
        assert_eq!(
            transfer.state,
            TransferState::Succeeded,
            "once, however often it is asked"
        );
    }
    let second = provider
        .refund(&asked(&RefundId::new(), &order, part))
        .await
        .expect("answers");
    assert_eq!(second.state, TransferState::Failed("amount_too_large".into()));
    let unknown = provider
        .find_refund(&asked(&RefundId::new(), &order, part))
        .await
        .expect("answers");
    assert_eq!(unknown, None);
}

/// A provider that does everything but give money back: asked for that, it never answers.
struct Keeps {
    inner: Arc<dyn Provider>,
    asked: Notify,
}

#[async_trait::async_trait]
impl Provider for Keeps {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn knows(&self, token: &str) -> bool {
        self.inner.knows(token)
    }

    async fn charge(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        self.inner.charge(charge).await
    }

    async fn confirm(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        self.inner.confirm(charge).await
    }

    async fn find(&self, charge: &Charge) -> Result<Option<Intent>, ProviderError> {
        self.inner.find(charge).await
    }

    async fn cancel(&self, charge: &Charge) -> Result<Intent, ProviderError> {
        self.inner.cancel(charge).await
    }

    async fn refund(&self, _: &RefundOrder) -> Result<Transfer, ProviderError> {
        self.asked.notify_one();
        std::future::pending().await
    }

    async fn find_refund(&self, _: &RefundOrder) -> Result<Option<Transfer>, ProviderError> {
        std::future::pending().await
    }

    async fn find_dispute(&self, reference: &str) -> Result<Option<DisputeFound>, ProviderError> {
        self.inner.find_dispute(reference).await
    }

    fn event(&self, headers: &HeaderMap, body: &[u8]) -> Result<Event, Unbelieved> {
        self.inner.event(headers, body)
    }
}

#[tokio::test]
async fn a_late_payment_is_given_back_also_when_its_recorder_dies() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 2).await;
    buyer.pay(order.id, "test_timeout").await;
    market
        .sql("update orders set status = 'cancelled' where id = $1", order.id.0)
        .await;
    market
        .sql(
            "update product_variants set reserved = 0 where id = $1",
            market.shop.variant.0,
        )
        .await;
    let keeps = Arc::new(Keeps {
        inner: market.till().provider,
        asked: Notify::new(),
    });
    let till = Till {
        provider: keeps.clone(),
        ..market.till()
    };
    let recording = tokio::spawn(async move { core_api::payments::reconcile(&till, 10).await.map(|_| ()) });
    keeps.asked.notified().await;
    recording.abort();
    assert!(recording.await.is_err_and(|error| error.is_cancelled()));
    let left = only_refund(&buyer.order_now(order.id).await);
    assert_eq!(
        (left.kind, left.status),
        (RefundKind::LatePayment, RefundStatus::Pending)
    );
    market.verified().await;
    market
        .sql(
            "update refunds set updated_at = now() - interval '1 minute' where order_id = $1",
            order.id.0,
        )
        .await;
    market.settle_refunds().await;
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    market.verified().await;
}
