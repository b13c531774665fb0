//! Payouts over Stripe: transfers to shops' connected accounts.

use core_api::payments::provider::{ProviderError, TransferState};
use core_api::payouts::provider::PayoutOrder;
use core_api::payouts::settle;
use serde_json::{Value, json};
use shared::ids::PayoutId;
use shared::money::{Currency, Money};
use shared::status::PayoutStatus;

use super::double::{Double, Trouble};
use super::market;
use crate::market::Market;
use crate::payouts::{RELEASE, account, claimed, now, paid};

/// An order that has arrived, whose earnings may be paid out.
async fn released(market: &Market) {
    let buyer = market.buyer().await;
    let order = buyer.paid(market, 1, "pm_card_visa").await;
    assert_eq!(market.sql(RELEASE, order.id.0).await, 1);
}

async fn asks(market: &Market, double: &Double) -> u64 {
    let till = market.stripe_till(&double.api);
    settle::reconcile(&till, 100).await.expect("reconciled")
}

async fn one_hour_later(market: &Market, id: PayoutId) {
    let text = "update seller_payouts set updated_at = now() - interval '2 hours' where id = $1";
    assert_eq!(market.sql(text, id.0).await, 1);
}

#[tokio::test]
async fn a_shop_is_paid_once_whatever_is_lost() {
    let (market, double) = market().await;
    let owner = market.owner();
    let added = owner
        .post("/seller/payout-accounts", &json!({"destination": "test_bank"}))
        .await;
    assert_eq!(added.refused(422, "invalid_body")["field"], "destination");
    account(&owner, "acct_1Shop").await;
    for trouble in [
        None,
        Some(Trouble::AnswerLost),
        Some(Trouble::TooMany),
        Some(Trouble::Broken),
    ] {
        released(&market).await;
        if let Some(trouble) = trouble {
            double.trouble("/transfers", trouble);
        }
        let payout = paid(&owner).await;
        if trouble.is_some() {
            assert_eq!(payout.status, PayoutStatus::Processing);
            assert_eq!(asks(&market, &double).await, 1);
        }
        assert_eq!(now(&owner, payout.id).await.status, PayoutStatus::Paid, "{trouble:?}");
        let transfer = double.look(|books| books.transfers.last().cloned().expect("a transfer"));
        assert_eq!(
            (&transfer["amount"], &transfer["destination"]),
            (&json!(4_500), &json!("acct_1Shop"))
        );
        assert_eq!(transfer["transfer_group"], json!(payout.id));
    }
    assert_eq!(double.look(|books| books.transfers.len()), 4);
    market.verified().await;
}

#[tokio::test]
async fn a_transfer_that_is_refused_or_reversed_gives_the_shop_its_earnings_back() {
    let (market, double) = market().await;
    let owner = market.owner();
    for (destination, why) in [
        ("acct_poor", "balance_insufficient"),
        ("acct_missing", "account_closed"),
    ] {
        let added = account(&owner, destination).await;
        if destination == "acct_poor" {
            released(&market).await;
        }
        let failed = paid(&owner).await;
        assert_eq!(
            (failed.status, failed.failure_code.as_deref()),
            (PayoutStatus::Failed, Some(why))
        );
        owner
            .delete(&format!("/seller/payout-accounts/{}", added.id))
            .await
            .gone();
    }
    account(&owner, "acct_1Shop").await;
    let payout = paid(&owner).await;
    assert_eq!(payout.status, PayoutStatus::Paid);
    let reverse = |reversed: i64| {
        double.look(|books| {
            let transfer = books.transfers.last_mut().expect("a transfer");
            transfer["amount_reversed"] = json!(reversed);
            transfer["reversed"] = json!(reversed == 4_500);
            transfer.clone()
        })
    };
    reverse(4_000);
    one_hour_later(&market, payout.id).await;
    asks(&market, &double).await;
    assert_eq!(
        now(&owner, payout.id).await.status,
        PayoutStatus::Paid,
        "a part of it is for people"
    );
    let transfer = reverse(4_500);
    market.stripe_tells("transfer.reversed", &transfer).await.ok::<Value>();
    market.works_off(&double.api).await;
    let returned = now(&owner, payout.id).await;
    assert_eq!(
        (returned.status, returned.failure_code.as_deref()),
        (PayoutStatus::Returned, Some("reversed"))
    );
    assert_eq!(paid(&owner).await.status, PayoutStatus::Paid);
    market.verified().await;
}

#[tokio::test]
async fn a_payout_of_yesterday_that_stripe_has_never_heard_of_is_not_sent() {
    let (market, double) = market().await;
    let owner = market.owner();
    account(&owner, "acct_1Shop").await;
    released(&market).await;
    double.trouble("/transfers", Trouble::Broken);
    let payout = paid(&owner).await;
    market.a_day_passes("seller_payouts").await;
    asks(&market, &double).await;
    let failed = now(&owner, payout.id).await;
    assert_eq!(
        (failed.status, failed.failure_code.as_deref()),
        (PayoutStatus::Failed, Some("never_sent"))
    );
    assert_eq!(double.asked("POST", "/transfers"), 1);
    market.verified().await;
}

#[tokio::test]
async fn a_transfer_that_is_asked_for_again_is_looked_up_as_it_is_now_and_an_old_one_is_not_sent() {
    let (market, double) = market().await;
    let payer = market.stripe_till(&double.api).payer;
    let order = PayoutOrder {
        payout: PayoutId::new(),
        destination: "acct_1Shop".to_owned(),
        amount: Money::new(1_000, Currency::parse("EUR").expect("a currency")),
        provider: "stripe".to_owned(),
        is_old: false,
    };
    for _ in 0..2 {
        let made = payer.pay_out(&order).await.expect("an answer");
        assert_eq!(made.state, TransferState::Succeeded);
    }
    assert_eq!(double.look(|books| books.transfers.len()), 1);
    double.look(|books| books.transfers[0]["amount_reversed"] = json!(1_000));
    let now = payer.pay_out(&order).await.expect("an answer");
    assert_eq!(now.state, TransferState::Failed("reversed".to_owned()));

    let posts = double.asked("POST", "/transfers");
    let old = PayoutOrder {
        payout: PayoutId::new(),
        is_old: true,
        ..order
    };
    let refused = payer.pay_out(&old).await;
    assert!(matches!(refused, Err(ProviderError::Failed(_))), "{refused:?}");
    assert_eq!(double.asked("POST", "/transfers"), posts);
}

#[tokio::test]
async fn each_payment_is_carried_on_by_whom_it_was_begun_with_and_an_account_of_before_gets_nothing() {
    let market = Market::open(10, 5_000).await;
    let (owner, buyer) = (market.owner(), market.buyer().await);
    account(&owner, "test_bank").await;
    let order = buyer.paid(&market, 1, "test_success").await;
    assert_eq!(market.sql(RELEASE, order.id.0).await, 1);
    let late = buyer.order(market.shop.variant, 1).await;
    let payment = buyer.pay(late.id, "test_timeout").await;
    let double = Double::start();
    // From now on it is Stripe.
    assert_eq!(market.asks(&double.api).await, 1);
    assert_eq!(
        buyer.payment_now(&payment).await.status,
        shared::status::PaymentStatus::Captured
    );
    let payout = claimed(&market).await;
    asks(&market, &double).await;
    let failed = now(&owner, payout).await;
    let why = Some("account_of_another_provider");
    assert_eq!(
        (failed.status, failed.failure_code.as_deref()),
        (PayoutStatus::Failed, why)
    );
    assert_eq!(market.number("select count(*) from test_provider_transfers").await, 0);
    assert!(double.look(|books| books.exchanges.is_empty()));
    // And a payment of Stripe's waits while only the test provider is known.
    let status = "select count(*) from payments where status = 'processing'";
    let other = buyer.order(market.shop.variant, 1).await;
    let waiting = buyer.pay(other.id, "test_late_success").await;
    let renamed = "update payments set provider = 'stripe' where id = $1";
    assert_eq!(market.sql(renamed, waiting.id.0).await, 1);
    market.reconcile().await;
    assert_eq!(market.number(status).await, 1);
}
