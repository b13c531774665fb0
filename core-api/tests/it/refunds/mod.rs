//! Money's way back to the buyer.

mod books;
mod cancelling;
mod deciding;
mod outcomes;
mod owed;
mod parts;
mod returns;
mod telling;

use core_api::orders::model::Order;
use core_api::refunds::model::Refund;
use serde_json::json;
use testkit::fixtures::{self, Shop};

use crate::harness::Reply;
use crate::market::{Buyer, Market};

impl Market {
    /// Asks the provider about every refund without an outcome.
    pub async fn settle_refunds(&self) -> u64 {
        core_api::refunds::reconcile(&self.till(), 100).await.expect("settled")
    }

    /// The test provider has had the time that it takes over refunds.
    pub async fn refunds_are_through(&self) {
        let text = "update test_provider_transfers set created_at = now() - interval '2 hours'";
        let done = sqlx::query(text).execute(&self.app.db.pool).await;
        assert!(done.expect("the statement is right").rows_affected() > 0);
    }

    /// Another shop, whose parcels cost something.
    pub async fn other_shop(&self, on_hand: i32, price_minor: i64) -> Shop {
        let shop = fixtures::shop(&self.app.db.pool, on_hand, price_minor).await;
        let profile = "with profile as (
                insert into shipping_profiles (id, seller_id, name, base_minor, currency)
                values (gen_random_uuid(), $1, 'Parcel', 499, 'EUR') returning id)
            update products set shipping_profile_id = (select id from profile) where seller_id = $1";
        assert_eq!(self.sql(profile, shop.seller.0).await, 1);
        shop
    }

    /// What is in an account of the platform's, credits positive.
    pub async fn balance(&self, kind: &str) -> i64 {
        sqlx::query_scalar(
            "select coalesce(-sum(e.amount_minor), 0)::bigint
               from ledger_entries e join ledger_accounts a on a.id = e.account_id where a.kind = $1",
        )
        .bind(kind)
        .fetch_one(&self.app.db.pool)
        .await
        .expect("a sum")
    }
}

impl Buyer {
    /// Asks for an order to be called off.
    pub async fn try_cancel(&self, order: &Order) -> Reply {
        self.session
            .post(&format!("/orders/{}/cancel", order.id), &json!({}))
            .await
    }

    /// An order that is paid with a token.
    pub async fn paid(&self, market: &Market, quantity: i32, token: &str) -> Order {
        let order = self.order(market.shop.variant, quantity).await;
        self.pay(order.id, token).await;
        self.order_now(order.id).await
    }
}

/// The one refund of an order.
#[track_caller]
pub fn only_refund(order: &Order) -> Refund {
    let [refund] = &order.refunds[..] else {
        panic!("one refund: {:?}", order.refunds);
    };
    refund.clone()
}
