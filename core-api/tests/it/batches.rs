//! Of a batch that is due, one bad row keeps no other from its turn.

use core_api::fulfilment::release::release;
use shared::status::OrderStatus;
use uuid::Uuid;

use crate::market::Market;

/// Whatever changes a row of this table fails if it is of this id.
async fn spoil(market: &Market, table: &str, column: &str, id: Uuid) {
    let text = format!(
        "create function spoilt() returns trigger language plpgsql as $$
         begin
             if new.{column} = '{id}' then raise exception 'spoilt'; end if;
             return new;
         end $$;
         create trigger spoilt before update on {table} for each row execute function spoilt();"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .execute(&market.app.db.pool)
        .await
        .expect("spoilt");
}

async fn mend(market: &Market, table: &str) {
    let text = format!("drop trigger spoilt on {table}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(text))
        .execute(&market.app.db.pool)
        .await
        .expect("mended");
}

#[tokio::test]
async fn an_order_that_cannot_expire_keeps_no_other_from_it() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let (bad, good) = (
        buyer.order(market.shop.variant, 1).await,
        buyer.order(market.shop.variant, 2).await,
    );
    for order in [&bad, &good] {
        market.order_lapses(order.id).await;
    }
    spoil(&market, "orders", "id", bad.id.0).await;
    assert_eq!(market.expire_orders().await, 1);
    assert_eq!(market.expire_orders().await, 0, "it is due, and fails again");
    assert_eq!(buyer.order_now(good.id).await.status, OrderStatus::Expired);
    assert_eq!(market.stock(market.shop.variant).await, (10, 1));
    mend(&market, "orders").await;
    assert_eq!(market.expire_orders().await, 1);
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    market.verified().await;
}

#[tokio::test]
async fn a_checkout_that_cannot_expire_keeps_no_other_from_it() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let (bad, good) = (
        buyer.checkout(market.shop.variant, 1).await,
        buyer.checkout(market.shop.variant, 2).await,
    );
    for checkout in [bad.id, good.id] {
        let over = "update checkouts set expires_at = clock_timestamp() where id = $1";
        market.sql(over, checkout.0).await;
    }
    spoil(&market, "checkouts", "id", bad.id.0).await;
    assert_eq!(market.expire_checkouts().await, 1);
    assert_eq!(market.stock(market.shop.variant).await, (10, 1));
    mend(&market, "checkouts").await;
    assert_eq!(market.expire_checkouts().await, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_line_that_cannot_be_released_keeps_no_other_from_it() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let order = buyer.order(market.shop.variant, 1).await;
        buyer.pay(order.id, "test_success").await;
        market.arrives(&buyer, order.id).await;
        let due = "update order_items set release_after = clock_timestamp() where order_id = $1";
        market.sql(due, order.id.0).await;
        orders.push(order);
    }
    let bad = orders[0].id;
    spoil(&market, "order_items", "order_id", bad.0).await;
    assert_eq!(release(&market.app.db.pool, 100).await.expect("went on"), 2);
    assert_eq!(buyer.order_now(bad).await.status, OrderStatus::Delivered);
    mend(&market, "order_items").await;
    assert_eq!(release(&market.app.db.pool, 100).await.expect("released"), 1);
    market.verified().await;
}
