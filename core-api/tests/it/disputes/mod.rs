//! Captures that banks call into question: what is frozen, who bears what is lost, and that
//! books and provider agree whatever comes when.

mod books;
mod freezing;
mod losing;

use core_api::disputes::model::{Dispute, DisputeDetail};
use core_api::earnings::model::{Balance, CurrencyBalance, Earning};
use core_api::http::List;
use core_api::orders::model::Order;
use core_api::payments::TestProvider;
use serde_json::{Value, json};
use shared::money::Money;

use crate::harness::Session;
use crate::market::{Buyer, Market};
use crate::provider_events::telling;

/// A market whose provider tells of what happens.
async fn market(on_hand: i32, price_minor: i64) -> Market {
    Market::open_with(on_hand, price_minor, telling).await
}

impl Market {
    /// The test provider, as whoever tests it reaches it.
    pub fn test_provider(&self) -> TestProvider {
        self.telling_till().built_in.expect("it is the provider")
    }

    /// The bank disputes an order's payment, all of it or so much, and we hear of it. Returns
    /// the provider's name of the dispute.
    pub async fn is_disputed(&self, order: &Order, minor: Option<i64>) -> String {
        let amount = minor.map(|minor| Money::new(minor, order.total.currency));
        let opened = self.test_provider().open_dispute(order.payments[0].id, amount).await;
        self.hears().await;
        opened.expect("it was captured")
    }

    /// A dispute is decided, and we hear of it.
    pub async fn is_decided(&self, reference: &str, won: bool) {
        let decided = self.test_provider().decide_dispute(reference, won).await;
        decided.expect("there is one");
        self.hears().await;
    }

    /// All disputes, newest first, as an admin sees them.
    pub async fn disputes(&self) -> Vec<Dispute> {
        let list: List<Dispute> = self.app.admin().await.get("/admin/disputes").await.ok();
        list.items
    }

    /// The only one, with what it is about.
    pub async fn only_dispute(&self) -> DisputeDetail {
        let [dispute] = &self.disputes().await[..] else {
            panic!("one dispute");
        };
        let path = format!("/admin/disputes/{}", dispute.id);
        self.app.admin().await.get(&path).await.ok()
    }
}

/// An order of so many units that has arrived and whose earnings may be paid out.
async fn released(market: &Market, buyer: &Buyer, quantity: i32) -> Order {
    let order = buyer.paid(market, quantity, "test_success").await;
    market.arrives(buyer, order.id).await;
    let due = "update order_items set release_after = now() - interval '1 hour' where order_id = $1";
    market.sql(due, order.id.0).await;
    let released = core_api::fulfilment::release::release(&market.app.db.pool, 100).await;
    assert_eq!(released.expect("released"), 1);
    order
}

async fn account(owner: &Session) {
    let body = json!({"destination": "test_bank"});
    owner.post("/seller/payout-accounts", &body).await.created::<Value>();
}

async fn balance(owner: &Session) -> CurrencyBalance {
    let balance: Balance = owner.get("/seller/balance").await.ok();
    balance.balances[0]
}

async fn earnings(owner: &Session) -> Vec<Earning> {
    let list: List<Earning> = owner.get("/seller/earnings").await.ok();
    list.items
}

/// What somebody was told, by kind, oldest first.
async fn told(somebody: &Session) -> Vec<String> {
    let list: Value = somebody.get("/notifications").await.ok();
    let kinds = list["items"].as_array().expect("a list").iter().rev();
    kinds
        .filter_map(|item| item["kind"].as_str())
        .filter(|kind| kind.starts_with("dispute_"))
        .map(str::to_owned)
        .collect()
}
