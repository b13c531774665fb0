//! Refunds of parts, of orders with every kind of discount and tax.

use core_api::checkout::model::Checkout;
use core_api::ledger::parts::ShippingBack;
use core_api::orders::model::Order;
use core_api::refunds::model::{Back, RefundKind};
use core_api::refunds::{self, Decision};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use shared::ids::RefundId;
use shared::status::RefundStatus;

use crate::market::{Buyer, Market};

/// Orders of a run; each is refunded in up to a dozen steps.
const ORDERS: u64 = 24;

/// An order of three lines of two shops, of any prices, discounts, taxes and shipping.
async fn any_order(market: &Market, buyer: &Buyer, variants: [shared::ids::VariantId; 3], rng: &mut StdRng) -> Order {
    let items = variants.map(|variant| (variant, rng.random_range(1..6)));
    let checkout: Checkout = buyer.try_checkout(&buyer.basket(&items, &[])).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    let db = &market.app.db.pool;
    for item in &order.items {
        let (unit, quantity) = (rng.random_range(1..2_000_i64), i64::from(item.quantity));
        let gross = unit * quantity;
        let seller = rng.random_range(0..=gross / 3);
        let (platform, tax) = (rng.random_range(0..=gross / 3), rng.random_range(0..=gross / 5));
        let shipping = rng.random_range(0..500_i64);
        let base = gross - seller - tax;
        let line = sqlx::query(
            "update order_items set unit_price_minor = $2, gross_minor = $3, seller_discount_minor = $4,
                    platform_discount_minor = $5, tax_minor = $6, shipping_minor = $7, shipping_tax_minor = $7 / 6,
                    commission_minor = ($8 * commission_bps + 5000) / 10000 where id = $1",
        );
        let line = line
            .bind(item.id.0)
            .bind(unit)
            .bind(gross)
            .bind(seller)
            .bind(platform)
            .bind(tax);
        line.bind(shipping).bind(base).execute(db).await.expect("a line");
    }
    // Of an order whose tax comes on top, commission is of the price without it.
    let (included, remitted) = (
        rng.random_bool(0.5),
        if rng.random_bool(0.5) { "seller" } else { "platform" },
    );
    let added = "update order_items i
            set commission_minor = ((gross_minor - seller_discount_minor) * commission_bps + 5000) / 10000
          where order_id = $1 and not $2";
    sqlx::query(added)
        .bind(order.id.0)
        .bind(included)
        .execute(db)
        .await
        .expect("lines");
    let sums = "select sum(gross_minor)::bigint, sum(seller_discount_minor + platform_discount_minor)::bigint,
                       sum(shipping_minor)::bigint, sum(tax_minor + shipping_tax_minor)::bigint
                  from order_items where order_id = $1";
    let sums: (i64, i64, i64, i64) = sqlx::query_as(sums).bind(order.id.0).fetch_one(db).await.expect("sums");
    let (goods, discount, shipping, tax) = sums;
    let total = goods - discount + shipping + if included { 0 } else { tax };
    let head = sqlx::query(
        "update orders set items_minor = $2, discount_minor = $3, shipping_minor = $4, tax_minor = $5,
                tax_included = $6, tax_remitted_by = $7, total_minor = $8 where id = $1",
    );
    let head = head
        .bind(order.id.0)
        .bind(goods)
        .bind(discount)
        .bind(shipping)
        .bind(tax);
    head.bind(included)
        .bind(remitted)
        .bind(total)
        .execute(db)
        .await
        .expect("an order");
    // Its checkout is what the order was placed from.
    let checkout = "update checkouts set status = 'cancelled' where id = $1";
    market.sql(checkout, checkout_id(market, &order).await).await;
    order
}

async fn checkout_id(market: &Market, order: &Order) -> uuid::Uuid {
    let id = sqlx::query_scalar("select checkout_id from orders where id = $1").bind(order.id.0);
    id.fetch_one(&market.app.db.pool).await.expect("a checkout")
}

/// Decides a refund of anything that is left; `None`: of what was chosen nothing is.
async fn give_back(market: &Market, order: &Order, rng: &mut StdRng, all: bool) -> Option<RefundId> {
    let mut tx = market.app.db.pool.begin().await.expect("a transaction");
    let purchase = refunds::lock(&mut tx, order.id, None).await.expect("locked");
    let lines = refunds::lines(&mut tx, order.id).await.expect("lines");
    let mut what = Vec::new();
    for line in &lines {
        let units = if all {
            line.left()
        } else {
            rng.random_range(0..=line.left())
        };
        let with_shipping = all || rng.random_bool(0.2);
        if units > 0 || with_shipping {
            what.push(Back {
                item: line.item,
                units,
                shipping: ShippingBack::when(with_shipping),
            });
        }
    }
    let decision = Decision {
        kind: RefundKind::Goodwill,
        reason: "",
        by: None,
    };
    let refund = refunds::decide(&mut tx, &purchase, &what, &decision)
        .await
        .expect("decided");
    tx.commit().await.expect("committed");
    refund
}

#[tokio::test]
async fn any_refunds_in_any_order_come_to_what_was_paid() {
    let market = Market::open(1_000, 1_000).await;
    let other = testkit::fixtures::shop(&market.app.db.pool, 1_000, 1_000).await;
    let variants = [market.shop.variant, market.product(1_000, 1_000).await, other.variant];
    let (buyer, till) = (market.buyer().await, market.till());
    for seed in 0..ORDERS {
        let mut rng = StdRng::seed_from_u64(seed);
        let order = any_order(&market, &buyer, variants, &mut rng).await;
        let token = ["test_success", "test_success_refund_fails"][rng.random_range(0..2)];
        buyer.pay(order.id, token).await;
        let mut decided = Vec::new();
        for _ in 0..rng.random_range(0..8) {
            decided.extend(give_back(&market, &order, &mut rng, false).await);
            if rng.random_bool(0.6) {
                // In another order than they were decided in; the first to be asked may fail.
                for refund in decided.drain(..).rev() {
                    refunds::submit(&till, refund).await.expect("asked");
                }
            }
        }
        for refund in decided {
            refunds::submit(&till, refund).await.expect("asked");
        }
        // What failed is among what is left.
        for _ in 0..2 {
            if let Some(rest) = give_back(&market, &order, &mut rng, true).await {
                refunds::submit(&till, rest).await.expect("asked");
            }
        }
        let now = buyer.order_now(order.id).await;
        assert_eq!(now.refunded, now.payments[0].amount, "seed {seed}: {:?}", now.refunds);
        assert!(now.refunds.iter().all(|refund| refund.status != RefundStatus::Pending));
        for kind in [
            "provider_clearing",
            "seller_payable",
            "platform_commission",
            "platform_discounts",
            "tax_payable",
        ] {
            assert_eq!(market.balance(kind).await, 0, "seed {seed}: {kind}");
        }
        let earned = "select count(*) from (select 1 from seller_earnings group by order_item_id
                       having sum(amount_minor) <> 0 or sum(commission_minor) <> 0) open";
        assert_eq!(market.number(earned).await, 0, "seed {seed}");
    }
    let report = shared::verify::run(&market.app.db.pool).await.expect("verified");
    // What was made up here is what no checkout has priced.
    let made_up = ["placed_checkouts", "tax_is_its_rate", "discounts_are_their_codes"];
    let broken: Vec<_> = report.broken().filter(|check| !made_up.contains(&check.name)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}
