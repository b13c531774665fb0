//! Pricing and holding.

use core_api::checkout::model::Checkout;
use core_api::orders::model::Order;
use serde_json::json;
use shared::ids::{CheckoutId, OrderId, ReservationId, StreamId, VariantId};
use shared::live::RoomNotice;
use shared::status::{CheckoutStatus, OrderStatus};
use testkit::fixtures;
use uuid::Uuid;

use crate::market::Market;

#[tokio::test]
async fn a_checkout_is_priced_holds_its_stock_and_gives_it_back() {
    let market = Market::open(10, 1_000).await;
    let (buyer, variant) = (market.buyer().await, market.shop.variant);
    let checkout = buyer.checkout(variant, 3).await;
    assert_eq!(checkout.status, CheckoutStatus::Open);
    assert_eq!((checkout.items_total.minor, checkout.total.minor), (3_000, 3_000));
    assert_eq!(checkout.address.city, "Hamburg");
    assert_eq!(market.stock(variant).await, (10, 3));
    let path = format!("/orders/checkout/{}", checkout.id);
    assert_eq!(buyer.session.get(&path).await.ok::<Checkout>(), checkout);
    market.verified().await;

    buyer.session.delete(&path).await.gone();
    buyer.session.delete(&path).await.gone();
    assert_eq!(market.stock(variant).await, (10, 0));
    buyer.try_place(checkout.id).await.refused(409, "wrong_state");
    let product = market.shop.product;
    let changed = RoomNotice::ProductChanged { product };
    assert_eq!(
        market.notices().await,
        [changed.clone(), changed],
        "taken, and given back"
    );
    market.verified().await;
}

#[tokio::test]
async fn shipping_is_charged_once_a_shop_and_split_over_its_lines() {
    let market = Market::open(10, 1_000).await;
    let owner = market.owner();
    let profile = json!({"name": "Parcel", "base_minor": 500, "extra_item_minor": 101});
    let profile: serde_json::Value = owner.post("/seller/shipping-profiles", &profile).await.created();
    let second = market.product(10, 2_000).await;
    let path = format!("/seller/products/{}", market.shop.product);
    let with_profile = json!({"shipping_profile_id": profile["id"]});
    owner.patch(&path, &with_profile).await.ok::<serde_json::Value>();
    market
        .sql(
            "update products set shipping_profile_id = (select id from shipping_profiles) where seller_id = $1",
            market.shop.seller.0,
        )
        .await;
    let buyer = market.buyer().await;
    let basket = buyer.basket(&[(market.shop.variant, 1), (second, 1), (market.shop.variant, 1)], &[]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    assert_eq!(checkout.items.len(), 2, "one line a variant");
    assert_eq!(checkout.shipping_total.minor, 702, "base and two further units");
    let shares: Vec<_> = checkout.items.iter().map(|item| item.shipping.minor).collect();
    assert_eq!(shares, [351, 351]);
    assert_eq!(checkout.total.minor, 4_702);
    market.verified().await;
}

#[tokio::test]
async fn what_is_short_is_named_and_nothing_is_taken() {
    let market = Market::open(10, 1_000).await;
    let (buyer, rare) = (market.buyer().await, market.product(1, 100).await);
    let basket = buyer.basket(&[(market.shop.variant, 2), (rare, 1), (rare, 1)], &[]);
    let problem = buyer.try_checkout(&basket).await.refused(409, "insufficient_stock");
    assert_eq!(problem["field"], "items.1.quantity", "summed before it is taken");
    assert!(
        problem["detail"].as_str().is_some_and(|d| d.contains("TEST-2")),
        "{problem}"
    );
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    assert_eq!(market.number("select count(*) from checkouts").await, 0);
}

#[tokio::test]
async fn what_cannot_be_bought_is_refused() {
    let market = Market::open(10, 1_000).await;
    let (buyer, stranger) = (market.buyer().await, market.buyer().await);
    let variant = market.shop.variant;
    let refused = async |body: &serde_json::Value, status, code: &str, field: &str| {
        let problem = buyer.try_checkout(body).await.refused(status, code);
        assert_eq!(problem["field"], field, "{problem}");
    };
    refused(&buyer.basket(&[], &[]), 422, "invalid_body", "items").await;
    refused(
        &buyer.basket(&[(variant, 0)], &[]),
        422,
        "invalid_body",
        "items.0.quantity",
    )
    .await;
    refused(
        &buyer.basket(&[(VariantId::new(), 1)], &[]),
        404,
        "not_found",
        "items.0.variant_id",
    )
    .await;
    refused(&stranger.basket(&[(variant, 1)], &[]), 404, "not_found", "address_id").await;
    let hold = stranger.hold(market.sale(1, 1, 1).await, 1).await;
    refused(&buyer.basket(&[], &[&hold]), 404, "not_found", "reservations.0").await;
    let mut basket = buyer.basket(&[(variant, 1)], &[]);
    basket["stream_id"] = json!(StreamId::new());
    refused(&basket, 404, "not_found", "stream_id").await;

    let other = fixtures::shop(&market.app.db.pool, 5, 100).await;
    basket["stream_id"] = json!(other.stream);
    refused(&basket, 422, "invalid_body", "stream_id").await;
    market
        .sql(
            "update products set currency = 'USD' where seller_id = $1",
            other.seller.0,
        )
        .await;
    let problem = buyer
        .try_checkout(&buyer.basket(&[(variant, 1), (other.variant, 1)], &[]))
        .await;
    problem.refused(422, "currency_mismatch");
    market
        .sql("update products set status = 'archived' where id = $1", other.product.0)
        .await;
    refused(
        &buyer.basket(&[(other.variant, 1)], &[]),
        404,
        "not_found",
        "items.0.variant_id",
    )
    .await;

    let owner = market.owner();
    let address = fixtures::address(&market.app.db.pool, owner.id).await;
    let own = json!({"items": [{"variant_id": variant, "quantity": 1}], "address_id": address});
    owner
        .post_once("/orders/checkout", Uuid::now_v7(), &own)
        .await
        .refused(403, "own_shop");
    market
        .sql(
            "update sellers set status = 'suspended' where id = $1",
            market.shop.seller.0,
        )
        .await;
    refused(
        &buyer.basket(&[(variant, 1)], &[]),
        404,
        "not_found",
        "items.0.variant_id",
    )
    .await;
    assert_eq!(market.stock(variant).await, (10, 1), "but for the flash sale's unit");
}

#[tokio::test]
async fn two_buyers_race_for_the_last_unit_and_one_wins() {
    let market = Market::open(1, 1_000).await;
    let (a, b) = (market.buyer().await, market.buyer().await);
    let baskets = [&a, &b].map(|buyer| buyer.basket(&[(market.shop.variant, 1)], &[]));
    let (x, y) = tokio::join!(a.try_checkout(&baskets[0]), b.try_checkout(&baskets[1]));
    let mut statuses = [x.status.as_u16(), y.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    assert_eq!(market.stock(market.shop.variant).await, (1, 1));
    market.verified().await;
}

#[tokio::test]
async fn units_that_come_free_while_somebody_waits_for_them_are_theirs() {
    let market = Market::open(1, 1_000).await;
    let (holder, waiting, variant) = (market.buyer().await, market.buyer().await, market.shop.variant);
    let held = holder.checkout(variant, 1).await;
    let mut tx = market.app.db.pool.begin().await.expect("a transaction");
    for (statement, id) in [
        ("update checkouts set status = 'cancelled' where id = $1", held.id.0),
        ("update product_variants set reserved = 0 where id = $1", variant.0),
    ] {
        let done = sqlx::query(statement).bind(id).execute(&mut *tx).await;
        done.expect("given up, as far as this transaction knows");
    }
    let basket = waiting.basket(&[(variant, 1)], &[]);
    let release = async {
        market.app.somebody_waits().await;
        tx.commit().await.expect("given up");
    };
    let (reply, ()) = tokio::join!(waiting.try_checkout(&basket), release);
    reply.created::<Checkout>();
    assert_eq!(market.stock(variant).await, (1, 1));
    market.verified().await;
}

#[tokio::test]
async fn one_key_is_one_checkout() {
    let market = Market::open(10, 1_000).await;
    let (buyer, key) = (market.buyer().await, Uuid::now_v7());
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[]);
    let sends = (0..6).map(|_| buyer.session.post_once("/orders/checkout", key, &basket));
    let replies = futures_util::future::join_all(sends).await;
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(409, "request_in_flight");
    }
    let first = replies
        .iter()
        .find(|reply| reply.status == 201)
        .expect("one got through");
    let again = buyer.session.post_once("/orders/checkout", key, &basket).await;
    assert_eq!((again.status, &again.value()), (first.status, &first.value()));
    assert_eq!(market.number("select count(*) from checkouts").await, 1);
    assert_eq!(market.stock(market.shop.variant).await, (10, 1));
    let other = buyer.basket(&[(market.shop.variant, 2)], &[]);
    let reply = buyer.session.post_once("/orders/checkout", key, &other).await;
    reply.refused(422, "request_id_reused");
}

#[tokio::test]
async fn a_checkout_that_runs_out_gives_its_stock_back() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let (due, open) = (
        buyer.checkout(market.shop.variant, 3).await,
        buyer.checkout(market.shop.variant, 2).await,
    );
    market
        .sql(
            "update checkouts set expires_at = clock_timestamp() where id = $1",
            due.id.0,
        )
        .await;
    // Too late even before the job has come.
    buyer.try_place(due.id).await.refused(409, "checkout_expired");
    assert_eq!(market.expire_checkouts().await, 1);
    assert_eq!(market.expire_checkouts().await, 0);
    assert_eq!(market.stock(market.shop.variant).await, (10, 2));
    buyer.try_place(due.id).await.refused(409, "checkout_expired");
    let path = format!("/orders/checkout/{}", due.id);
    assert_eq!(
        buyer.session.get(&path).await.ok::<Checkout>().status,
        CheckoutStatus::Expired
    );
    buyer.session.delete(&path).await.refused(409, "wrong_state");
    buyer.try_place(open.id).await.created::<serde_json::Value>();
    market.verified().await;
}

#[tokio::test]
async fn a_lapsed_hold_leaves_its_checkout_which_says_so() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(5, 400, 2).await, market.buyer().await);
    let hold = buyer.hold(sale, 2).await;
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[&hold]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    assert_eq!(checkout.total.minor, 1_800);
    assert_eq!(checkout.items[1].hold_expires_at, Some(hold.expires_at));
    assert_eq!(checkout.stream_id, Some(market.shop.stream), "the hold's show");

    market.hold_lapses(&hold).await;
    buyer.try_place(checkout.id).await.refused(409, "hold_expired");
    let path = format!("/orders/checkout/{}", checkout.id);
    let repriced: Checkout = buyer.session.get(&path).await.ok();
    assert_eq!((repriced.items.len(), repriced.total.minor), (1, 1_000));
    assert_eq!(repriced.lapsed[0].reservation_id, Some(hold.reservation));
    assert_eq!(
        buyer.session.get(&path).await.ok::<Checkout>(),
        repriced,
        "it goes on saying so"
    );
    market.verified().await;
    let order: core_api::orders::model::Order = buyer.try_place(checkout.id).await.created();
    assert_eq!((order.status, order.total.minor), (OrderStatus::PendingPayment, 1_000));
    buyer
        .try_checkout(&buyer.basket(&[], &[&hold]))
        .await
        .refused(409, "hold_expired");
    market.verified().await;
}

#[tokio::test]
async fn somebody_elses_ids_are_the_ids_of_nothing() {
    let market = Market::open(10, 1_000).await;
    let (buyer, stranger) = (market.buyer().await, market.buyer().await);
    let checkout = buyer.checkout(market.shop.variant, 1).await;
    let path = format!("/orders/checkout/{}", checkout.id);
    stranger.session.get(&path).await.refused(404, "not_found");
    stranger.session.delete(&path).await.refused(404, "not_found");
    stranger.try_place(checkout.id).await.refused(404, "not_found");
    stranger.try_place(CheckoutId::new()).await.refused(404, "not_found");
    market.app.get(&path).send().await.refused(401, "unauthenticated");
    let order: core_api::orders::model::Order = buyer.try_place(checkout.id).await.created();
    for path in [format!("/orders/{}", order.id), format!("/orders/{}/receipt", order.id)] {
        stranger.session.get(&path).await.refused(404, "not_found");
    }
    let cancel = format!("/orders/{}/cancel", order.id);
    stranger
        .session
        .post(&cancel, &json!({}))
        .await
        .refused(404, "not_found");
    let token = "test_success";
    stranger
        .pay_once(order.id, token, Uuid::now_v7())
        .await
        .refused(404, "not_found");
    stranger
        .pay_once(OrderId::new(), token, Uuid::now_v7())
        .await
        .refused(404, "not_found");
    let payment = buyer.pay(order.id, "test_second_step").await;
    let path = format!("/orders/{}/payments/{}", order.id, payment.id);
    stranger.session.get(&path).await.refused(404, "not_found");
    let confirm = format!("{path}/confirm");
    stranger
        .session
        .post_once(&confirm, Uuid::now_v7(), &json!({}))
        .await
        .refused(404, "not_found");
    let own = stranger.order(market.shop.variant, 1).await;
    let mixed = format!("/orders/{}/payments/{}", own.id, payment.id);
    stranger.session.get(&mixed).await.refused(404, "not_found");
    let ids = json!({"items": [], "reservations": [ReservationId::new()], "address_id": buyer.address});
    buyer.try_checkout(&ids).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_buyer_has_ten_checkouts_open_at_most() {
    let market = Market::open(100, 1_000).await;
    let (buyer, variant) = (market.buyer().await, market.shop.variant);
    let basket = buyer.basket(&[(variant, 1)], &[]);
    let replies = futures_util::future::join_all((0..13).map(|_| buyer.try_checkout(&basket))).await;
    let (opened, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(opened.len(), 10, "however many are asked for at once");
    for reply in refused {
        let problem = reply.refused(429, "rate_limited");
        assert_eq!(
            problem["detail"],
            "too many open checkouts and unpaid orders: finish or cancel one"
        );
        let wait = problem["retry_after_ms"].as_u64().expect("when to try again");
        assert!((500_000..=600_000).contains(&wait), "until the first expires: {wait}");
    }
    assert_eq!(market.stock(variant).await, (100, 10));
    market.buyer().await.checkout(variant, 1).await;

    let first: Checkout = opened[0].created();
    buyer
        .session
        .delete(&format!("/orders/checkout/{}", first.id))
        .await
        .gone();
    buyer.checkout(variant, 1).await;
    buyer.try_checkout(&basket).await.refused(429, "rate_limited");
    let second: Checkout = opened[1].created();
    let order: Order = buyer.try_place(second.id).await.created();
    buyer.try_checkout(&basket).await.refused(429, "rate_limited");
    buyer.pay(order.id, "test_success").await;
    buyer.checkout(variant, 1).await;
    // One that is out of time counts no more, even before the job has been.
    let lapse = "update checkouts set expires_at = clock_timestamp() where id = $1";
    let third: Checkout = opened[2].created();
    assert_eq!(market.sql(lapse, third.id.0).await, 1);
    buyer.checkout(variant, 1).await;
    market.verified().await;
}
