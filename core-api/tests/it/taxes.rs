//! Tax by where things are sent.

use core_api::checkout::model::Checkout;
use core_api::orders::model::{Order, Receipt};
use core_api::tax::TaxTable;
use serde_json::json;

use crate::harness::Reply;
use crate::market::{Buyer, Market};

const RULES: &str = "DE:1900:included:goods+shipping:platform; US/California:725:added:goods:seller";

async fn market(price_minor: i64) -> Market {
    let market = Market::open_with(100, price_minor, |config| {
        config.taxes = TaxTable::parse(RULES).expect("rules");
    })
    .await;
    let shipping = "with s as (insert into shipping_profiles (id, seller_id, name, base_minor, currency)
                               values (gen_random_uuid(), $1, 'Parcel', 595, 'EUR') returning id)
                    update products set shipping_profile_id = (select id from s) where seller_id = $1";
    assert_eq!(market.sql(shipping, market.shop.seller.0).await, 1);
    market
}

#[tokio::test]
async fn tax_within_the_prices_is_told_with_what_it_is_of() {
    let market = market(1_190).await;
    let buyer = market.buyer().await;
    let checkout = buyer.checkout(market.shop.variant, 1).await;
    assert_eq!((checkout.total.minor, checkout.tax_total.minor), (1_785, 285));
    assert!(checkout.tax_included);
    let tax = &checkout.taxes[0];
    assert_eq!((tax.rate_bps, tax.base.minor, tax.amount.minor), (1_900, 1_500, 285));
    assert_eq!(
        (checkout.items[0].tax.minor, checkout.items[0].shipping_tax.minor),
        (190, 95)
    );
    let order: Order = buyer.try_place(checkout.id).await.created();
    assert_eq!(order.taxes, checkout.taxes);
    assert_eq!(buyer.order_now(order.id).await, order);
    buyer.pay(order.id, "test_success").await;
    let receipt: Receipt = buyer.session.get(&format!("/orders/{}/receipt", order.id)).await.ok();
    assert_eq!((receipt.taxes, receipt.tax_total.minor), (order.taxes, 285));
    // 10 % of 1000, and shipping without tax.
    let earned = "select amount_minor from seller_earnings";
    assert_eq!(market.number(earned).await, 1_000 - 100 + 500);
    market.verified().await;
}

#[tokio::test]
async fn tax_on_top_is_added_and_may_be_the_shops_to_remit() {
    let market = market(1_000).await;
    let buyer = market.buyer().await;
    let address = json!({"recipient": "Test Buyer", "line1": "1 Quay Street", "city": "Oakland", "region": "CALIFORNIA",
                         "postal_code": "94607", "country": "US"});
    let address: serde_json::Value = buyer.session.post("/users/addresses", &address).await.created();
    let mut basket = buyer.basket(&[(market.shop.variant, 2)], &[]);
    basket["address_id"] = address["id"].clone();
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    assert_eq!((checkout.tax_total.minor, checkout.tax_included), (145, false));
    assert_eq!(checkout.total.minor, 2_000 + 595 + 145);
    assert_eq!(checkout.taxes[0].base.minor, 2_000, "shipping is not taxed there");
    let order: Order = buyer.try_place(checkout.id).await.created();
    buyer.pay(order.id, "test_success").await;
    let earned = "select tax_minor from seller_earnings";
    assert_eq!(market.number(earned).await, 145);
    market.verified().await;
}

#[tokio::test]
async fn where_no_rule_is_there_is_no_tax() {
    let market = market(1_000).await;
    let buyer = market.buyer().await;
    market
        .sql("update addresses set country = 'FR' where id = $1", buyer.address.0)
        .await;
    let checkout = buyer.checkout(market.shop.variant, 1).await;
    assert_eq!((checkout.tax_total.minor, checkout.total.minor), (0, 1_595));
    assert!(checkout.taxes.is_empty());
}

#[tokio::test]
async fn a_checkout_without_its_lapsed_hold_keeps_its_discount_and_is_taxed_for_what_is_left() {
    let market = market(1_190).await;
    let owner = market.owner();
    let code = json!({"code": "TENTH", "percent_bps": 1_000});
    owner
        .post("/seller/discount-codes", &code)
        .await
        .created::<serde_json::Value>();
    let (sale, buyer) = (market.sale(5, 595, 2).await, market.buyer().await);
    let hold = buyer.hold(sale, 1).await;
    let mut basket = buyer.basket(&[(market.shop.variant, 1)], &[&hold]);
    basket["discount_code"] = json!("TENTH");
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    assert_eq!(
        (checkout.discount_total.minor, checkout.items[1].discount.minor),
        (119, 0)
    );
    market.verified().await;
    market.hold_lapses(&hold).await;
    let path = format!("/orders/checkout/{}", checkout.id);
    let repriced: Checkout = buyer.session.get(&path).await.ok();
    assert_eq!(
        (repriced.discount_total.minor, repriced.total.minor),
        (119, 1_071 + 595)
    );
    assert_eq!(repriced.tax_total.minor, 171 + 95);
    market.verified().await;
    buyer.try_place(checkout.id).await.created::<Order>();
    market.verified().await;
}

#[tokio::test]
async fn an_order_goes_where_it_was_priced_for_whatever_becomes_of_the_address() {
    let market = market(1_190).await;
    let buyer = market.buyer().await;
    let (moved, deleted) = (
        buyer.checkout(market.shop.variant, 1).await,
        buyer.checkout(market.shop.variant, 1).await,
    );
    let address = format!("/users/addresses/{}", buyer.address);
    // There, nothing is taxed.
    let elsewhere = json!({"country": "FR", "city": "Nantes", "postal_code": "44000"});
    buyer
        .session
        .patch(&address, &elsewhere)
        .await
        .ok::<serde_json::Value>();
    let path = format!("/orders/checkout/{}", moved.id);
    assert_eq!(buyer.session.get(&path).await.ok::<Checkout>(), moved);
    let order: Order = buyer.try_place(moved.id).await.created();
    assert_eq!((&order.address, order.tax_total.minor), (&moved.address, 285));
    assert_eq!(order.address.country, "DE");
    buyer.session.delete(&address).await.gone();
    let order: Order = buyer.try_place(deleted.id).await.created();
    assert_eq!((order.address, order.total), (deleted.address, deleted.total));
    market.verified().await;
}

#[tokio::test]
async fn a_region_is_taxed_however_it_is_written() {
    let market = market(1_000).await;
    let buyer = market.buyer().await;
    for region in ["CA", "us-ca", "California", " california "] {
        let checkout = to_oakland(&buyer, &market, region).await;
        let checkout: Checkout = checkout.created();
        assert_eq!(checkout.tax_total.minor, 73, "{region}");
        assert_eq!(checkout.address.region, "CA");
    }
    let problem = to_oakland(&buyer, &market, "Calif.").await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "address.region");
}

#[tokio::test]
async fn where_regions_are_taxed_and_none_is_the_addresss_nothing_is_sold_untaxed() {
    let market = market(1_000).await;
    let buyer = market.buyer().await;
    let problem = to_oakland(&buyer, &market, "Oregon").await;
    let problem = problem.refused(422, "not_shipped_there");
    assert_eq!(problem["field"], "address_id");
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("US/OR"), "{detail}");
    assert_eq!(market.stock(market.shop.variant).await, (100, 0));
    assert_eq!(market.number("select count(*) from checkouts").await, 0);
    // One from before regions were codes, written by hand.
    let checkout: Checkout = to_oakland(&buyer, &market, "CA").await.created();
    assert_eq!(checkout.tax_total.minor, 73);
    let by_hand = "update addresses set country = 'US', region = 'Calif.' where user_id = $1";
    market.sql(by_hand, buyer.session.id.0).await;
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[]);
    buyer.try_checkout(&basket).await.refused(422, "not_shipped_there");
}

/// Asks for one unit, sent to a new address in a region of the United States.
async fn to_oakland(buyer: &Buyer, market: &Market, region: &str) -> Reply {
    let basket = json!({
        "items": [{"variant_id": market.shop.variant, "quantity": 1}],
        "address": {"recipient": "Test Buyer", "line1": "1 Quay Street", "city": "Oakland", "region": region,
                    "postal_code": "94607", "country": "US"},
    });
    buyer.try_checkout(&basket).await
}
