//! Paying: the outcome is one, whatever fails or repeats.

use core_api::checkout::model::Checkout;
use core_api::orders::model::{Order, Receipt};
use core_api::payments::model::Payment;
use core_api::payments::provider::Charge;
use serde_json::json;
use shared::live::RoomNotice;
use shared::status::{OrderStatus, PaymentStatus};
use uuid::Uuid;

use crate::market::{Buyer, Market};

#[tokio::test]
async fn a_purchase_goes_all_the_way_to_its_receipt_and_the_books() {
    let market = Market::open(10, 2_000).await;
    let (sale, buyer) = (market.sale(5, 1_500, 2).await, market.buyer().await);
    let shown = json!({"show_purchases": true});
    buyer
        .session
        .patch("/auth/profile", &shown)
        .await
        .ok::<serde_json::Value>();
    let hold = buyer.hold(sale, 2).await;
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[&hold]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(order.total.minor, 5_000);
    let payment = buyer.pay(order.id, "test_success").await;
    assert_eq!((payment.status, payment.amount), (PaymentStatus::Captured, order.total));

    let paid = buyer.order_now(order.id).await;
    assert_eq!(
        (paid.status, &paid.payments),
        (OrderStatus::Paid, &vec![payment.clone()])
    );
    let receipt: Receipt = buyer.session.get(&format!("/orders/{}/receipt", order.id)).await.ok();
    assert_eq!((receipt.total.minor, receipt.payment_id), (5_000, Some(payment.id)));
    assert_eq!(Some(receipt.paid_at), paid.paid_at);
    // Ten percent of 5000: 500 is the platform's, 4500 the shop's.
    let balance = |kind| market.number(kind);
    let of = "select sum(amount_minor)::bigint from ledger_entries e join ledger_accounts a on a.id = e.account_id";
    assert_eq!(balance("select sum(amount_minor)::bigint from ledger_entries").await, 0);
    for (kind, amount) in [
        ("provider_clearing", 5_000),
        ("seller_payable", -4_500),
        ("platform_commission", -500),
    ] {
        let sql = sqlx::AssertSqlSafe(format!("{of} where kind = $1"));
        let sum: i64 = sqlx::query_scalar(sql)
            .bind(kind)
            .fetch_one(&market.app.db.pool)
            .await
            .expect("a sum");
        assert_eq!(sum, amount, "{kind}");
    }
    // Five units are set aside for the sale, two of them sold, and one from the cart.
    assert_eq!(market.stock(market.shop.variant).await, (7, 3));
    let notices = market.notices().await;
    let bought = |quantity| RoomNotice::Purchased {
        buyer: Some(buyer.session.id),
        name: None,
        title: "Test Product".into(),
        quantity,
    };
    assert!(
        notices.contains(&bought(1)) && notices.contains(&bought(2)),
        "{notices:?}"
    );
    let (user, order, status) = (buyer.session.id, order.id, OrderStatus::Paid);
    assert!(notices.contains(&RoomNotice::OrderChanged { user, order, status }));
    market.verified().await;
}

#[tokio::test]
async fn a_buyer_is_named_only_if_they_want_to_be() {
    let market = Market::open(10, 2_000).await;
    let buyer = market.buyer().await;
    let mut basket = buyer.basket(&[(market.shop.variant, 1)], &[]);
    basket["stream_id"] = json!(market.shop.stream);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(order.id, "test_success").await;
    let notices = market.notices().await;
    let named = notices
        .iter()
        .any(|n| matches!(n, RoomNotice::Purchased { buyer: Some(_), .. }));
    let bought = notices
        .iter()
        .any(|n| matches!(n, RoomNotice::Purchased { buyer: None, .. }));
    assert!(bought && !named, "{notices:?}");
}

#[tokio::test]
async fn a_decline_gives_the_hold_back_and_another_attempt_succeeds() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(1, 500, 1).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let order = buyer.order_hold(&hold).await;
    let declined = buyer.pay(order.id, "test_decline").await;
    assert_eq!(declined.status, PaymentStatus::Failed);
    assert_eq!(declined.failure_code.as_deref(), Some("card_declined"));
    assert_eq!(
        market
            .number("select count(*) from reservations where status = 'held'")
            .await,
        1
    );
    market.verified().await;
    assert_eq!(
        buyer.pay(order.id, "test_success").await.status,
        PaymentStatus::Captured
    );
    let attempts: Vec<_> = buyer
        .order_now(order.id)
        .await
        .payments
        .iter()
        .map(|p| p.status)
        .collect();
    assert_eq!(attempts, [PaymentStatus::Failed, PaymentStatus::Captured]);
    market.verified().await;
}

#[tokio::test]
async fn a_decline_after_the_holds_time_frees_the_units() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(1, 500, 1).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let order = buyer.order_hold(&hold).await;
    let payment = buyer.pay(order.id, "test_second_step").await;
    assert_eq!(payment.status, PaymentStatus::RequiresAction);
    // Nothing sweeps a hold that is being paid.
    market
        .sql(
            "update reservations set expires_at = now() - interval '1 hour' where id = $1",
            hold.reservation.0,
        )
        .await;
    assert_eq!(
        core_api::flash::sweep(&market.app.db.pool, &market.app.bus, 10)
            .await
            .ok(),
        Some(0)
    );
    market
        .buyer()
        .await
        .hold_once(sale, 1, Uuid::now_v7())
        .await
        .refused(409, "sold_out");
    // At the hold's deadline the payment that waits for its second step is called off.
    assert_eq!(market.reconcile().await, 1);
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Cancelled);
    market.buyer().await.hold(sale, 1).await;
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "hold_expired");
    market.verified().await;
}

#[tokio::test]
async fn a_second_step_is_taken_once() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_second_step").await;
    assert_eq!(payment.status, PaymentStatus::RequiresAction);
    assert_eq!(market.reconcile().await, 0, "it waits for the buyer, not for us");
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "payment_in_progress");
    let cancel = format!("/orders/{}/cancel", order.id);
    buyer
        .session
        .post(&cancel, &json!({}))
        .await
        .refused(409, "payment_in_progress");
    let (path, key) = (
        format!("/orders/{}/payments/{}/confirm", order.id, payment.id),
        Uuid::now_v7(),
    );
    let nothing = json!({});
    let sends = (0..4).map(|_| buyer.session.post_once(&path, key, &nothing));
    for reply in futures_util::future::join_all(sends).await {
        match reply.status.as_u16() {
            200 => assert_eq!(reply.ok::<Payment>().status, PaymentStatus::Captured),
            _ => drop(reply.refused(409, "request_in_flight")),
        }
    }
    let again: Payment = buyer.session.post_once(&path, key, &json!({})).await.ok();
    assert_eq!(again.status, PaymentStatus::Captured);
    buyer
        .session
        .post_once(&path, Uuid::now_v7(), &json!({}))
        .await
        .refused(409, "already_paid");
    buyer
        .pay_once(order.id, "test_success", key)
        .await
        .refused(422, "request_id_reused");
    market.verified().await;
}

async fn call_off(buyer: &Buyer, payment: &Payment) -> Payment {
    let path = format!("/orders/{}/payments/{}/cancel", payment.order_id, payment.id);
    buyer.session.post(&path, &json!({})).await.ok()
}

#[tokio::test]
async fn a_second_step_that_is_not_taken_makes_room_for_another_card() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(1, 500, 1).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let order = buyer.order_hold(&hold).await;
    let first = buyer.pay(order.id, "test_second_step").await;
    assert_eq!(first.status, PaymentStatus::RequiresAction);
    for _ in 0..2 {
        assert_eq!(call_off(&buyer, &first).await.status, PaymentStatus::Cancelled);
    }
    // The bank's page may still be open somewhere: what was called off never charges.
    let confirm = format!("/orders/{}/payments/{}/confirm", order.id, first.id);
    let confirm = buyer.session.post_once(&confirm, Uuid::now_v7(), &json!({})).await;
    confirm.refused(409, "wrong_state");
    let second = buyer.pay(order.id, "test_success").await;
    assert_eq!(second.status, PaymentStatus::Captured);
    // Nor does calling it off undo what was captured.
    assert_eq!(call_off(&buyer, &second).await.status, PaymentStatus::Captured);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    let charged = "select count(*) from test_provider_intents where status = 'succeeded'";
    assert_eq!(market.number(charged).await, 1);
    market.verified().await;
}

#[tokio::test]
async fn an_order_whose_payment_was_called_off_can_be_called_off() {
    let market = Market::open(1, 1_000).await;
    let (buyer, other) = (market.buyer().await, market.buyer().await);
    let order = buyer.order(market.shop.variant, 1).await;
    let late = buyer.pay(order.id, "test_late_success").await;
    assert_eq!(late.status, PaymentStatus::Processing);
    let path = format!("/orders/{}/payments/{}/cancel", order.id, late.id);
    other.session.post(&path, &json!({})).await.refused(404, "not_found");
    assert_eq!(call_off(&buyer, &late).await.status, PaymentStatus::Cancelled);
    let cancel = format!("/orders/{}/cancel", order.id);
    let ended: Order = buyer.session.post(&cancel, &json!({})).await.ok();
    assert_eq!(ended.status, OrderStatus::Cancelled);
    market.provider_is_through(late.id).await;
    assert_eq!(market.reconcile().await, 0, "it has ended for good");
    other.order(market.shop.variant, 1).await;
    market.verified().await;
}

/// A payment as its provider is asked about it.
pub fn charge(payment: &Payment) -> Charge {
    Charge {
        payment: payment.id,
        amount: payment.amount,
        token: "test_second_step".to_owned(),
        return_url: None,
        reference: None,
        is_old: false,
    }
}

#[tokio::test]
async fn a_success_that_came_first_wins_over_calling_off() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_second_step").await;
    // The bank has its yes, and nobody has told us.
    market
        .till()
        .provider
        .confirm(&charge(&payment))
        .await
        .expect("the provider answers");
    assert_eq!(call_off(&buyer, &payment).await.status, PaymentStatus::Captured);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    market.verified().await;
}

#[tokio::test]
async fn an_order_is_captured_once_whatever_is_sent_at_once() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let key = Uuid::now_v7();
    let same = (0..4).map(|_| buyer.pay_once(order.id, "test_success", key));
    let fresh = (0..4).map(|_| buyer.pay_once(order.id, "test_success", Uuid::now_v7()));
    let (same, fresh) = tokio::join!(
        futures_util::future::join_all(same),
        futures_util::future::join_all(fresh)
    );
    for reply in same.iter().chain(&fresh) {
        match reply.status.as_u16() {
            201 => assert_eq!(reply.created::<Payment>().status, PaymentStatus::Captured),
            _ => assert_eq!(reply.status, 409, "{}", reply.text),
        }
    }
    assert_eq!(
        market
            .number("select count(*) from payments where status = 'captured'")
            .await,
        1
    );
    assert_eq!(
        market
            .number("select count(*) from test_provider_intents where status = 'succeeded'")
            .await,
        1
    );
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "already_paid");
    let problem = buyer
        .pay_once(order.id, "tok_unknown", Uuid::now_v7())
        .await
        .refused(422, "invalid_body");
    assert_eq!(problem["field"], "token");
    market.verified().await;
}

#[tokio::test]
async fn fifty_purchases_at_once_neither_deadlock_nor_lose_a_unit() {
    let market = Market::open(1_000, 1_000).await;
    let variants = [
        market.shop.variant,
        market.product(1_000, 700).await,
        market.product(1_000, 300).await,
    ];
    let mut sales = Vec::new();
    for variant in variants {
        sales.push(market.sale_of(variant, 100, 100, 5).await);
    }
    let mut buyers = Vec::new();
    for _ in 0..50 {
        buyers.push(market.buyer().await);
    }
    let (variants, sales) = (&variants, &sales);
    let purchases = buyers.iter().enumerate().map(async |(i, buyer)| {
        // Everybody wants the same things, named in another order.
        let at = |n: usize| (i + n) % 3;
        let (a, b) = (buyer.hold(sales[at(0)], 1).await, buyer.hold(sales[at(1)], 1).await);
        let items = [(variants[at(2)], 1), (variants[at(1)], 2), (variants[at(0)], 1)];
        let checkout: Checkout = buyer.try_checkout(&buyer.basket(&items, &[&b, &a])).await.created();
        let order: Order = buyer.try_place(checkout.id).await.created();
        if i % 5 == 0 {
            assert_eq!(buyer.pay(order.id, "test_decline").await.status, PaymentStatus::Failed);
        }
        let payment = buyer.pay(order.id, "test_success").await;
        assert_eq!(payment.status, PaymentStatus::Captured);
    });
    futures_util::future::join_all(purchases).await;
    for sale in sales {
        market.sql("select close_flash_sale($1)", sale.0).await;
    }
    assert_eq!(
        market.number("select count(*) from orders where status = 'paid'").await,
        50
    );
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(market.number(deadlocks).await, 0);
    assert_eq!(
        market.number("select sum(on_hand)::bigint from product_variants").await,
        3_000 - 50 * 6
    );
    assert_eq!(
        market
            .number("select sum(reserved)::bigint from product_variants")
            .await,
        0
    );
    market.verified().await;
}
