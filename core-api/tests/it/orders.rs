//! Orders before they are paid, and those that cost nothing.

use core_api::checkout::model::Checkout;
use core_api::http::List;
use core_api::idempotency;
use core_api::orders::model::{Order, Receipt};
use serde_json::{Value, json};
use shared::error::ErrorCode;
use shared::ids::RequestId;
use shared::live::RoomNotice;
use shared::status::{
    CheckoutStatus, Machine, OrderStatus, PaymentStatus, ProductStatus, ReservationStatus, SaleStatus, SellerStatus,
    StreamStatus,
};
use uuid::Uuid;

use crate::market::Market;

#[tokio::test]
async fn an_order_is_a_snapshot_of_what_was_agreed() {
    let market = Market::open(10, 1_999).await;
    market
        .sql(
            "insert into commission_rules (id, rate_bps) values ($1, 1250)",
            Uuid::now_v7(),
        )
        .await;
    let buyer = market.buyer().await;
    let checkout = buyer.checkout(market.shop.variant, 3).await;
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(order.status, OrderStatus::PendingPayment);
    assert_eq!((order.total.minor, order.items[0].total.minor), (5_997, 5_997));
    assert_eq!(order.items[0].seller.id, market.shop.seller);
    assert_eq!(
        buyer.order_now(order.id).await,
        order,
        "what is answered is what is stored"
    );

    market
        .sql(
            "update product_variants set price_minor = 1 where id = $1",
            market.shop.variant.0,
        )
        .await;
    market
        .sql(
            "update products set title = 'Another' where id = $1",
            market.shop.product.0,
        )
        .await;
    market
        .sql("update addresses set city = 'Bremen' where id = $1", buyer.address.0)
        .await;
    market
        .sql(
            "insert into commission_rules (id, rate_bps) values ($1, 10000)",
            Uuid::now_v7(),
        )
        .await;
    assert_eq!(buyer.order_now(order.id).await, order);
    // 5997 × 12.5 % = 749.625
    assert_eq!(market.number("select commission_minor from order_items").await, 750);
    assert_eq!(market.stock(market.shop.variant).await, (10, 3), "promised, not sold");
    market.verified().await;
}

#[tokio::test]
async fn the_nearest_categorys_commission_goes_before_everybodys() {
    let market = Market::open(10, 1_000).await;
    let (root, leaf) = (Uuid::now_v7(), Uuid::now_v7());
    for (statement, id) in [
        (
            "insert into categories (id, name, slug) values ($1, 'Root', 'root')",
            root,
        ),
        (
            "insert into categories (id, name, slug, parent_id) select $1, 'Leaf', 'leaf', id from categories",
            leaf,
        ),
        ("update products set category_id = $1", leaf),
        (
            "insert into commission_rules (id, rate_bps) values ($1, 1000)",
            Uuid::now_v7(),
        ),
        (
            "insert into commission_rules (id, category_id, rate_bps) values (gen_random_uuid(), $1, 700)",
            root,
        ),
    ] {
        market.sql(statement, id).await;
    }
    let buyer = market.buyer().await;
    let commission = async || {
        let order = buyer.order(market.shop.variant, 1).await;
        let minor = sqlx::query_scalar::<_, i64>("select commission_minor from order_items where order_id = $1");
        minor
            .bind(order.id.0)
            .fetch_one(&market.app.db.pool)
            .await
            .expect("the line")
    };
    assert_eq!(commission().await, 70, "the root's is the nearest that there is");
    let of_leaf = "insert into commission_rules (id, category_id, rate_bps) values (gen_random_uuid(), $1, 300)";
    market.sql(of_leaf, leaf).await;
    assert_eq!(commission().await, 30);
    let of_shop = "insert into commission_rules (id, seller_id, rate_bps) values (gen_random_uuid(), $1, 500)";
    market.sql(of_shop, market.shop.seller.0).await;
    assert_eq!(commission().await, 50);
    market.verified().await;
}

#[tokio::test]
async fn the_shops_own_commission_rule_goes_before_everybodys() {
    let market = Market::open(10, 1_000).await;
    market
        .sql(
            "insert into commission_rules (id, rate_bps) values ($1, 1000)",
            Uuid::now_v7(),
        )
        .await;
    market
        .sql(
            "insert into commission_rules (id, seller_id, rate_bps) values (gen_random_uuid(), $1, 500)",
            market.shop.seller.0,
        )
        .await;
    market.sql("insert into commission_rules (id, seller_id, rate_bps, valid_from) values (gen_random_uuid(), $1, 1, now() + interval '1 day')", market.shop.seller.0).await;
    market.buyer().await.order(market.shop.variant, 1).await;
    assert_eq!(
        market.number("select commission_bps::bigint from order_items").await,
        500
    );
}

#[tokio::test]
async fn one_checkout_is_one_order_whatever_is_sent_at_once() {
    let market = Market::open(10, 1_000).await;
    let (buyer, key) = (market.buyer().await, Uuid::now_v7());
    let checkout = buyer.checkout(market.shop.variant, 1).await;
    let body = json!({"checkout_id": checkout.id});
    let same = (0..50).map(|_| buyer.session.post_once("/orders", key, &body));
    let fresh = (0..50).map(|_| buyer.try_place(checkout.id));
    let (same, fresh) = tokio::join!(
        futures_util::future::join_all(same),
        futures_util::future::join_all(fresh)
    );
    let is_placed_or_late = |reply: &crate::harness::Reply| [201, 409].contains(&reply.status.as_u16());
    assert!(same.iter().chain(&fresh).all(is_placed_or_late));
    let placed = same.iter().chain(&fresh).filter(|reply| reply.status == 201);
    let numbers: std::collections::BTreeSet<i64> = placed.map(|reply| reply.created::<Order>().number).collect();
    assert_eq!(numbers.len(), 1);
    assert_eq!(market.number("select count(*) from orders").await, 1);
    assert_eq!(market.number("select count(*) from order_status_history").await, 1);

    let other = buyer.checkout(market.shop.variant, 1).await;
    let key = Uuid::now_v7();
    let first = buyer
        .session
        .post_once("/orders", key, &json!({"checkout_id": other.id}))
        .await;
    let again = buyer
        .session
        .post_once("/orders", key, &json!({"checkout_id": other.id}))
        .await;
    assert_eq!((first.status.as_u16(), &first.value()), (201, &again.value()));
    let reply = buyer
        .session
        .post_once("/orders", key, &json!({"checkout_id": checkout.id}))
        .await;
    reply.refused(422, "request_id_reused");
    market.verified().await;
}

#[tokio::test]
async fn a_hold_is_ordered_once() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(5, 400, 2).await, market.buyer().await);
    let hold = buyer.hold(sale, 2).await;
    let basket = buyer.basket(&[], &[&hold]);
    let a: Checkout = buyer.try_checkout(&basket).await.created();
    let b: Checkout = buyer.try_checkout(&basket).await.created();
    let (x, y) = tokio::join!(buyer.try_place(a.id), buyer.try_place(b.id));
    let mut statuses = [x.status.as_u16(), y.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409]);
    let won = if x.status == 201 { x } else { y };
    let cancel = format!("/orders/{}/cancel", won.created::<Order>().id);
    buyer.session.post(&cancel, &json!({})).await.ok::<Order>();
    // Its order is off: the hold is the buyer's again.
    buyer.order_hold(&hold).await;
    market.verified().await;
}

#[tokio::test]
async fn an_unpaid_order_is_called_off_and_its_stock_is_free() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let order = buyer.order(market.shop.variant, 4).await;
    let cancel = format!("/orders/{}/cancel", order.id);
    let cancelled: Order = buyer.session.post(&cancel, &json!({})).await.ok();
    assert_eq!(cancelled.status, OrderStatus::Cancelled);
    assert_eq!(buyer.session.post(&cancel, &json!({})).await.ok::<Order>(), cancelled);
    assert_eq!(market.stock(market.shop.variant).await, (10, 0));
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "wrong_state");
    let receipt = format!("/orders/{}/receipt", order.id);
    buyer.session.get(&receipt).await.refused(409, "wrong_state");

    let paid = buyer.order(market.shop.variant, 1).await;
    buyer.pay(paid.id, "test_success").await;
    let cancel = format!("/orders/{}/cancel", paid.id);
    market
        .sql("update orders set status = 'shipped' where id = $1", paid.id.0)
        .await;
    let refused = buyer.session.post(&cancel, &json!({})).await;
    refused.refused(409, "wrong_state");
}

#[tokio::test]
async fn an_order_that_is_not_paid_in_time_expires() {
    let market = Market::open(10, 1_000).await;
    let (sale, buyer) = (market.sale(5, 400, 2).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let basket = buyer.basket(&[(market.shop.variant, 2)], &[&hold]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(market.expire_orders().await, 0);
    market.order_lapses(order.id).await;
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "order_expired");
    assert_eq!(market.expire_orders().await, 1);
    assert_eq!(market.expire_orders().await, 0);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Expired);
    assert_eq!(market.stock(market.shop.variant).await, (10, 5), "all but the sale's");
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "order_expired");
    let history = "select count(*) from order_status_history where status = 'expired' and actor_id is null";
    assert_eq!(market.number(history).await, 1);
    let changed = RoomNotice::OrderChanged {
        user: buyer.session.id,
        order: order.id,
        status: OrderStatus::Expired,
    };
    assert!(market.notices().await.contains(&changed));
    // The hold is left to its sale: it still holds, and can be bought.
    let order = buyer.order_hold(&hold).await;
    buyer.pay(order.id, "test_success").await;
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Paid);
    market.verified().await;
}

#[tokio::test]
async fn what_costs_nothing_is_paid_without_a_payment() {
    let market = Market::open(10, 0).await;
    let (sale, buyer) = (market.sale(5, 0, 2).await, market.buyer().await);
    let hold = buyer.hold(sale, 2).await;
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[&hold]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!((order.status, order.payments.len()), (OrderStatus::Paid, 0));
    assert_eq!(market.stock(market.shop.variant).await, (7, 3));
    let receipt: Receipt = buyer.session.get(&format!("/orders/{}/receipt", order.id)).await.ok();
    assert_eq!((receipt.total.minor, receipt.payment_id), (0, None));
    buyer
        .pay_once(order.id, "test_success", Uuid::now_v7())
        .await
        .refused(409, "already_paid");
    assert_eq!(market.number("select count(*) from ledger_entries").await, 0);
    assert_eq!(market.number("select count(*) from seller_earnings").await, 2);
    market.verified().await;
}

#[tokio::test]
async fn orders_are_listed_newest_first_and_only_to_their_buyer() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let mut placed = Vec::new();
    for _ in 0..3 {
        placed.push(buyer.order(market.shop.variant, 1).await.id);
    }
    market.buyer().await.order(market.shop.variant, 1).await;
    let first: List<Order> = buyer.session.get("/orders?limit=2").await.ok();
    let cursor = first.next_cursor.expect("one more page");
    let second: List<Order> = buyer
        .session
        .get(&format!("/orders?limit=2&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(second.next_cursor, None);
    let listed: Vec<_> = first.items.iter().chain(&second.items).map(|order| order.id).collect();
    placed.reverse();
    assert_eq!(listed, placed);
    assert!(first.items.iter().all(|order| order.items.len() == 1));
}

#[tokio::test]
async fn a_purchase_of_two_shops_needs_few_statements() {
    let market = Market::open(10, 1_000).await;
    let other = testkit::fixtures::shop(&market.app.db.pool, 5, 100).await;
    let (buyer, second) = (market.buyer().await, market.product(10, 500).await);
    let basket = buyer.basket(&[(market.shop.variant, 1), (second, 1), (other.variant, 2)], &[]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    let sellers: std::collections::HashSet<_> = order.items.iter().map(|item| item.seller.id).collect();
    assert_eq!(sellers.len(), 2);
    buyer.pay(order.id, "test_success").await;
    let payable = "select count(*) from ledger_accounts where kind = 'seller_payable'";
    assert_eq!(market.number(payable).await, 2, "an account for each shop");
    market.verified().await;
}

/// Every status that the code knows is one that the database takes, and guards in SQL
/// allow exactly the steps of the machine.
#[tokio::test]
async fn machines_and_the_database_agree() {
    fn guards<M: Machine + std::fmt::Debug>() {
        for from in M::ALL {
            for to in M::ALL {
                let guarded = M::sources_of(*to).contains(&from.as_str().to_owned());
                assert_eq!(guarded, from.may_become(*to), "{from:?} to {to:?}");
            }
        }
    }
    async fn column<M: Machine>(market: &Market, table: &str) {
        let constraint: String = sqlx::query_scalar(
            "select pg_get_constraintdef(oid) from pg_constraint
              where conrelid = $1::regclass and conname = $2",
        )
        .bind(table)
        .bind(format!("{table}_status_check"))
        .fetch_one(&market.app.db.pool)
        .await
        .expect("the status is checked");
        for status in M::ALL {
            assert!(
                constraint.contains(&format!("'{}'", status.as_str())),
                "{table}: {}",
                status.as_str()
            );
        }
        assert_eq!(
            constraint.matches("::text").count(),
            M::ALL.len() + usize::from(constraint.contains("ANY ((")),
            "{constraint}"
        );
    }
    guards::<SellerStatus>();
    guards::<ProductStatus>();
    guards::<StreamStatus>();
    guards::<SaleStatus>();
    guards::<ReservationStatus>();
    guards::<CheckoutStatus>();
    guards::<OrderStatus>();
    guards::<PaymentStatus>();
    let market = Market::open(1, 1).await;
    column::<SellerStatus>(&market, "sellers").await;
    column::<ProductStatus>(&market, "products").await;
    column::<StreamStatus>(&market, "streams").await;
    column::<SaleStatus>(&market, "flash_sales").await;
    column::<ReservationStatus>(&market, "reservations").await;
    column::<CheckoutStatus>(&market, "checkouts").await;
    column::<OrderStatus>(&market, "orders").await;
    column::<PaymentStatus>(&market, "payments").await;
    let _: Value = market.app.get("/healthz").send().await.ok();
}

#[tokio::test]
async fn a_checkout_with_a_shop_that_was_suspended_is_not_placed() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let checkout = buyer.checkout(market.shop.variant, 2).await;
    let standing = |status| format!("update sellers set status = '{status}' where id = $1");
    for (status, expected) in [("suspended", 409), ("approved", 201)] {
        sqlx::query(sqlx::AssertSqlSafe(standing(status)))
            .bind(market.shop.seller.0)
            .execute(&market.app.db.pool)
            .await
            .expect("decided");
        let reply = buyer.try_place(checkout.id).await;
        assert_eq!(reply.status, expected, "{status}: {}", reply.text);
    }
    market.verified().await;
}

#[tokio::test]
async fn a_resend_that_is_refused_for_its_own_first_attempt_is_asked_again() {
    let market = Market::open(10, 1_000).await;
    let (db, buyer, key) = (&market.app.db.pool, market.buyer().await.session.id, RequestId::new());
    // As if the first attempt were committed between this one's look and its lock.
    let commit = "insert into idempotency_keys (user_id, key, operation, body_hash, status, response)
                  values ($1, $2, 'test', sha256('null'), 201, 'null')";
    let late = idempotency::once(db, buyer, key, "test", &(), 201, async |_| {
        let first = sqlx::query(commit).bind(buyer.0).bind(key.0).execute(db).await;
        assert_eq!(first?.rows_affected(), 1);
        Err::<(), _>(ErrorCode::WrongState.into())
    });
    let refused = late.await.expect_err("it was done");
    assert_eq!(refused.code(), ErrorCode::RequestInFlight);
    let again = idempotency::once(db, buyer, key, "test", &(), 201, async |_| Ok(()));
    assert!(again.await.expect("answered").replayed);
}
