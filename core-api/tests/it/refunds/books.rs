//! That `verify` complains of refunds: each of their invariants is broken by hand.

use core_api::orders::model::Order;
use shared::verify;

use crate::market::Market;

/// The invariants that do not hold.
async fn broken(market: &Market) -> Vec<&'static str> {
    let report = verify::run(&market.app.db.pool).await.expect("verified");
    report.broken().map(|check| check.name).collect()
}

/// Append-only tables let themselves be changed for this; what is changed is put back.
async fn breaks(market: &Market, name: &str, wrong: &[&'static str], right: &[&'static str]) {
    assert!(
        broken(market).await.is_empty(),
        "before {name}: {:?}",
        broken(market).await
    );
    let run = async |statements: &[&'static str]| {
        let mut tx = market.app.db.pool.begin().await.expect("a transaction");
        sqlx::query("set local session_replication_role = replica")
            .execute(&mut *tx)
            .await
            .expect("allowed");
        for statement in statements {
            sqlx::query(*statement).execute(&mut *tx).await.expect(statement);
        }
        tx.commit().await.expect("committed");
    };
    run(wrong).await;
    assert!(
        broken(market).await.contains(&name),
        "{name}: {:?}",
        broken(market).await
    );
    run(right).await;
}

#[tokio::test]
async fn every_invariant_of_refunds_is_noticed_when_it_is_broken() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.paid(&market, 2, "test_success").await;
    buyer.try_cancel(&order).await.ok::<Order>();
    let cases: [(&str, &[&'static str], &[&'static str]); 9] = [
        (
            "refund_sums",
            &["update refunds set amount_minor = amount_minor - 1"],
            &["update refunds set amount_minor = amount_minor + 1"],
        ),
        (
            "refunds_within_captures",
            &[
                "insert into disputes (id, payment_id, provider_ref, amount_minor, currency)
               select gen_random_uuid(), id, 'dp_1', 1, currency from payments",
            ],
            &["delete from disputes"],
        ),
        (
            "refunds_within_lines",
            &["update refund_items set quantity = 3"],
            &["update refund_items set quantity = 2"],
        ),
        (
            "refunds_within_lines",
            &["update refund_items set commission_minor = commission_minor - 1"],
            &["update refund_items set commission_minor = commission_minor + 1"],
        ),
        (
            "refunds_in_ledger",
            &["update ledger_transactions set kind = 'payout_paid' where kind = 'refund_paid'"],
            &["update ledger_transactions set kind = 'refund_paid' where kind = 'payout_paid'"],
        ),
        (
            "refunds_payable",
            &["update refunds set status = 'submitted', settled_at = null"],
            &["update refunds set status = 'succeeded', settled_at = now()"],
        ),
        (
            "refunds_take_earnings_back",
            &["update seller_earnings set kind = 'dispute' where kind = 'refund'"],
            &["update seller_earnings set kind = 'refund' where kind = 'dispute'"],
        ),
        (
            "provider_agrees_on_refunds",
            &["update test_provider_transfers set status = 'processing'"],
            &["update test_provider_transfers set status = 'succeeded'"],
        ),
        (
            "units_come_back_once",
            &["update order_items set cancelled = 1"],
            &["update order_items set cancelled = 2"],
        ),
    ];
    for (name, wrong, right) in cases {
        breaks(&market, name, wrong, right).await;
    }
    market.verified().await;
}

#[tokio::test]
async fn a_late_payment_that_nobody_gives_back_is_noticed() {
    let market = Market::open(2, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 2).await;
    buyer.pay(order.id, "test_timeout").await;
    let end = "update orders set status = 'cancelled' where id = $1";
    market.sql(end, order.id.0).await;
    let free = "update product_variants set reserved = 0 where id = $1";
    market.sql(free, market.shop.variant.0).await;
    market.reconcile().await;
    assert_eq!(buyer.order_now(order.id).await.refunded, order.total);
    let wrong = ["update refunds set kind = 'goodwill'"];
    breaks(
        &market,
        "late_payments_go_back",
        &wrong,
        &["update refunds set kind = 'late_payment'"],
    )
    .await;
    market.verified().await;
}
