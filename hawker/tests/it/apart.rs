//! The services as two processes: what goes between them over Redis, and what goes on
//! without it.

use std::time::{Duration, Instant};

use loadtest::live::{Auth, LiveClient};
use loadtest::rest::RestClient;
use loadtest::show::{DemoOptions, Host, Progress, demo};
use serde_json::{Value, json};
use shared::error::ErrorCode;
use shared::ids::{RequestId, StreamId};
use shared::protocol::{ClientCommand, Feature, Format, Outcome, ProductCard, RoomEvent};

use crate::world::{OnAir, World};

const DEADLINE: Duration = Duration::from_secs(60);

async fn enter(client: &RestClient, stream: StreamId) -> LiveClient {
    let ticket = client.ticket(stream).await.expect("a ticket");
    let mut live = LiveClient::connect(&ticket.url, Format::Json, Auth::Ticket(ticket.ticket))
        .await
        .expect("connected");
    live.join(stream, None).await.expect("joined");
    live
}

async fn featured(live: &mut LiveClient) -> ProductCard {
    let card = live.event(|event| match event {
        RoomEvent::Featured { product } => Some(product.clone()),
        _ => None,
    });
    card.await.expect("the room is shown it")
}

/// Waits until the room has shown this price, and says how long it took.
async fn shows(live: &mut LiveClient, price_minor: i64) -> Duration {
    let began = Instant::now();
    let shown = live.event(|event| match event {
        RoomEvent::ProductUpdated { product } => (product.variants.first()?.price_minor == price_minor).then_some(()),
        _ => None,
    });
    shown.await.expect("the room is shown the price");
    began.elapsed()
}

async fn chats(live: &mut LiveClient, text: &str) {
    let chat = ClientCommand::Chat {
        text: text.into(),
        reply_to: None,
    };
    let said = live.call(chat).await.expect("answered");
    assert!(matches!(said, Ok(Outcome::Said { .. })), "{said:?}");
}

/// Waits until core-api says this of its bus.
async fn bus_is(rest: &RestClient, wanted: &str) {
    let waiting = async {
        loop {
            let said = rest.raw(reqwest::Method::GET, "/readyz", None, None).await;
            if said.is_ok_and(|said| said.body["bus"] == wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let said = tokio::time::timeout(DEADLINE, waiting).await;
    assert!(said.is_ok(), "/readyz does not say in time that the bus is {wanted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_shop_reaches_a_room_of_the_other_process_within_a_second() {
    let world = World::start_apart().await;
    let OnAir {
        host, product, stream, ..
    } = world.on_air(10).await;
    let (viewer, ..) = world.register("Visitor").await;
    let mut live = enter(&viewer, stream.id).await;
    let feature = Feature {
        product: product.id,
        variant: None,
    };
    host.feature(stream.id, &feature).await.expect("featured over REST");
    assert_eq!(featured(&mut live).await.id, product.id);
    // Beside other tests: one quick way shows what it takes, and a slow one what the
    // machine had to do.
    let mut quickest = Duration::MAX;
    for price in 1_000..1_005 {
        host.change_price(product.variants[0].id, price).await.expect("changed");
        quickest = quickest.min(shows(&mut live, price).await);
    }
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    live.close().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_the_show_goes_on_and_nothing_is_lost() {
    let mut world = World::start_apart().await;
    let OnAir {
        host, product, stream, ..
    } = world.on_air(10).await;
    let (viewer, ..) = world.register("Visitor").await;
    let mut live = enter(&viewer, stream.id).await;
    let feature = Feature {
        product: product.id,
        variant: None,
    };
    host.feature(stream.id, &feature).await.expect("featured");
    featured(&mut live).await;
    for round in 0..2 {
        world.processes().redis.kill();
        bus_is(&world.rest, "away").await;
        chats(&mut live, &format!("still here {round}")).await;
        // A change of the shop gets there without a hint.
        let price = 1_100 + round;
        host.change_price(product.variants[0].id, price).await.expect("changed");
        shows(&mut live, price).await;
        // A command does not; the same one again is carried out once.
        let (path, key) = (format!("/streams/{}/feature", stream.id), RequestId::new());
        let body = json!({ "product": product.id });
        let refused = host.raw(reqwest::Method::POST, &path, Some(key), Some(&body)).await;
        let refused = refused.expect("answered");
        let code = serde_json::to_value(ErrorCode::RoomUnavailable).expect("a name");
        assert_eq!((refused.status, &refused.body["code"]), (503, &code));
        world.processes().redis.restart().await;
        bus_is(&world.rest, "up").await;
        let again = host.patient(DEADLINE).feature_as(stream.id, &feature, key).await;
        let _: Value = again.expect("carried out");
        assert_eq!(featured(&mut live).await.variants[0].price_minor, price);
    }
    let (events, _) = (live.drain(), live.close().await);
    let repeated = events.iter().any(|frame| format!("{frame:?}").contains("Featured"));
    assert!(!repeated, "each command is seen once: {events:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_process_can_be_killed_and_the_other_goes_on() {
    let mut world = World::start_apart().await;
    let OnAir {
        host, product, stream, ..
    } = world.on_air(10).await;
    let (viewer, ..) = world.register("Visitor").await;
    let mut live = enter(&viewer, stream.id).await;
    let apart = &mut world.processes().apart;
    apart.core.take().expect("it runs").kill().expect("killed");
    chats(&mut live, "without core-api").await;
    apart.start_missing().await.expect("it starts again");
    bus_is(&world.rest, "up").await;

    let apart = &mut world.processes().apart;
    apart.engine.take().expect("it runs").kill().expect("killed");
    assert_eq!(
        live.closed().await.expect("it ends").code,
        loadtest::live::ABNORMAL_CLOSE
    );
    assert_eq!(world.rest.stream(stream.id).await.expect("answered").id, stream.id);
    world.processes().apart.start_missing().await.expect("it starts again");
    let mut live = enter(&viewer, stream.id).await;
    let feature = Feature {
        product: product.id,
        variant: None,
    };
    let host = host.patient(DEADLINE);
    host.feature(stream.id, &feature)
        .await
        .expect("the new engine is reached");
    featured(&mut live).await;
    let history = viewer.chat_history(stream.id).await.expect("history").items;
    assert_eq!(history[0].text, "without core-api");
    live.close().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_show_with_redis_killed_and_emptied_half_way_loses_nothing() {
    let mut world = World::start_apart().await;
    let (_, admin) = world.admin().await;
    let options = DemoOptions {
        base_url: world.rest.base().to_owned(),
        viewers: 15,
        seconds: 8,
        chat_per_second: 15,
        host: Host::Fresh { admin },
        database_url: Some(world.db.url.clone()),
        keep_going: false,
    };
    let show = tokio::spawn(demo(options, Progress::Hidden));
    let on_air = "select count(*) from stream_chat_messages";
    let mut said = 0;
    for _ in 0..3 {
        // Each time, some of the show has happened since.
        let more = said + 15;
        while said < more && !show.is_finished() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            said = sqlx::query_scalar::<_, i64>(on_air)
                .fetch_one(&world.db.pool)
                .await
                .expect("counted");
        }
        let redis = &mut world.processes().redis;
        redis.flush().await;
        redis.disconnect_all().await;
        redis.kill();
        bus_is(&world.rest, "away").await;
        world.processes().redis.restart().await;
        world.processes().redis.flush().await;
    }
    let report = show.await.expect("it does not panic").expect("the show ran");
    assert!(report.failures.is_empty(), "{report}");
    assert_eq!(report.figures.sent, report.figures.acknowledged, "{report}");
    assert!(report.verify.is_some_and(|verify| verify.is_clean()));
    world.stop().await;
}
