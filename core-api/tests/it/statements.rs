//! How much of the database a purchase takes.

use core_api::checkout::model::Checkout;
use core_api::orders::model::Order;
use testkit::fixtures;

use crate::market::{Buyer, Market};

/// What the service has asked the database for.
#[derive(Clone, Default, Debug)]
struct Asked {
    /// Statements that it has sent, without what begins and ends transactions.
    sent: i64,
    /// Transactions that it has begun.
    begun: i64,
    /// Look-ups of foreign keys.
    keys: i64,
    /// What else functions and triggers have run.
    inner: i64,
    /// Each statement that was sent, and how often.
    texts: Vec<(String, i64)>,
}

async fn forget(market: &Market) {
    let reset = sqlx::query("select pg_stat_statements_reset()");
    reset.execute(&market.app.db.pool).await.expect("forgotten");
}

async fn asked(market: &Market) -> Asked {
    let rows: Vec<(String, i64, bool)> = sqlx::query_as(
        "select query, calls, toplevel from pg_stat_statements s join pg_database d on d.oid = s.dbid
          where d.datname = current_database() and query not like '%pg_stat_statements%'",
    )
    .fetch_all(&market.app.db.pool)
    .await
    .expect("counted");
    let mut asked = Asked::default();
    for (text, calls, sent) in rows {
        let is_end = ["commit", "rollback"].contains(&text.to_lowercase().as_str());
        match (sent, text.to_lowercase().as_str()) {
            (true, "begin") => asked.begun += calls,
            (true, _) if is_end => {}
            (true, _) => {
                asked.sent += calls;
                asked.texts.push((text, calls));
            }
            (false, inner) if inner.contains("from only") && inner.contains("for key share") => asked.keys += calls,
            (false, _) => asked.inner += calls,
        }
    }
    asked
}

async fn purchase(buyer: &Buyer, basket: &serde_json::Value) {
    let checkout: Checkout = buyer.try_checkout(basket).await.created();
    buyer.try_place(checkout.id).await.created::<Order>();
}

#[tokio::test]
async fn a_purchase_of_three_things_of_two_shops_takes_fifteen_statements_and_two_transactions() {
    let market = Market::open_counted(1_000, 1_000).await;
    let other = fixtures::shop(&market.app.db.pool, 1_000, 2_000).await;
    let second = market.product(1_000, 500).await;
    let mut least: Option<Asked> = None;
    // What jobs ask beside it can only add to a count.
    for _ in 0..4 {
        let buyer = market.buyer().await;
        let basket = buyer.basket(&[(market.shop.variant, 1), (second, 2), (other.variant, 1)], &[]);
        forget(&market).await;
        purchase(&buyer, &basket).await;
        let now = asked(&market).await;
        if least.as_ref().is_none_or(|least| now.sent < least.sent) {
            least = Some(now);
        }
    }
    let least = least.expect("four purchases");
    assert!(least.sent <= 15, "{least:#?}");
    assert_eq!(least.begun, 2, "{least:#?}");
    // Beside these the database looks its own foreign keys up, and runs functions and triggers.
    assert!(least.keys <= 28 && least.inner <= 12, "{least:#?}");
    market.verified().await;
}

#[tokio::test]
async fn a_show_hears_of_a_purchase_in_as_many_statements_however_many_lines_it_has() {
    let market = Market::open_counted(1_000, 1_000).await;
    let mut goods = vec![(market.shop.variant, 1)];
    let mut told = Vec::new();
    for lines in [1, 8] {
        while goods.len() < lines {
            goods.push((market.product(10, 100).await, 1));
        }
        let buyer = market.buyer().await;
        let mut basket = buyer.basket(&goods, &[]);
        basket["stream_id"] = serde_json::json!(market.shop.stream);
        let checkout: Checkout = buyer.try_checkout(&basket).await.created();
        let order: Order = buyer.try_place(checkout.id).await.created();
        forget(&market).await;
        buyer.pay(order.id, "test_success").await;
        let texts = asked(&market).await.texts;
        let outbox = texts.iter().filter(|(text, _)| text.contains("insert into outbox"));
        told.push(outbox.map(|(_, calls)| calls).sum::<i64>());
    }
    assert_eq!(told[0], told[1], "of one line, and of eight");
    let purchased = "select count(*) from outbox where topic = 'purchased'";
    assert_eq!(market.number(purchased).await, 9);
}
