//! Holds of flash sales on their way through orders and payments, and whom their units go
//! to when that fails.

use core_api::checkout::model::Checkout;
use core_api::flash::model::Hold;
use core_api::orders::model::Order;
use serde_json::json;
use shared::ids::{ReservationId, SaleId, UserId, VariantId};
use shared::live::RoomNotice;
use shared::status::{OrderStatus, PaymentStatus, ReservationStatus};
use uuid::Uuid;

use crate::market::{Buyer, Market};

/// A hold as it is now, and in how many seconds it lapses.
async fn hold_now(market: &Market, id: ReservationId) -> (ReservationStatus, f64) {
    let text =
        "select status, extract(epoch from expires_at - clock_timestamp())::float8 from reservations where id = $1";
    let row = sqlx::query_as(text).bind(id.0).fetch_one(&market.app.db.pool).await;
    row.expect("the hold")
}

async fn lapses_in(market: &Market, hold: &Hold, seconds: f64) {
    let text = "update reservations set expires_at = clock_timestamp() + make_interval(secs => $2) where id = $1";
    let moved = sqlx::query(text).bind(hold.reservation.0).bind(seconds);
    moved.execute(&market.app.db.pool).await.expect("moved");
}

/// Puts somebody in a sale's line.
async fn in_line(market: &Market, sale: SaleId, user: UserId) -> ReservationId {
    let place = ReservationId::new();
    let text = "select outcome from reserve_flash_units($1, array[$2], array[$3], array[1], array[gen_random_uuid()], array[true])";
    let outcome: String = sqlx::query_scalar(text)
        .bind(sale.0)
        .bind(place.0)
        .bind(user.0)
        .fetch_one(&market.app.db.pool)
        .await
        .expect("asked");
    assert_eq!(outcome, "waiting");
    place
}

#[tokio::test]
async fn a_payment_that_begins_gives_its_hold_more_time_once_and_says_so() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(2, 500, 1).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    lapses_in(&market, &hold, 5.0).await;
    let order = buyer.order_hold(&hold).await;
    let told = market.notices().await.len();
    assert_eq!(buyer.pay(order.id, "test_decline").await.status, PaymentStatus::Failed);
    let (status, left) = hold_now(&market, hold.reservation).await;
    assert_eq!(status, ReservationStatus::Held, "time is left: held again");
    assert!(
        (30.0..=60.0).contains(&left),
        "a minute from when it began, not {left} s"
    );
    let changed = RoomNotice::ReservationsChanged {
        user: buyer.session.id,
        reservations: vec![hold.reservation],
    };
    let notices = market.notices().await.split_off(told);
    assert_eq!(
        notices.iter().filter(|notice| **notice == changed).count(),
        2,
        "paying, and held again"
    );
    let again = buyer.order_now(order.id).await;
    assert!(
        again.expires_at > order.expires_at,
        "the order lasts as long as its hold"
    );
    lapses_in(&market, &hold, 5.0).await;
    buyer.pay(order.id, "test_decline").await;
    let (_, left) = hold_now(&market, hold.reservation).await;
    assert!(left <= 5.0, "not a second time: {left} s");
    assert_eq!(
        buyer.pay(order.id, "test_success").await.status,
        PaymentStatus::Captured
    );
    market.verified().await;
}

#[tokio::test]
async fn an_unpaid_order_ends_with_its_flash_hold_and_gives_its_basket_back() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(2, 500, 1).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let other = market.product(5, 700).await;
    let basket = buyer.basket(&[(other, 3)], &[&hold]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(
        order.expires_at, hold.expires_at,
        "which is sooner than the order's own time"
    );
    assert_eq!(market.stock(other).await, (5, 3));
    assert_eq!(market.expire_orders().await, 0);
    market.hold_lapses(&hold).await;
    market
        .sql(
            "update orders set holds_until = clock_timestamp() where id = $1",
            order.id.0,
        )
        .await;
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "hold_expired");
    assert_eq!(market.expire_orders().await, 1);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Expired);
    assert_eq!(market.stock(other).await, (5, 0), "its units are free");
    let told = RoomNotice::OrderChanged {
        user: buyer.session.id,
        order: order.id,
        status: OrderStatus::Expired,
    };
    assert!(market.notices().await.contains(&told));
    market.verified().await;
}

#[tokio::test]
async fn a_payment_under_way_keeps_its_order_past_the_holds_time() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(2, 500, 1).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let order = buyer.order_hold(&hold).await;
    let payment = buyer.pay(order.id, "test_timeout").await;
    market.hold_lapses(&hold).await;
    market
        .sql(
            "update orders set holds_until = clock_timestamp() where id = $1",
            order.id.0,
        )
        .await;
    assert_eq!(
        market.expire_orders().await,
        0,
        "the provider has not said anything yet"
    );
    assert_eq!(
        core_api::flash::sweep(&market.app.db.pool, &market.app.bus, 10)
            .await
            .ok(),
        Some(0)
    );
    assert_eq!(hold_now(&market, hold.reservation).await.0, ReservationStatus::Paying);
    market.provider_is_through(payment.id).await;
    market.reconcile().await;
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    market.verified().await;
}

#[tokio::test]
async fn a_payment_that_fails_too_late_hands_its_unit_to_the_line_and_the_room_tells_who() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer, next) = (market.sale(1, 500, 1).await, market.buyer().await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let order = buyer.order_hold(&hold).await;
    let place = in_line(&market, sale, next.session.id).await;
    let payment = buyer.pay(order.id, "test_timeout").await;
    market.hold_lapses(&hold).await;
    let decline = "update test_provider_intents set status = 'declined' where payment_id = $1";
    market.sql(decline, payment.id.0).await;
    market.reconcile().await;
    assert_eq!(buyer.payment_now(&payment).await.status, PaymentStatus::Failed);
    assert_eq!(hold_now(&market, hold.reservation).await.0, ReservationStatus::Released);
    assert_eq!(
        hold_now(&market, place).await.0,
        ReservationStatus::Held,
        "under the place's id"
    );
    let told = RoomNotice::ReservationsChanged {
        user: next.session.id,
        reservations: vec![place],
    };
    assert!(market.notices().await.contains(&told));
    market
        .buyer()
        .await
        .hold_once(sale, 1, Uuid::now_v7())
        .await
        .refused(409, "sold_out");
    market.verified().await;
}

#[tokio::test]
async fn a_hold_given_up_over_rest_goes_to_the_line() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer, next) = (market.sale(1, 500, 1).await, market.buyer().await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let place = in_line(&market, sale, next.session.id).await;
    let path = format!("/flash-sales/{sale}/holds/{}", hold.reservation);
    buyer.session.delete(&path).await.gone();
    let told = RoomNotice::ReservationsChanged {
        user: next.session.id,
        reservations: vec![place],
    };
    assert!(market.notices().await.contains(&told));
    // A sweep that frees a unit does the same.
    let last = market.buyer().await;
    let behind = in_line(&market, sale, last.session.id).await;
    let past = "update reservations set expires_at = clock_timestamp() - interval '1 minute' where id = $1";
    market.sql(past, place.0).await;
    let swept = core_api::flash::sweep(&market.app.db.pool, &market.app.bus, 10).await;
    assert_eq!(swept.ok(), Some(1));
    let told = RoomNotice::ReservationsChanged {
        user: last.session.id,
        reservations: vec![behind],
    };
    assert!(market.notices().await.contains(&told));
    market.verified().await;
}

#[tokio::test]
async fn the_sale_is_over_when_its_last_unit_is_paid_for() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(1, 500, 1).await, market.buyer().await);
    let order = buyer.order_hold(&buyer.hold(sale, 1).await).await;
    let waiting = market.buyer().await;
    in_line(&market, sale, waiting.session.id).await;
    buyer.pay(order.id, "test_success").await;
    let closed = "select count(*) from flash_sales where status = 'closed' and sold = 1 and waiting = 0";
    assert_eq!(market.number(closed).await, 1);
    assert!(market.notices().await.contains(&RoomNotice::SaleChanged { sale }));
    assert_eq!(market.stock(market.shop.variant).await, (9, 0));
    market.verified().await;
}

#[tokio::test]
async fn a_key_stands_for_one_act_whatever_the_route() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(2, 500, 2).await, market.buyer().await);
    let key = Uuid::now_v7();
    buyer.hold_once(sale, 1, key).await.created::<Hold>();
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[]);
    let checkout = buyer.session.post_once("/orders/checkout", key, &basket).await;
    checkout.refused(422, "request_id_reused");
    let key = Uuid::now_v7();
    let checkout = buyer.session.post_once("/orders/checkout", key, &basket).await;
    checkout.created::<Checkout>();
    buyer.hold_once(sale, 1, key).await.refused(422, "request_id_reused");
}

#[tokio::test]
async fn the_seller_cannot_cut_stock_below_what_a_sale_has_set_aside() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(6, 500, 3).await, market.buyer().await);
    buyer.hold(sale, 2).await;
    let path = format!("/seller/variants/{}/stock", market.shop.variant);
    let cut = |delta: i32| {
        let (owner, path) = (market.owner(), path.clone());
        async move { owner.post_once(&path, Uuid::now_v7(), &json!({"delta": delta})).await }
    };
    let problem = cut(-5).await.refused(409, "insufficient_stock");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("10 units are there and 6 of them promised"), "{detail}");
    assert!(cut(-4).await.status.is_success());
    assert_eq!(market.stock(market.shop.variant).await, (6, 6));
    // Over, it has set aside what is held and no more.
    market.sql("select close_flash_sale($1)", sale.0).await;
    cut(-5).await.refused(409, "insufficient_stock");
    assert!(cut(-4).await.status.is_success());
    market.verified().await;
}

#[tokio::test]
async fn unpaid_orders_count_with_open_checkouts() {
    let market = Market::open(100, 1_000).await;
    let buyer = market.buyer().await;
    let mut orders = Vec::new();
    for _ in 0..10 {
        orders.push(buyer.order(market.shop.variant, 1).await);
    }
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[]);
    let problem = buyer.try_checkout(&basket).await.refused(429, "rate_limited");
    assert!(problem["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
    buyer.pay(orders[0].id, "test_success").await;
    buyer.try_checkout(&basket).await.created::<Checkout>();
}

/// Holds of one unit each, of a buyer of their own.
async fn holds(buyer: &Buyer, sales: [SaleId; 2]) -> Vec<Uuid> {
    let mut holds = Vec::new();
    for sale in sales {
        holds.push(buyer.hold(sale, 1).await.reservation.0);
    }
    holds
}

/// Does the same to two orders' holds at the same time, as two payments would.
async fn at_once(market: &Market, statement: &'static str, orders: [Vec<Uuid>; 2]) {
    let settle = |holds: Vec<Uuid>| {
        let pool = market.app.db.pool.clone();
        tokio::spawn(async move { sqlx::query(statement).bind(holds).execute(&pool).await })
    };
    let settling = orders.map(settle);
    for settled in settling {
        let settled = settled.await.expect("no panic");
        settled.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

#[tokio::test]
async fn orders_over_different_sales_of_the_same_variants_never_deadlock() {
    let market = Market::open(1_000, 1_000).await;
    let mut variants = [market.shop.variant, market.product(1_000, 1_000).await];
    variants.sort_unstable();
    let [a, b]: [VariantId; 2] = variants;
    // The first two sales stand in the order of their variants, the others against it.
    let mut sales = Vec::new();
    for variant in [a, b, b, a] {
        sales.push(market.sale_of(variant, 200, 500, 200).await);
    }
    assert!(sales.is_sorted());
    let (with, against) = ([sales[0], sales[1]], [sales[2], sales[3]]);
    let (one, other) = (market.buyer().await, market.buyer().await);
    for _ in 0..30 {
        let orders = [holds(&one, with).await, holds(&other, against).await];
        at_once(&market, "select flash_holds_start_paying($1)::text", orders.clone()).await;
        at_once(&market, "select flash_holds_convert($1)::text", orders).await;
    }
    let mut late = Vec::new();
    for _ in 0..30 {
        let orders = [holds(&one, with).await, holds(&other, against).await];
        at_once(&market, "select flash_holds_start_paying($1)::text", orders.clone()).await;
        late.push(orders);
    }
    // Their payments fail after the holds' time and the sales' end: units go back to both
    // variants.
    for sale in &sales {
        market.sql("select close_flash_sale($1)", sale.0).await;
    }
    let past = "update reservations set expires_at = clock_timestamp() where status = 'paying'";
    sqlx::query(past).execute(&market.app.db.pool).await.expect("late");
    for orders in late {
        at_once(&market, "select flash_holds_payment_failed($1)::text", orders).await;
    }
    assert_eq!(market.stock(a).await, (940, 0));
    assert_eq!(market.stock(b).await, (940, 0));
}

#[tokio::test]
async fn the_last_unit_goes_to_a_cart_or_to_a_sale_and_never_to_both() {
    let market = Market::open(1, 1_000).await;
    for _ in 0..12 {
        let variant = market.product(1, 1_000).await;
        let (by_cart, by_sale) = (market.buyer().await, market.buyer().await);
        let basket = by_cart.basket(&[(variant, 1)], &[]);
        let (checkout, sale) = tokio::join!(by_cart.try_checkout(&basket), market.try_sale_of(variant, 1, 500, 1));
        match sale {
            Some(sale) => {
                checkout.refused(409, "insufficient_stock");
                let order = by_sale.order_hold(&by_sale.hold(sale, 1).await).await;
                by_sale.pay(order.id, "test_success").await;
                assert_eq!(market.stock(variant).await, (0, 0));
            }
            None => {
                checkout.created::<Checkout>();
                assert_eq!(market.stock(variant).await, (1, 1));
            }
        }
    }
    market.verified().await;
}
