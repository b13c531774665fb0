//! Coming back: exactly what was missed, or a snapshot and the word for it.

use std::time::Duration;

use loadtest::live::{Auth, LiveClient};
use shared::bus::MemoryBus;
use shared::config::Secret;
use shared::ids::{OrderId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{ClientCommand, Format, Outcome, Position, Private, RoomEvent, ServerFrame};
use shared::status::OrderStatus;

use crate::harness::{World, chat, hears};
use crate::proxy::{Line, Proxy};

async fn back(world: &World, gone: &LiveClient, format: Format) -> LiveClient {
    let token = gone.hello().resume.clone().expect("a resume token");
    LiveClient::connect(&world.url, format, Auth::Resume(token))
        .await
        .expect("back without a ticket")
}

#[tokio::test]
async fn who_comes_back_gets_exactly_what_was_missed() {
    let world = World::start().await;
    let mut author = world.joined("Author").await;
    for format in Format::ALL {
        let mut gone = world.joined("Visitor").await;
        author.call(chat("seen")).await.expect("answered").expect("said");
        hears(&mut gone, "seen").await;
        let since = gone.position().expect("a position");
        let missed = ["missed one", "missed two", "missed three"];
        for text in missed {
            author.call(chat(text)).await.expect("answered").expect("said");
        }
        let mut client = back(&world, &gone, format).await;
        assert_eq!(client.hello().user, gone.hello().user);
        let joined = client.join(world.shop.stream, Some(since)).await.expect("joined");
        assert!(!joined.resynced && joined.snapshot.is_none());
        let mut heard = Vec::new();
        while heard.len() < missed.len() {
            if let ServerFrame::Numbered(frame) = client.next().await.expect("a frame") {
                assert!(frame.from > since.seq);
                heard.extend(frame.m.into_iter().filter_map(|event| match event {
                    RoomEvent::Chat(message) => Some(message.text),
                    _ => None,
                }));
            }
        }
        assert_eq!(heard, missed);
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn who_comes_back_is_told_of_their_own_hold_and_order_again() {
    let world = World::start().await;
    let mut host = world.host().await;
    let opened = host.call(ClientCommand::SaleOpen(world.flash_sale(5))).await;
    let Outcome::SaleOpened { sale } = opened.expect("answered").expect("opened") else {
        panic!("no sale");
    };
    let mut gone = world.joined("Visitor").await;
    let bought = gone.call(ClientCommand::Buy { sale, quantity: 1 }).await;
    let Outcome::Held(hold) = bought.expect("answered").expect("held") else {
        panic!("no hold");
    };
    let user = gone.hello().user.expect("an account");
    gone.call(chat("seen")).await.expect("answered").expect("said");
    hears(&mut gone, "seen").await;
    let since = gone.position().expect("a position");
    gone.call(ClientCommand::Leave).await.expect("answered").expect("left");
    let order = order(&world, user).await;
    // As core-api does in the order's transaction.
    let placed = RoomNotice::OrderChanged {
        user,
        order,
        status: OrderStatus::PendingPayment,
    };
    let mut conn = world.db.pool.acquire().await.expect("connected");
    shared::outbox::push(&mut conn, world.shop.stream, &placed)
        .await
        .expect("noted");
    drop(conn);
    for format in Format::ALL {
        let mut client = back(&world, &gone, format).await;
        let joined = client.join(world.shop.stream, Some(since)).await.expect("joined");
        assert!(!joined.resynced && joined.snapshot.is_none());
        let held = client.private(|message| match message {
            Private::Reservation(hold) => Some(hold.clone()),
            _ => None,
        });
        assert_eq!(held.await.expect("told again"), hold, "{format:?}");
        let waits = client.private(|message| match message {
            Private::Order { order, status } => Some((*order, *status)),
            _ => None,
        });
        assert_eq!(
            waits.await.expect("told again"),
            (order, OrderStatus::PendingPayment),
            "{format:?}"
        );
    }
    world.engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_returns_costs_no_query_per_viewer() {
    const VIEWERS: usize = 2_000;
    /// How many come at once for the first time.
    const AT_ONCE: usize = 50;
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let through = |config: &mut live_engine::Config| {
        config.database_url = Secret::new(proxy.url.clone());
        config.limits.connects = "100000/100000".parse().expect("a rate");
    };
    let world = World::start_in(base, shared::bus::MemoryBus::shared(), through).await;
    let mut host = world.host().await;
    let opened = host.call(ClientCommand::SaleOpen(world.flash_sale(5))).await;
    let Outcome::SaleOpened { sale } = opened.expect("answered").expect("opened") else {
        panic!("no sale");
    };
    let mut gone = Vec::new();
    for people in crate::desk::users(&world.db.pool, VIEWERS).await.chunks(AT_ONCE) {
        let coming = people.iter().map(async |id| {
            let name = "Viewer".to_owned();
            let person = shared::token::Viewer::User { id: *id, name };
            let mut client = world.connect(person, shared::token::Part::Viewer, Format::Json).await;
            world.join(&mut client).await;
            client
        });
        gone.extend(futures_util::future::join_all(coming).await);
    }
    // A few of them have news of their own.
    let mut holds = Vec::new();
    for buyer in gone.iter_mut().take(3) {
        let bought = buyer.call(ClientCommand::Buy { sale, quantity: 1 }).await;
        let Outcome::Held(hold) = bought.expect("answered").expect("held") else {
            panic!("no hold");
        };
        holds.push(hold);
    }
    host.call(chat("seen")).await.expect("answered").expect("said");
    for viewer in &mut gone {
        hears(viewer, "seen").await;
    }
    let returns: Vec<_> = gone
        .into_iter()
        .map(|viewer| {
            (
                viewer.hello().resume.clone().expect("a way back"),
                viewer.position().expect("a place"),
            )
        })
        .collect();
    host.call(chat("missed")).await.expect("answered").expect("said");

    let (before, began) = (proxy.statements(), std::time::Instant::now());
    let coming = returns.into_iter().map(|(token, since)| {
        let (url, stream) = (world.url.clone(), world.shop.stream);
        tokio::spawn(async move {
            let mut client = LiveClient::connect(&url, Format::Json, Auth::Resume(token))
                .await
                .expect("back");
            let joined = client.join(stream, Some(since)).await.expect("joined");
            assert!(!joined.resynced);
            hears(&mut client, "missed").await;
            client
        })
    });
    let mut back = Vec::new();
    for client in futures_util::future::join_all(coming).await {
        back.push(client.expect("no panic"));
    }
    for (client, hold) in back.iter_mut().zip(&holds) {
        let told = client.private(|message| match message {
            Private::Reservation(hold) => Some(hold.clone()),
            _ => None,
        });
        assert_eq!(told.await.expect("told again"), *hold);
    }
    // The engine's own rounds (leases, the outbox, sums) go on meanwhile: a dozen a second
    // would be many.
    let allowed = 40 + 12 * began.elapsed().as_secs();
    let spent = proxy.statements() - before;
    assert!(
        spent <= allowed,
        "{spent} statements for {VIEWERS} who came back, {allowed} allowed"
    );
    assert!(allowed < VIEWERS as u64, "too slow to tell");
    world.engine.stop().await;
}

/// An order of the show that waits for payment.
async fn order(world: &World, user: UserId) -> OrderId {
    let address = testkit::fixtures::address(&world.db.pool, user).await;
    let (checkout, order) = (uuid::Uuid::now_v7(), OrderId::new());
    sqlx::query(
        "insert into checkouts (id, user_id, address_id, address, stream_id, currency, status, items_minor, shipping_minor,
                                total_minor, expires_at)
         values ($1, $2, $3, '{}', $4, 'EUR', 'placed', 900, 0, 900, now() + interval '10 minutes')",
    )
    .bind(checkout)
    .bind(user.0)
    .bind(address.0)
    .bind(world.shop.stream.0)
    .execute(&world.db.pool)
    .await
    .expect("a checkout");
    sqlx::query(
        "insert into orders (id, user_id, checkout_id, stream_id, currency, items_minor, shipping_minor, total_minor,
                             address, expires_at)
         values ($1, $2, $3, $4, 'EUR', 900, 0, 900, '{}', now() + interval '10 minutes')",
    )
    .bind(order.0)
    .bind(user.0)
    .bind(checkout)
    .bind(world.shop.stream.0)
    .execute(&world.db.pool)
    .await
    .expect("an order");
    order
}

#[tokio::test]
async fn who_leaves_and_comes_back_while_the_database_is_away_is_told_of_their_own_once() {
    let db = testkit::database().await;
    let proxy = Proxy::before(&db.url).await;
    let url = proxy.url.clone();
    let world = World::start_in(db, MemoryBus::shared(), |config| {
        config.database_url = Secret::new(url);
    })
    .await;
    let mut host = world.host().await;
    let opened = host.call(ClientCommand::SaleOpen(world.flash_sale(5))).await;
    let Outcome::SaleOpened { sale } = opened.expect("answered").expect("opened") else {
        panic!("no sale");
    };
    let mut client = world.joined("Visitor").await;
    let bought = client.call(ClientCommand::Buy { sale, quantity: 1 }).await;
    let Outcome::Held(hold) = bought.expect("answered").expect("held") else {
        panic!("no hold");
    };
    let since = client.position().expect("a position");
    proxy.set(Line::Cut);
    for _ in 0..5 {
        client
            .call(ClientCommand::Leave)
            .await
            .expect("answered")
            .expect("left");
        let joined = client.join(world.shop.stream, Some(since)).await.expect("joined");
        assert!(!joined.resynced && joined.snapshot.is_none());
    }
    proxy.set(Line::Open);
    let mut told = async || {
        let held = client.private(|message| match message {
            Private::Reservation(hold) => Some(hold.clone()),
            _ => None,
        });
        // Longer than the pauses of whoever asked a moment ago.
        tokio::time::timeout(Duration::from_secs(4), held).await
    };
    assert_eq!(told().await.expect("told in time").expect("told again"), hold);
    assert!(told().await.is_err(), "and not by those who asked before");
    world.engine.stop().await;
}

#[tokio::test]
async fn what_cannot_be_replayed_is_said_and_a_snapshot_follows() {
    let world = World::start_with(|config| config.limits.log.bytes = 1).await;
    let mut author = world.joined("Author").await;
    let mut gone = world.joined("Visitor").await;
    author.call(chat("seen")).await.expect("answered").expect("said");
    hears(&mut gone, "seen").await;
    let since = gone.position().expect("a position");
    for text in ["a", "b", "c"] {
        author.call(chat(text)).await.expect("answered").expect("said");
        hears(&mut author, text).await;
    }
    let mut client = back(&world, &gone, Format::Json).await;
    let joined = client.join(world.shop.stream, Some(since)).await.expect("joined");
    assert!(joined.resynced);
    assert_eq!(joined.snapshot.map(|snapshot| snapshot.chat.len()), Some(4));
    author.call(chat("on")).await.expect("answered").expect("said");
    hears(&mut client, "on").await;
    for wrong in [
        Position { epoch: 99, seq: 1 },
        Position {
            epoch: since.epoch,
            seq: 1_000,
        },
    ] {
        let mut client = back(&world, &gone, Format::Json).await;
        let joined = client.join(world.shop.stream, Some(wrong)).await.expect("joined");
        assert!(joined.resynced, "{wrong:?}");
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn a_restart_sends_viewers_away_and_they_come_back_to_a_new_epoch() {
    let world = World::start().await;
    let mut client = world.joined("Visitor").await;
    client.call(chat("before")).await.expect("answered").expect("said");
    hears(&mut client, "before").await;
    let since = client.position().expect("a position");
    let world = world.restart().await;
    assert_eq!(client.closed().await.expect("closed").code, 1012);
    let mut client = back(&world, &client, Format::Json).await;
    let joined = client.join(world.shop.stream, Some(since)).await.expect("joined");
    assert!(joined.resynced);
    assert!(joined.at.epoch > since.epoch);
    let snapshot = joined.snapshot.expect("a snapshot");
    assert_eq!(
        snapshot.chat.last().map(|message| message.text.as_str()),
        Some("before")
    );
    client.call(chat("after")).await.expect("answered").expect("said");
    world.engine.stop().await;
}

#[tokio::test]
async fn every_number_of_an_epoch_is_stored_once() {
    let world = World::start().await;
    let mut host = world.host().await;
    let mut author = world.joined("Author").await;
    let featured = shared::protocol::ClientCommand::Feature(world.feature());
    for n in 0..4 {
        author
            .call(chat(&format!("{n}")))
            .await
            .expect("answered")
            .expect("said");
        host.call(featured.clone()).await.expect("answered").expect("shown");
    }
    let last = host.position().expect("a position");
    let db = world.db;
    world.engine.stop().await;
    let seqs: Vec<i64> =
        sqlx::query_scalar("select seq from stream_chat_messages union all select seq from stream_events order by seq")
            .fetch_all(&db.pool)
            .await
            .expect("the database answers");
    let all: Vec<i64> = (1..=8).collect();
    assert_eq!(seqs, all);
    assert!(last.seq <= 8);
    let undelivered: Option<i64> = sqlx::query_scalar("select count(*) from outbox where delivered_at is null")
        .fetch_one(&db.pool)
        .await
        .expect("the database answers");
    assert_eq!(undelivered, Some(0), "host commands' rows are marked with their events");
}

#[tokio::test]
async fn a_room_that_another_node_has_taken_sends_its_viewers_away_unacknowledged() {
    let world = World::start().await;
    let mut client = world.joined("Visitor").await;
    client.call(chat("before")).await.expect("answered").expect("said");
    // Another node takes the room and dies at once.
    sqlx::query("update room_leases set epoch = epoch + 1, node_id = $1, expires_at = now() where stream_id = $2")
        .bind(uuid::Uuid::now_v7())
        .bind(world.shop.stream.0)
        .execute(&world.db.pool)
        .await
        .expect("taken");
    let act = shared::ids::RequestId::new();
    let answer = client.call_as(chat("too late"), act).await;
    match answer {
        Ok(answer) => {
            let refusal = answer.expect_err("an owner that was replaced acknowledges nothing");
            assert_eq!(refusal.code, shared::error::ErrorCode::RoomUnavailable);
        }
        // It may have learnt of it before the message came.
        Err(error) => match error.downcast_ref() {
            Some(loadtest::live::LiveError::Closed(closed)) => assert_eq!(closed.code, 4000),
            other => panic!("{other:?}: {error:#}"),
        },
    }
    assert_eq!(client.closed().await.expect("closed").code, 4000);
    let mut client = back(&world, &client, Format::Json).await;
    let joined = client.join(world.shop.stream, None).await.expect("joined");
    let snapshot = joined.snapshot.expect("a snapshot");
    let texts: Vec<_> = snapshot.chat.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["before"], "what was not acknowledged is not there");
    client
        .call_as(chat("too late"), act)
        .await
        .expect("answered")
        .expect("said");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_room_that_nobody_needs_is_given_back() {
    let world = World::start_with(|config| config.limits.room_idle = std::time::Duration::from_millis(100)).await;
    sqlx::query("update streams set status = 'scheduled', started_at = null where id = $1")
        .bind(world.shop.stream.0)
        .execute(&world.db.pool)
        .await
        .expect("off air");
    let mut client = world.joined("Visitor").await;
    client.call(chat("hello")).await.expect("answered").expect("said");
    client.close().await;
    // The last event is one that the database refuses: its author has no account.
    let nobody = shared::token::Viewer::User {
        id: UserId::new(),
        name: "Nobody".into(),
    };
    let mut nobody = world.connect(nobody, shared::token::Part::Viewer, Format::Json).await;
    world.join(&mut nobody).await;
    nobody
        .call(chat("hello"))
        .await
        .expect("answered")
        .expect_err("refused");
    nobody.close().await;
    let by = tokio::time::Instant::now() + loadtest::live::DEADLINE;
    loop {
        let free: bool = sqlx::query_scalar("select expires_at <= now() from room_leases where stream_id = $1")
            .bind(world.shop.stream.0)
            .fetch_one(&world.db.pool)
            .await
            .expect("the database answers");
        if free {
            break;
        }
        assert!(tokio::time::Instant::now() < by, "the lease is not given back");
        tokio::task::yield_now().await;
    }
    let mut client = world.viewer("Another").await;
    let joined = world.join(&mut client).await;
    assert_eq!(joined.at.epoch, 2);
    world.engine.stop().await;
}
