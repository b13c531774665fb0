//! What a payment provider keeps for itself, and captures that nobody waits for any more.

use core_api::commerce::Fee;
use core_api::payments::model::Payment;
use core_api::refunds::model::RefundKind;
use shared::money::BasisPoints;
use shared::status::{OrderStatus, PaymentStatus, RefundStatus};

use crate::market::Market;
use crate::provider_events::telling;

/// A market whose provider keeps 2.9 percent and 30 cents, and tells of what happens.
async fn market() -> Market {
    let fee = Fee {
        rate: BasisPoints::new(290).expect("a rate"),
        fixed_minor: 30,
    };
    Market::open_with(10, 1_000, |config| {
        telling(config);
        config.commerce.test_provider_fee = fee;
    })
    .await
}

#[tokio::test]
async fn a_providers_fee_is_booked_once_and_is_the_platforms() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 2, "test_success").await;
    for _ in 0..2 {
        market.hears().await;
    }
    assert_eq!(market.balance("provider_fees").await, -(58 + 30));
    assert_eq!(market.balance("provider_clearing").await, -(2_000 - 88));
    assert_eq!(market.balance("seller_payable").await, 1_800, "no shop pays for it");
    let admin = market.app.admin().await;
    let accounts: serde_json::Value = admin.get("/admin/ledger/accounts?kind=provider_fees").await.ok();
    assert_eq!(accounts["items"][0]["balance"]["minor"], 88);
    market.verified().await;
    buyer.try_cancel(&order).await.ok::<serde_json::Value>();
    assert_eq!(market.balance("provider_fees").await, -88, "it is not given back");
    market.verified().await;
    for (wrong, right, name) in [
        (
            "update payments set fee_minor = 87 where id = $1",
            "update payments set fee_minor = 88 where id = $1",
            "fees_in_ledger",
        ),
        (
            "update payments set amount_minor = 1999 where id = $1",
            "update payments set amount_minor = 2000 where id = $1",
            "provider_has_what_is_left",
        ),
        (
            "update test_provider_intents set fee_minor = 87 where payment_id = $1",
            "update test_provider_intents set fee_minor = 88 where payment_id = $1",
            "provider_agrees",
        ),
    ] {
        let id = order.payments[0].id.0;
        assert_eq!(market.sql(wrong, id).await, 1);
        let broken = market.broken().await;
        assert!(broken.contains(&name), "{name}: {broken:?}");
        assert_eq!(market.sql(right, id).await, 1);
        market.verified().await;
    }
}

#[tokio::test]
async fn a_fee_that_is_told_later_is_booked_then() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 1, "test_success").await;
    // As if the provider had told none with the capture.
    let payment = order.payments[0].id;
    let mut tx = market.app.db.pool.begin().await.expect("begun");
    for unknown in [
        "set local session_replication_role = replica",
        "update payments set fee_minor = null, updated_at = now() - interval '2 hours'",
        "delete from ledger_entries where transaction_id in (select id from ledger_transactions where kind = 'provider_fee')",
        "delete from ledger_transactions where kind = 'provider_fee'",
    ] {
        sqlx::query(unknown).execute(&mut *tx).await.expect(unknown);
    }
    tx.commit().await.expect("committed");
    market.verified().await;
    let till = market.telling_till();
    let ask = async || core_api::payments::ask_for_fees(&till, 10).await.expect("asked");
    assert_eq!((ask().await, ask().await), (1, 0));
    assert_eq!(market.balance("provider_fees").await, -59);
    assert_eq!(
        core_api::payments::heed(&till, payment).await.expect("heard"),
        core_api::webhooks::Outcome::Done
    );
    market.verified().await;
}

#[tokio::test]
async fn a_success_after_a_decline_goes_back_by_itself() {
    let market = market().await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    let declined: Payment = buyer.pay(order.id, "test_decline").await;
    assert_eq!(declined.status, PaymentStatus::Failed);
    buyer.pay(order.id, "test_success").await;
    market.hears().await;
    let succeeds = "update test_provider_intents set status = 'succeeded', fee_minor = 59 where payment_id = $1";
    market.sql(succeeds, declined.id.0).await;
    let told = serde_json::json!({"id": "evt_late", "type": "payment.succeeded", "subject": declined.id});
    for _ in 0..2 {
        market.told(&told).await.ok::<serde_json::Value>();
        market.hears().await;
    }
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.status, now.payments.len()), (OrderStatus::Paid, 2));
    assert!(
        now.payments
            .iter()
            .all(|payment| payment.status == PaymentStatus::Captured)
    );
    let [refund] = &now.refunds[..] else {
        panic!("one refund: {:?}", now.refunds);
    };
    assert_eq!(
        (refund.kind, refund.status),
        (RefundKind::LatePayment, RefundStatus::Succeeded)
    );
    assert_eq!((refund.payment_id, refund.amount), (Some(declined.id), order.total));
    market.verified().await;
    assert_eq!(market.balance("provider_fees").await, -2 * 59, "of each capture");
    // The order's own payment is what its refunds go back of.
    let cancelled: core_api::orders::model::Order = buyer.try_cancel(&now).await.ok();
    assert_eq!(cancelled.refunds[1].payment_id, Some(now.payments[1].id));
    market.verified().await;
}
