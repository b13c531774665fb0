//! Payouts in the books: debts that are given up, and what `verify` notices.

use core_api::payouts::model::WriteOff;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{account, balance, broken, paid, refund, released, sold};
use crate::market::Market;

#[tokio::test]
async fn what_a_shop_owes_and_will_not_pay_is_given_up_to_the_cent() {
    let market = Market::open(10, 5_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    account(&owner, "test_bank").await;
    let order = released(&market).await;
    paid(&owner).await;
    let path = format!("/admin/sellers/{}/write-offs", market.shop.seller);
    let body = json!({"currency": "EUR", "reason": "closed for good"});
    admin
        .post_once(&path, Uuid::now_v7(), &body)
        .await
        .refused(409, "wrong_state");
    refund(&admin, &order).await;
    assert_eq!(balance(&owner).await.available_minor, -4_500);
    let written: WriteOff = admin.post_once(&path, Uuid::now_v7(), &body).await.created();
    assert_eq!(written.amount.minor, 4_500);
    let after = balance(&owner).await;
    assert_eq!((after.available_minor, after.owed_minor), (0, 0));
    let detail: Value = sqlx::query_scalar("select detail from audit_log where action = 'seller.written_off'")
        .fetch_one(&market.app.db.pool)
        .await
        .expect("audited");
    assert_eq!((&detail["before"], &detail["after"]), (&json!(-4_500), &json!(0)));
    market.verified().await;
}

#[tokio::test]
async fn a_debt_is_given_up_only_as_far_as_nothing_that_is_held_pays_it() {
    let market = Market::open(10, 5_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    account(&owner, "test_bank").await;
    let (first, second) = (released(&market).await, released(&market).await);
    paid(&owner).await;
    let path = format!("/admin/sellers/{}/write-offs", market.shop.seller);
    let body = json!({"currency": "EUR", "reason": "closed for good"});
    let give_up = async || admin.post_once(&path, Uuid::now_v7(), &body).await;
    refund(&admin, &first).await;
    sold(&market).await;
    // It owes as much as is held for it.
    let now = balance(&owner).await;
    assert_eq!((now.available_minor, now.held_minor), (-4_500, 4_500));
    let refused = give_up().await.refused(409, "wrong_state");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("held")));
    refund(&admin, &second).await;
    let unsettled = "update refunds set status = 'submitted', settled_at = null where order_id = $1";
    market.sql(unsettled, second.id.0).await;
    give_up().await.refused(409, "wrong_state");
    let settled = "update refunds set status = 'succeeded', settled_at = now() where order_id = $1";
    market.sql(settled, second.id.0).await;
    let written: WriteOff = give_up().await.created();
    assert_eq!(written.amount.minor, 4_500);
    let now = balance(&owner).await;
    assert_eq!(
        (now.available_minor, now.held_minor, now.owed_minor),
        (-4_500, 4_500, 0)
    );
    market.verified().await;
}

#[tokio::test]
async fn verify_notices_every_way_in_which_a_payout_can_be_wrong() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    account(&owner, "test_bank").await;
    released(&market).await;
    let id = paid(&owner).await.id;
    market.verified().await;
    let breaks: &[(&str, &str, &str)] = &[
        (
            "payout_sums",
            "update seller_payout_items set amount_minor = amount_minor + 1 where seller_payout_id = $1",
            "update seller_payout_items set amount_minor = amount_minor - 1 where seller_payout_id = $1",
        ),
        (
            "unclaimed_earnings_are_known",
            "insert into unclaimed_earnings (earning_id, seller_id, currency, order_item_id, amount_minor)
             select e.id, e.seller_id, e.currency, e.order_item_id, e.amount_minor
               from seller_payout_items t join seller_earnings e on e.id = t.seller_earning_id
              where t.seller_payout_id = $1",
            "delete from unclaimed_earnings where $1::uuid is not null",
        ),
        (
            "earnings_are_paid_once",
            "update seller_payout_items set released_at = now() where seller_payout_id = $1",
            "update seller_payout_items set released_at = null where seller_payout_id = $1",
        ),
        (
            "nothing_is_paid_before_its_release",
            "update order_items set released_at = null where $1::uuid is not null",
            "update order_items set released_at = now() where $1::uuid is not null",
        ),
        (
            "payouts_in_ledger",
            "update seller_payouts set status = 'processing' where id = $1",
            "update seller_payouts set status = 'paid' where id = $1",
        ),
        (
            "payouts_payable",
            "update seller_payouts set status = 'processing' where id = $1",
            "update seller_payouts set status = 'paid' where id = $1",
        ),
        (
            "sellers_are_owed_their_earnings",
            "update seller_payouts set amount_minor = amount_minor + 1 where id = $1",
            "update seller_payouts set amount_minor = amount_minor - 1 where id = $1",
        ),
        (
            "provider_agrees_on_payouts",
            "update test_provider_transfers set status = 'failed' where our_id = $1",
            "update test_provider_transfers set status = 'succeeded' where our_id = $1",
        ),
    ];
    for (name, wrong, right) in breaks {
        assert_eq!(market.sql(wrong, id.0).await, 1, "{name}");
        let found = broken(&market).await;
        assert!(found.contains(name), "{name} is not among {found:?}");
        assert_eq!(market.sql(right, id.0).await, 1, "{name}");
        market.verified().await;
    }
    let unbooked = "insert into seller_earnings (id, seller_id, kind, source_id, base_minor, shipping_minor,
                                                 commission_minor, amount_minor, currency)
                    values (gen_random_uuid(), $1, 'write_off', gen_random_uuid(), 5, 0, 0, 5, 'EUR')";
    market.sql(unbooked, market.shop.seller.0).await;
    let found = broken(&market).await;
    assert!(found.contains(&"write_offs_in_ledger"), "{found:?}");
}
