//! Shows, and the way of a host's command to the room.

use std::num::NonZeroU32;

use core_api::catalog::products::Product;
use core_api::http::List;
use core_api::streams::model::{ChatLine, OpenedSale, Role, Stream, Ticket};
use serde_json::{Value, json};
use shared::bus::Requests;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ProductId, SaleId, StreamId};
use shared::live::{ROOM_REQUESTS, RoomReply, RoomRequest};
use shared::protocol::{HostCommand, Outcome};
use shared::status::StreamStatus;
use shared::token::{Part, Ticket as TicketClaims, Viewer};
use testkit::fixtures;
use uuid::Uuid;

use crate::harness::App;
use crate::market::Market;

/// Plays the engine: answers each request as `decide` says, and tells what was asked.
fn room(mut requests: Requests, decide: fn(&RoomRequest) -> RoomReply) -> tokio::sync::mpsc::Receiver<RoomRequest> {
    let (asked, seen) = tokio::sync::mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let question: RoomRequest = serde_json::from_slice(&request.message).expect("a room request");
            let reply = serde_json::to_vec(&decide(&question)).expect("a reply is JSON");
            asked.send(question).await.expect("somebody looks");
            request.reply(reply.into());
        }
    });
    seen
}

async fn schedule(market: &Market, body: &Value) -> Stream {
    market.owner().post("/streams", body).await.created()
}

#[tokio::test]
async fn a_show_is_scheduled_listed_and_called_off() {
    let market = Market::open(1, 100).await;
    let owner = market.owner();
    let product = market.shop.product;
    let body = json!({"title": " Autumn glazes ", "scheduled_at": "2030-01-01T18:00:00Z", "product_ids": [product]});
    let show = schedule(&market, &body).await;
    assert_eq!(
        (show.title.as_str(), show.status),
        ("Autumn glazes", StreamStatus::Scheduled)
    );
    let sooner = schedule(
        &market,
        &json!({"title": "Sooner", "scheduled_at": "2029-01-01T18:00:00Z"}),
    )
    .await;
    let upcoming: List<Stream> = market.app.get("/streams/upcoming?limit=1").send().await.ok();
    assert_eq!(upcoming.items[0].id, sooner.id);
    let cursor = upcoming.next_cursor.expect("one more");
    let rest: List<Stream> = market
        .app
        .get(&format!("/streams/upcoming?cursor={cursor}"))
        .send()
        .await
        .ok();
    assert_eq!(rest.items, std::slice::from_ref(&show));
    let live: List<Stream> = market.app.get("/streams/live").send().await.ok();
    assert_eq!(
        live.items.iter().map(|s| s.id).collect::<Vec<_>>(),
        [market.shop.stream]
    );
    let mine: List<Stream> = owner.get("/seller/streams").await.ok();
    assert_eq!(mine.items.len(), 3);
    let path = format!("/streams/{}", show.id);
    let line_up: List<Product> = market.app.get(&format!("{path}/products")).send().await.ok();
    assert_eq!(line_up.items[0].id, product);

    let cancel = format!("{path}/cancel");
    assert_eq!(
        owner.post(&cancel, &json!({})).await.ok::<Stream>().status,
        StreamStatus::Cancelled
    );
    owner.post(&cancel, &json!({})).await.ok::<Stream>();
    let told: Vec<Value> = sqlx::query_scalar("select payload from outbox where stream_id = $1")
        .bind(show.id.0)
        .fetch_all(&market.app.db.pool)
        .await
        .expect("the outbox");
    let event = json!({"type": "stream_status", "status": "cancelled"});
    assert_eq!(
        told,
        [json!({"notice": "happened", "no": 1, "event": event})],
        "whoever waits is told, once"
    );
    let on_air = format!("/streams/{}/cancel", market.shop.stream);
    owner.post(&on_air, &json!({})).await.refused(409, "wrong_state");
    owner
        .put(&format!("{path}/products"), &json!({"product_ids": []}))
        .await
        .refused(409, "wrong_state");
    market
        .app
        .get(&format!("/streams/{}", StreamId::new()))
        .send()
        .await
        .refused(404, "not_found");
    market.app.get("/streams/none").send().await.refused(404, "not_found");
    owner
        .post("/streams", &json!({"title": "  "}))
        .await
        .refused(422, "invalid_body");
    let buyer = market.buyer().await.session;
    buyer
        .post("/streams", &json!({"title": "Mine"}))
        .await
        .refused(403, "forbidden");
}

#[tokio::test]
async fn a_line_up_holds_the_shops_own_active_products() {
    let market = Market::open(1, 100).await;
    let (owner, path) = (market.owner(), format!("/streams/{}/products", market.shop.stream));
    let other = testkit::fixtures::shop(&market.app.db.pool, 1, 1).await;
    let (second, _) = testkit::fixtures::product(&market.app.db.pool, market.shop.seller, 1, 1).await;
    let set = async |ids: &[ProductId]| owner.put(&path, &json!({"product_ids": ids})).await;
    let order = |list: &List<Product>| list.items.iter().map(|p| p.id).collect::<Vec<_>>();
    let wanted = [second, market.shop.product];
    assert_eq!(order(&set(&wanted).await.ok()), wanted);
    let wanted = [market.shop.product, second];
    assert_eq!(order(&set(&wanted).await.ok()), wanted);
    set(&[other.product]).await.refused(404, "not_found");
    set(&[second, second]).await.refused(422, "invalid_body");
    market
        .sql("update products set status = 'archived' where id = $1", second.0)
        .await;
    set(&[second]).await.refused(404, "not_found");
    assert_eq!(order(&set(&[]).await.ok()), []);
    let foreign = format!("/streams/{}/products", other.stream);
    owner
        .put(&foreign, &json!({"product_ids": []}))
        .await
        .refused(404, "not_found");
    let body = json!({"title": "Mine", "product_ids": [other.product]});
    owner.post("/streams", &body).await.refused(404, "not_found");
    let mine: List<Stream> = owner.get("/seller/streams").await.ok();
    assert_eq!(mine.items.len(), 1, "nothing is left of it");
}

#[tokio::test]
async fn a_hosts_command_reaches_the_room_and_brings_its_word() {
    let market = Market::open(1, 100).await;
    let requests = market.app.bus.serve(ROOM_REQUESTS).await.expect("serving");
    let mut seen = room(requests, |request| match &request.command {
        HostCommand::SaleOpen(sale) if sale.quantity > 10 => {
            Err(Refusal::new(ErrorCode::InsufficientStock, "only ten").at("quantity"))
        }
        HostCommand::SaleOpen(_) => Ok(Outcome::SaleOpened {
            sale: SaleId(Uuid::from_u128(7)),
        }),
        _ => Ok(Outcome::Done),
    });
    let (owner, stream, key) = (market.owner(), market.shop.stream, Uuid::now_v7());
    let path = |tail: &str| format!("/streams/{stream}/{tail}");
    owner.post_once(&path("start"), key, &json!({})).await.ok::<Stream>();
    let asked = seen.recv().await.expect("asked");
    assert_eq!(
        (asked.stream, asked.user, asked.request_id.0),
        (stream, market.shop.owner, key)
    );
    assert_eq!(asked.command, HostCommand::Start);
    owner.post_once(&path("end"), key, &json!({})).await.ok::<Stream>();
    owner
        .post(&path("start"), &json!({}))
        .await
        .refused(400, "idempotency_key_missing");
    let feature = json!({"product": market.shop.product});
    assert_eq!(
        owner.post(&path("feature"), &feature).await.ok::<Value>(),
        json!({"result": "done"})
    );
    owner.delete(&path("feature")).await.gone();
    let order = json!({"products": [market.shop.product]});
    owner.put(&path("products/order"), &order).await.ok::<Value>();
    let mut sale = json!({"variant": market.shop.variant, "quantity": 10, "price_minor": 1, "per_buyer": 1,
                          "hold_seconds": 60, "ends_in_seconds": 60});
    let opened: OpenedSale = owner.post_once(&path("sales"), Uuid::now_v7(), &sale).await.created();
    assert_eq!(opened.sale.0, Uuid::from_u128(7));
    sale["quantity"] = json!(11);
    let problem = owner.post_once(&path("sales"), Uuid::now_v7(), &sale).await;
    assert_eq!(problem.refused(409, "insufficient_stock")["field"], "quantity");
    let close = path(&format!("sales/{}/close", opened.sale));
    owner.post_once(&close, Uuid::now_v7(), &json!({})).await.ok::<Value>();
    sale["quantity"] = json!("many");
    owner
        .post_once(&path("sales"), Uuid::now_v7(), &sale)
        .await
        .refused(422, "invalid_body");

    let stranger = testkit::fixtures::shop(&market.app.db.pool, 1, 1).await.owner;
    let stranger = market.app.session_of(stranger);
    stranger
        .post_once(&path("start"), Uuid::now_v7(), &json!({}))
        .await
        .refused(404, "not_found");
    stranger
        .post_once(&close, Uuid::now_v7(), &json!({}))
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn a_show_that_cannot_start_is_not_left_behind() {
    let market = Market::open(1, 100).await;
    let owner = market.owner();
    let body = json!({"title": "At once", "start": true});
    let problem = owner.post("/streams", &body).await.refused(503, "room_unavailable");
    assert!(problem["retry_after_ms"].is_number());
    let upcoming: List<Stream> = market.app.get("/streams/upcoming").send().await.ok();
    assert!(upcoming.items.is_empty());
    let path = format!("/streams/{}/end", market.shop.stream);
    owner
        .post_once(&path, Uuid::now_v7(), &json!({}))
        .await
        .refused(503, "room_unavailable");
    let requests = market.app.bus.serve(ROOM_REQUESTS).await.expect("serving");
    let mut seen = room(requests, |_| Ok(Outcome::Done));
    let show: Stream = owner.post("/streams", &body).await.created();
    let asked = seen.recv().await.expect("asked");
    assert_eq!((asked.stream, asked.command), (show.id, HostCommand::Start));
}

#[tokio::test]
async fn a_ticket_says_who_may_enter_as_what() {
    let market = Market::open(1, 100).await;
    let path = format!("/streams/{}/ticket", market.shop.stream);
    let claims = |ticket: &Ticket| {
        let verified = testkit::token_key()
            .verify::<TicketClaims>(&ticket.ticket)
            .expect("signed by us");
        assert_eq!(verified.expires_at, ticket.expires_at.timestamp());
        assert_eq!(verified.expires_at - verified.issued_at, 30);
        assert_eq!(verified.claims.stream, market.shop.stream);
        verified.claims
    };
    let guest: Ticket = market.app.post(&path).send().await.ok();
    assert_eq!(guest.url, "ws://127.0.0.1:1/ws");
    assert!(matches!(claims(&guest).viewer, Viewer::Guest { .. }));
    let buyer = market.buyer().await.session;
    let seat: Ticket = buyer.post(&path, &json!({})).await.ok();
    let name = "Test Buyer".to_owned();
    assert_eq!(claims(&seat).viewer, Viewer::User { id: buyer.id, name });
    assert_eq!((seat.part, claims(&seat).part), (Role::Viewer, Part::Viewer));
    assert_ne!(claims(&seat).jti, claims(&guest).jti);
    let host = json!({"part": "host"});
    let seat: Ticket = market.owner().post(&path, &host).await.ok();
    assert_eq!(claims(&seat).part, Part::Host);
    buyer.post(&path, &host).await.refused(403, "forbidden");
    market
        .app
        .post(&path)
        .json(&host)
        .send()
        .await
        .refused(401, "unauthenticated");
    market
        .app
        .post(&path)
        .json(&json!({"part": "king"}))
        .send()
        .await
        .refused(422, "invalid_body");
    let none = format!("/streams/{}/ticket", StreamId::new());
    market.app.post(&none).send().await.refused(404, "not_found");
    let ahead = chrono::Utc::now() + chrono::TimeDelta::hours(1);
    let body = json!({"title": "Later", "scheduled_at": ahead});
    let later: Stream = market.owner().post("/streams", &body).await.created();
    let early = format!("/streams/{}/ticket", later.id);
    let problem = buyer.post(&early, &json!({})).await.refused(409, "too_early");
    let wait = problem["retry_after_ms"].as_u64().expect("when to come back");
    assert!(
        (1_700_000..=1_800_000).contains(&wait),
        "half an hour before it begins: {wait}"
    );
    market.owner().post(&early, &host).await.ok::<Ticket>();
    market
        .sql(
            "update streams set status = 'ended', ended_at = now() where id = $1",
            market.shop.stream.0,
        )
        .await;
    market.app.post(&path).send().await.refused(409, "wrong_state");
}

#[tokio::test]
async fn the_chat_of_a_show_can_be_read_again() {
    let market = Market::open(1, 100).await;
    let buyer = market.buyer().await.session;
    for (seq, user) in [(1_i64, buyer.id), (2, market.shop.owner), (3, buyer.id)] {
        sqlx::query(
            "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, text, created_at)
             values ($1, $2, 1, $3, $4, gen_random_uuid(), 'line ' || $3, now())",
        )
        .bind(Uuid::now_v7())
        .bind(market.shop.stream.0)
        .bind(seq)
        .bind(user.0)
        .execute(&market.app.db.pool)
        .await
        .expect("said");
    }
    let path = format!("/streams/{}/chat?limit=2", market.shop.stream);
    let newest: List<ChatLine> = market.app.get(&path).send().await.ok();
    let said = |list: &List<ChatLine>| list.items.iter().map(|l| l.text.clone()).collect::<Vec<_>>();
    assert_eq!(said(&newest), ["line 3", "line 2"]);
    assert!(newest.items[1].author.host && !newest.items[0].author.host);
    assert_eq!(newest.items[0].author.name, "Test Buyer");
    let cursor = newest.next_cursor.expect("one more");
    let older: List<ChatLine> = market.app.get(&format!("{path}&cursor={cursor}")).send().await.ok();
    assert_eq!(said(&older), ["line 1"]);
}

#[tokio::test]
async fn spent_tickets_are_forgotten_when_they_would_not_be_good_any_more() {
    let market = Market::open(1, 100).await;
    market
        .sql(
            "insert into spent_tickets values ($1, now() - interval '5 minutes')",
            Uuid::now_v7(),
        )
        .await;
    market
        .sql(
            "insert into spent_tickets values ($1, now() + interval '5 minutes')",
            Uuid::now_v7(),
        )
        .await;
    let pruned = core_api::streams::prune_tickets(&market.app.db.pool, 10).await;
    assert_eq!(pruned.ok(), Some(1));
    assert_eq!(market.number("select count(*) from spent_tickets").await, 1);
}

#[tokio::test]
async fn a_show_names_the_field_at_fault() {
    let market = Market::open(1, 100).await;
    for (field, value) in [
        ("title", json!("a\u{0}b")),
        ("title", json!("  ")),
        ("description", json!("\u{0}")),
        ("cover_url", json!("javascript:alert(1)")),
        ("scheduled_at", json!("-10000-01-01T00:00:00Z")),
        ("scheduled_at", json!("2001-01-01T00:00:00Z")),
        ("scheduled_at", json!("+262000-01-01T00:00:00Z")),
    ] {
        let mut body = json!({"title": "Autumn glazes"});
        body[field] = value;
        let problem = market
            .owner()
            .post("/streams", &body)
            .await
            .refused(422, "invalid_body");
        assert_eq!(problem["field"], field, "{problem}");
    }
}

#[tokio::test]
async fn tickets_are_limited_by_address() {
    let app = App::start_with(|config| {
        config.limits.tickets_per_minute = NonZeroU32::new(2).expect("two");
    })
    .await;
    let shop = fixtures::shop(&app.db.pool, 1, 100).await;
    let path = format!("/streams/{}/ticket", shop.stream);
    let guest = || app.post(&path).json(&json!({})).send();
    guest().await.ok::<Ticket>();
    guest().await.ok::<Ticket>();
    let problem = guest().await.refused(429, "rate_limited");
    assert!(
        problem["retry_after_ms"].as_u64().is_some_and(|ms| ms <= 30_000),
        "{problem}"
    );
}
