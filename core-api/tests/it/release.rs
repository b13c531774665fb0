//! When what a shop earned may be paid out, and that `verify` notices what is wrong about
//! parcels, statuses and releases.

use core_api::fulfilment::release::release;
use core_api::orders::model::Order;
use shared::status::OrderStatus;

use crate::fulfilment::{calls_off, paid};
use crate::market::{Buyer, Market};
use crate::provider_events::telling;

const DUE: &str = "update order_items set release_after = clock_timestamp() where order_id = $1";

async fn released(market: &Market) -> u64 {
    release(&market.app.db.pool, 100).await.expect("released")
}

async fn delivered(market: &Market, buyer: &Buyer, quantity: i32) -> Order {
    let order = paid(market, buyer, quantity).await;
    market.arrives(buyer, order.id).await;
    order
}

/// In how many whole days an order's line may be released; null: that is not known.
async fn days(market: &Market, order: &Order) -> Option<i32> {
    let days =
        "select round(extract(epoch from release_after - now()) / 86400)::int from order_items where order_id = $1";
    let days = sqlx::query_scalar(days).bind(order.id.0);
    days.fetch_one(&market.app.db.pool).await.expect("the line")
}

#[tokio::test]
async fn earnings_are_released_days_after_arrival_or_many_days_after_shipping() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = paid(&market, &buyer, 2).await;
    assert_eq!(days(&market, &order).await, None);
    market.ships(order.id).await;
    assert_eq!(days(&market, &order).await, Some(21), "nobody has confirmed it");
    let path = format!("/orders/{}/confirm", order.id);
    buyer.session.post(&path, &serde_json::json!({})).await.ok::<Order>();
    assert_eq!(days(&market, &order).await, Some(3));
    assert_eq!(released(&market).await, 0, "not yet");

    let unheard = paid(&market, &buyer, 1).await;
    market.ships(unheard.id).await;
    for due in [&order, &unheard] {
        market.sql(DUE, due.id.0).await;
    }
    assert_eq!(released(&market).await, 2);
    assert_eq!(released(&market).await, 0);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Completed);
    assert_eq!(
        buyer.order_now(unheard.id).await.status,
        OrderStatus::Shipped,
        "it may still be under way"
    );
    market.verified().await;
    let path = format!("/orders/{}/confirm", unheard.id);
    let late: Order = buyer.session.post(&path, &serde_json::json!({})).await.ok();
    assert_eq!(late.status, OrderStatus::Completed, "delivered on the way");
    market.verified().await;
}

#[tokio::test]
async fn an_open_return_or_dispute_keeps_earnings_from_being_released() {
    let market = Market::open_with(10, 1_000, telling).await;
    let buyer = market.buyer().await;
    let (returned, disputed) = (delivered(&market, &buyer, 1).await, delivered(&market, &buyer, 1).await);
    for order in [&returned, &disputed] {
        market.sql(DUE, order.id.0).await;
    }
    let open = "insert into returns (id, order_id, order_item_id, seller_id, quantity, reason)
                select gen_random_uuid(), order_id, id, seller_id, 1, 'too small' from order_items where order_id = $1";
    market.sql(open, returned.id.0).await;
    let dispute = market.is_disputed(&disputed, None).await;
    assert_eq!(released(&market).await, 0);
    market
        .sql(
            "update returns set status = 'rejected' where order_id = $1",
            returned.id.0,
        )
        .await;
    assert_eq!(released(&market).await, 1);
    market.is_decided(&dispute, true).await;
    assert_eq!(released(&market).await, 1);
    market.verified().await;
}

#[tokio::test]
async fn what_is_due_is_released_once_by_however_many_jobs() {
    let market = Market::open(100, 1_000).await;
    let buyer = market.buyer().await;
    for _ in 0..8 {
        let order = delivered(&market, &buyer, 1).await;
        market.sql(DUE, order.id.0).await;
    }
    let jobs = (0..6).map(|_| release(&market.app.db.pool, 3));
    let done = futures_util::future::join_all(jobs).await;
    let mut total: u64 = done.into_iter().map(|done| done.expect("released")).sum();
    // Each may have found what another was at.
    while let done @ 1.. = released(&market).await {
        total += done;
    }
    assert_eq!(total, 8);
    let completed = "select count(*) from order_status_history where status = 'completed'";
    assert_eq!(market.number(completed).await, 8);
    market.verified().await;
}

#[tokio::test]
async fn a_line_that_was_called_off_waits_with_what_the_shop_has_left_in_the_order() {
    let market = Market::open(10, 1_000).await;
    let (buyer, second) = (market.buyer().await, market.product(10, 500).await);
    let basket = buyer.basket(&[(market.shop.variant, 1), (second, 1)], &[]);
    let checkout: core_api::checkout::model::Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(order.id, "test_success").await;
    calls_off(&market.owner(), order.id, order.items[1].id).await;
    market.ships(order.id).await;
    let times = "select count(distinct release_after) from order_items having count(release_after) = 2";
    assert_eq!(market.number(times).await, 1);
    let confirm = format!("/orders/{}/confirm", order.id);
    buyer.session.post(&confirm, &serde_json::json!({})).await.ok::<Order>();
    assert_eq!(market.number(times).await, 1);
    market.sql(DUE, order.id.0).await;
    assert_eq!(released(&market).await, 2);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Completed);
    market.verified().await;
}

#[tokio::test]
async fn verify_notices_what_is_wrong_about_parcels_statuses_and_releases() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = delivered(&market, &buyer, 2).await;
    market.sql(DUE, order.id.0).await;
    assert_eq!(released(&market).await, 1);
    let return_of_it = "insert into returns (id, order_id, order_item_id, seller_id, quantity, reason, created_at)
        select order_id, order_id, id, seller_id, 1, 'too small', now() - interval '1 hour' from order_items";
    let cases: [(&str, &'static str, &'static str); 10] = [
        (
            "parcels_match_lines",
            "update shipment_items set quantity = 1",
            "update shipment_items set quantity = 2",
        ),
        (
            "parcels_match_lines",
            "update shipments set delivered_at = null, delivered_by = null",
            "update shipments set delivered_at = now(), delivered_by = 'buyer'",
        ),
        (
            "parcels_have_contents",
            "insert into shipments (id, order_id, seller_id, carrier, tracking)
             select order_id, order_id, seller_id, 'empty', '' from shipments",
            "delete from shipments where carrier = 'empty'",
        ),
        (
            "order_follows_its_units",
            "update orders set status = 'shipped'",
            "update orders set status = 'completed'",
        ),
        (
            "order_follows_its_units",
            "update order_items set released_at = null",
            "update order_items set released_at = clock_timestamp()",
        ),
        (
            "release_is_known",
            "update order_items set released_at = null, release_after = null",
            "update order_items set released_at = clock_timestamp(), release_after = now()",
        ),
        (
            "released_in_time",
            "update order_items set release_after = now() + interval '1 day'",
            "update order_items set release_after = now() - interval '1 day'",
        ),
        ("released_in_time", return_of_it, "delete from returns"),
        (
            "parts_follow_their_units",
            "update order_parts set status = 'shipped'",
            "update order_items set shipped = shipped",
        ),
        (
            "released_in_time",
            "update order_items set release_after = null",
            "update order_items set release_after = now() - interval '1 day'",
        ),
    ];
    let broken = async || {
        let report = shared::verify::run(&market.app.db.pool).await.expect("verified");
        report.broken().map(|check| check.name).collect::<Vec<_>>()
    };
    for (name, harm, mend) in cases {
        assert!(broken().await.is_empty(), "before {harm}: {:?}", broken().await);
        sqlx::query(harm).execute(&market.app.db.pool).await.expect(harm);
        let found = broken().await;
        assert!(found.contains(&name), "{harm}: {found:?}");
        sqlx::query(mend).execute(&market.app.db.pool).await.expect(mend);
    }
    assert!(broken().await.is_empty());
}
