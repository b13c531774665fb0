//! Discount codes: what they take off, who bears it, and how often.

use core_api::checkout::model::Checkout;
use core_api::discounts::model::DiscountCode;
use core_api::http::List;
use core_api::orders::model::{Order, Receipt};
use futures_util::future::join_all;
use serde_json::{Value, json};
use testkit::fixtures;
use uuid::Uuid;

use crate::market::{Buyer, Market};

async fn code(market: &Market, body: &Value) -> DiscountCode {
    market.owner().post("/seller/discount-codes", body).await.created()
}

async fn platform_code(market: &Market, body: &Value) -> DiscountCode {
    let admin = market.app.admin().await;
    admin.post("/admin/discount-codes", body).await.created()
}

fn with_code(mut basket: Value, code: &str) -> Value {
    basket["discount_code"] = json!(code);
    basket
}

/// A checkout of so many units of the market's product, with a code.
async fn checkout(market: &Market, buyer: &Buyer, quantity: i32, code: &str) -> Checkout {
    let basket = buyer.basket(&[(market.shop.variant, quantity)], &[]);
    buyer.try_checkout(&with_code(basket, code)).await.created()
}

async fn order(market: &Market, buyer: &Buyer, code: &str) -> Order {
    let checkout = checkout(market, buyer, 1, code).await;
    buyer.try_place(checkout.id).await.created()
}

#[tokio::test]
async fn a_shops_code_takes_off_its_own_goods_and_the_shop_bears_it() {
    let market = Market::open(10, 999).await;
    let other = fixtures::shop(&market.app.db.pool, 5, 2_000).await;
    let second = market.product(10, 1_000).await;
    code(&market, &json!({"code": "spring", "percent_bps": 1_500})).await;
    let buyer = market.buyer().await;
    let basket = buyer.basket(&[(market.shop.variant, 1), (other.variant, 1), (second, 1)], &[]);
    let checkout: Checkout = buyer.try_checkout(&with_code(basket, " Spring ")).await.created();
    assert_eq!(checkout.discount_code.as_deref(), Some("SPRING"));
    // 15 % of 1999 is 299.85: rounded once, and split by largest remainder.
    assert_eq!(checkout.discount_total.minor, 300);
    let shares: Vec<_> = checkout.items.iter().map(|item| item.discount.minor).collect();
    assert_eq!(shares, [150, 0, 150]);
    assert_eq!((checkout.items_total.minor, checkout.total.minor), (3_999, 3_699));
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(buyer.order_now(order.id).await, order);
    assert_eq!((order.discount_total.minor, order.total.minor), (300, 3_699));
    buyer.pay(order.id, "test_success").await;
    let receipt: Receipt = buyer.session.get(&format!("/orders/{}/receipt", order.id)).await.ok();
    assert_eq!(
        (receipt.discount_code.as_deref(), receipt.total.minor),
        (Some("SPRING"), 3_699)
    );
    // Commission is of what the shop asks for: 10 % of 849, 850 and 2000.
    let commission = "select sum(commission_minor)::bigint from order_items";
    assert_eq!(market.number(commission).await, 85 + 85 + 200);
    market.verified().await;
}

#[tokio::test]
async fn a_code_of_the_platforms_costs_the_shop_nothing() {
    let market = Market::open(10, 1_000).await;
    let body = json!({"code": "WELCOME", "amount_minor": 700, "currency": "EUR"});
    platform_code(&market, &body).await;
    let buyer = market.buyer().await;
    let order = order(&market, &buyer, "WELCOME").await;
    assert_eq!((order.discount_total.minor, order.total.minor), (700, 300));
    assert_eq!(order.items[0].platform_discount.minor, 700);
    buyer.pay(order.id, "test_success").await;
    let earned = "select sum(amount_minor)::bigint from seller_earnings";
    assert_eq!(market.number(earned).await, 900, "all but the commission");
    market.verified().await;
    // What a code pays for whole is paid at once.
    let body = json!({"code": "ALL-OF-IT", "percent_bps": 10_000});
    platform_code(&market, &body).await;
    let gift = self::order(&market, &buyer, "ALL-OF-IT").await;
    assert!(gift.paid_at.is_some() && gift.total.minor == 0, "{gift:?}");
    assert_eq!(market.number(earned).await, 1_800);
    market.verified().await;
}

#[tokio::test]
async fn a_code_that_cannot_be_used_says_why() {
    let market = Market::open(10, 1_000).await;
    let other = fixtures::shop(&market.app.db.pool, 5, 5_000).await;
    let buyer = market.buyer().await;
    let yesterday = chrono::Utc::now() - chrono::TimeDelta::days(1);
    let tomorrow = chrono::Utc::now() + chrono::TimeDelta::days(1);
    for body in [
        json!({"code": "OVER", "percent_bps": 100, "starts_at": yesterday - chrono::TimeDelta::days(1), "ends_at": yesterday}),
        json!({"code": "NOT-YET", "percent_bps": 100, "starts_at": tomorrow}),
        json!({"code": "BIG", "percent_bps": 100, "min_items_minor": 2_000}),
        json!({"code": "ONCE", "percent_bps": 100, "uses_max": 1}),
        json!({"code": "GOOD", "percent_bps": 5_000}),
    ] {
        code(&market, &body).await;
    }
    let off = code(&market, &json!({"code": "OFF", "percent_bps": 100})).await;
    let path = format!("/seller/discount-codes/{}", off.id);
    let off: DiscountCode = market.owner().patch(&path, &json!({"disabled": true})).await.ok();
    assert!(off.disabled);
    order(&market, &market.buyer().await, "ONCE").await;
    let own = buyer.basket(&[(market.shop.variant, 1)], &[]);
    let others = buyer.basket(&[(other.variant, 1)], &[]);
    let mixed = buyer.basket(&[(other.variant, 1), (market.shop.variant, 1)], &[]);
    let sale = market.sale(2, 900, 2).await;
    let flash = buyer.basket(&[], &[&buyer.hold(sale, 1).await]);
    for (basket, code, status, refusal) in [
        (&own, "NOBODYS", 422, "discount_unknown"),
        (&own, "OVER", 409, "discount_over"),
        (&own, "NOT-YET", 409, "discount_over"),
        (&own, "OFF", 409, "discount_over"),
        (&own, "ONCE", 409, "discount_used_up"),
        (&own, "BIG", 422, "discount_minimum"),
        (&mixed, "BIG", 422, "discount_minimum"),
        (&others, "GOOD", 422, "discount_not_for_these"),
        (&flash, "GOOD", 422, "discount_not_for_these"),
    ] {
        let reply = buyer.try_checkout(&with_code(basket.clone(), code)).await;
        let problem = reply.refused(status, refusal);
        assert_eq!(problem["field"], "discount_code", "{code}: {problem}");
    }
    assert_eq!(
        market
            .number("select count(*) from checkouts where status = 'open'")
            .await,
        0
    );
    // Switched off between checkout and order.
    let checkout = checkout(&market, &buyer, 1, "GOOD").await;
    market
        .sql(
            "update discount_codes set disabled_at = now() where code = 'GOOD' and id <> $1",
            Uuid::nil(),
        )
        .await;
    buyer.try_place(checkout.id).await.refused(409, "discount_over");
    market.verified().await;
}

#[tokio::test]
async fn of_fifty_who_place_at_once_one_has_the_last_use() {
    let market = Market::open(100, 1_000).await;
    code(&market, &json!({"code": "LAST", "percent_bps": 1_000, "uses_max": 1})).await;
    let mut placing = Vec::new();
    for _ in 0..50 {
        let buyer = market.buyer().await;
        let checkout = checkout(&market, &buyer, 1, "LAST").await;
        placing.push((buyer, checkout.id));
    }
    let replies = join_all(placing.iter().map(|(buyer, checkout)| buyer.try_place(*checkout))).await;
    let (placed, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(placed.len(), 1);
    for reply in refused {
        reply.refused(409, "discount_used_up");
    }
    assert_eq!(market.number("select count(*) from discount_uses").await, 1);
    market.verified().await;
}

#[tokio::test]
async fn a_use_counts_as_long_as_its_order_stands() {
    let market = Market::open(100, 1_000).await;
    code(
        &market,
        &json!({"code": "ONE-EACH", "percent_bps": 1_000, "uses_max": 2, "uses_per_buyer_max": 1}),
    )
    .await;
    let (a, b, c) = (market.buyer().await, market.buyer().await, market.buyer().await);
    let first = order(&market, &a, "ONE-EACH").await;
    let basket = with_code(a.basket(&[(market.shop.variant, 1)], &[]), "ONE-EACH");
    let problem = a.try_checkout(&basket).await.refused(409, "discount_used_up");
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("the buyer"))
    );
    let second = order(&market, &b, "ONE-EACH").await;
    let basket = with_code(c.basket(&[(market.shop.variant, 1)], &[]), "ONE-EACH");
    c.try_checkout(&basket).await.refused(409, "discount_used_up");

    let cancel = format!("/orders/{}/cancel", first.id);
    a.session.post(&cancel, &json!({})).await.ok::<Order>();
    order(&market, &a, "ONE-EACH").await;
    market.order_lapses(second.id).await;
    assert_eq!(market.expire_orders().await, 1);
    order(&market, &c, "ONE-EACH").await;
    market.verified().await;
}

#[tokio::test]
async fn what_is_paid_too_late_does_not_use_a_code_past_its_limit() {
    let market = Market::open(100, 1_000).await;
    code(&market, &json!({"code": "ONCE", "percent_bps": 1_000, "uses_max": 1})).await;
    let (late, quick) = (market.buyer().await, market.buyer().await);
    let expired = order(&market, &late, "ONCE").await;
    market.order_lapses(expired.id).await;
    assert_eq!(market.expire_orders().await, 1);
    let mut conn = market.app.db.pool.acquire().await.expect("a connection");
    let may = core_api::discounts::retake(&mut conn, expired.id, late.session.id).await;
    assert!(may.expect("asked"), "nobody has used it since");
    // The price was agreed: that the code is switched off by now makes no difference.
    let off = "update discount_codes set disabled_at = $1 where code = 'ONCE'";
    let switch = async |at: Option<chrono::DateTime<chrono::Utc>>| {
        let done = sqlx::query(off).bind(at).execute(&market.app.db.pool).await;
        done.expect("it is there");
    };
    switch(Some(chrono::Utc::now())).await;
    let may = core_api::discounts::retake(&mut conn, expired.id, late.session.id).await;
    assert!(may.expect("asked"), "it was agreed");
    switch(None).await;
    order(&market, &quick, "ONCE").await;
    let may = core_api::discounts::retake(&mut conn, expired.id, late.session.id).await;
    assert!(!may.expect("asked"));
}

#[tokio::test]
async fn codes_are_the_funders_own_and_every_change_is_written_down() {
    let market = Market::open(100, 1_000).await;
    let owner = market.owner();
    let created = code(
        &market,
        &json!({"code": "mine", "percent_bps": 1_000, "min_items_minor": 500}),
    )
    .await;
    assert_eq!(
        (created.code.as_str(), created.seller_id),
        ("MINE", Some(market.shop.seller))
    );
    let path = "/seller/discount-codes";
    let refused = async |body: Value, status, code: &str, field: &str| {
        let problem = owner.post(path, &body).await.refused(status, code);
        assert_eq!(problem["field"], field, "{problem}");
    };
    refused(json!({"code": "Mine", "percent_bps": 1}), 409, "conflict", "code").await;
    refused(json!({"code": "a b", "percent_bps": 1}), 422, "invalid_body", "code").await;
    refused(json!({"code": "NONE"}), 422, "invalid_body", "percent_bps").await;
    let both = json!({"code": "BOTH", "percent_bps": 1, "amount_minor": 1});
    refused(both, 422, "invalid_body", "percent_bps").await;
    let foreign = json!({"code": "USD", "amount_minor": 1, "currency": "USD"});
    refused(foreign, 422, "invalid_body", "currency").await;
    let past = json!({"code": "PAST", "percent_bps": 1, "ends_at": "2020-01-01T00:00:00Z"});
    refused(past, 422, "invalid_body", "ends_at").await;
    let admin = market.app.admin().await;
    let no_currency = json!({"code": "PLAIN", "amount_minor": 1});
    admin
        .post("/admin/discount-codes", &no_currency)
        .await
        .refused(422, "invalid_body");

    for _ in 0..2 {
        order(&market, &market.buyer().await, "MINE").await;
    }
    let one = format!("{path}/{}", created.id);
    let problem = owner
        .patch(&one, &json!({"uses_max": 1}))
        .await
        .refused(409, "conflict");
    assert_eq!(problem["field"], "uses_max");
    let changed: DiscountCode = owner.patch(&one, &json!({"uses_max": 2, "ends_at": null})).await.ok();
    assert_eq!((changed.uses_max, changed.uses), (Some(2), 2));
    let same: DiscountCode = owner
        .patch(&one, &json!({"uses_max": null, "uses_per_buyer_max": 1}))
        .await
        .ok();
    assert_eq!((same.uses_max, same.uses_per_buyer_max), (None, Some(1)));
    let list: List<DiscountCode> = owner.get(path).await.ok();
    assert_eq!(list.items, [same]);
    let many = "insert into discount_codes (id, code, seller_id, percent_bps, created_by)
                select gen_random_uuid(), 'MANY-' || i, seller_id, 100, created_by from discount_codes, generate_series(1, 999) i
                 where id = $1";
    assert_eq!(market.sql(many, created.id.0).await, 999);
    let problem = owner.post(path, &json!({"code": "ONE-MORE", "percent_bps": 1})).await;
    problem.refused(409, "conflict");
    let platforms: List<DiscountCode> = admin.get("/admin/discount-codes").await.ok();
    assert!(platforms.items.is_empty());
    admin
        .patch(
            &format!("/admin/discount-codes/{}", created.id),
            &json!({"disabled": true}),
        )
        .await
        .refused(404, "not_found");
    let written = "select count(*) from audit_log where action like 'discount_code.%'";
    assert_eq!(market.number(written).await, 3);
    market.verified().await;
}

#[tokio::test]
async fn a_limit_that_comes_later_counts_what_was_used_before_it() {
    let market = Market::open(100, 1_000).await;
    let made = code(&market, &json!({"code": "FREE", "percent_bps": 1_000})).await;
    let one = format!("/seller/discount-codes/{}", made.id);
    let buyers = [market.buyer().await, market.buyer().await, market.buyer().await];
    let first = order(&market, &buyers[0], "FREE").await;
    order(&market, &buyers[1], "FREE").await;
    let limited: DiscountCode = market.owner().patch(&one, &json!({"uses_max": 2})).await.ok();
    assert_eq!(limited.uses, 2);
    let basket = with_code(buyers[2].basket(&[(market.shop.variant, 1)], &[]), "FREE");
    buyers[2].try_checkout(&basket).await.refused(409, "discount_used_up");
    // Paid and then called off, it counts no more; and what the limit leaves is taken again.
    buyers[0].pay(first.id, "test_success").await;
    let cancel = format!("/orders/{}/cancel", first.id);
    buyers[0].session.post(&cancel, &json!({})).await.ok::<Order>();
    order(&market, &buyers[2], "FREE").await;
    market.verified().await;
    let free: DiscountCode = market.owner().patch(&one, &json!({"uses_max": null})).await.ok();
    assert_eq!((free.uses, free.uses_max), (2, None));
    market.verified().await;
}

#[tokio::test]
async fn orders_with_a_code_without_a_limit_do_not_wait_for_each_other() {
    let market = Market::open(100, 1_000).await;
    code(&market, &json!({"code": "OPEN", "percent_bps": 1_000})).await;
    let (a, b) = (market.buyer().await, market.buyer().await);
    let [mine, other] = [
        checkout(&market, &a, 1, "OPEN").await,
        checkout(&market, &b, 1, "OPEN").await,
    ];
    // Who places an order has the code's row shared at most, so that others may share it, too.
    let mut tx = market.app.db.pool.begin().await.expect("a transaction");
    let shared = sqlx::query("select from discount_codes for share")
        .execute(&mut *tx)
        .await;
    shared.expect("it is there");
    let placing = [a.try_place(mine.id), b.try_place(other.id)];
    let placed = tokio::time::timeout(std::time::Duration::from_secs(20), join_all(placing)).await;
    for reply in placed.expect("nobody waits") {
        reply.created::<Order>();
    }
    tx.rollback().await.expect("rolled back");
    market.verified().await;
}

#[tokio::test]
async fn a_code_is_named_by_who_funds_it_and_the_platforms_goes_before() {
    let market = Market::open(100, 1_000).await;
    let other = fixtures::shop(&market.app.db.pool, 50, 1_000).await;
    let buyer = market.buyer().await;
    let sale = json!({"code": "SALE", "percent_bps": 1_000});
    code(&market, &sale).await;
    let others = market.app.session_of(other.owner);
    // Another shop learns nothing of it, and may have one of that name.
    let theirs = json!({"code": "SALE", "percent_bps": 2_000});
    others
        .post("/seller/discount-codes", &theirs)
        .await
        .created::<DiscountCode>();
    let off = async |variant| {
        let basket = with_code(buyer.basket(&[(variant, 1)], &[]), "SALE");
        let checkout: Checkout = buyer.try_checkout(&basket).await.created();
        checkout.discount_total.minor
    };
    assert_eq!([off(market.shop.variant).await, off(other.variant).await], [100, 200]);
    // What was priced by one code is placed by it, whatever other has come meanwhile.
    let priced = checkout(&market, &buyer, 1, "SALE").await;
    platform_code(&market, &json!({"code": "SALE", "percent_bps": 5_000})).await;
    buyer.try_place(priced.id).await.created::<Order>();
    assert_eq!([off(market.shop.variant).await, off(other.variant).await], [500, 500]);
    let late = json!({"code": "SALE", "percent_bps": 3_000});
    let third = fixtures::shop(&market.app.db.pool, 5, 1_000).await;
    let third = market.app.session_of(third.owner);
    third
        .post("/seller/discount-codes", &late)
        .await
        .refused(409, "conflict");
    market.verified().await;
}

#[tokio::test]
async fn discounts_and_tax_that_are_not_right_are_noticed() {
    let taxed = |config: &mut core_api::Config| {
        let rules = "DE:1900:included:goods+shipping:platform";
        config.taxes = core_api::tax::TaxTable::parse(rules).expect("rules");
    };
    let market = Market::open_with(100, 1_000, taxed).await;
    code(
        &market,
        &json!({"code": "HALF", "percent_bps": 5_000, "uses_max": 2, "uses_per_buyer_max": 1}),
    )
    .await;
    let buyer = market.buyer().await;
    let order = order(&market, &buyer, "HALF").await;
    assert_eq!(order.tax_total.minor, 80);
    market.verified().await;
    for (breaking, mending, name) in [
        (
            "update order_items set tax_minor = 79 where order_id = $1",
            "update order_items set tax_minor = 80 where order_id = $1",
            "tax_is_its_rate",
        ),
        (
            "update order_items set seller_discount_minor = 499 where order_id = $1",
            "update order_items set seller_discount_minor = 500 where order_id = $1",
            "order_sums",
        ),
        (
            "with o as (select $1::uuid) update discount_codes set min_items_minor = 2000",
            "with o as (select $1::uuid) update discount_codes set min_items_minor = 0",
            "discounts_are_their_codes",
        ),
        (
            "update orders set discount_code = 'OTHER' where id = $1",
            "update orders set discount_code = 'HALF' where id = $1",
            "discount_uses_are_orders",
        ),
        (
            "with o as (select $1::uuid) update discount_codes set uses = 0",
            "with o as (select $1::uuid) update discount_codes set uses = 1",
            "discount_uses_count",
        ),
    ] {
        market.sql(breaking, order.id.0).await;
        assert!(market.broken().await.contains(&name), "{name}");
        market.sql(mending, order.id.0).await;
        market.verified().await;
    }
    let again = buyer.order(market.shop.variant, 1).await;
    let use_it = "insert into discount_uses (order_id, code_id, user_id) select $1, id, (select user_id from orders limit 1) from discount_codes";
    market.sql(use_it, again.id.0).await;
    assert!(market.broken().await.contains(&"discount_limits"));
}
