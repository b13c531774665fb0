//! What an operator sees of a running engine: counts that are right for a known traffic,
//! and its rooms, also when one of them does not answer.

use std::collections::BTreeMap;

use loadtest::live::LiveClient;
use serde_json::Value;
use shared::ids::{GuestId, RequestId, StreamId};
use shared::protocol::{ClientCommand, HostCommand};
use shared::token::{Part, Viewer};

use crate::harness::{World, chat, hears};
use crate::process::Process;

/// The sum over all workers of the series that have all of these labels.
fn total(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let series = metrics.lines().filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label)))
    });
    series
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn what_is_counted_is_what_happened() {
    let db = testkit::database().await;
    let shop = testkit::fixtures::shop(&db.pool, 1, 100).await;
    let engine = Process::start(&db.url, &[("HAWKER_LIVE_WORKERS", "2")]).await;
    let mut viewers = Vec::new();
    for name in ["Author", "Reader", "Visitor"] {
        viewers.push(engine.join(&db, shop.stream, name).await);
    }
    let author = &mut viewers[0];
    for n in 0..5 {
        author
            .call(chat(&format!("message {n}")))
            .await
            .expect("answered")
            .expect("said");
    }
    for viewer in &mut viewers[1..] {
        hears(viewer, "message 4").await;
    }
    let metrics = engine
        .until("/metrics", |_, metrics| {
            total(metrics, "engine_deliveries_total", &[]) >= 15.0 && total(metrics, "engine_connections", &[]) >= 3.0
        })
        .await;
    let expected = [
        ("engine_deliveries_total", "", 15.0),
        ("engine_connections", "", 3.0),
        ("engine_accepted_total", "", 3.0),
        ("engine_rooms", "", 1.0),
        ("engine_commands_received_total", "", 8.0),
        ("engine_commands_total", r#"command="join",outcome="done""#, 3.0),
        ("engine_commands_total", r#"command="chat",outcome="done""#, 5.0),
        ("engine_chat_commit_seconds_count", "", 5.0),
        ("engine_persist_backlog_rows", "", 0.0),
        ("engine_persist_rejected_total", "", 0.0),
        ("engine_connections_lagging", "", 0.0),
        ("engine_shed_total", "", 0.0),
        ("engine_closes_total", "", 0.0),
    ];
    for (name, label, value) in expected {
        assert_eq!(total(&metrics, name, &[label]), value, "{name} {label}\n{metrics}");
    }
    for name in [
        "engine_writes_total",
        "engine_written_bytes_total",
        "engine_reads_total",
        "engine_read_bytes_total",
        "engine_sweep_seconds_count",
        "engine_tick_seconds_count",
        "engine_persist_commit_seconds_count",
    ] {
        assert!(total(&metrics, name, &[]) > 0.0, "{name}");
    }
    // One leaves in order, one without a word, and one was never let in.
    let (quiet, polite) = (viewers.pop().expect("three"), viewers.pop().expect("three"));
    polite.close().await;
    drop(quiet);
    let stranger = Viewer::Guest { id: GuestId::new() };
    let mut stranger = engine.connect(stranger, StreamId::new(), Part::Viewer).await;
    stranger.send_raw(b"{".to_vec()).await.expect("sent");
    assert_eq!(stranger.closed().await.expect("closed").code, 1007);
    let closed = |metrics: &str, code: &str| total(metrics, "engine_closes_total", &[&format!("code=\"{code}\"")]);
    let metrics = engine
        .until("/metrics", |_, metrics| {
            total(metrics, "engine_closes_total", &[]) >= 3.0 && total(metrics, "engine_connections", &[]) <= 1.0
        })
        .await;
    let codes = ["client", "lost", "1007"].map(|code| closed(&metrics, code));
    assert_eq!(codes, [1.0, 1.0, 1.0], "{metrics}");
}

/// Every room on a page, by its stream.
fn rooms(page: &Value) -> BTreeMap<String, Value> {
    let rooms = page["rooms"].as_array().expect("rooms").iter();
    rooms
        .map(|room| (room["stream"].as_str().expect("an id").to_owned(), room.clone()))
        .collect()
}

async fn page(world: &World, query: &[(&str, &str)]) -> Result<Value, String> {
    let query = query
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    world.engine.operations().rooms(&query.collect()).await
}

#[tokio::test]
async fn an_operator_sees_a_room_in_numbers_and_nothing_that_was_said() {
    let world = World::start().await;
    let mut host = world.host().await;
    let mut viewer = world.joined("Visitor").await;
    let _guest = world.guest().await;
    let open = ClientCommand::SaleOpen(world.flash_sale(10));
    host.call(open).await.expect("answered").expect("opened");
    viewer
        .call(chat("a word to be kept"))
        .await
        .expect("answered")
        .expect("said");
    hears(&mut host, "a word to be kept").await;
    let page = page(&world, &[]).await.expect("rooms");
    assert_eq!(
        (&page["open"], &page["next"], &page["draining"]),
        (&1.into(), &Value::Null, &false.into())
    );
    let stream = world.shop.stream.to_string();
    let listed = &rooms(&page)[&stream];
    assert_eq!(listed["answered"], true);
    assert!(
        listed["lease"]["left_ms"].as_u64().is_some_and(|left| left <= 6_000),
        "{listed}"
    );
    let room = &listed["room"];
    assert_eq!(room["state"], "live");
    assert_eq!((&room["people"], &room["host_present"]), (&3.into(), &true.into()));
    assert_eq!(
        room["viewers"].as_array().map(Vec::len),
        Some(2),
        "one number for each worker"
    );
    let viewers: u64 = room["viewers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(viewers, 3);
    let (head, committed) = (room["head_seq"].as_u64(), room["committed_seq"].as_u64());
    assert!(head >= committed && committed >= Some(2), "{room}");
    assert_eq!(room["epoch"], 1);
    assert!(room["tick_ms"].as_u64().is_some_and(|ms| ms > 0));
    assert!(room["log_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert_eq!(room["sales"][0]["remaining"], 10);
    assert_eq!(room["sales"][0]["state"], "open");
    let text = page.to_string();
    for kept in ["a word", "Visitor", "Demo Host", testkit::TOKEN_SECRET] {
        assert!(!text.contains(kept), "{kept} is not for operators: {text}");
    }
}

#[tokio::test]
async fn rooms_are_listed_in_pages_and_a_wrong_query_is_refused() {
    let world = World::start().await;
    let mut clients: Vec<LiveClient> = vec![world.joined("Visitor").await];
    for _ in 0..2 {
        let other = testkit::fixtures::shop(&world.db.pool, 1, 100).await;
        let guest = Viewer::Guest { id: GuestId::new() };
        let ticket = crate::harness::ticket(guest, other.stream, Part::Viewer);
        let auth = loadtest::live::Auth::Ticket(ticket);
        let client = LiveClient::connect(&world.url, shared::protocol::Format::Json, auth).await;
        let mut client = client.expect("in");
        client.join(other.stream, None).await.expect("joined");
        clients.push(client);
    }
    let first = page(&world, &[("limit", "2")]).await.expect("rooms");
    let next = first["next"].as_str().expect("there are more");
    let second = page(&world, &[("limit", "2"), ("after", next)]).await.expect("rooms");
    assert_eq!((&second["open"], &second["next"]), (&3.into(), &Value::Null));
    let (first, second) = (rooms(&first), rooms(&second));
    assert_eq!((first.len(), second.len()), (2, 1));
    assert!(second.keys().all(|stream| !first.contains_key(stream)));
    for wrong in [("limit", "0"), ("limit", "201"), ("limit", "many"), ("after", "me")] {
        assert!(page(&world, &[wrong]).await.is_err(), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_room_that_ends_is_listed_no_more() {
    let world = World::start().await;
    let ended = world
        .over_the_bus(world.shop.owner, RequestId::new(), HostCommand::End)
        .await;
    ended.expect("ended");
    let listed = page(&world, &[]).await.expect("rooms");
    let stream = world.shop.stream.to_string();
    assert_eq!(rooms(&listed)[&stream]["room"]["state"], "ended");
    let operations = world.engine.operations();
    world.engine.stop().await;
    let page = operations.rooms(&BTreeMap::new()).await.expect("rooms");
    assert_eq!((&page["open"], &page["draining"]), (&0.into(), &true.into()));
}
