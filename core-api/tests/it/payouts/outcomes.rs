//! What becomes of a payout at its provider, and between any two steps of a crash.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use core_api::earnings::model::EarningState;
use core_api::payments::Till;
use core_api::payments::provider::{ProviderError, Transfer};
use core_api::payouts::model::Payout;
use core_api::payouts::provider::{PayoutOrder, PayoutProvider};
use core_api::payouts::settle;
use serde_json::{Value, json};
use shared::ids::PayoutId;
use shared::status::PayoutStatus;
use tokio::sync::{Barrier, Notify};
use uuid::Uuid;

use super::{account, balance, claimed, earnings, now, paid, reconcile, released};
use crate::market::Market;

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

    async fn find_payout(&self, _: &PayoutOrder) -> Result<Option<Transfer>, ProviderError> {
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

/// Claims what may be paid out, says that the provider is about to be asked, and dies there.
async fn dies_before_it_asks(market: &Market) -> PayoutId {
    let id = claimed(market).await;
    let silent = Arc::new(Silent {
        asked: Notify::new(),
        paying: None,
    });
    let till = Till {
        payer: silent.clone(),
        ..market.till()
    };
    let paying = tokio::spawn(async move { settle::submit(&till, id).await });
    silent.asked.notified().await;
    paying.abort();
    assert!(paying.await.is_err_and(|error| error.is_cancelled()));
    id
}

const TRANSFERS: &str = "select count(*) from test_provider_transfers";

#[tokio::test]
async fn what_is_held_or_suspended_after_it_was_begun_and_never_sent_is_not_sent_until_it_may_be() {
    let market = Market::open(10, 5_000).await;
    let (owner, admin) = (market.owner(), market.app.admin().await);
    account(&owner, "test_bank").await;
    released(&market).await;
    let id = dies_before_it_asks(&market).await;
    let hold = format!("/admin/sellers/{}/payout-hold", market.shop.seller);
    admin.post(&hold, &json!({"reason": "wait"})).await.created::<Value>();
    assert_eq!(reconcile(&market).await, 1);
    assert_eq!(market.number(TRANSFERS).await, 0);
    admin.delete(&hold).await.gone();
    let status = async |status: &'static str| {
        let set = sqlx::query("update sellers set status = $1").bind(status);
        set.execute(&market.app.db.pool).await.expect("set");
    };
    status("suspended").await;
    assert_eq!(reconcile(&market).await, 1);
    assert_eq!(market.number(TRANSFERS).await, 0);
    status("approved").await;
    assert_eq!(now(&owner, id).await.status, PayoutStatus::Processing);
    market.verified().await;
    assert_eq!(reconcile(&market).await, 1);
    assert_eq!(now(&owner, id).await.status, PayoutStatus::Paid);
    market.verified().await;
}

#[tokio::test]
async fn a_payout_that_is_too_old_to_be_sent_has_failed() {
    let market = Market::open(10, 5_000).await;
    let owner = market.owner();
    account(&owner, "test_bank").await;
    released(&market).await;
    let id = dies_before_it_asks(&market).await;
    let old = "update seller_payouts set asked_at = now() - interval '24 hours' where id = $1";
    assert_eq!(market.sql(old, id.0).await, 1);
    assert_eq!(reconcile(&market).await, 1);
    let failed = now(&owner, id).await;
    assert_eq!(
        (failed.status, failed.failure_code.as_deref()),
        (PayoutStatus::Failed, Some("never_sent"))
    );
    assert_eq!(market.number(TRANSFERS).await, 0);
    let told = "select count(*) from notifications where kind = 'payout_failed'";
    assert_eq!(market.number(told).await, 1);
    market.verified().await;
    assert_eq!(paid(&owner).await.amount.minor, 4_500);
    assert_eq!(market.number(TRANSFERS).await, 1);
    market.verified().await;
}

/// A provider that answers eight at once, and nobody before.
struct Together {
    eight: Barrier,
    asked: AtomicUsize,
    most: AtomicUsize,
}

#[async_trait::async_trait]
impl PayoutProvider for Together {
    fn provider(&self) -> &'static str {
        "test"
    }

    fn knows_destination(&self, _: &str) -> bool {
        true
    }

    async fn pay_out(&self, _: &PayoutOrder) -> Result<Transfer, ProviderError> {
        Err(ProviderError::Timeout)
    }

    async fn find_payout(&self, _: &PayoutOrder) -> Result<Option<Transfer>, ProviderError> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(asked, Ordering::SeqCst);
        // Whoever else may be asked at once is, before the first eight go on.
        tokio::task::yield_now().await;
        self.eight.wait().await;
        self.asked.fetch_sub(1, Ordering::SeqCst);
        Err(ProviderError::Timeout)
    }
}

#[tokio::test]
async fn a_provider_that_hangs_is_asked_about_several_at_once_and_not_about_all() {
    let market = Market::open(10, 5_000).await;
    account(&market.owner(), "test_bank").await;
    let underway = "insert into seller_payouts (id, seller_id, payout_account_id, status, amount_minor, currency)
        select gen_random_uuid(), seller_id, id, 'processing', 100, currency
          from payout_accounts, generate_series(1, 16) where seller_id = $1";
    assert_eq!(market.sql(underway, market.shop.seller.0).await, 16);
    let together = Arc::new(Together {
        eight: Barrier::new(8),
        asked: AtomicUsize::new(0),
        most: AtomicUsize::new(0),
    });
    let till = Till {
        payer: together.clone(),
        timeout: Duration::from_secs(120),
        ..market.till()
    };
    let asked = tokio::time::timeout(Duration::from_secs(60), settle::reconcile(&till, 100)).await;
    assert_eq!(asked.expect("eight are asked at once").expect("asked"), 16);
    assert_eq!(together.most.load(Ordering::SeqCst), 8);
}
