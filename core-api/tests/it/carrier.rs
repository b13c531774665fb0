//! A carrier's reports: believed by their signature, taken once, in whatever order they come.

use core_api::dead_letters::model::DeadLetter;
use core_api::fulfilment::model::{DeliveredBy, Shipment};
use core_api::http::List;
use core_api::notifications::model::Notification;
use core_api::webhooks::signature::sign;
use core_api::webhooks::{self, SIGNATURE};
use rand::seq::SliceRandom as _;
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use shared::config::Secret;
use shared::status::OrderStatus;
use testkit::fixtures;
use uuid::Uuid;

use crate::fulfilment::{paid, try_ship};
use crate::harness::{App, Reply};
use crate::market::{Market, still};

const SECRET: &str = "whsec_of_the_carrier";

/// A market whose carrier has a secret.
async fn market() -> Market {
    let commerce = still();
    let app = App::start_with(|config| {
        config.commerce = commerce;
        config.webhooks.carrier = Some(Secret::new(SECRET.to_owned()));
    })
    .await;
    let shop = fixtures::shop(&app.db.pool, 1_000, 1_000).await;
    Market { app, shop, commerce }
}

fn report(id: &str, tracking: &str) -> Value {
    json!({"id": id, "type": "delivered", "carrier": "DHL", "tracking": tracking})
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

async fn send(market: &Market, header: &str, body: &str) -> Reply {
    let call = market.app.post("/webhooks/carrier").header(SIGNATURE, header);
    call.body("application/json", body.to_owned()).send().await
}

/// A report, signed now.
async fn tell(market: &Market, event: &Value) {
    let body = event.to_string();
    let header = sign(SECRET.as_bytes(), now(), body.as_bytes());
    send(market, &header, &body).await.ok::<Value>();
}

/// Works off what is due, on this many processes at once; how many were taken.
async fn work(market: &Market, processes: usize) -> u64 {
    let till = market.till();
    let works = (0..processes).map(|_| webhooks::work(&till, &market.commerce, 100));
    let taken = futures_util::future::join_all(works).await;
    taken.into_iter().map(|taken| taken.expect("worked off")).sum()
}

/// What rests is due.
async fn time_passes(market: &Market) {
    let due = "update webhook_inbox set not_before = now() where processed_at is null and dead_at is null";
    sqlx::query(due).execute(&market.app.db.pool).await.expect("due");
}

#[tokio::test]
async fn a_parcel_arrives_by_its_carriers_word_and_both_sides_hear_of_it() {
    let market = market().await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, 1).await;
    let body = json!({"carrier": "dhl", "tracking": "A1"});
    try_ship(&owner, order.id, &body).await.created::<Shipment>();
    tell(&market, &report("evt_1", "a1")).await;
    assert_eq!(
        buyer.order_now(order.id).await.status,
        OrderStatus::Shipped,
        "it is only kept"
    );
    assert_eq!(work(&market, 1).await, 1);
    let now = buyer.order_now(order.id).await;
    assert_eq!(now.status, OrderStatus::Delivered);
    assert_eq!(now.shipments[0].delivered_by, Some(DeliveredBy::Carrier));
    for session in [&buyer.session, &owner] {
        let list: List<Notification> = session.get("/notifications").await.ok();
        assert_eq!(list.items[0].kind.as_str(), "order_delivered");
    }
    market.verified().await;
}

#[tokio::test]
async fn only_what_is_signed_with_the_secret_just_now_is_kept() {
    let market = market().await;
    let body = report("evt_1", "A1").to_string();
    let signed = |secret: &str, at: i64| sign(secret.as_bytes(), at, body.as_bytes());
    for header in [
        String::new(),
        "t=1,v1=".to_owned(),
        signed("another secret of somebody's", now()),
        signed(SECRET, now() - 310),
        signed(SECRET, now() + 310),
    ] {
        let refused = send(&market, &header, &body).await.refused(400, "signature_invalid");
        assert_eq!(refused["field"], SIGNATURE);
    }
    let call = market.app.post("/webhooks/carrier").json(&report("evt_1", "A1"));
    call.send().await.refused(400, "signature_invalid");
    let other = body.replace("A1", "A2");
    send(&market, &signed(SECRET, now()), &other)
        .await
        .refused(400, "signature_invalid");
    let sign_it = |text: &str| sign(SECRET.as_bytes(), now(), text.as_bytes());
    for (text, status, code) in [("{", 400, "malformed"), (r#"{"id": "evt_1"}"#, 422, "invalid_body")] {
        send(&market, &sign_it(text), text).await.refused(status, code);
    }
    let long = " ".repeat(70_000);
    send(&market, &sign_it(&long), &long)
        .await
        .refused(413, "payload_too_large");
    assert_eq!(market.number("select count(*) from webhook_inbox").await, 0);
    send(&market, &signed(SECRET, now() - 200), &body).await.ok::<Value>();
    assert_eq!(market.number("select count(*) from webhook_inbox").await, 1);
}

#[tokio::test]
async fn without_a_secret_nobody_is_listened_to() {
    let market = Market::open(1, 1_000).await;
    let body = report("evt_1", "A1").to_string();
    let header = sign(b"", now(), body.as_bytes());
    send(&market, &header, &body).await.refused(404, "not_found");
}

#[tokio::test]
async fn reports_that_come_often_shuffled_and_at_once_deliver_each_parcel_once() {
    const PARCELS: usize = 6;
    let market = market().await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, i32::try_from(PARCELS).expect("few")).await;
    let item = order.items[0].id;
    for n in 0..PARCELS {
        let items = json!([{"order_item_id": item, "quantity": 1}]);
        let body = json!({"carrier": "dhl", "tracking": format!("P{n}"), "items": items});
        try_ship(&owner, order.id, &body).await.created::<Shipment>();
    }
    // Each event ten times, and each parcel by two events.
    let mut reports: Vec<Value> = (0..PARCELS * 20)
        .map(|n| report(&format!("evt_{}", n % (PARCELS * 2)), &format!("P{}", n % PARCELS)))
        .collect();
    reports.shuffle(&mut StdRng::seed_from_u64(7));
    futures_util::future::join_all(reports.iter().map(|event| tell(&market, event))).await;
    assert_eq!(market.number("select count(*) from webhook_inbox").await, 2 * 6);
    assert_eq!(work(&market, 4).await, 12, "each is taken by one");
    assert_eq!(work(&market, 1).await, 0);
    let now = buyer.order_now(order.id).await;
    assert_eq!((now.status, now.items[0].delivered), (OrderStatus::Delivered, 6));
    let told = market.number("select count(*) from notifications where kind = 'order_delivered'");
    assert_eq!(told.await, 12, "two people of six parcels, once each");
    market.verified().await;
}

#[tokio::test]
async fn a_report_of_a_parcel_that_nobody_knows_yet_waits_for_it_and_is_given_up_in_the_end() {
    let market = market().await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let order = paid(&market, &buyer, 1).await;
    tell(&market, &report("evt_1", "A1")).await;
    tell(&market, &report("evt_2", "NEVER")).await;
    let other = json!({"id": "evt_3", "type": "picked_up", "carrier": "dhl", "tracking": "A1"});
    tell(&market, &other).await;
    assert_eq!(work(&market, 1).await, 3);
    assert_eq!(work(&market, 1).await, 0, "it rests");
    let body = json!({"carrier": "dhl", "tracking": "A1"});
    try_ship(&owner, order.id, &body).await.created::<Shipment>();
    time_passes(&market).await;
    assert_eq!(work(&market, 1).await, 2);
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Delivered);
    let waiting = market.number("select count(*) from webhook_inbox where processed_at is null");
    assert_eq!(waiting.await, 1);
    for _ in 0..18 {
        time_passes(&market).await;
        assert_eq!(work(&market, 1).await, 1);
    }
    time_passes(&market).await;
    assert_eq!(work(&market, 1).await, 0);
    let row = "select last_error from webhook_inbox where event_id = 'evt_2' and dead_at is not null";
    let why: String = sqlx::query_scalar(row)
        .fetch_one(&market.app.db.pool)
        .await
        .expect("kept");
    assert_eq!(why, "no parcel has this number");
    market.verified().await;
}

#[tokio::test]
async fn a_report_from_before_its_number_was_written_down_is_of_another_parcel() {
    let market = market().await;
    let (buyer, owner) = (market.buyer().await, market.owner());
    let (order, corrected) = (paid(&market, &buyer, 1).await, paid(&market, &buyer, 1).await);
    tell(&market, &report("evt_1", "A1")).await;
    tell(&market, &report("evt_2", "A2")).await;
    assert_eq!(work(&market, 1).await, 2);
    let earlier = "update webhook_inbox set received_at = now() - interval '1 hour'";
    sqlx::query(earlier)
        .execute(&market.app.db.pool)
        .await
        .expect("earlier");
    // Both numbers are of parcels that somebody else has got.
    let body = json!({"carrier": "dhl", "tracking": "A1"});
    try_ship(&owner, order.id, &body).await.created::<Shipment>();
    let body = json!({"carrier": "dhl", "tracking": "B2"});
    let parcel: Shipment = try_ship(&owner, corrected.id, &body).await.created();
    let sent = "update shipments set shipped_at = now() - interval '2 days' where id = $1";
    market.sql(sent, parcel.id.0).await;
    let path = format!("/seller/shipments/{}", parcel.id);
    owner.patch(&path, &json!({"tracking": "A2"})).await.ok::<Shipment>();
    time_passes(&market).await;
    assert_eq!(work(&market, 1).await, 2);
    for order in [order.id, corrected.id] {
        assert_eq!(buyer.order_now(order).await.status, OrderStatus::Shipped);
    }
    let given_up = "select count(*) from webhook_inbox where dead_at is not null
                       and last_error = 'the number was written down after the report'";
    assert_eq!(market.number(given_up).await, 2, "nothing can come of them any more");
    // What comes from now on is of these.
    tell(&market, &report("evt_3", "A1")).await;
    tell(&market, &report("evt_4", "A2")).await;
    assert_eq!(work(&market, 1).await, 2);
    for order in [order.id, corrected.id] {
        assert_eq!(buyer.order_now(order).await.status, OrderStatus::Delivered);
    }
    market.verified().await;
}

#[tokio::test]
async fn a_name_with_space_around_it_is_the_name() {
    let market = market().await;
    let id = "e".repeat(255);
    tell(&market, &report(&format!("  {id} "), "A1")).await;
    tell(&market, &report(&id, "A1")).await;
    assert_eq!(market.number("select count(*) from webhook_inbox").await, 1);
}

#[tokio::test]
async fn a_report_that_is_dead_is_worked_off_once_an_admin_says_so_and_one_that_is_discarded_never() {
    let market = market().await;
    let (buyer, owner, admin) = (market.buyer().await, market.owner(), market.app.admin().await);
    let order = paid(&market, &buyer, 1).await;
    for (id, tracking) in [("evt_1", "A1"), ("evt_2", "NEVER")] {
        tell(&market, &report(id, tracking)).await;
    }
    let last = "update webhook_inbox set attempts = 19";
    sqlx::query(last)
        .execute(&market.app.db.pool)
        .await
        .expect("nearly over");
    assert_eq!(work(&market, 1).await, 2);
    let dead: List<DeadLetter> = admin.get("/admin/dead-letters?kind=webhook").await.ok();
    let [never, late] = &dead.items[..] else {
        panic!("{dead:?}");
    };
    assert_eq!(
        (
            late.source.as_str(),
            late.what.as_str(),
            late.attempts,
            late.last_error.as_str()
        ),
        ("carrier", "delivered", 20, "no parcel has this number")
    );
    assert_eq!(
        market
            .number("select count(*) from webhook_inbox where processed_at is not null")
            .await,
        0
    );

    let body = json!({"carrier": "dhl", "tracking": "A1"});
    try_ship(&owner, order.id, &body).await.created::<Shipment>();
    assert_eq!(work(&market, 1).await, 0, "nobody tries it");
    let path = |id: Uuid, act: &str| format!("/admin/dead-letters/{id}/{act}");
    let retry = path(late.id, "retry");
    admin.post_once(&retry, Uuid::now_v7(), &json!({})).await.ok::<Value>();
    let discard = path(never.id, "discard");
    let why = json!({"reason": "a parcel of another platform"});
    admin.post_once(&discard, Uuid::now_v7(), &why).await.ok::<Value>();
    for again in [&retry, &discard] {
        let again = admin.post_once(again, Uuid::now_v7(), &why).await;
        again.refused(409, "wrong_state");
    }
    tell(&market, &report("evt_2", "NEVER")).await;
    assert_eq!(work(&market, 1).await, 1, "the one that was retried");
    assert_eq!(buyer.order_now(order.id).await.status, OrderStatus::Delivered);
    let first = "select count(*) from webhook_inbox where event_id = 'evt_1' and attempts = 1 and last_error is null";
    assert_eq!(market.number(first).await, 1, "with a fresh budget");
    market.verified().await;
}
