//! That `verify` complains of disputes: each of their invariants is broken by hand.

use serde_json::json;
use uuid::Uuid;

use super::{account, market, released};
use crate::market::Market;

/// Append-only tables let themselves be changed for this; what is changed is put back.
async fn breaks(market: &Market, name: &'static str, wrong: &'static str, right: &'static str) {
    market.verified().await;
    for (statement, is_broken) in [(wrong, true), (right, false)] {
        let mut tx = market.app.db.pool.begin().await.expect("a transaction");
        sqlx::query("set local session_replication_role = replica")
            .execute(&mut *tx)
            .await
            .expect("allowed");
        let done = sqlx::query(statement).execute(&mut *tx).await.expect(statement);
        assert!(done.rows_affected() > 0, "{statement}");
        tx.commit().await.expect("committed");
        let broken = market.broken().await;
        assert_eq!(broken.contains(&name), is_broken, "{name}: {broken:?}");
    }
}

#[tokio::test]
async fn every_invariant_of_disputes_is_noticed_when_it_is_broken() {
    let market = market(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    account(&owner).await;
    let order = released(&market, &buyer, 2).await;
    let reference = market.is_disputed(&order, Some(500)).await;
    breaks(
        &market,
        "disputed_is_what_is_open",
        "update disputes set status = 'won', closed_at = now()",
        "update disputes set status = 'open', closed_at = null",
    )
    .await;
    market.is_decided(&reference, false).await;
    let asked = owner.post_once("/seller/payouts", Uuid::now_v7(), &json!({})).await;
    asked.created::<serde_json::Value>();
    let cases = [
        (
            "disputes_in_ledger",
            "update ledger_transactions set kind = 'write_off' where kind = 'dispute_lost'",
            "update ledger_transactions set kind = 'dispute_lost' where kind = 'write_off'",
        ),
        (
            "disputes_in_ledger",
            "update disputes set status = 'won'",
            "update disputes set status = 'lost'",
        ),
        (
            "lost_disputes_are_taken_back",
            "update dispute_items set goods_minor = goods_minor - 1",
            "update dispute_items set goods_minor = goods_minor + 1",
        ),
        (
            "disputes_take_earnings_back",
            "update seller_earnings set kind = 'refund' where kind = 'dispute'",
            "update seller_earnings set kind = 'dispute' where kind = 'refund'",
        ),
        (
            "disputes_within_lines",
            "update dispute_items set goods_minor = goods_minor + 2000",
            "update dispute_items set goods_minor = goods_minor - 2000",
        ),
        (
            "refunds_within_captures",
            "update disputes set covered_minor = 2001, amount_minor = 2001",
            "update disputes set covered_minor = 500, amount_minor = 500",
        ),
        (
            "provider_agrees_on_disputes",
            "update test_provider_disputes set status = 'open'",
            "update test_provider_disputes set status = 'lost'",
        ),
        (
            "nothing_is_paid_while_disputed",
            // As if the payout had been booked between the two. The last: ids are not put back.
            "update ledger_transactions set id = case kind
                    when 'dispute_opened' then '01800000-0000-7000-8000-000000000001'::uuid
                    else '01800100-0000-7000-8000-000000000001' end
              where kind in ('dispute_opened', 'payout')",
            "update ledger_transactions set id = 'ffffffff-ffff-7000-8000-000000000001' where kind = 'payout'",
        ),
    ];
    for (name, wrong, right) in cases {
        breaks(&market, name, wrong, right).await;
    }
}
