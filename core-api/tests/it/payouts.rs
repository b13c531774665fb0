//! Money on its way to shops: what may be paid out, once, whatever fails or races.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use core_api::earnings::model::{Balance, CurrencyBalance, Earning, EarningState, HeldBecause};
use core_api::orders::model::Order;
use core_api::payments::Till;
use core_api::payments::provider::{ProviderError, Transfer};
use core_api::payouts::model::{Payout, PayoutAccount, WriteOff};
use core_api::payouts::provider::{PayoutOrder, PayoutProvider};
use core_api::payouts::{self, Claim, schedule, settle};
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::ids::PayoutId;
use shared::money::Currency;
use shared::status::PayoutStatus;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::harness::{Reply, Session};
use crate::market::Market;

/// All of an order has arrived, and what it earned may be paid out.
const RELEASE: &str = "with s as (
        insert into shipments (id, order_id, seller_id, carrier, delivered_at, delivered_by)
        select gen_random_uuid(), $1, seller_id, 'dhl', now(), 'buyer' from order_items where order_id = $1
         group by seller_id returning id, seller_id),
    u as (insert into shipment_items
          select s.id, i.id, i.quantity from order_items i join s on s.seller_id = i.seller_id where i.order_id = $1),
    o as (update orders set status = 'completed' where id = $1)
    update order_items set shipped = quantity, delivered = quantity, release_after = now() - interval '1 hour',
                           released_at = now() where order_id = $1";

fn euro() -> Currency {
    Currency::parse("EUR").expect("a currency")
}

/// An order of one unit that is paid; ten percent of its price are the platform's.
async fn sold(market: &Market) -> Order {
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    buyer.pay(order.id, "test_success").await;
    order
}

/// One that has arrived, too.
async fn released(market: &Market) -> Order {
    let order = sold(market).await;
    assert_eq!(market.sql(RELEASE, order.id.0).await, 1);
    order
}

async fn account(owner: &Session, destination: &str) -> PayoutAccount {
    let body = json!({"destination": destination});
    owner.post("/seller/payout-accounts", &body).await.created()
}

async fn ask(owner: &Session, key: Uuid) -> Reply {
    owner.post_once("/seller/payouts", key, &json!({})).await
}

async fn paid(owner: &Session) -> Payout {
    ask(owner, Uuid::now_v7()).await.created()
}

async fn now(owner: &Session, id: PayoutId) -> Payout {
    owner.get(&format!("/seller/payouts/{id}")).await.ok()
}

async fn balance(owner: &Session) -> CurrencyBalance {
    let balance: Balance = owner.get("/seller/balance").await.ok();
    balance.balances[0]
}

async fn earnings(owner: &Session, path: &str) -> Vec<Earning> {
    let list: Value = owner.get(path).await.ok();
    serde_json::from_value(list["items"].clone()).expect("earnings")
}

async fn reconcile(market: &Market) -> u64 {
    settle::reconcile(&market.till(), 100).await.expect("reconciled")
}

/// Gives the money of an order's only line back.
async fn refund(admin: &Session, order: &Order) {
    let path = format!("/admin/orders/{}/refunds", order.id);
    let items = json!([{"order_item_id": order.items[0].id, "quantity": 1}]);
    let body = json!({"items": items, "reason": "goodwill"});
    admin.post_once(&path, Uuid::now_v7(), &body).await.created::<Value>();
}

/// Claims what may be paid out and dies before the provider is asked.
async fn claimed(market: &Market) -> PayoutId {
    let claim = Claim {
        seller: market.shop.seller,
        currency: euro(),
        minimum_minor: 1,
        by: None,
        period: None,
    };
    let mut tx = market.app.db.pool.begin().await.expect("begun");
    let id = payouts::claim(&mut tx, &claim).await.expect("claimed");
    tx.commit().await.expect("committed");
    id
}

/// The invariants that do not hold.
async fn broken(market: &Market) -> Vec<&'static str> {
    let report = shared::verify::run(&market.app.db.pool).await.expect("verified");
    report.broken().map(|check| check.name).collect()
}

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
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    account(&owner, "test_bank").await;
    let order = released(&market).await;
    let dispute = "insert into disputes (id, payment_id, provider_ref, amount_minor, currency)
                   select gen_random_uuid(), id, id::text, amount_minor, currency from payments where order_id = $1";
    assert_eq!(market.sql(dispute, order.id.0).await, 1);
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
async fn a_payout_that_is_refused_or_sent_back_waits_for_the_next_one() {
    let market = Market::open(10, 5_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    let closed = account(&owner, "test_bank_refuses").await;
    released(&market).await;
    let failed = paid(&owner).await;
    assert_eq!(
        (failed.status, failed.failure_code.as_deref()),
        (PayoutStatus::Failed, Some("account_closed"))
    );
    assert_eq!(balance(&owner).await.available_minor, 4_500);
    market.verified().await;
    owner
        .delete(&format!("/seller/payout-accounts/{}", closed.id))
        .await
        .gone();
    account(&owner, "test_bank_returns").await;
    let retry = format!("/admin/payouts/{}/retry", failed.id);
    let again: Payout = admin.post_once(&retry, Uuid::now_v7(), &json!({})).await.created();
    assert_eq!((again.status, again.amount.minor), (PayoutStatus::Paid, 4_500));
    let retry = format!("/admin/payouts/{}/retry", again.id);
    admin
        .post_once(&retry, Uuid::now_v7(), &json!({}))
        .await
        .refused(409, "wrong_state");
    market.verified().await;
    assert_eq!(reconcile(&market).await, 0, "it was looked at a moment ago");
    market
        .sql(
            "update test_provider_transfers set created_at = now() - interval '2 hours' where our_id = $1",
            again.id.0,
        )
        .await;
    market
        .sql(
            "update seller_payouts set updated_at = now() - interval '2 hours' where id = $1",
            again.id.0,
        )
        .await;
    market.verified().await;
    assert_eq!(reconcile(&market).await, 1);
    let back = now(&owner, again.id).await;
    assert_eq!(
        (back.status, back.failure_code.as_deref()),
        (PayoutStatus::Returned, Some("returned_by_bank"))
    );
    let after = balance(&owner).await;
    assert_eq!(
        (after.available_minor, after.paid_out_minor, after.owed_minor),
        (4_500, 0, 4_500)
    );
    let lines = earnings(&owner, &format!("/seller/payouts/{}/lines", again.id)).await;
    assert_eq!((lines[0].state, lines[0].payout_id), (EarningState::Available, None));
    let told = "select count(*) from notifications where kind = 'payout_failed'";
    assert_eq!(market.number(told).await, 2);
    market.verified().await;
}

#[tokio::test]
async fn an_answer_that_was_lost_is_asked_for_and_one_that_is_slow_is_waited_for() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    let lossy = account(&owner, "test_bank_timeout").await;
    released(&market).await;
    let lost = paid(&owner).await;
    assert_eq!(lost.status, PayoutStatus::Processing);
    assert_eq!(balance(&owner).await.on_its_way_minor, 4_500);
    market.verified().await;
    let cancel = format!("/seller/payouts/{}/cancel", lost.id);
    owner.post(&cancel, &json!({})).await.refused(409, "wrong_state");
    assert_eq!(reconcile(&market).await, 1);
    assert_eq!(now(&owner, lost.id).await.status, PayoutStatus::Paid);
    owner
        .delete(&format!("/seller/payout-accounts/{}", lossy.id))
        .await
        .gone();
    account(&owner, "test_bank_slow").await;
    released(&market).await;
    let slow = paid(&owner).await;
    reconcile(&market).await;
    assert_eq!(now(&owner, slow.id).await.status, PayoutStatus::Processing);
    market.verified().await;
    market
        .sql(
            "update test_provider_transfers set created_at = now() - interval '2 hours' where our_id = $1",
            slow.id.0,
        )
        .await;
    reconcile(&market).await;
    assert_eq!(now(&owner, slow.id).await.status, PayoutStatus::Paid);
    market.verified().await;
}

/// A provider that is asked, may pay, and never answers, as when the process dies meanwhile.
struct Silent {
    asked: Notify,
    paying: Option<Arc<dyn PayoutProvider>>,
}

#[async_trait::async_trait]
impl PayoutProvider for Silent {
    fn provider(&self) -> &'static str {
        "test"
    }

    fn knows_destination(&self, _: &str) -> bool {
        true
    }

    async fn pay_out(&self, order: &PayoutOrder) -> Result<Transfer, ProviderError> {
        if let Some(provider) = &self.paying {
            provider.pay_out(order).await?;
        }
        self.asked.notify_one();
        std::future::pending().await
    }

    async fn find_payout(&self, _: PayoutId) -> Result<Option<Transfer>, ProviderError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_crash_between_any_two_steps_leaves_a_payout_that_is_made_once() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    account(&owner, "test_bank").await;
    // Before the provider was asked, and before and after it paid.
    for dies in 0..3 {
        released(&market).await;
        let id = claimed(&market).await;
        market.verified().await;
        if dies > 0 {
            let silent = Arc::new(Silent {
                asked: Notify::new(),
                paying: (dies == 2).then(|| market.till().payer),
            });
            let till = Till {
                payer: silent.clone(),
                ..market.till()
            };
            let paying = tokio::spawn(async move { settle::submit(&till, id).await });
            silent.asked.notified().await;
            paying.abort();
            assert!(paying.await.is_err_and(|error| error.is_cancelled()));
            assert_eq!(now(&owner, id).await.status, PayoutStatus::Processing);
            market.verified().await;
        }
        assert_eq!(reconcile(&market).await, 1);
        assert_eq!(now(&owner, id).await.status, PayoutStatus::Paid);
        market.verified().await;
    }
    let transfers = "select count(*) from test_provider_transfers";
    assert_eq!(market.number(transfers).await, 3);
}

#[tokio::test]
async fn the_same_key_goes_on_with_a_payout_that_was_never_sent() {
    let market = Market::open(10, 5_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    account(&owner, "test_bank").await;
    released(&market).await;
    let id = claimed(&market).await;
    // Held after it was claimed: it is not sent, and may be called off.
    let hold = format!("/admin/sellers/{}/payout-hold", market.shop.seller);
    admin.post(&hold, &json!({"reason": "wait"})).await.created::<Value>();
    assert_eq!(reconcile(&market).await, 1);
    assert_eq!(now(&owner, id).await.status, PayoutStatus::Creating);
    let cancel = format!("/seller/payouts/{id}/cancel");
    let cancelled: Payout = owner.post(&cancel, &json!({})).await.ok();
    assert_eq!(cancelled.status, PayoutStatus::Cancelled);
    owner.post(&cancel, &json!({})).await.refused(409, "wrong_state");
    settle::submit(&market.till(), id).await.expect("left alone");
    assert_eq!(balance(&owner).await.available_minor, 4_500);
    admin.delete(&hold).await.gone();
    assert_eq!(paid(&owner).await.amount.minor, 4_500);
    market.verified().await;
}

/// Pays whatever is due at a time.
async fn pay_due(till: &Till, at: DateTime<Utc>) -> u64 {
    schedule::pay_due(till, 1_000, at, 100).await.expect("looked")
}

#[tokio::test]
async fn a_schedule_pays_once_a_period_on_however_many_processes() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    let named = account(&owner, "test_bank").await;
    let path = format!("/seller/payout-accounts/{}", named.id);
    let daily: PayoutAccount = owner.patch(&path, &json!({"schedule": "daily"})).await.ok();
    released(&market).await;
    let (now, tomorrow) = (Utc::now(), daily.next_at.expect("a time"));
    assert_eq!(pay_due(&market.till(), now).await, 0, "it begins with the next period");
    let (one, other) = (market.till(), market.till());
    let turns = join_all((0..8).map(|turn| {
        let till = if turn % 2 == 0 { &one } else { &other };
        pay_due(till, tomorrow)
    }));
    assert_eq!(turns.await.iter().sum::<u64>(), 1);
    released(&market).await;
    assert_eq!(pay_due(&one, tomorrow).await, 0);
    assert_eq!(market.number("select count(*) from seller_payouts").await, 1);
    let list: Value = owner.get("/seller/payouts?status=paid").await.ok();
    let period = list["items"][0]["period"].as_str().expect("a period");
    assert_eq!(period, format!("daily {}", tomorrow.date_naive()));
    let day_after = tomorrow + chrono::TimeDelta::days(1);
    assert_eq!(pay_due(&one, day_after).await, 1);
    assert_eq!(market.number("select count(*) from seller_payouts").await, 2);
    // Nothing to pay: the period passes.
    assert_eq!(pay_due(&one, day_after + chrono::TimeDelta::days(1)).await, 1);
    assert_eq!(market.number("select count(*) from seller_payouts").await, 2);
    let manual: PayoutAccount = owner.patch(&path, &json!({"schedule": "manual"})).await.ok();
    assert_eq!(manual.next_at, None);
    market.verified().await;
}

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
    assert_eq!(
        (&detail["before_minor"], &detail["after_minor"]),
        (&json!(-4_500), &json!(0))
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
