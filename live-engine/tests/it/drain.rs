//! An orderly stop: everybody is told when to come back, nothing acknowledged is lost, and
//! it is over in time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use live_engine::Drain;
use loadtest::live::LiveClient;
use shared::bus::MemoryBus;
use shared::config::Secret;
use shared::ids::RequestId;
use shared::protocol::{ClientCommand, Outcome, Private, ServerFrame};

use crate::ears::DEADLINE;
use crate::harness::{World, chat, hears};
use crate::process::Process;
use crate::proxy::{Line, Proxy};

const SPREAD: Duration = Duration::from_secs(30);
/// Time enough to stop on any machine: where it has not passed, nothing may be missing.
const PATIENT: Drain = Drain {
    deadline: Duration::from_secs(240),
    spread: SPREAD,
};

/// What a client heard at its end: the answers to its messages, and when to come back.
struct End {
    acknowledged: Vec<uuid::Uuid>,
    resume_after_ms: Vec<u64>,
    code: u16,
}

async fn end_of(mut client: LiveClient) -> End {
    let code = client.closed().await.expect("closed").code;
    let (mut acknowledged, mut resume_after_ms) = (Vec::new(), Vec::new());
    for frame in client.drain() {
        match frame {
            ServerFrame::Private(Private::GoingAway { resume_after_ms: ms }) => resume_after_ms.push(ms),
            ServerFrame::Private(Private::Reply {
                outcome: Outcome::Said { message, .. },
                ..
            }) => {
                assert!(resume_after_ms.is_empty(), "an answer after the farewell");
                acknowledged.push(message.0);
            }
            _ => {}
        }
    }
    End {
        acknowledged,
        resume_after_ms,
        code,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_told_when_to_come_back_and_no_acknowledgement_is_lost() {
    const VIEWERS: usize = 400;
    // On a slow machine the first have waited long, and nobody has answered their pings.
    let world = World::start_with(|config| {
        config.limits.ping_interval = Duration::from_secs(600);
        config.drain = PATIENT;
    })
    .await;
    let mut clients = Vec::new();
    for n in 0..VIEWERS {
        clients.push(world.joined(&format!("Viewer {n}")).await);
    }
    // What everybody says and does is under way when the engine is told to stop.
    let mut accepted = 0_u64;
    for client in &mut clients {
        client
            .send(chat("before the end"), Some(RequestId::new()))
            .await
            .expect("sent");
        let react = ClientCommand::React {
            kind: "heart".into(),
            count: 3,
        };
        let taken = client.call(react).await.expect("answered");
        accepted += 3 * u64::from(taken.is_ok());
    }
    let World { db, engine, shop, .. } = world;
    let ends = futures_util::future::join_all(clients.into_iter().map(|client| tokio::spawn(end_of(client))));
    let began = Instant::now();
    let (ends, ()) = tokio::join!(ends, engine.stop());
    // An answer may be missing only where the time of the rooms is up.
    assert!(began.elapsed() < PATIENT.deadline / 4, "{:?} to stop", began.elapsed());
    let mut said = Vec::new();
    let mut after = Vec::new();
    for end in ends {
        let end = end.expect("no panic");
        assert_eq!(
            (end.code, end.resume_after_ms.len()),
            (1012, 1),
            "told once, before the close"
        );
        said.extend(end.acknowledged);
        after.extend(end.resume_after_ms);
    }
    let stored: Vec<uuid::Uuid> = sqlx::query_scalar("select id from stream_chat_messages where stream_id = $1")
        .bind(shop.stream.0)
        .fetch_all(&db.pool)
        .await
        .expect("the database answers");
    assert!(said.iter().all(|id| stored.contains(id)), "acknowledged is committed");
    assert_eq!(said.len(), stored.len(), "and what is committed was acknowledged");
    let counted: Option<i64> =
        sqlx::query_scalar("select sum(count)::bigint from stream_reactions where stream_id = $1")
            .bind(shop.stream.0)
            .fetch_one(&db.pool)
            .await
            .expect("the database answers");
    assert_eq!(
        counted.and_then(|sum| u64::try_from(sum).ok()),
        Some(accepted),
        "what was accepted is counted"
    );
    // Chance puts a tenth of 400 into each tenth of the window; a quarter would be no chance.
    let window = live_engine::net::drain::window(VIEWERS, SPREAD).as_millis();
    let window = u64::try_from(window).expect("short");
    let mut tenths = [0_usize; 10];
    for ms in after {
        assert!(ms < window, "{ms} of {window}");
        tenths[usize::try_from(ms * 10 / window).expect("one of ten")] += 1;
    }
    assert!(
        tenths.iter().all(|count| (1..VIEWERS / 4).contains(count)),
        "{tenths:?}"
    );
}

#[tokio::test]
async fn what_is_committed_while_a_room_closes_is_acknowledged() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let world = World::start_in(base, MemoryBus::shared(), |config| {
        config.database_url = Secret::new(proxy.url.clone());
        config.drain = PATIENT;
    })
    .await;
    let mut authors = Vec::new();
    for n in 0..5 {
        authors.push(world.joined(&format!("Author {n}")).await);
    }
    let mut listener = world.joined("Listener").await;
    // The first message's batch is under way when the others come, and theirs when the room
    // closes: its last commit and the end of all that it waits for come at one moment.
    proxy.set(Line::Silent);
    for (n, author) in authors.iter_mut().enumerate() {
        let text = format!("message {n}");
        author.send(chat(&text), Some(RequestId::new())).await.expect("sent");
        hears(&mut listener, &text).await;
    }
    let operations = world.engine.operations();
    let is_closing = async {
        loop {
            let page = operations.rooms(&BTreeMap::new()).await.expect("rooms");
            if page["rooms"][0]["room"]["closing"] == true {
                proxy.set(Line::Open);
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let ends = futures_util::future::join_all(authors.into_iter().map(end_of));
    let all = futures_util::future::join3(ends, world.engine.stop(), is_closing);
    let (ends, ..) = tokio::time::timeout(DEADLINE, all).await.expect("it stops");
    for end in ends {
        assert_eq!(end.acknowledged.len(), 1, "what is committed is acknowledged");
    }
}

#[tokio::test]
async fn a_silent_database_does_not_keep_the_engine_from_stopping() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let drain = Drain {
        deadline: Duration::from_secs(4),
        spread: SPREAD,
    };
    let world = World::start_in(base, MemoryBus::shared(), |config| {
        config.database_url = Secret::new(proxy.url.clone());
        config.drain = drain;
    })
    .await;
    let mut client = world.joined("Visitor").await;
    proxy.set(Line::Silent);
    client
        .send(chat("into silence"), Some(RequestId::new()))
        .await
        .expect("sent");
    let began = Instant::now();
    let (end, ()) = tokio::join!(end_of(client), world.engine.stop());
    assert!(
        began.elapsed() < drain.deadline + Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    assert_eq!((end.code, end.resume_after_ms.len()), (1012, 1));
    assert!(end.acknowledged.is_empty(), "nothing was committed");
}

#[tokio::test]
async fn a_program_that_is_told_to_stop_says_goodbye_and_a_second_time_ends_at_once() {
    let base = testkit::database().await;
    let shop = testkit::fixtures::shop(&base.pool, 1, 100).await;
    let proxy = Proxy::before(&base.url).await;
    let patient = [("HAWKER_DRAIN_SECONDS", "60")];
    let mut engine = Process::start(&proxy.url, &patient).await;
    let client = engine.join(&base, shop.stream, "Visitor").await;
    engine.terminate().await;
    let end = end_of(client).await;
    assert_eq!((end.code, end.resume_after_ms.len()), (1012, 1));
    assert_eq!(engine.ended().await, Some(0));

    let mut engine = Process::start(&proxy.url, &patient).await;
    let mut client = engine.join(&base, shop.stream, "Visitor").await;
    assert_eq!(engine.get("/readyz").await.0, 200);
    assert!(engine.get("/metrics").await.1.contains("engine_draining 0"));
    // It has a minute to stop, and would wait for the database.
    proxy.set(Line::Silent);
    client
        .send(chat("into silence"), Some(RequestId::new()))
        .await
        .expect("sent");
    let began = Instant::now();
    engine.terminate().await;
    // Whoever sends it viewers sees that it takes no more, and its metrics stay.
    let is_draining = |status, told: &str| status == 503 && told.contains(r#""status":"draining""#);
    engine.until("/readyz", is_draining).await;
    assert_eq!(engine.get("/healthz").await.0, 200, "it is not to be killed");
    assert!(engine.get("/metrics").await.1.contains("engine_draining 1"));
    assert!(engine.is_running(), "it still waits");
    engine.terminate().await;
    assert_eq!(engine.ended().await, Some(1));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
