//! That `verify` complains of refunds: each of their invariants is broken by hand.

use core_api::checkout::model::Checkout;
use core_api::orders::model::Order;
use core_api::refunds::model::{CalledOff, Refund};
use core_api::tax::TaxTable;
use serde_json::{Value, json};
use shared::status::PayoutStatus;
use shared::verify;
use uuid::Uuid;

use super::only_refund;
use crate::market::Market;
use crate::payouts::{account, paid, released};

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
                "insert into disputes (id, payment_id, provider_ref, amount_minor, covered_minor, currency)
               select gen_random_uuid(), id, 'dp_1', 1, 1, currency from payments",
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

#[tokio::test]
async fn what_is_wrong_about_refunds_that_were_replaced_is_noticed() {
    let market = Market::open(10, 1_000).await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let order = buyer.paid(&market, 2, "test_success_refund_fails").await;
    let failed = only_refund(&buyer.try_cancel(&order).await.ok());
    let path = format!("/admin/refunds/{}/retry", failed.id);
    admin
        .post_once(&path, Uuid::now_v7(), &json!({}))
        .await
        .created::<Refund>();
    let (apart, linked) = (
        "update refunds set replaces = null",
        "update refunds set replaces = (select id from refunds where status = 'failed') where status = 'succeeded'",
    );
    let (less, all) = (
        "update refund_items set quantity = 1 where refund_id = (select id from refunds where replaces is not null)",
        "update refund_items set quantity = 2",
    );
    let (other, same) = (
        "update refunds set kind = 'return' where replaces is not null",
        "update refunds set kind = 'cancellation'",
    );
    let (fewer, as_many) = (
        "update order_items set cancelled = 1",
        "update order_items set cancelled = 2",
    );
    let cases: [(&str, &'static str, &'static str); 9] = [
        ("refunds_in_ledger", apart, linked),
        ("refunds_payable", apart, linked),
        ("refunds_take_earnings_back", apart, linked),
        ("refunds_within_captures", apart, linked),
        ("refunds_owed", less, all),
        ("refunds_owed", other, same),
        // More is called off than was refunded, and less.
        ("units_refunded", less, all),
        ("units_refunded", fewer, as_many),
        ("units_refunded", other, same),
    ];
    for (name, wrong, right) in cases {
        breaks(&market, name, &[wrong], &[right]).await;
    }
    market.verified().await;
}

/// Taxed, discounted by the platform, commissioned, refunded in part and outside: every
/// account has something.
#[tokio::test]
async fn every_account_of_the_books_is_held_against_the_rows_that_it_stands_for() {
    let market = Market::open_with(10, 1_000, |config| {
        config.taxes = TaxTable::parse("DE:1900:included:goods+shipping:platform").expect("rules");
    })
    .await;
    let (buyer, admin) = (market.buyer().await, market.app.admin().await);
    let code = json!({"code": "TENTH", "percent_bps": 1000});
    admin.post("/admin/discount-codes", &code).await.created::<Value>();
    let mut basket = buyer.basket(&[(market.shop.variant, 4)], &[]);
    basket["discount_code"] = json!("TENTH");
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(order.id, "test_success_refund_fails").await;
    let path = format!("/orders/{}/items/{}/cancel", order.id, order.items[0].id);
    let one = json!({"quantity": 1});
    let failed: CalledOff = buyer.session.post_once(&path, Uuid::now_v7(), &one).await.ok();
    let failed = failed.refund.expect("a refund").id;
    let settle = format!("/admin/refunds/{failed}/settle-outside");
    let how = json!({"reason": "bank transfer"});
    admin.post_once(&settle, Uuid::now_v7(), &how).await.created::<Refund>();
    buyer
        .session
        .post_once(&path, Uuid::now_v7(), &one)
        .await
        .ok::<CalledOff>();
    market.verified().await;
    // A cent of each account in the wrong place, and the transaction balances all the same.
    let shift = |from: &str, to: &str, kind: &str, by: i64| {
        format!(
            "update ledger_entries e
                set amount_minor = e.amount_minor + case a.kind when '{from}' then -({by}) else {by} end
               from ledger_transactions t, ledger_accounts a
              where t.id = e.transaction_id and a.id = e.account_id and t.kind = '{kind}'
                and a.kind in ('{from}', '{to}')"
        )
    };
    let cases = [
        ("lines_in_ledger", "platform_commission", "seller_payable", "capture"),
        ("lines_in_ledger", "platform_discounts", "tax_payable", "capture"),
        ("lines_in_ledger", "tax_payable", "platform_commission", "refund"),
        ("lines_in_ledger", "seller_payable", "platform_discounts", "refund"),
        ("provider_clearing", "provider_clearing", "seller_payable", "capture"),
    ];
    for (name, from, to, kind) in cases {
        let wrong: &'static str = shift(from, to, kind, 1).leak();
        let right: &'static str = shift(from, to, kind, -1).leak();
        breaks(&market, name, &[wrong], &[right]).await;
    }
    let moved = |from: &str, to: &str| -> &'static str {
        format!(
            "update ledger_entries set account_id = (select id from ledger_accounts where kind = '{to}')
              where account_id = (select id from ledger_accounts where kind = '{from}')
                and transaction_id in (select t.id from ledger_transactions t join refunds r on r.id = t.subject_id
                                        where r.outside)"
        )
        .leak()
    };
    let (wrong, right) = (
        moved("paid_outside", "provider_clearing"),
        moved("provider_clearing", "paid_outside"),
    );
    breaks(&market, "paid_outside", &[wrong], &[right]).await;
    breaks(&market, "provider_clearing", &[wrong], &[right]).await;
    let (wrong, right) = (
        moved("paid_outside", "platform_commission"),
        moved("platform_commission", "paid_outside"),
    );
    breaks(&market, "accounts_of_kinds", &[wrong], &[right]).await;
    market.verified().await;
}

#[tokio::test]
async fn what_is_without_an_outcome_for_days_is_noticed() {
    let market = Market::open(10, 5_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = buyer.order(market.shop.variant, 1).await;
    buyer.pay(order.id, "test_second_step").await;
    let late = buyer.paid(&market, 1, "test_success_refund_late").await;
    buyer.try_cancel(&late).await.ok::<Order>();
    account(&owner, "test_bank_slow").await;
    released(&market).await;
    assert_eq!(paid(&owner).await.status, PayoutStatus::Processing);
    let cases: [(&'static str, &'static str); 3] = [
        (
            "update payments set created_at = created_at - interval '4 days' where status = 'requires_action'",
            "update payments set created_at = created_at + interval '4 days' where status = 'requires_action'",
        ),
        (
            "update refunds set created_at = created_at - interval '15 days'",
            "update refunds set created_at = created_at + interval '15 days'",
        ),
        (
            "update seller_payouts set asked_at = asked_at - interval '15 days'",
            "update seller_payouts set asked_at = asked_at + interval '15 days'",
        ),
    ];
    for (wrong, right) in cases {
        breaks(&market, "outcomes_come", &[wrong], &[right]).await;
    }
    market.verified().await;
}
