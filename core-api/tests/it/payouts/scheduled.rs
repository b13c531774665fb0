//! Payouts that come by themselves.

use chrono::{DateTime, Utc};
use core_api::payments::Till;
use core_api::payouts::model::PayoutAccount;
use core_api::payouts::schedule;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{account, released};
use crate::market::Market;

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
