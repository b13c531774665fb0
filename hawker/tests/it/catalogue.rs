//! The catalog in the room: what is edited, sold out, archived or taken down over REST, and
//! another cover, changes on everybody's screen within a second, and whoever joins later
//! sees the same.

use std::time::{Duration, Instant};

use loadtest::live::{Auth, LiveClient};
use loadtest::rest::RestClient;
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::{ProductId, RequestId, StreamId};
use shared::protocol::{Feature, Format, ProductCard, RoomEvent, Snapshot};
use shared::status::StreamStatus;

use crate::world::{OnAir, World};

/// What is promised.
const PROMISED: Duration = Duration::from_secs(1);
/// What a machine that is busy with other tests may need besides.
const SLACK: Duration = Duration::from_secs(2);

async fn enter(client: &RestClient, stream: StreamId) -> (LiveClient, Snapshot) {
    let ticket = client.ticket(stream).await.expect("a ticket");
    let auth = Auth::Ticket(ticket.ticket);
    let mut live = LiveClient::connect(&ticket.url, Format::Json, auth)
        .await
        .expect("connected");
    let joined = live.join(stream, None).await.expect("joined");
    (live, joined.snapshot.expect("a snapshot"))
}

async fn change(client: &RestClient, product: ProductId, body: Value) {
    let path = format!("/seller/products/{product}");
    let answered = client
        .raw(Method::PATCH, &path, None, Some(&body))
        .await
        .expect("answered");
    assert_eq!(answered.status, 200, "{:?}", answered.body);
}

/// Waits for what a change brings, which was answered at `began`.
async fn within_a_second<T>(
    what: &str,
    viewer: &mut LiveClient,
    began: Instant,
    pick: impl FnMut(&RoomEvent) -> Option<T>,
) -> T {
    let seen = viewer
        .event(pick)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let took = began.elapsed();
    assert!(took < PROMISED + SLACK, "{what}: {took:?}");
    seen
}

fn updated(event: &RoomEvent) -> Option<ProductCard> {
    match event {
        RoomEvent::ProductUpdated { product } => Some(product.clone()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_in_the_shop_changes_in_the_room_within_a_second() {
    let world = World::start().await;
    let OnAir {
        host, product, stream, ..
    } = world.on_air(3).await;
    let (variant, stream) = (product.variants[0].id, stream.id);
    let shown = Feature {
        product: product.id,
        variant: Some(variant),
    };
    host.feature(stream, &shown).await.expect("shown");
    let (guest, _, _) = world.register("amber-otter").await;
    let (mut viewer, snapshot) = enter(&guest, stream).await;
    assert_eq!(snapshot.featured.map(|card| card.id), Some(product.id));

    host.change_price(variant, 1_999).await.expect("changed");
    let began = Instant::now();
    let has_price = |card: &ProductCard| card.variants.iter().any(|v| v.id == variant && v.price_minor == 1_999);
    let picked = |event: &RoomEvent| updated(event).filter(has_price);
    within_a_second("price", &mut viewer, began, picked).await;

    change(&host, product.id, json!({ "title": "Salt-glazed mug" })).await;
    let began = Instant::now();
    let picked = |event: &RoomEvent| updated(event).filter(|card| card.title == "Salt-glazed mug");
    within_a_second("title", &mut viewer, began, picked).await;

    host.adjust_stock(variant, -3).await.expect("none left");
    let began = Instant::now();
    let is_out = |card: &ProductCard| card.variants.iter().any(|v| v.id == variant && v.available == 0);
    let picked = |event: &RoomEvent| updated(event).filter(is_out);
    let last = within_a_second("sold out", &mut viewer, began, picked).await;

    let (_late, snapshot) = enter(&guest, stream).await;
    let card = snapshot.featured.expect("still shown");
    assert_eq!(card, last, "who comes later sees the same");
    let listed: Vec<_> = snapshot
        .line_up
        .iter()
        .map(|card| (card.id, card.title.as_str()))
        .collect();
    assert_eq!(listed, [(product.id, "Salt-glazed mug")]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_archived_is_shown_nowhere_within_a_second() {
    let world = World::start().await;
    let OnAir {
        host, product, stream, ..
    } = world.on_air(3).await;
    let stream = stream.id;
    let shown = Feature {
        product: product.id,
        variant: None,
    };
    host.feature(stream, &shown).await.expect("shown");
    let (guest, _, _) = world.register("amber-otter").await;
    let (mut viewer, _) = enter(&guest, stream).await;
    change(&host, product.id, json!({ "status": "archived" })).await;
    gone("archived", &mut viewer, &guest, stream).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_admin_takes_down_is_shown_nowhere_within_a_second() {
    let world = World::start().await;
    let OnAir {
        host, product, stream, ..
    } = world.on_air(3).await;
    let shown = Feature {
        product: product.id,
        variant: None,
    };
    host.feature(stream.id, &shown).await.expect("shown");
    let (guest, _, _) = world.register("amber-otter").await;
    let (mut viewer, _) = enter(&guest, stream.id).await;
    let (admin, _) = world.admin().await;
    let path = format!("/admin/sellers/{}/suspend", stream.seller.id);
    let reason = json!({ "reason": "sells what it may not" });
    let answered = admin
        .raw(Method::POST, &path, Some(RequestId::new()), Some(&reason))
        .await;
    assert_eq!(answered.expect("answered").status, 200);
    let began = Instant::now();
    let ended = |event: &RoomEvent| match event {
        RoomEvent::StreamStatus { status } => (*status == StreamStatus::Ended).then_some(()),
        _ => None,
    };
    within_a_second("taken down", &mut viewer, began, ended).await;
    let is_empty = |event: &RoomEvent| match event {
        RoomEvent::LineUp { products } => products.is_empty().then_some(()),
        _ => None,
    };
    within_a_second("taken down", &mut viewer, began, is_empty).await;
    assert!(guest.ticket(stream.id).await.is_err(), "nobody comes in any more");
    world.stop().await;
}

/// Pictures of one pixel, as files: a red one and a blue one.
const RED: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\
    \0\x90wS\xde\0\0\0\x0cIDATx\xdacx&\"\x02\0\x02\xf2\x01\x0fK\xbf\xde\
    \x0e\0\0\0\0IEND\xaeB`\x82";
const BLUE: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\
    \0\x90wS\xde\0\0\0\x0cIDATx\xdac\x10\x11y\x06\0\x01N\x01\x0fG\xbe\xf0\
    \x17\0\0\0\0IEND\xaeB`\x82";

async fn set_cover(host: &RestClient, stream: StreamId, file: Option<&'static [u8]>) {
    let method = if file.is_some() { Method::PUT } else { Method::DELETE };
    let url = format!("{}/streams/{stream}/cover", host.base());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client
        .request(method, url)
        .bearer_auth(host.token().expect("signed in"));
    let request = file.into_iter().fold(request, reqwest::RequestBuilder::body);
    let answered = request.send().await.expect("answered");
    assert!(answered.status().is_success(), "{answered:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cover_that_is_set_or_deleted_reaches_the_room_within_a_second() {
    let world = World::start().await;
    let OnAir { host, stream, .. } = world.on_air(3).await;
    let stream = stream.id;
    let (guest, _, _) = world.register("amber-otter").await;
    let (mut viewer, snapshot) = enter(&guest, stream).await;
    assert_eq!(snapshot.stream.cover_url, "");
    let mut covers = vec![String::new()];
    for (what, file) in [("set", Some(RED)), ("replaced", Some(BLUE)), ("deleted", None)] {
        set_cover(&host, stream, file).await;
        let began = Instant::now();
        let cover = |event: &RoomEvent| match event {
            RoomEvent::Cover { cover_url } => Some(cover_url.clone()),
            _ => None,
        };
        let cover = within_a_second(what, &mut viewer, began, cover).await;
        assert_eq!(host.stream(stream).await.expect("the show").cover_url, cover, "{what}");
        let (_late, snapshot) = enter(&guest, stream).await;
        assert_eq!(snapshot.stream.cover_url, cover, "who comes later sees the same");
        covers.push(cover);
    }
    assert_eq!((covers[0].as_str(), covers[3].as_str()), ("", ""));
    assert!(covers[1] != covers[2] && covers[1..3].iter().all(|cover| cover.starts_with("/media/")));

    // The same file again, and deleting what is not there, change nothing that a room would tell.
    let told = "select count(*) from outbox where topic = 'cover_changed'";
    let count = async || {
        sqlx::query_scalar::<_, i64>(told)
            .fetch_one(&world.db.pool)
            .await
            .expect("read")
    };
    set_cover(&host, stream, Some(RED)).await;
    let rows = count().await;
    set_cover(&host, stream, Some(RED)).await;
    set_cover(&host, stream, None).await;
    set_cover(&host, stream, None).await;
    assert_eq!((rows, count().await), (4, 5));
    world.stop().await;
}

/// Nothing is shown any more, in front or in the line-up, to anybody.
async fn gone(what: &str, viewer: &mut LiveClient, guest: &RestClient, stream: StreamId) {
    let began = Instant::now();
    let unfeatured = |event: &RoomEvent| matches!(event, RoomEvent::Unfeatured).then_some(());
    within_a_second(what, viewer, began, unfeatured).await;
    let is_empty = |event: &RoomEvent| match event {
        RoomEvent::LineUp { products } => products.is_empty().then_some(()),
        _ => None,
    };
    within_a_second(what, viewer, began, is_empty).await;
    let (_late, snapshot) = enter(guest, stream).await;
    assert_eq!((snapshot.featured, snapshot.line_up), (None, Vec::new()), "{what}");
}
