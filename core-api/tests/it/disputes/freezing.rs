//! What an open dispute keeps back.

use core_api::earnings::model::{EarningState, HeldBecause};
use core_api::orders::model::Order;
use core_api::payouts::model::Payout;
use serde_json::json;
use shared::status::DisputeStatus;
use uuid::Uuid;

use super::{account, balance, earnings, market, released, told};

#[tokio::test]
async fn while_a_dispute_is_open_nothing_of_its_order_is_paid_out_or_refunded() {
    let market = market(10, 5_000).await;
    let (buyer, owner, admin) = (market.buyer().await, market.owner(), market.app.admin().await);
    account(&owner).await;
    let order = released(&market, &buyer, 1).await;
    assert_eq!(balance(&owner).await.available_minor, 4_500);
    let reference = market.is_disputed(&order, None).await;
    let now = balance(&owner).await;
    assert_eq!((now.disputed_minor, now.available_minor), (4_500, 0));
    let line = &earnings(&owner).await[0];
    let why = (line.state, line.held_because);
    assert_eq!(why, (EarningState::Disputed, Some(HeldBecause::DisputeOpen)));
    let ask = async || owner.post_once("/seller/payouts", Uuid::now_v7(), &json!({})).await;
    ask().await.refused(409, "payout_too_small");
    let refund = json!({"items": [{"order_item_id": order.items[0].id, "quantity": 1}], "reason": "Cracked"});
    let path = format!("/admin/orders/{}/refunds", order.id);
    let refused = admin.post_once(&path, Uuid::now_v7(), &refund).await;
    refused.refused(409, "payment_disputed");

    let dispute = market.only_dispute().await;
    assert_eq!(dispute.dispute.reference, reference);
    assert_eq!(dispute.dispute.status, DisputeStatus::Open);
    assert_eq!(
        (dispute.dispute.amount, dispute.dispute.covered),
        (order.total, order.total)
    );
    assert_eq!((dispute.captured, dispute.shops[0].earned.minor), (order.total, 4_500));
    assert_eq!(
        (
            market.balance("disputed").await,
            market.balance("provider_clearing").await
        ),
        (-5_000, 0)
    );
    market.verified().await;

    market.is_decided(&reference, true).await;
    let won = market.only_dispute().await;
    let steps: Vec<_> = won.history.iter().map(|step| step.status).collect();
    assert_eq!(steps, [DisputeStatus::Open, DisputeStatus::Won]);
    assert_eq!(ask().await.created::<Payout>().amount.minor, 4_500);
    for somebody in [&buyer.session, &owner] {
        assert_eq!(told(somebody).await, ["dispute_opened", "dispute_won"]);
    }
    let noted = "select count(*) from order_status_history where status like 'dispute_%'";
    assert_eq!(market.number(noted).await, 2);
    let audited = "select count(*) from audit_log where action like 'dispute.%'";
    assert_eq!(market.number(audited).await, 2);
    market.verified().await;
}

#[tokio::test]
async fn what_is_not_released_yet_waits_for_its_dispute() {
    let market = market(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = buyer.paid(&market, 1, "test_success").await;
    market.arrives(&buyer, order.id).await;
    let due = "update order_items set release_after = now() where order_id = $1";
    market.sql(due, order.id.0).await;
    let reference = market.is_disputed(&order, Some(1)).await;
    let release = async || {
        let released = core_api::fulfilment::release::release(&market.app.db.pool, 100).await;
        released.expect("released")
    };
    assert_eq!(release().await, 0);
    let line = &earnings(&owner).await[0];
    assert_eq!(
        (line.state, line.held_because),
        (EarningState::Held, Some(HeldBecause::DisputeOpen))
    );
    market.is_decided(&reference, true).await;
    assert_eq!(release().await, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_payout_that_is_asked_for_while_a_dispute_is_being_recorded_takes_nothing_of_it() {
    let market = market(10, 5_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    account(&owner).await;
    let order = released(&market, &buyer, 1).await;
    let mut busy = market.app.db.pool.begin().await.expect("begun");
    sqlx::query("select id from ledger_accounts where kind = 'seller_payable' for update")
        .execute(&mut *busy)
        .await
        .expect("locked");
    let (provider, till) = (market.test_provider(), market.telling_till());
    let reference = provider.open_dispute(order.payments[0].id, None).await.expect("opened");
    let recording = tokio::spawn(async move { core_api::disputes::heed(&till, "test", &reference).await });
    market.app.somebody_waits().await;
    let asking = tokio::spawn({
        let owner = owner.clone();
        async move { owner.post_once("/seller/payouts", Uuid::now_v7(), &json!({})).await }
    });
    // Behind the dispute: whoever waits for a row longest gets it first.
    market.app.so_many_wait(2).await;
    busy.commit().await.expect("committed");
    recording.await.expect("no panic").expect("recorded");
    asking.await.expect("no panic").refused(409, "payout_too_small");
    assert_eq!(balance(&owner).await.paid_out_minor, 0);
    market.verified().await;
}

#[tokio::test]
async fn a_dispute_is_of_a_payment_that_we_have_and_comes_with_its_capture() {
    let market = market(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(order.id, "test_timeout").await;
    let order: Order = buyer.order_now(order.id).await;
    // Nobody has asked what became of the payment when its dispute is heard of.
    let forget = "delete from test_provider_events where subject = $1";
    market.sql(forget, payment.id.0).await;
    market.is_disputed(&order, None).await;
    let dispute = market.only_dispute().await;
    assert_eq!(
        (dispute.dispute.payment_id, dispute.captured),
        (payment.id, order.total)
    );
    let unknown = json!({"id": "evt_1", "type": "dispute.opened", "subject": Uuid::now_v7()});
    market.told(&unknown).await.ok::<serde_json::Value>();
    market.hears().await;
    assert_eq!(market.disputes().await.len(), 1);
    market.verified().await;
}
