//! Shipping profiles: where a shop ships to and what it takes.

use core_api::checkout::model::Checkout;
use core_api::flash::model::Hold;
use core_api::http::List;
use core_api::orders::model::Order;
use serde_json::{Value, json};
use testkit::fixtures;
use uuid::Uuid;

use crate::catalog::{add, mug};
use crate::harness::{App, Reply, Session};
use crate::market::{Buyer, Market};

async fn profile(shop: &Session, body: &Value) -> (String, Value) {
    let made: Value = shop.post("/seller/shipping-profiles", body).await.created();
    let id = made["id"].as_str().expect("an id");
    (format!("/seller/shipping-profiles/{id}"), made)
}

#[tokio::test]
async fn a_profile_is_added_changed_archived_and_deleted() {
    let app = App::start().await;
    let (shop, _) = app.seller("Some Shop").await;
    let body = json!({"name": "Parcel", "base_minor": 499, "extra_item_minor": 100, "free_from_minor": 5000,
                      "show_cap_minor": 999, "regions": ["DE", "AT"]});
    let (path, made) = profile(&shop, &body).await;
    let euros = |minor: i64| json!({"minor": minor, "currency": "EUR"});
    assert_eq!(
        (&made["show_cap"], &made["regions"]),
        (&euros(999), &json!(["DE", "AT"]))
    );
    let change = json!({"base_minor": 599, "free_from_minor": null, "show_cap_minor": null, "regions": []});
    let changed: Value = shop.patch(&path, &change).await.ok();
    assert_eq!((&changed["base"], &changed["extra_item"]), (&euros(599), &euros(100)));
    assert_eq!(
        (&changed["free_from"], &changed["show_cap"], &changed["regions"]),
        (&Value::Null, &Value::Null, &json!([]))
    );

    let mut product = mug("Mug", 1);
    product["shipping_profile_id"] = made["id"].clone();
    let product = add(&shop, &product).await;
    shop.delete(&path).await.refused(409, "in_use");
    shop.patch(&path, &json!({"archived": true})).await.ok::<Value>();
    let open: Value = shop.get("/seller/shipping-profiles?archived=false").await.ok();
    assert_eq!(open["items"], json!([]));
    let mut another = mug("Another", 1);
    another["shipping_profile_id"] = made["id"].clone();
    let problem = shop.post("/seller/products", &another).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "shipping_profile_id");
    let own = format!("/seller/products/{}", product.id);
    let kept: Value = shop.patch(&own, &json!({"title": "Big Mug"})).await.ok();
    assert_eq!(kept["shipping_profile_id"], made["id"]);
    shop.patch(&own, &json!({"shipping_profile_id": null}))
        .await
        .ok::<Value>();
    shop.delete(&path).await.gone();
    shop.get(&path).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_profile_is_the_shops_own() {
    let app = App::start().await;
    let ((owner, _), (other, _)) = (app.seller("One").await, app.seller("Two").await);
    let (path, _) = profile(&owner, &json!({"name": "Parcel", "base_minor": 499})).await;
    other.get(&path).await.refused(404, "not_found");
    other
        .patch(&path, &json!({"base_minor": 0}))
        .await
        .refused(404, "not_found");
    other.delete(&path).await.refused(404, "not_found");
    for (field, value) in [
        ("base_minor", json!(-1)),
        ("regions", json!(["Germany"])),
        ("regions", json!(["DE", "DE"])),
        ("free_from_minor", json!(0)),
    ] {
        let problem = owner.patch(&path, &json!({field: value})).await;
        let at = problem.refused(422, "invalid_body")["field"]
            .as_str()
            .expect("a field")
            .to_owned();
        assert!(at.starts_with(field), "{at}");
    }
}

#[tokio::test]
async fn two_profiles_at_once_are_both_counted() {
    let app = App::start().await;
    let (owner, seller) = app.seller("Some Shop").await;
    let many = "insert into shipping_profiles (id, seller_id, name, base_minor, currency)
                select gen_random_uuid(), $1, 'Parcel', 1, 'EUR' from generate_series(1, $2)";
    let add = |count: i32| sqlx::query(many).bind(seller.0).bind(count);
    add(99).execute(&app.db.pool).await.expect("added");
    // Another request has the shop, and is about to add the last.
    let mut other = app.db.pool.begin().await.expect("a transaction");
    let lock = sqlx::query("select from sellers for no key update");
    lock.execute(&mut *other).await.expect("locked");
    add(1).execute(&mut *other).await.expect("added");
    let late = tokio::spawn(async move {
        let body = json!({"name": "One more", "base_minor": 1});
        owner.post("/seller/shipping-profiles", &body).await
    });
    app.somebody_waits().await;
    other.commit().await.expect("added");
    late.await.expect("answered").refused(409, "conflict");
}

#[tokio::test]
async fn what_is_not_shipped_to_an_address_is_not_sold_there() {
    let market = Market::open(5, 1_500).await;
    let owner = market.owner();
    let (path, made) = profile(&owner, &json!({"name": "Abroad", "base_minor": 499, "regions": ["AT"]})).await;
    owner
        .patch(
            &format!("/seller/products/{}", market.shop.product),
            &json!({"shipping_profile_id": made["id"]}),
        )
        .await
        .ok::<Value>();
    let buyer = market.buyer().await;
    let basket = buyer.basket(&[(market.shop.variant, 1)], &[]);
    let problem = buyer.try_checkout(&basket).await;
    assert_eq!(problem.refused(422, "not_shipped_there")["field"], "address_id");
    assert_eq!(
        market.stock(market.shop.variant).await,
        (5, 0),
        "nothing is kept from others"
    );
    owner
        .patch(&path, &json!({"regions": ["AT", "DE"]}))
        .await
        .ok::<Value>();
    let checkout: Value = buyer.try_checkout(&basket).await.created();
    assert_eq!(checkout["shipping_total"]["minor"], 499);
}

/// A buyer in a show whose shop caps its shipping, and how they buy there.
pub struct Capped {
    pub market: Market,
    profile: String,
}

impl Capped {
    /// Five euros a parcel, eight a show.
    pub async fn open() -> Self {
        let market = Market::open(50, 1_500).await;
        let owner = market.owner();
        let body = json!({"name": "Parcel", "base_minor": 500, "show_cap_minor": 800});
        let (profile, made) = profile(&owner, &body).await;
        let product = format!("/seller/products/{}", market.shop.product);
        let with = json!({"shipping_profile_id": made["id"]});
        owner.patch(&product, &with).await.ok::<Value>();
        Self { market, profile }
    }

    /// A checkout of one unit in the show.
    pub async fn checkout(&self, buyer: &Buyer) -> Checkout {
        let mut basket = buyer.basket(&[(self.market.shop.variant, 1)], &[]);
        basket["stream_id"] = json!(self.market.shop.stream);
        buyer.try_checkout(&basket).await.created()
    }

    /// A paid order of one unit in the show; what its shipping was.
    async fn buy(&self, buyer: &Buyer) -> i64 {
        let checkout = self.checkout(buyer).await;
        let order: Order = buyer.try_place(checkout.id).await.created();
        if order.total.minor > 0 {
            buyer.pay(order.id, "test_success").await;
        }
        checkout.shipping_total.minor
    }
}

async fn now(buyer: &Buyer, checkout: &Checkout) -> Checkout {
    buyer
        .session
        .get(&format!("/orders/checkout/{}", checkout.id))
        .await
        .ok()
}

#[tokio::test]
async fn shipping_of_a_show_costs_no_more_than_its_cap() {
    let show = Capped::open().await;
    let (buyer, other) = (show.market.buyer().await, show.market.buyer().await);
    assert_eq!(
        [show.buy(&buyer).await, show.buy(&buyer).await, show.buy(&buyer).await],
        [500, 300, 0]
    );
    assert_eq!(show.buy(&other).await, 500, "somebody else's");
    // The same goods outside of the show, and in it to another address.
    assert_eq!(
        buyer.checkout(show.market.shop.variant, 1).await.shipping_total.minor,
        500
    );
    let elsewhere = Buyer {
        address: fixtures::address(&show.market.app.db.pool, buyer.session.id).await,
        ..buyer.clone()
    };
    let text = "update addresses set line1 = 'Other Street 2' where id = $1";
    assert_eq!(show.market.sql(text, elsewhere.address.0).await, 1);
    assert_eq!(show.buy(&elsewhere).await, 500);
    // It is the place that counts, whatever its row.
    let same = Buyer {
        address: fixtures::address(&show.market.app.db.pool, buyer.session.id).await,
        ..buyer.clone()
    };
    assert_eq!(show.buy(&same).await, 0);
    show.market.verified().await;
}

#[tokio::test]
async fn shipping_that_went_back_does_not_count_towards_a_shows_cap() {
    let show = Capped::open().await;
    let (buyer, admin) = (show.market.buyer().await, show.market.app.admin().await);
    assert_eq!(show.buy(&buyer).await, 500);
    let orders: List<Order> = buyer.session.get("/orders").await.ok();
    let order = &orders.items[0];
    let items = json!([{"order_item_id": order.items[0].id, "quantity": 0}]);
    let body = json!({"items": items, "shipping": true, "reason": "Arrived late"});
    let path = format!("/admin/orders/{}/refunds", order.id);
    admin.post_once(&path, Uuid::now_v7(), &body).await.created::<Value>();
    assert_eq!([show.buy(&buyer).await, show.buy(&buyer).await], [500, 300]);
    show.market.verified().await;
}

#[tokio::test]
async fn of_two_checkouts_at_once_each_is_charged_what_the_other_leaves() {
    let show = Capped::open().await;
    let buyer = show.market.buyer().await;
    let (one, two) = tokio::join!(show.checkout(&buyer), show.checkout(&buyer));
    assert_eq!(
        (one.shipping_total.minor, two.shipping_total.minor),
        (500, 500),
        "none is paid"
    );
    let (placed, refused) = tokio::join!(buyer.try_place(one.id), buyer.try_place(two.id));
    // Whoever comes first; the other would pass the cap, or be cheap for nothing.
    let (placed, refused, late) = match placed.status.as_u16() {
        201 => (placed, refused, two),
        _ => (refused, placed, one),
    };
    let order: Order = placed.created();
    refused.refused(409, "conflict");
    buyer.try_place(late.id).await.refused(409, "conflict");
    assert_eq!(
        now(&buyer, &late).await.shipping_total.minor,
        500,
        "nothing is paid yet"
    );
    buyer.pay(order.id, "test_success").await;
    buyer.try_place(late.id).await.refused(409, "conflict");
    let repriced = now(&buyer, &late).await;
    assert_eq!((repriced.shipping_total.minor, repriced.total.minor), (300, 1_800));
    let order: Order = buyer.try_place(late.id).await.created();
    buyer.pay(order.id, "test_success").await;
    let paid = "select sum(shipping_minor)::bigint from orders where paid_at is not null";
    assert_eq!(show.market.number(paid).await, 800);
    show.market.verified().await;
}

#[tokio::test]
async fn nobody_ships_free_on_account_of_an_order_that_is_called_off() {
    let show = Capped::open().await;
    let buyer = show.market.buyer().await;
    let (one, two) = (show.checkout(&buyer).await, show.checkout(&buyer).await);
    let order: Order = buyer.try_place(one.id).await.created();
    buyer.try_place(two.id).await.refused(409, "conflict");
    let cancel = format!("/orders/{}/cancel", order.id);
    buyer.session.post(&cancel, &json!({})).await.ok::<Value>();
    let order: Order = buyer.try_place(two.id).await.created();
    assert_eq!(order.shipping_total.minor, 500);
    // A cap that there is room under makes nobody wait.
    let owner = show.market.owner();
    let change = json!({"show_cap_minor": 5_000});
    owner.patch(&show.profile, &change).await.ok::<Value>();
    let third = show.checkout(&buyer).await;
    buyer.try_place(third.id).await.created::<Order>();
}

#[tokio::test]
async fn a_show_caps_shipping_while_it_is_on_and_for_what_was_held_in_it() {
    let show = Capped::open().await;
    let (market, stream) = (&show.market, show.market.shop.stream.0);
    let buyer = market.buyer().await;
    let hold = buyer.hold(market.sale(5, 900, 1).await, 1).await;
    assert_eq!([show.buy(&buyer).await, show.buy(&buyer).await], [500, 300]);
    let goods = [(market.shop.variant, 1)];
    let ask = async |holds: &[&Hold]| {
        let mut basket = buyer.basket(&goods, holds);
        basket["stream_id"] = json!(market.shop.stream);
        buyer.try_checkout(&basket).await
    };
    let shipping = |reply: &Reply| reply.created::<Checkout>().shipping_total.minor;
    let ended = "update streams set status = 'ended', ended_at = now() - interval '9 minutes' where id = $1";
    market.sql(ended, stream).await;
    assert_eq!(shipping(&ask(&[]).await), 0, "who was about to buy still does");
    let ended = "update streams set ended_at = now() - interval '11 minutes' where id = $1";
    market.sql(ended, stream).await;
    let refused = ask(&[]).await.refused(409, "wrong_state");
    assert_eq!(refused["field"], "stream_id");
    assert_eq!(shipping(&buyer.try_checkout(&buyer.basket(&goods, &[])).await), 500);
    // It was held while the show was on the air.
    assert_eq!(shipping(&ask(&[&hold]).await), 0);
    let unnamed = buyer.basket(&goods, &[&hold]);
    assert_eq!(shipping(&buyer.try_checkout(&unnamed).await), 0);
    for status in [
        "update streams set status = 'scheduled', started_at = null, ended_at = null where id = $1",
        "update streams set status = 'cancelled' where id = $1",
    ] {
        market.sql(status, stream).await;
        ask(&[]).await.refused(409, "wrong_state");
    }
}
