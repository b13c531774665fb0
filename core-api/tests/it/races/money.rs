//! Who gets the money: no refund and no payout takes what another one has taken, and what is
//! sent is not called off.

use core_api::earnings::model::Balance;
use core_api::orders::model::Order;
use core_api::payments::Till;
use core_api::payouts::schedule;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::status::OrderStatus;
use uuid::Uuid;

use super::{ROUNDS, minor, refused_with, won};
use crate::fulfilment::try_ship;
use crate::harness::{Reply, Session};
use crate::market::{Buyer, Market};
use crate::payouts::RELEASE;

/// What one unit costs, and what of that is the shop's.
const PRICE: i64 = 5_000;
const EARNED: i64 = 4_500;

/// An order that has arrived, and may be paid out.
async fn released(market: &Market, buyer: &Buyer, quantity: i32) -> Order {
    let order = buyer.paid(market, quantity, "test_success").await;
    assert_eq!(market.sql(RELEASE, order.id.0).await, 1);
    order
}

async fn gives_back(admin: &Session, order: &Order, quantity: i32) -> Reply {
    let items = json!([{"order_item_id": order.items[0].id, "quantity": quantity}]);
    let path = format!("/admin/orders/{}/refunds", order.id);
    let body = json!({"items": items, "reason": "goodwill"});
    admin.post_once(&path, Uuid::now_v7(), &body).await
}

async fn calls_off(session: &Session, prefix: &str, order: &Order, quantity: i32) -> Reply {
    let path = format!("{prefix}/orders/{}/items/{}/cancel", order.id, order.items[0].id);
    let body = json!({"quantity": quantity, "reason": "not wanted"});
    session.post_once(&path, Uuid::now_v7(), &body).await
}

async fn asks_for_money(owner: &Session) -> Reply {
    owner.post_once("/seller/payouts", Uuid::now_v7(), &json!({})).await
}

async fn has_account(market: &Market) -> Uuid {
    let account: Value = market
        .owner()
        .post("/seller/payout-accounts", &json!({"destination": "test_bank"}))
        .await
        .created();
    account["id"].as_str().expect("an id").parse().expect("an id")
}

async fn available(owner: &Session) -> i64 {
    let balance: Balance = owner.get("/seller/balance").await.ok();
    balance.balances[0].available_minor
}

#[tokio::test]
async fn refunds_at_once_never_give_more_back_than_was_paid() {
    const UNITS: i32 = 5;
    let market = Market::open(1_000, PRICE).await;
    let (buyer, owner, admin) = (market.buyer().await, market.owner(), market.app.admin().await);
    for round in 0..ROUNDS {
        let order = buyer.paid(&market, UNITS, "test_success").await;
        // Nine units are asked back of five, from three sides.
        let replies = join_all((0..6).map(async |n| match n % 3 {
            0 => gives_back(&admin, &order, 2).await,
            1 => calls_off(&owner, "/seller", &order, 1).await,
            _ => calls_off(&buyer.session, "", &order, 2).await,
        }))
        .await;
        let (decided, late) = won(&replies);
        refused_with(&late, &["refund_too_large", "wrong_state"]);
        assert!(!decided.is_empty());
        let now = buyer.order_now(order.id).await;
        let sum: i64 = now.refunds.iter().map(|refund| refund.amount.minor).sum();
        assert_eq!(now.refunded.minor, sum, "round {round}: each is through");
        assert!(sum <= order.total.minor, "round {round}: {sum} of {}", order.total);
        let left = gives_back(&admin, &order, UNITS - i32::try_from(sum / PRICE).expect("few")).await;
        assert_eq!(
            left.status.is_success(),
            sum < order.total.minor,
            "round {round}: {}",
            left.text
        );
        assert_eq!(buyer.order_now(order.id).await.refunded, order.total, "round {round}");
    }
    market.came_to_no_harm().await;
}

#[tokio::test]
async fn a_refund_and_a_payout_at_once_never_take_the_same_money() {
    let market = Market::open(1_000, PRICE).await;
    let (buyer, owner, admin) = (market.buyer().await, market.owner(), market.app.admin().await);
    has_account(&market).await;
    for round in 0..ROUNDS {
        released(&market, &buyer, 1).await;
        let order = released(&market, &buyer, 1).await;
        let (given, paid) = tokio::join!(gives_back(&admin, &order, 1), asks_for_money(&owner));
        given.created::<Value>();
        let paid = minor(&paid.created::<Value>()["amount"]);
        let left = available(&owner).await;
        match (paid / EARNED, left / EARNED) {
            // The refund was first, and so much less was paid; or the shop owes it.
            (1, 0) => {}
            (2, -1) => {
                released(&market, &buyer, 1).await;
            }
            other => panic!("round {round}: {other:?}"),
        }
        assert_eq!(available(&owner).await, 0, "round {round}");
        assert_eq!((paid % EARNED, left % EARNED), (0, 0), "round {round}");
    }
    market.came_to_no_harm().await;
}

#[tokio::test]
async fn payouts_at_once_take_each_earning_once() {
    let market = Market::open(1_000, PRICE).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let account = has_account(&market).await;
    let path = format!("/seller/payout-accounts/{account}");
    owner.patch(&path, &json!({"schedule": "daily"})).await.ok::<Value>();
    let tills: [Till; 2] = [market.till(), market.till()];
    let mut expected = 0;
    for round in 0..ROUNDS {
        released(&market, &buyer, 1).await;
        released(&market, &buyer, 2).await;
        expected += 3 * EARNED;
        // The shop asks from many windows, while two processes look at its schedule.
        let due = "update payout_accounts set next_at = now() where id = $1";
        assert_eq!(market.sql(due, account).await, 1);
        let later = chrono::Utc::now() + chrono::TimeDelta::days(i64::try_from(round).expect("few"));
        let scheduled = join_all(tills.iter().map(|till| schedule::pay_due(till, 1_000, later, 100)));
        let asked = join_all((0..6).map(|_| asks_for_money(&owner)));
        let (scheduled, asked) = tokio::join!(scheduled, asked);
        assert!(scheduled.into_iter().all(|looked| looked.is_ok()));
        let (paid, late) = won(&asked);
        assert!(paid.len() <= 1, "round {round}: {}", paid.len());
        refused_with(&late, &["payout_too_small"]);
        let out = "select sum(amount_minor)::bigint from test_provider_transfers where kind = 'payout'";
        assert_eq!(market.number(out).await, expected, "round {round}");
        let payouts = i64::try_from(round + 1).expect("few");
        assert_eq!(market.number("select count(*) from seller_payouts").await, payouts);
    }
    let twice = "select count(*) from (select seller_earning_id from seller_payout_items
                                        group by 1 having count(*) > 1) t";
    assert_eq!(market.number(twice).await, 0);
    market.came_to_no_harm().await;
}

#[tokio::test]
async fn what_is_sent_and_called_off_at_once_goes_out_or_is_refunded() {
    let market = Market::open(1_000, PRICE).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let before = market.stock(market.shop.variant).await.0;
    let mut sold = 0;
    for round in 0..ROUNDS {
        let order = buyer.paid(&market, 2, "test_success").await;
        let all = json!({"carrier": "Post"});
        let (sent, whole, unit) = tokio::join!(
            try_ship(&owner, order.id, &all),
            buyer.try_cancel(&order),
            calls_off(&owner, "/seller", &order, 1)
        );
        let now = buyer.order_now(order.id).await;
        let outcome = (
            sent.status.as_u16(),
            whole.status.as_u16(),
            unit.status.as_u16(),
            now.items[0].shipped,
            now.items[0].cancelled,
            now.refunded.minor / PRICE,
        );
        let status = match outcome {
            // All of it went out first; or it was called off first; or a unit was, and the
            // rest went out or was called off, too.
            (201, 409, 409, 2, 0, 0) | (201, 409, 200, 1, 1, 1) => OrderStatus::Shipped,
            (409, 200, 409 | 200, 0, 2, 2) => OrderStatus::Cancelled,
            other => panic!("round {round}: {other:?}: {} {} {}", sent.text, whole.text, unit.text),
        };
        assert_eq!(now.status, status, "round {round}");
        sold += now.items[0].shipped;
    }
    assert_eq!(market.stock(market.shop.variant).await, (before - sold, 0));
    market.came_to_no_harm().await;
}
