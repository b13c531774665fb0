//! Money on its way to shops: what may be paid out, once, whatever fails or races.

mod books;
mod outcomes;
mod paid;
mod scheduled;

use core_api::earnings::model::{Balance, CurrencyBalance, Earning};
use core_api::orders::model::Order;
use core_api::payouts::model::{Payout, PayoutAccount};
use core_api::payouts::{self, Claim, settle};
use serde_json::{Value, json};
use shared::ids::PayoutId;
use shared::money::Currency;
use uuid::Uuid;

use crate::harness::{Reply, Session};
use crate::market::Market;

/// All of an order has arrived, and what it earned may be paid out.
pub const RELEASE: &str = "with s as (
        insert into shipments (id, order_id, seller_id, carrier, delivered_at, delivered_by)
        select gen_random_uuid(), $1, seller_id, 'dhl', now(), 'buyer' from order_items where order_id = $1
         group by seller_id returning id, seller_id),
    u as (insert into shipment_items
          select s.id, i.id, i.quantity from order_items i join s on s.seller_id = i.seller_id where i.order_id = $1),
    o as (update orders set status = 'completed' where id = $1)
    update order_items set shipped = quantity, delivered = quantity, release_after = now() - interval '1 hour',
                           released_at = now() where order_id = $1";

pub fn euro() -> Currency {
    Currency::parse("EUR").expect("a currency")
}

/// An order of one unit that is paid; ten percent of its price are the platform's.
pub async fn sold(market: &Market) -> Order {
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 1).await;
    buyer.pay(order.id, "test_success").await;
    order
}

/// One that has arrived, too.
pub async fn released(market: &Market) -> Order {
    let order = sold(market).await;
    assert_eq!(market.sql(RELEASE, order.id.0).await, 1);
    order
}

pub async fn account(owner: &Session, destination: &str) -> PayoutAccount {
    let body = json!({"destination": destination});
    owner.post("/seller/payout-accounts", &body).await.created()
}

pub async fn ask(owner: &Session, key: Uuid) -> Reply {
    owner.post_once("/seller/payouts", key, &json!({})).await
}

pub async fn paid(owner: &Session) -> Payout {
    ask(owner, Uuid::now_v7()).await.created()
}

pub async fn now(owner: &Session, id: PayoutId) -> Payout {
    owner.get(&format!("/seller/payouts/{id}")).await.ok()
}

pub async fn balance(owner: &Session) -> CurrencyBalance {
    let balance: Balance = owner.get("/seller/balance").await.ok();
    balance.balances[0]
}

pub async fn earnings(owner: &Session, path: &str) -> Vec<Earning> {
    let list: Value = owner.get(path).await.ok();
    serde_json::from_value(list["items"].clone()).expect("earnings")
}

pub async fn reconcile(market: &Market) -> u64 {
    settle::reconcile(&market.till(), 100).await.expect("reconciled")
}

/// Gives the money of an order's only line back.
pub async fn refund(admin: &Session, order: &Order) {
    let path = format!("/admin/orders/{}/refunds", order.id);
    let items = json!([{"order_item_id": order.items[0].id, "quantity": 1}]);
    let body = json!({"items": items, "reason": "goodwill"});
    admin.post_once(&path, Uuid::now_v7(), &body).await.created::<Value>();
}

/// Claims what may be paid out and dies before the provider is asked.
pub async fn claimed(market: &Market) -> PayoutId {
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
pub async fn broken(market: &Market) -> Vec<&'static str> {
    let report = shared::verify::run(&market.app.db.pool).await.expect("verified");
    report.broken().map(|check| check.name).collect()
}
