//! From a paid order to its arrival: what a shop sees and sends, and what its buyer says.

use core_api::checkout::model::Checkout;
use core_api::fulfilment::model::{DeliveredBy, Shipment};
use core_api::http::List;
use core_api::orders::model::Order;
use core_api::seller_orders::model::SellerOrder;
use serde_json::{Value, json};
use shared::ids::{OrderId, OrderItemId, ShipmentId};
use shared::notification::NotificationKind;
use shared::status::OrderStatus;
use testkit::fixtures;
use uuid::Uuid;

use crate::harness::{Reply, Session};
use crate::market::{Buyer, Market};

/// A paid order of so many units of the market's product.
pub async fn paid(market: &Market, buyer: &Buyer, quantity: i32) -> Order {
    let order = buyer.order(market.shop.variant, quantity).await;
    buyer.pay(order.id, "test_success").await;
    buyer.order_now(order.id).await
}

/// A shop sends something.
pub async fn try_ship(by: &Session, order: OrderId, body: &Value) -> Reply {
    let path = format!("/seller/orders/{order}/shipments");
    by.post_once(&path, Uuid::now_v7(), body).await
}

fn units(item: OrderItemId, quantity: i32) -> Value {
    json!({"carrier": "Post", "items": [{"order_item_id": item, "quantity": quantity}]})
}

async fn confirm(by: &Session, order: OrderId, shipment: Option<ShipmentId>) -> Reply {
    let path = match shipment {
        Some(shipment) => format!("/orders/{order}/shipments/{shipment}/confirm"),
        None => format!("/orders/{order}/confirm"),
    };
    by.post(&path, &json!({})).await
}

/// A shop calls a unit of a line off.
pub async fn calls_off(by: &Session, order: OrderId, item: OrderItemId) {
    let path = format!("/seller/orders/{order}/items/{item}/cancel");
    let body = json!({"quantity": 1, "reason": "broken"});
    by.post_once(&path, Uuid::now_v7(), &body).await.ok::<Value>();
}

/// What somebody was told of an order: kinds, oldest first.
async fn told(session: &Session, order: OrderId) -> Vec<NotificationKind> {
    let list: List<core_api::notifications::model::Notification> = session.get("/notifications").await.ok();
    let of_it = list
        .items
        .into_iter()
        .rev()
        .filter(|n| n.order.is_some_and(|o| o.id == order));
    of_it.map(|n| n.kind).collect()
}

#[tokio::test]
async fn an_order_goes_out_in_parcels_and_arrives_by_its_buyers_word() {
    use NotificationKind::{OrderDelivered, OrderPaid, OrderShipped};
    let market = Market::open(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, 3).await;
    let item = order.items[0].id;
    assert_eq!(told(&owner, order.id).await, [OrderPaid]);

    let body = json!({"carrier": " DHL ", "tracking": "jd01 46", "items": [{"order_item_id": item, "quantity": 2}]});
    let first: Shipment = try_ship(&owner, order.id, &body).await.created();
    assert_eq!((first.carrier.as_str(), first.tracking.as_str()), ("dhl", "JD0146"));
    let now = buyer.order_now(order.id).await;
    assert_eq!(
        (now.status, &now.shipments),
        (OrderStatus::PartiallyShipped, &vec![first.clone()])
    );
    assert_eq!((now.items[0].shipped, now.items[0].delivered), (2, 0));

    let all: Order = confirm(&buyer.session, order.id, None).await.ok();
    assert_eq!(all.status, OrderStatus::PartiallyShipped, "one is still at the shop");
    assert_eq!(all.items[0].delivered, 2);
    assert_eq!(all.shipments[0].delivered_by, Some(DeliveredBy::Buyer));
    market.verified().await;

    let rest = market.ships(order.id).await;
    assert_eq!(rest.items[0].quantity, 1, "all that is left");
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Shipped);
    let done: Order = confirm(&buyer.session, order.id, Some(rest.id)).await.ok();
    assert_eq!((done.status, done.items[0].delivered), (OrderStatus::Delivered, 3));
    let again: Order = confirm(&buyer.session, order.id, Some(rest.id)).await.ok();
    assert_eq!(again, done, "twice is no error, and changes nothing");
    assert_eq!(confirm(&buyer.session, order.id, None).await.ok::<Order>(), done);

    assert_eq!(told(&buyer.session, order.id).await, [OrderShipped, OrderShipped]);
    assert_eq!(
        told(&owner, order.id).await,
        [OrderPaid, OrderDelivered, OrderDelivered]
    );
    let history: Vec<String> =
        sqlx::query_scalar("select status from order_status_history where order_id = $1 order by id")
            .bind(order.id.0)
            .fetch_all(&market.app.db.pool)
            .await
            .expect("its history");
    let steps = ["pending_payment", "paid", "partially_shipped", "shipped", "delivered"];
    assert_eq!(history, steps);
    market.verified().await;
}

#[tokio::test]
async fn a_shop_sees_its_own_part_of_paid_orders_and_nothing_else() {
    let market = Market::open(10, 1_000).await;
    let other = fixtures::shop(&market.app.db.pool, 10, 500).await;
    let stranger = market.app.session_of(other.owner);
    let (buyer, owner) = (market.buyer().await, market.owner());
    let basket = buyer.basket(&[(market.shop.variant, 2), (other.variant, 1)], &[]);
    let checkout: core_api::checkout::model::Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    let path = format!("/seller/orders/{}", order.id);
    owner.get(&path).await.refused(404, "not_found");
    try_ship(&owner, order.id, &json!({"carrier": "Post"}))
        .await
        .refused(404, "not_found");
    buyer.pay(order.id, "test_success").await;

    let mine: SellerOrder = owner.get(&path).await.ok();
    assert_eq!(
        (mine.number, mine.items.len(), mine.items[0].quantity),
        (order.number, 1, 2)
    );
    assert_eq!((mine.status, &mine.address), (OrderStatus::Paid, &order.address));
    let sent = market.ships(order.id).await;
    assert_eq!(sent.items.len(), 1, "of its own goods alone");
    let mine: SellerOrder = owner.get(&path).await.ok();
    assert_eq!(mine.status, OrderStatus::Shipped, "its own part");
    let theirs: SellerOrder = stranger.get(&path).await.ok();
    assert_eq!((theirs.status, theirs.shipments.len()), (OrderStatus::Paid, 0));
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::PartiallyShipped);
    let parcels: List<Shipment> = owner.get(&format!("{path}/shipments")).await.ok();
    assert_eq!(parcels.items, std::slice::from_ref(&sent));

    let foreign = units(mine.items[0].id, 1);
    let refused = try_ship(&stranger, order.id, &foreign).await.refused(404, "not_found");
    assert_eq!(refused["field"], "items.0.order_item_id");
    let parcel = format!("/seller/shipments/{}", sent.id);
    stranger
        .patch(&parcel, &json!({"tracking": "X1"}))
        .await
        .refused(404, "not_found");
    let third = fixtures::shop(&market.app.db.pool, 1, 1).await;
    let third = market.app.session_of(third.owner);
    third.get(&path).await.refused(404, "not_found");
    try_ship(&third, order.id, &json!({"carrier": "Post"}))
        .await
        .refused(404, "not_found");
    market.verified().await;
}

#[tokio::test]
async fn a_shops_orders_come_newest_first_by_how_far_they_are_and_as_a_file() {
    let market = Market::open(10, 1_050).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    market
        .sql(
            "update addresses set recipient = '=1+1', city = 'Ham,burg' where id = $1",
            buyer.address.0,
        )
        .await;
    let mut orders = Vec::new();
    for quantity in 1..=3 {
        orders.push(paid(&market, &buyer, quantity).await.id);
    }
    buyer.order(market.shop.variant, 1).await;
    market.ships(orders[1]).await;
    let ids = async |query: &str| {
        let list: List<SellerOrder> = owner.get(&format!("/seller/orders{query}")).await.ok();
        let ids: Vec<OrderId> = list.items.iter().map(|order| order.id).collect();
        (ids, list.next_cursor)
    };
    assert_eq!(ids("").await, (vec![orders[2], orders[1], orders[0]], None));
    assert_eq!(ids("?status=paid").await.0, [orders[2], orders[0]]);
    assert_eq!(ids("?status=shipped").await.0, [orders[1]]);
    let (first, cursor) = ids("?limit=2").await;
    assert_eq!(first, [orders[2], orders[1]]);
    let cursor = cursor.expect("more");
    assert_eq!(ids(&format!("?limit=2&cursor={cursor}")).await, (vec![orders[0]], None));
    for none in ["lost", "expired", "pending_payment"] {
        let path = format!("/seller/orders?status={none}");
        owner.get(&path).await.refused(400, "invalid_parameter");
    }

    let file = owner.get("/seller/orders/export?status=paid").await;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let lines: Vec<&str> = file.text.lines().collect();
    assert_eq!(lines.len(), 3, "{}", file.text);
    assert!(lines[0].starts_with("order_number,order_id,paid_at,status,item_id,sku"));
    assert!(lines[1].contains(&orders[2].to_string()) && lines[2].contains(&orders[0].to_string()));
    assert!(
        lines[1].contains(",3,0,0,0,0,10.50,31.50,0.00,EUR,'=1+1,"),
        "{}",
        lines[1]
    );
    assert!(lines[1].contains("\"Ham,burg\""));
}

#[tokio::test]
async fn files_of_orders_are_counted_by_shop() {
    let one = |config: &mut core_api::Config| config.limits.order_exports_per_hour = 1.try_into().expect("one");
    let market = Market::open_with(10, 1_000, one).await;
    let owner = market.owner();
    assert_eq!(owner.get("/seller/orders/export").await.status, 200);
    let limited = owner.get("/seller/orders/export").await;
    limited.refused(429, "rate_limited");
    assert!(!limited.header("retry-after").is_empty());
}

#[tokio::test]
async fn each_shops_part_of_an_order_is_as_far_as_its_own_units() {
    let market = Market::open(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let other = fixtures::shop(&market.app.db.pool, 10, 1_000).await;
    let other_owner = market.app.session_of(other.owner);
    let basket = buyer.basket(&[(market.shop.variant, 2), (other.variant, 1)], &[]);
    let checkout: Checkout = buyer.try_checkout(&basket).await.created();
    let order: Order = buyer.try_place(checkout.id).await.created();
    let far = async |owner: &Session, status: &str| {
        let list: List<SellerOrder> = owner.get(&format!("/seller/orders?status={status}")).await.ok();
        list.items.len()
    };
    assert_eq!(
        market.number("select count(*) from order_parts").await,
        0,
        "it is not paid"
    );
    buyer.pay(order.id, "test_success").await;
    assert_eq!((far(&owner, "paid").await, far(&other_owner, "paid").await), (1, 1));
    market.ships(order.id).await;
    let item = order
        .items
        .iter()
        .find(|item| item.seller.id == other.seller)
        .expect("theirs");
    let path = format!("/seller/orders/{}/items/{}/cancel", order.id, item.id);
    let body = json!({"quantity": 1, "reason": "broken"});
    other_owner.post_once(&path, Uuid::now_v7(), &body).await.ok::<Value>();
    assert_eq!(
        (far(&owner, "shipped").await, far(&other_owner, "cancelled").await),
        (1, 1)
    );
    assert_eq!((far(&owner, "paid").await, far(&other_owner, "paid").await), (0, 0));
    market.verified().await;
}

#[tokio::test]
async fn no_more_is_sent_than_is_left() {
    let market = Market::open(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, 2).await;
    let item = order.items[0].id;
    let refused = try_ship(&owner, order.id, &units(item, 3))
        .await
        .refused(409, "not_enough_left");
    assert_eq!(refused["field"], "items.0.quantity");
    for (body, field) in [
        (units(item, 0), "items.0.quantity"),
        (json!({"carrier": ""}), "carrier"),
        (json!({"carrier": "Post", "items": []}), "items"),
        (json!({"carrier": "Post", "tracking": "=1+1"}), "tracking"),
    ] {
        let problem = try_ship(&owner, order.id, &body).await.refused(422, "invalid_body");
        assert_eq!(problem["field"], field, "{problem}");
    }
    confirm(&buyer.session, order.id, None)
        .await
        .refused(409, "wrong_state");
    calls_off(&owner, order.id, item).await;
    let refused = try_ship(&owner, order.id, &units(item, 2)).await;
    refused.refused(409, "not_enough_left");
    let numbered = json!({"carrier": "dhl", "tracking": "1Z"});
    try_ship(&owner, order.id, &numbered).await.created::<Shipment>();
    try_ship(&owner, order.id, &json!({"carrier": "Post"}))
        .await
        .refused(409, "wrong_state");
    market.verified().await;

    let next = paid(&market, &buyer, 1).await;
    let taken = try_ship(&owner, next.id, &numbered).await.refused(409, "conflict");
    assert_eq!(taken["field"], "tracking");
    assert_eq!(
        buyer.order_now(next.id).await.status,
        OrderStatus::Paid,
        "nothing was sent"
    );
    let suspend = "update sellers set status = 'suspended' where id = $1";
    market.sql(suspend, market.shop.seller.0).await;
    // What was sold is owed all the same; more is not sold.
    try_ship(&owner, next.id, &json!({"carrier": "Post"}))
        .await
        .created::<Shipment>();
    owner.get("/seller/orders").await.ok::<List<SellerOrder>>();
    let another = json!({"title": "Cup", "variants": [{"sku": "CUP", "price_minor": 100, "on_hand": 1}]});
    owner.post("/seller/products", &another).await.refused(403, "forbidden");
    market.verified().await;
}

#[tokio::test]
async fn the_last_unit_is_sent_once_whatever_is_asked_at_once() {
    let market = Market::open(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, 2).await;
    let item = order.items[0].id;
    let (one, rest) = (units(item, 1), json!({"carrier": "Post"}));
    try_ship(&owner, order.id, &one).await.created::<Shipment>();
    let bodies = [&one, &rest, &one, &rest, &one, &rest];
    let replies = futures_util::future::join_all(bodies.map(|body| try_ship(&owner, order.id, body))).await;
    let (sent, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 201);
    assert_eq!(sent.len(), 1);
    for reply in refused {
        let code = reply.value()["code"].as_str().expect("a code").to_owned();
        assert!(["not_enough_left", "wrong_state"].contains(&code.as_str()), "{code}");
    }
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.items[0].shipped, now.shipments.len()), (2, 2));

    let confirms = (0..6).map(|_| confirm(&buyer.session, order.id, None));
    for reply in futures_util::future::join_all(confirms).await {
        assert_eq!(reply.ok::<Order>().status, OrderStatus::Delivered);
    }
    let told = market.number("select count(*) from notifications where kind = 'order_delivered'");
    assert_eq!(told.await, 2, "of each parcel once");
    market.verified().await;
}

#[tokio::test]
async fn what_is_sent_and_called_off_at_once_is_one_of_them() {
    let market = Market::open(20, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    for _ in 0..8 {
        let order = paid(&market, &buyer, 1).await;
        let all = json!({"carrier": "Post"});
        let (sent, cancelled) = tokio::join!(try_ship(&owner, order.id, &all), buyer.try_cancel(&order));
        let now = buyer.order_now(order.id).await;
        match (sent.status.as_u16(), cancelled.status.as_u16()) {
            (201, 409) => assert_eq!((now.status, now.items[0].shipped), (OrderStatus::Shipped, 1)),
            (409, 200) => assert_eq!((now.status, now.refunded), (OrderStatus::Cancelled, order.total)),
            both => panic!("{both:?}: {} {}", sent.text, cancelled.text),
        }
    }
    market.verified().await;
}

#[tokio::test]
async fn one_key_is_one_parcel() {
    let market = Market::open(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, 3).await;
    let (key, path) = (Uuid::now_v7(), format!("/seller/orders/{}/shipments", order.id));
    let body = units(order.items[0].id, 1);
    let sends = (0..6).map(|_| owner.post_once(&path, key, &body));
    let replies = futures_util::future::join_all(sends).await;
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        reply.refused(409, "request_in_flight");
    }
    let again: Shipment = owner.post_once(&path, key, &body).await.created();
    assert_eq!(buyer.order_now(order.id).await.shipments, [again]);
    let other = units(order.items[0].id, 2);
    owner
        .post_once(&path, key, &other)
        .await
        .refused(422, "request_id_reused");
    market.verified().await;
}

#[tokio::test]
async fn a_parcels_number_is_corrected_until_it_arrives() {
    let market = Market::open(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let (one, two) = (paid(&market, &buyer, 1).await, paid(&market, &buyer, 1).await);
    let numbered = |number: &str| json!({"carrier": "dhl", "tracking": number});
    let first: Shipment = try_ship(&owner, one.id, &numbered("A1")).await.created();
    try_ship(&owner, two.id, &numbered("A2")).await.created::<Shipment>();
    let path = format!("/seller/shipments/{}", first.id);
    let changed: Shipment = owner.patch(&path, &json!({"tracking": "b 1"})).await.ok();
    assert_eq!((changed.carrier.as_str(), changed.tracking.as_str()), ("dhl", "B1"));
    owner
        .patch(&path, &json!({"tracking": "A2"}))
        .await
        .refused(409, "conflict");
    let none: Shipment = owner.patch(&path, &json!({"tracking": ""})).await.ok();
    assert_eq!(none.tracking, "");
    confirm(&buyer.session, one.id, Some(first.id)).await.ok::<Order>();
    owner
        .patch(&path, &json!({"carrier": "ups"}))
        .await
        .refused(409, "wrong_state");
    let stranger = market.buyer().await;
    confirm(&stranger.session, one.id, Some(first.id))
        .await
        .refused(404, "not_found");
    confirm(&buyer.session, two.id, Some(first.id))
        .await
        .refused(404, "not_found");
    market.verified().await;
}

#[tokio::test]
async fn a_carriers_name_is_as_long_as_it_is_kept() {
    let market = Market::open(10, 1_000).await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, 1).await;
    // Each is two signs in small letters.
    let long = json!({"carrier": "İ".repeat(60)});
    let problem = try_ship(&owner, order.id, &long).await.refused(422, "invalid_body");
    assert_eq!(problem["field"], "carrier");
    let fits = json!({"carrier": "İ".repeat(30)});
    let parcel: Shipment = try_ship(&owner, order.id, &fits).await.created();
    let path = format!("/seller/shipments/{}", parcel.id);
    let problem = owner.patch(&path, &long).await.refused(422, "invalid_body");
    assert_eq!(problem["field"], "carrier");
}
