//! Carts, and checkouts of them.

use core_api::cart::model::{Cart, CartItem, CartNote, Merged, Reason};
use core_api::checkout::model::Checkout;
use core_api::orders::model::Order;
use futures_util::future::join_all;
use serde_json::{Value, json};
use shared::ids::VariantId;
use testkit::fixtures;
use uuid::Uuid;

use crate::market::{Buyer, Market};

impl Buyer {
    async fn put(&self, variant: VariantId, quantity: i32) -> Cart {
        let path = format!("/cart/items/{variant}");
        self.session.put(&path, &json!({"quantity": quantity})).await.ok()
    }

    async fn cart(&self) -> Cart {
        self.session.get("/cart").await.ok()
    }

    fn cart_body(&self) -> Value {
        json!({"cart": true, "address_id": self.address})
    }
}

fn items(cart: &Cart) -> Vec<&CartItem> {
    cart.shops.iter().flat_map(|shop| &shop.items).collect()
}

#[tokio::test]
async fn a_cart_says_what_has_changed() {
    let market = Market::open(10, 1_000).await;
    let other = fixtures::shop(&market.app.db.pool, 5, 2_000).await;
    let (buyer, variant) = (market.buyer().await, market.shop.variant);
    buyer.put(variant, 3).await;
    buyer.put(other.variant, 1).await;
    let cart = buyer.put(variant, 2).await;
    assert_eq!(cart.shops.len(), 2, "by shop");
    assert_eq!(
        (cart.shops[0].seller.id, cart.shops[0].total.minor),
        (market.shop.seller, 2_000)
    );
    assert!(
        items(&cart)
            .iter()
            .all(|item| item.can_be_bought && item.notes.is_empty())
    );
    assert_eq!(buyer.cart().await, cart);

    market
        .sql(
            "update product_variants set price_minor = 1100, on_hand = 1 where id = $1",
            variant.0,
        )
        .await;
    market
        .sql("update products set status = 'archived' where id = $1", other.product.0)
        .await;
    let cart = buyer.cart().await;
    let eur = |minor| shared::money::Money::new(minor, cart.shops[0].total.currency);
    let price = CartNote::Price {
        from: eur(1_000),
        to: eur(1_100),
    };
    let short = CartNote::InsufficientStock { available: 1 };
    assert_eq!(cart.shops[0].items[0].notes, [short.clone(), price]);
    assert_eq!(cart.shops[1].items[0].notes, [CartNote::NotOnSale]);
    assert!(items(&cart).iter().all(|item| !item.can_be_bought));
    assert_eq!((cart.shops[0].total.minor, cart.shops[1].total.minor), (0, 0));
    assert_eq!(
        buyer.cart().await.shops[0].items[0].notes,
        [short],
        "the price is told once"
    );
    let problem = buyer.try_checkout(&buyer.cart_body()).await.refused(404, "not_found");
    assert_eq!(problem["field"], "cart");
    assert_eq!(problem["detail"], "Test Product (TEST-1) is not on sale any more");

    let path = format!("/cart/items/{}", other.variant);
    buyer.session.delete(&path).await.gone();
    buyer.session.delete(&path).await.gone();
    let problem = buyer.try_checkout(&buyer.cart_body()).await;
    assert_eq!(problem.refused(409, "insufficient_stock")["field"], "cart");
    buyer.session.delete("/cart").await.gone();
    assert!(buyer.cart().await.shops.is_empty());
    let problem = buyer
        .try_checkout(&buyer.cart_body())
        .await
        .refused(422, "invalid_body");
    assert_eq!(problem["field"], "cart");
}

#[tokio::test]
async fn what_cannot_be_bought_is_not_put_into_a_cart() {
    let market = Market::open(10, 1_000).await;
    let (buyer, variant) = (market.buyer().await, market.shop.variant);
    let path = format!("/cart/items/{variant}");
    let one = json!({"quantity": 1});
    buyer
        .session
        .put(&path, &json!({"quantity": 0}))
        .await
        .refused(422, "invalid_body");
    let nothing = format!("/cart/items/{}", VariantId::new());
    buyer.session.put(&nothing, &one).await.refused(404, "not_found");
    market.owner().put(&path, &one).await.refused(403, "own_shop");
    buyer.put(variant, 1).await;
    let ban = "insert into banned_viewers (id, seller_id, user_id, banned_by)
               select gen_random_uuid(), id, $1, user_id from sellers";
    market.sql(ban, buyer.session.id.0).await;
    buyer.session.put(&path, &one).await.refused(403, "banned");
    assert_eq!(items(&buyer.cart().await)[0].notes, [CartNote::Banned]);
    market
        .sql(
            "update products set status = 'draft' where id = $1",
            market.shop.product.0,
        )
        .await;
    let stranger = market.buyer().await;
    stranger.session.put(&path, &one).await.refused(404, "not_found");
    assert!(stranger.cart().await.shops.is_empty(), "everybody has their own");
}

#[tokio::test]
async fn a_cart_has_a_hundred_lines_at_most() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let seller = market.shop.seller;
    let mut variants = Vec::new();
    for _ in 0..107 {
        variants.push(fixtures::product(&market.app.db.pool, seller, 0, 100).await.1);
    }
    let asked: Vec<Value> = variants[..99]
        .iter()
        .map(|v| json!({"variant_id": v, "quantity": 1}))
        .collect();
    let merged: Merged = buyer.session.post("/cart/merge", &json!({"items": asked})).await.ok();
    assert!(merged.left_out.is_empty());
    // Of all who add the last line at once, each counts the lines before it.
    let one = json!({"quantity": 1});
    let paths: Vec<String> = variants[99..].iter().map(|v| format!("/cart/items/{v}")).collect();
    let added = join_all(paths.iter().map(|path| buyer.session.put(path, &one))).await;
    assert_eq!(added.iter().filter(|reply| reply.status == 200).count(), 1);
    let path = format!("/cart/items/{}", market.shop.variant);
    buyer
        .session
        .put(&path, &json!({"quantity": 1}))
        .await
        .refused(409, "conflict");
    assert_eq!(
        items(&buyer.put(variants[7], 5).await).len(),
        100,
        "what is there may change"
    );
    let one_more = json!({"items": [{"variant_id": market.shop.variant, "quantity": 1}]});
    let merged: Merged = buyer.session.post("/cart/merge", &one_more).await.ok();
    assert_eq!(merged.left_out[0].reason, Reason::CartFull);
    market.verified().await;
    let beyond = "insert into cart_items (user_id, variant_id, quantity, seen_price_minor)
                  select (select user_id from cart_items limit 1), $1, 1, 100";
    market.sql(beyond, market.shop.variant.0).await;
    assert!(market.broken().await.contains(&"cart_limits"));
}

#[tokio::test]
async fn a_clients_cart_is_merged_and_a_replay_changes_nothing() {
    let market = Market::open(10, 1_000).await;
    let (buyer, second) = (market.buyer().await, market.product(10, 500).await);
    buyer.put(market.shop.variant, 3).await;
    let gone = VariantId::new();
    let asked = json!({"items": [
        {"variant_id": market.shop.variant, "quantity": 2},
        {"variant_id": second, "quantity": 4},
        {"variant_id": gone, "quantity": 1},
    ]});
    let merged: Merged = buyer.session.post("/cart/merge", &asked).await.ok();
    let quantities: Vec<_> = items(&merged.cart).iter().map(|item| item.quantity).collect();
    assert_eq!(quantities, [3, 4], "the larger of both");
    assert_eq!(
        (merged.left_out[0].variant_id, merged.left_out[0].reason),
        (gone, Reason::NotOnSale)
    );
    assert_eq!(buyer.session.post("/cart/merge", &asked).await.ok::<Merged>(), merged);
}

#[tokio::test]
async fn another_price_is_told_also_to_whoever_changes_how_many() {
    let market = Market::open(10, 1_000).await;
    let (buyer, variant) = (market.buyer().await, market.shop.variant);
    buyer.put(variant, 1).await;
    let dearer = "update product_variants set price_minor = price_minor + 100 where id = $1";
    market.sql(dearer, variant.0).await;
    let cart = buyer.put(variant, 2).await;
    let note = |cart: &Cart| cart.shops[0].items[0].notes.clone();
    assert!(matches!(note(&cart)[..], [CartNote::Price { from, to }] if (from.minor, to.minor) == (1_000, 1_100)));
    market.sql(dearer, variant.0).await;
    let asked = json!({"items": [{"variant_id": variant, "quantity": 3}]});
    let merged: Merged = buyer.session.post("/cart/merge", &asked).await.ok();
    assert!(
        matches!(note(&merged.cart)[..], [CartNote::Price { from, to }] if (from.minor, to.minor) == (1_100, 1_200))
    );
    assert_eq!(note(&buyer.cart().await), [], "it is told once");
}

#[tokio::test]
async fn a_merge_that_is_sent_again_after_its_goods_were_ordered_brings_nothing_back() {
    let market = Market::open(10, 1_000).await;
    let (buyer, key) = (market.buyer().await, Uuid::now_v7());
    let asked = json!({"items": [{"variant_id": market.shop.variant, "quantity": 2}]});
    let merged: Merged = buyer.session.post_once("/cart/merge", key, &asked).await.ok();
    let checkout: Checkout = buyer.try_checkout(&buyer.cart_body()).await.created();
    buyer.try_place(checkout.id).await.created::<Order>();
    assert!(buyer.cart().await.shops.is_empty());
    let again: Merged = buyer.session.post_once("/cart/merge", key, &asked).await.ok();
    assert_eq!(again, merged, "the same answer");
    assert!(buyer.cart().await.shops.is_empty());
    let more = json!({"items": [{"variant_id": market.shop.variant, "quantity": 3}]});
    let reused = buyer.session.post_once("/cart/merge", key, &more).await;
    reused.refused(422, "request_id_reused");
}

#[tokio::test]
async fn what_was_ordered_leaves_the_cart_and_what_was_added_stays() {
    let market = Market::open(10, 1_000).await;
    let other = fixtures::shop(&market.app.db.pool, 5, 2_000).await;
    let (buyer, variant) = (market.buyer().await, market.shop.variant);
    let second = market.product(10, 500).await;
    for (variant, quantity) in [(variant, 2), (second, 1), (other.variant, 1)] {
        buyer.put(variant, quantity).await;
    }
    let mut body = buyer.cart_body();
    body["sellers"] = json!([market.shop.seller]);
    let checkout: Checkout = buyer.try_checkout(&body).await.created();
    assert_eq!((checkout.items.len(), checkout.total.minor), (2, 2_500));
    assert_eq!(items(&buyer.cart().await).len(), 3, "nothing is ordered yet");
    buyer.put(variant, 5).await;
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(order.items.len(), 2);
    let cart = buyer.cart().await;
    let left: Vec<_> = items(&cart)
        .iter()
        .map(|item| (item.variant_id, item.quantity))
        .collect();
    assert_eq!(left, [(variant, 3), (other.variant, 1)]);
    // What is bought without the cart leaves it alone.
    buyer.order(variant, 1).await;
    assert_eq!(buyer.cart().await, cart);
    let mut both = buyer.cart_body();
    both["items"] = json!([{"variant_id": variant, "quantity": 1}]);
    buyer.try_checkout(&both).await.refused(422, "invalid_body");
    market.verified().await;
}

#[tokio::test]
async fn a_cart_in_many_hands_at_once_comes_to_no_harm() {
    let market = Market::open(1_000, 1_000).await;
    let buyer = market.buyer().await;
    let mut variants = vec![market.shop.variant];
    for _ in 0..4 {
        variants.push(market.product(1_000, 500).await);
    }
    let asked: Vec<Value> = variants
        .iter()
        .rev()
        .map(|v| json!({"variant_id": v, "quantity": 9}))
        .collect();
    let merge = json!({"items": asked});
    let acts = (0..24_usize).map(|i| {
        let (buyer, merge, variants) = (&buyer, &merge, &variants);
        async move {
            match i % 4 {
                0 => buyer.session.post("/cart/merge", merge).await,
                1 => {
                    buyer
                        .session
                        .put(&format!("/cart/items/{}", variants[i % 5]), &json!({"quantity": 3}))
                        .await
                }
                2 => buyer.session.delete("/cart").await,
                _ => {
                    let checkout = buyer.try_checkout(&buyer.cart_body()).await;
                    if checkout.status != 201 {
                        return checkout;
                    }
                    buyer.try_place(checkout.created::<Checkout>().id).await
                }
            }
        }
    });
    for reply in join_all(acts).await {
        assert!(reply.status.as_u16() < 500, "{reply:?}");
    }
    market.verified().await;
}

#[tokio::test]
async fn a_checkout_to_a_new_address_keeps_it() {
    let market = Market::open(10, 1_000).await;
    let buyer = market.buyer().await;
    let new = json!({"recipient": "Test Buyer", "line1": "2 Quay Street", "city": "Bremen", "postal_code": "28195",
                     "country": "DE"});
    let body = |address: &Value, quantity: i32| json!({"items": [{"variant_id": market.shop.variant, "quantity": quantity}], "address": address});
    buyer
        .try_checkout(&body(&new, 11))
        .await
        .refused(409, "insufficient_stock");
    let addresses = "select count(*) from addresses where deleted_at is null";
    assert_eq!(
        market.number(addresses).await,
        1,
        "a checkout that is refused leaves none"
    );
    let key = Uuid::now_v7();
    for _ in 0..2 {
        let reply = buyer.session.post_once("/orders/checkout", key, &body(&new, 1)).await;
        assert_eq!(reply.created::<Checkout>().address.city, "Bremen");
    }
    assert_eq!(market.number(addresses).await, 2);
    let mut wrong = new.clone();
    wrong["postal_code"] = json!("1");
    let problem = buyer.try_checkout(&body(&wrong, 1)).await.refused(422, "invalid_body");
    assert_eq!(problem["field"], "address.postal_code");
    let mut both = body(&new, 1);
    both["address_id"] = json!(buyer.address);
    let problem = buyer.try_checkout(&both).await.refused(422, "invalid_body");
    assert_eq!(problem["field"], "address_id");
    let fill = "insert into addresses (id, user_id, recipient, line1, city, postal_code, country)
                select gen_random_uuid(), $1, 'Test Buyer', '3 Quay Street', 'Bremen', '28195', 'DE'
                  from generate_series(1, 48)";
    market.sql(fill, buyer.session.id.0).await;
    buyer.try_checkout(&body(&new, 1)).await.refused(409, "conflict");
    market.verified().await;
}
