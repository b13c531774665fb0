//! Who bears what a bank keeps.

use core_api::checkout::model::Checkout;
use core_api::earnings::model::Because;
use core_api::orders::model::Order;
use core_api::payouts::model::Payout;
use core_api::refunds::model::Refund;
use serde_json::json;
use shared::status::DisputeStatus;
use uuid::Uuid;

use super::{account, balance, earnings, market, released, told};
use crate::harness::Session;
use crate::market::Market;

/// Gives the money of so many units of an order's first line back.
async fn refund(admin: &Session, order: &Order, quantity: i32) -> Refund {
    let path = format!("/admin/orders/{}/refunds", order.id);
    let items = json!([{"order_item_id": order.items[0].id, "quantity": quantity}]);
    let body = json!({"items": items, "reason": "goodwill"});
    admin.post_once(&path, Uuid::now_v7(), &body).await.created()
}

#[tokio::test]
async fn a_lost_dispute_takes_back_what_a_refund_of_as_much_would() {
    let market = market(10, 1_000).await;
    let other = market.other_shop(10, 333).await;
    let buyer = market.buyer().await;
    let basket = buyer.basket(&[(market.shop.variant, 1), (other.variant, 2)], &[]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let placed: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(placed.id, "test_success").await;
    let order = buyer.order_now(placed.id).await;
    assert_eq!(order.total.minor, 1_000 + 666 + 499);
    // Half of it, and a cent.
    let reference = market.is_disputed(&order, Some(1_083)).await;
    market.is_decided(&reference, false).await;
    let lost = market.only_dispute().await;
    assert_eq!(
        (lost.dispute.status, lost.dispute.covered.minor),
        (DisputeStatus::Lost, 1_083)
    );
    let taken: i64 = lost.shops.iter().map(|shop| shop.taken_back.minor).sum();
    let commission = market.balance("platform_commission").await;
    assert_eq!(market.balance("seller_payable").await, 900 + 1_098 - taken);
    assert_eq!(
        commission,
        100 + 67 - (1_083 - taken),
        "commission is given up in proportion"
    );
    assert_eq!(market.balance("dispute_losses").await, 0);
    assert_eq!(market.balance("provider_clearing").await, -(2_165 - 1_083));
    let mine = earnings(&market.owner()).await;
    assert_eq!((mine[0].because, mine[0].amount.minor), (Because::Dispute, -450));
    assert_eq!((mine[0].base.minor, mine[0].commission.minor), (-500, -50));
    for somebody in [&buyer.session, &market.owner(), &market.app.session_of(other.owner)] {
        assert_eq!(told(somebody).await, ["dispute_opened", "dispute_lost"]);
    }
    market.verified().await;
}

#[tokio::test]
async fn what_was_paid_out_before_it_was_lost_is_owed_by_the_shop() {
    let market = market(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    account(&owner).await;
    let order = released(&market, &buyer, 2).await;
    let asked = owner.post_once("/seller/payouts", Uuid::now_v7(), &json!({})).await;
    assert_eq!(asked.created::<Payout>().amount.minor, 1_800);
    let reference = market.is_disputed(&order, None).await;
    market.is_decided(&reference, false).await;
    let now = balance(&owner).await;
    assert_eq!((now.available_minor, now.paid_out_minor), (-1_800, 1_800));
    let lost = market.only_dispute().await;
    assert_eq!(
        (lost.shops[0].paid_out.minor, lost.shops[0].taken_back.minor),
        (1_800, 1_800)
    );
    market.verified().await;
}

#[tokio::test]
async fn what_a_bank_takes_beyond_what_is_left_is_the_platforms_loss() {
    let market = market(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 2, "test_success").await;
    refund(&admin, &order, 1).await;
    let reference = market.is_disputed(&order, None).await;
    let open = market.only_dispute().await;
    assert_eq!((open.dispute.amount.minor, open.dispute.covered.minor), (2_000, 1_000));
    assert_eq!(market.balance("disputed").await, -2_000, "the bank has taken all of it");
    market.verified().await;
    market.is_decided(&reference, false).await;
    assert_eq!(market.balance("dispute_losses").await, -1_000);
    assert_eq!(market.balance("seller_payable").await, 0);
    assert_eq!(market.only_dispute().await.dispute.loss.minor, 1_000);
    market.verified().await;
}

#[tokio::test]
async fn after_a_part_was_lost_only_the_rest_can_be_refunded() {
    let market = market(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 2, "test_success").await;
    let reference = market.is_disputed(&order, Some(500)).await;
    market.is_decided(&reference, false).await;
    assert_eq!(
        refund(&admin, &order, 1).await.amount.minor,
        500,
        "the bank gave the rest"
    );
    assert_eq!(refund(&admin, &order, 1).await.amount.minor, 1_000);
    market.settle_refunds().await;
    assert_eq!(buyer.order_now(order.id).await.refunded.minor, 1_500);
    for account in ["seller_payable", "platform_commission", "provider_clearing"] {
        assert_eq!(market.balance(account).await, 0, "{account}");
    }
    market.verified().await;
}

#[tokio::test]
async fn a_late_payment_that_is_disputed_costs_the_platform_what_went_back_already() {
    let market = market(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    buyer.pay(order.id, "test_timeout").await;
    let end = "update orders set status = 'cancelled' where id = $1";
    market.sql(end, order.id.0).await;
    let free = "update product_variants set reserved = 0 where id = $1";
    market.sql(free, market.shop.variant.0).await;
    market.hears().await;
    let order = buyer.order_now(order.id).await;
    assert_eq!(order.refunded, order.total);
    let reference = market.is_disputed(&order, None).await;
    market.is_decided(&reference, false).await;
    assert_eq!(market.balance("dispute_losses").await, -1_000);
    market.verified().await;
}

/// Tells of a dispute in this order of states, each twice; the last is how it stands.
async fn goes(market: &Market, states: &[bool]) {
    let buyer = market.buyer().await;
    let order = buyer.paid(market, 3, "test_success").await;
    let reference = market.is_disputed(&order, Some(1_001)).await;
    for &won in states {
        for _ in 0..2 {
            market.is_decided(&reference, won).await;
            let again = json!({"id": Uuid::now_v7().to_string(), "type": "dispute.opened", "subject": reference});
            market.told(&again).await.ok::<serde_json::Value>();
            market.hears().await;
        }
        market.verified().await;
        let status = if won { DisputeStatus::Won } else { DisputeStatus::Lost };
        assert_eq!(market.disputes().await[0].status, status, "{states:?}");
    }
}

#[tokio::test]
async fn a_dispute_ends_as_the_provider_says_whatever_was_heard_of_it_before() {
    let market = market(100, 1_000).await;
    for states in [
        &[true][..],
        &[false],
        &[true, false],
        &[false, true],
        &[true, false, true],
        &[true, false, true, false],
        &[false, true, false, true],
        &[false, true, false, true, false],
    ] {
        let before = market.balance("seller_payable").await;
        goes(&market, states).await;
        let kept = market.balance("seller_payable").await - before;
        let lost = states.last() == Some(&false);
        assert_eq!(kept, if lost { 2_700 - 901 } else { 2_700 }, "{states:?}");
    }
    // One that is decided when we first hear of it.
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success").await;
    market.hears().await;
    let provider = market.test_provider();
    let reference = provider.open_dispute(order.payments[0].id, None).await.expect("opened");
    provider.decide_dispute(&reference, false).await.expect("decided");
    market.hears().await;
    assert_eq!(market.disputes().await[0].status, DisputeStatus::Lost);
    assert_eq!(
        told(&buyer.session).await,
        ["dispute_lost"],
        "what is over is not told of as open"
    );
    market.verified().await;
}

#[tokio::test]
async fn tokens_have_their_payments_disputed_and_an_event_that_was_lost_is_asked_for() {
    let market = market(10, 1_000).await;
    let buyer = market.buyer().await;
    let tokens = [
        "test_success_disputed",
        "test_success_dispute_won",
        "test_success_dispute_lost",
    ];
    for token in tokens {
        let order = buyer.paid(&market, 1, token).await;
        market.provider_is_through(order.payments[0].id).await;
    }
    for _ in 0..2 {
        market.hears().await;
        let open = market.disputes().await;
        assert_eq!(open.len(), 3, "once each");
        assert!(open.iter().all(|dispute| dispute.status == DisputeStatus::Open));
    }
    let provider = market.test_provider();
    let pass = "update test_provider_disputes set created_at = now() - interval '2 hours' where id <> $1";
    market.sql(pass, Uuid::nil()).await;
    provider.pass_time(100).await.expect("passed");
    market
        .sql("delete from test_provider_events where id <> $1", Uuid::nil())
        .await;
    let till = market.telling_till();
    let ask = async || core_api::disputes::reconcile(&till, 100).await.expect("asked");
    assert_eq!(ask().await, 0, "each was asked about just now");
    market
        .sql(
            "update disputes set asked_at = now() - interval '2 hours' where id <> $1",
            Uuid::nil(),
        )
        .await;
    assert_eq!(ask().await, 3);
    let states: Vec<_> = market.disputes().await.iter().map(|dispute| dispute.status).collect();
    for status in [DisputeStatus::Open, DisputeStatus::Won, DisputeStatus::Lost] {
        assert!(states.contains(&status), "{states:?}");
    }
    market.verified().await;
}
