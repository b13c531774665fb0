//! What may be paid out: all of it, once, and nothing that may not.

use core_api::earnings::model::{Balance, Earning, EarningState, HeldBecause};
use core_api::http::List;
use core_api::payouts::model::Payout;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::ids::PaymentId;
use shared::status::PayoutStatus;
use uuid::Uuid;

use super::{account, ask, balance, earnings, paid, refund, released, sold};
use crate::market::Market;
use crate::provider_events::telling;

#[tokio::test]
async fn what_is_released_is_paid_out_and_every_line_of_it_is_explained() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    let (held, order) = (sold(&market).await, released(&market).await);
    let before = balance(&owner).await;
    assert_eq!(
        (before.held_minor, before.available_minor, before.owed_minor),
        (4_500, 4_500, 9_000)
    );
    let named = account(&owner, "test_bank").await;
    let payout = paid(&owner).await;
    assert_eq!(
        (payout.status, payout.amount.minor, payout.account_id),
        (PayoutStatus::Paid, 4_500, named.id)
    );
    let after = balance(&owner).await;
    assert_eq!(
        (after.available_minor, after.paid_out_minor, after.owed_minor),
        (0, 4_500, 4_500)
    );
    let lines = earnings(&owner, &format!("/seller/payouts/{}/lines", payout.id)).await;
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!((line.order_id, line.payout_id), (Some(order.id), Some(payout.id)));
    assert_eq!(
        (
            line.base.minor,
            line.commission.minor,
            line.commission_bps,
            line.amount.minor
        ),
        (5_000, 500, Some(1_000), 4_500)
    );
    assert_eq!((line.state, line.held_because), (EarningState::PaidOut, None));
    assert!(line.released_at.is_some());
    let waiting = earnings(&owner, "/seller/earnings?state=held").await;
    assert_eq!(
        (waiting[0].order_id, waiting[0].held_because, waiting.len()),
        (Some(held.id), Some(HeldBecause::NotDelivered), 1)
    );
    let told = "select count(*) from notifications where kind = 'payout_paid'";
    assert_eq!(market.number(told).await, 1);
    let audited =
        "select count(*) from audit_log where action in ('payout.created', 'payout.processing', 'payout.paid')";
    assert_eq!(market.number(audited).await, 3);
    market.verified().await;
}

#[tokio::test]
async fn nothing_is_paid_without_an_account_below_the_least_or_while_it_is_held() {
    let market = Market::open(10, 1_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    released(&market).await;
    ask(&owner, Uuid::now_v7()).await.refused(409, "wrong_state");
    let bad = json!({"destination": "nowhere"});
    owner
        .post("/seller/payout-accounts", &bad)
        .await
        .refused(422, "invalid_body");
    let named = account(&owner, "test_bank").await;
    let twice = json!({"destination": "test_bank", "currency": "EUR"});
    owner
        .post("/seller/payout-accounts", &twice)
        .await
        .refused(409, "conflict");
    // 900 of 1000.
    ask(&owner, Uuid::now_v7()).await.refused(409, "payout_too_small");
    released(&market).await;
    let hold = format!("/admin/sellers/{}/payout-hold", market.shop.seller);
    admin.delete(&hold).await.refused(404, "not_found");
    admin
        .post(&hold, &json!({"reason": " "}))
        .await
        .refused(422, "invalid_body");
    admin
        .post(&hold, &json!({"reason": "many returns"}))
        .await
        .created::<Value>();
    admin
        .post(&hold, &json!({"reason": "again"}))
        .await
        .refused(409, "wrong_state");
    let refused = ask(&owner, Uuid::now_v7()).await.refused(409, "payouts_held");
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("many returns"))
    );
    let shown: Balance = owner.get("/seller/balance").await.ok();
    assert_eq!(shown.payout_hold.map(|hold| hold.reason), Some("many returns".into()));
    admin.delete(&hold).await.gone();
    owner
        .delete(&format!("/seller/payout-accounts/{}", named.id))
        .await
        .gone();
    ask(&owner, Uuid::now_v7()).await.refused(409, "wrong_state");
    account(&owner, "test_bank").await;
    assert_eq!(paid(&owner).await.amount.minor, 1_800);
    ask(&owner, Uuid::now_v7()).await.refused(409, "payout_too_small");
    market.verified().await;
}

#[tokio::test]
async fn a_payment_in_dispute_is_not_paid_out() {
    let market = Market::open_with(10, 5_000, telling).await;
    let owner = market.owner();
    account(&owner, "test_bank").await;
    let order = released(&market).await;
    let payment = "select id from payments where order_id = $1";
    let payment = sqlx::query_scalar(payment)
        .bind(order.id.0)
        .fetch_one(&market.app.db.pool)
        .await;
    let payment = PaymentId(payment.expect("it was paid"));
    market
        .test_provider()
        .open_dispute(payment, None)
        .await
        .expect("opened");
    market.hears().await;
    assert_eq!(balance(&owner).await.disputed_minor, 4_500);
    ask(&owner, Uuid::now_v7()).await.refused(409, "payout_too_small");
}

#[tokio::test]
async fn one_key_is_one_payout_and_says_what_became_of_it() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    account(&owner, "test_bank").await;
    released(&market).await;
    let key = Uuid::now_v7();
    let first: Payout = ask(&owner, key).await.created();
    released(&market).await;
    let again: Payout = ask(&owner, key).await.created();
    assert_eq!(again, first);
    let other = json!({"currency": "USD"});
    owner
        .post_once("/seller/payouts", key, &other)
        .await
        .refused(422, "request_id_reused");
    assert_eq!(market.number("select count(*) from seller_payouts").await, 1);
    market.verified().await;
}

#[tokio::test]
async fn of_fifty_who_ask_at_once_one_is_paid() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    account(&owner, "test_bank").await;
    released(&market).await;
    released(&market).await;
    let replies = join_all((0..50).map(|_| ask(&owner, Uuid::now_v7()))).await;
    let made = replies.iter().filter(|reply| reply.status.as_u16() == 201).count();
    assert_eq!(made, 1);
    for reply in replies.iter().filter(|reply| reply.status.as_u16() != 201) {
        reply.refused(409, "payout_too_small");
    }
    let transfers = "select sum(amount_minor)::bigint from test_provider_transfers";
    assert_eq!(market.number(transfers).await, 9_000);
    market.verified().await;
}

#[tokio::test]
async fn what_a_refund_takes_back_is_never_paid_out_beside_it() {
    let market = Market::open(40, 5_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    account(&owner, "test_bank").await;
    for _ in 0..5 {
        released(&market).await;
        let order = released(&market).await;
        let (_, reply) = tokio::join!(refund(&admin, &order), ask(&owner, Uuid::now_v7()));
        // Either the refund came first and less is paid, or it came later and is owed.
        let amount = reply.value()["amount"]["minor"].as_i64().expect("paid");
        let left = balance(&owner).await.available_minor;
        assert!(
            (amount, left) == (9_000, -4_500) || (amount, left) == (4_500, 0),
            "{amount} {left}"
        );
        if left < 0 {
            released(&market).await;
            assert_eq!(balance(&owner).await.available_minor, 0);
        }
        market.verified().await;
    }
}

#[tokio::test]
async fn a_statement_by_state_has_the_lines_of_the_whole_one_page_by_page() {
    let market = Market::open(20, 5_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    account(&owner, "test_bank").await;
    for _ in 0..3 {
        released(&market).await;
    }
    paid(&owner).await;
    let (order, _) = (released(&market).await, released(&market).await);
    refund(&admin, &order).await;
    let under_way = super::claimed(&market).await;
    for _ in 0..3 {
        sold(&market).await;
    }
    let (disputed, next) = (released(&market).await, released(&market).await);
    let open = "insert into disputes (id, payment_id, provider_ref, amount_minor, covered_minor, currency)
                select gen_random_uuid(), id, 'dp_1', amount_minor, amount_minor, currency from payments where order_id = $1";
    market.sql(open, disputed.id.0).await;
    let all = earnings(&owner, "/seller/earnings?limit=100").await;
    for (state, name, count) in [
        (EarningState::PaidOut, "paid_out", 3),
        (EarningState::OnItsWay, "on_its_way", 3),
        (EarningState::Held, "held", 3),
        (EarningState::Disputed, "disputed", 1),
        (EarningState::Available, "available", 1),
    ] {
        let expected: Vec<_> = all.iter().filter(|earning| earning.state == state).cloned().collect();
        assert_eq!(expected.len(), count, "{name}");
        let (mut shown, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/seller/earnings?state={name}&limit=2{cursor}");
            let page: List<Earning> = owner.get(&path).await.ok();
            shown.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(shown, expected, "{name}");
    }
    let available = all.iter().find(|earning| earning.state == EarningState::Available);
    assert_eq!(available.and_then(|earning| earning.order_id), Some(next.id));
    assert!(all.iter().any(|earning| earning.payout_id == Some(under_way)));
}
