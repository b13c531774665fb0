//! Who gets the goods: one checkout is one order, the last unit is one person's, and money
//! that comes at the last moment has its goods or goes back.

use core_api::checkout::model::Checkout;
use core_api::orders::model::Order;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::status::{OrderStatus, PaymentStatus};
use uuid::Uuid;

use super::{ROUNDS, answered, refused_with, won};
use crate::harness::Reply;
use crate::market::{Buyer, Market};

/// At once.
const CROWD: usize = 50;
/// Rounds with a crowd each.
const CROWDED_ROUNDS: usize = 5;

#[tokio::test]
async fn fifty_who_submit_one_order_with_one_key_get_one_answer() {
    let market = Market::open(1_000, 1_000).await;
    let buyer = market.buyer().await;
    for round in 1..=CROWDED_ROUNDS {
        let checkout = buyer.checkout(market.shop.variant, 1).await;
        let (key, body) = (Uuid::now_v7(), json!({"checkout_id": checkout.id}));
        let asks = (0..CROWD).map(|_| answered(|| buyer.session.post_once("/orders", key, &body)));
        let replies = join_all(asks).await;
        let first: Order = replies[0].created();
        for reply in &replies {
            assert_eq!((reply.status.as_u16(), &reply.text), (201, &replies[0].text));
        }
        let firsts = replies
            .iter()
            .filter(|reply| reply.header("idempotency-replayed").is_empty());
        assert_eq!(firsts.count(), 1, "all others are told that it was done before");
        let orders = i64::try_from(round).expect("few");
        assert_eq!(market.number("select count(*) from orders").await, orders);
        buyer.pay(first.id, "test_success").await;
    }
    market.came_to_no_harm().await;
}

#[tokio::test]
async fn of_fifty_who_submit_one_order_with_fifty_keys_one_does() {
    let market = Market::open(1_000, 1_000).await;
    let buyer = market.buyer().await;
    for round in 1..=CROWDED_ROUNDS {
        let checkout = buyer.checkout(market.shop.variant, 1).await;
        let replies = join_all((0..CROWD).map(|_| buyer.try_place(checkout.id))).await;
        let (placed, late) = won(&replies);
        assert_eq!(placed.len(), 1);
        refused_with(&late, &["wrong_state"]);
        let orders = i64::try_from(round).expect("few");
        assert_eq!(market.number("select count(*) from orders").await, orders);
        assert_eq!(market.number("select count(*) from order_status_history").await, orders);
    }
    market.came_to_no_harm().await;
}

/// Whoever got the last unit pays for it; how many that were.
async fn pay_for_it(buyer: &Buyer, reply: &Reply, by_cart: bool) -> usize {
    if !reply.status.is_success() {
        let codes = ["insufficient_stock", "sold_out", "sale_closed"];
        refused_with(&[reply], &codes);
        return 0;
    }
    let order: Order = if by_cart {
        buyer.try_place(reply.created::<Checkout>().id).await.created()
    } else {
        buyer.order_hold(&reply.created()).await
    };
    assert_eq!(
        buyer.pay(order.id, "test_success").await.status,
        PaymentStatus::Captured
    );
    1
}

#[tokio::test]
async fn the_last_unit_is_bought_by_one_cart_or_by_one_flash_buyer() {
    let market = Market::open(1, 1_000).await;
    let (mut by_cart, mut by_sale) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        by_cart.push(market.buyer().await);
        by_sale.push(market.buyer().await);
    }
    for round in 0..ROUNDS {
        let variant = market.product(1, 1_000).await;
        let carts = join_all(by_cart.iter().map(async |buyer| {
            let basket = buyer.basket(&[(variant, 1)], &[]);
            buyer.try_checkout(&basket).await
        }));
        // In half of the rounds a sale takes the unit aside, if it still is there; in the
        // others a sale that has it ends, and the unit is everybody's again.
        let opened = if round % 2 == 0 {
            None
        } else {
            market.try_sale_of(variant, 1, 500, 1).await
        };
        let holds = async {
            let sale = match opened {
                Some(sale) => sale,
                None => match market.try_sale_of(variant, 1, 500, 1).await {
                    Some(sale) => sale,
                    None => return Vec::new(),
                },
            };
            join_all(by_sale.iter().map(|buyer| buyer.hold_once(sale, 1, Uuid::now_v7()))).await
        };
        let ends = async {
            if let Some(sale) = opened {
                market.sql("select close_flash_sale($1)", sale.0).await;
            }
        };
        let (carts, holds, ()) = tokio::join!(carts, holds, ends);
        let mut sold = 0;
        for (buyer, reply) in by_cart.iter().zip(&carts) {
            sold += pay_for_it(buyer, reply, true).await;
        }
        for (buyer, reply) in by_sale.iter().zip(&holds) {
            sold += pay_for_it(buyer, reply, false).await;
        }
        // All carts may have asked before the sale gave the unit back, and all others after.
        assert!(sold == 1 || (sold == 0 && round % 2 == 1), "round {round}: {sold}");
        assert_eq!(market.stock(variant).await, (i32::from(sold == 0), 0), "round {round}");
    }
    market.came_to_no_harm().await;
}

#[tokio::test]
async fn a_success_at_the_last_moment_is_paid_or_never_charged() {
    let market = Market::open(1_000, 1_000).await;
    let mut outcomes = [0; 2];
    for round in 0..ROUNDS {
        let buyer = market.buyer().await;
        let (sale, sold_before) = (market.sale(1, 500, 1).await, market.stock(market.shop.variant).await.0);
        let hold = buyer.hold(sale, 1).await;
        let basket = buyer.basket(&[(market.shop.variant, 1)], &[&hold]);
        let checkout: Checkout = buyer.try_checkout(&basket).await.created();
        let order: Order = buyer.try_place(checkout.id).await.created();
        let payment = buyer.pay(order.id, "test_second_step").await;
        market.order_lapses(order.id).await;
        let path = format!("/orders/{}/payments/{}/confirm", order.id, payment.id);
        let nothing = json!({});
        let confirm = buyer.session.post_once(&path, Uuid::now_v7(), &nothing);
        let confirm = async {
            // A head start for the others in some rounds, and for none in most.
            for _ in 0..(round % 5) * 20 {
                tokio::task::yield_now().await;
            }
            confirm.await
        };
        let jobs = async {
            let (reconciled, expired) = tokio::join!(market.reconcile(), market.expire_orders());
            assert!(reconciled <= 1 && expired <= 1);
        };
        let (confirmed, (), ()) = tokio::join!(confirm, jobs, async {
            market.reconcile().await;
        });
        // Whatever is left of it.
        market.reconcile().await;
        market.expire_orders().await;
        let (payment, order) = (buyer.payment_now(&payment).await, buyer.order_now(order.id).await);
        let outcome = match (payment.status, order.status) {
            (PaymentStatus::Captured, OrderStatus::Paid) => 0,
            (PaymentStatus::Cancelled, OrderStatus::Expired) => 1,
            other => panic!("round {round}: {other:?}"),
        };
        outcomes[outcome] += 1;
        if confirmed.status.is_success() {
            let told: Value = confirmed.ok();
            assert_eq!(told["status"], json!(payment.status), "round {round}");
        } else {
            refused_with(&[&confirmed], &["wrong_state", "already_paid"]);
        }
        assert_eq!(order.refunds, [], "no money came without its goods");
        market.sql("select close_flash_sale($1)", sale.0).await;
        let sold = sold_before - market.stock(market.shop.variant).await.0;
        assert_eq!(sold, if outcome == 0 { 2 } else { 0 }, "round {round}");
    }
    market.came_to_no_harm().await;
    let still_held = market.stock(market.shop.variant).await.1;
    assert_eq!(
        still_held, outcomes[1],
        "the flash buyers' own until their time is over"
    );
}
