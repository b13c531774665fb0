//! What is too much, over real sockets: by address, by account, by connection and by
//! person, on all workers together; and what whoever does it is told.

use std::net::IpAddr;

use live_engine::{Config, Rate};
use loadtest::live::{Auth, LiveClient, LiveError};
use shared::error::{ErrorCode, Refusal};
use shared::ids::GuestId;
use shared::protocol::{ClientCommand, Format};
use shared::token::{Part, Viewer};

use crate::ears::DEADLINE;
use crate::harness::{World, ticket};

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

/// What a connection that is not let in is told.
async fn connect(world: &World, viewer: Viewer, forwarded: &[(&str, &str)]) -> Result<LiveClient, Refusal> {
    let ticket = Auth::Ticket(ticket(viewer, world.shop.stream, Part::Viewer));
    let connected = LiveClient::connect_with(&world.url, Format::Json, ticket, forwarded).await;
    connected.map_err(|error| match error.downcast_ref::<LiveError>() {
        Some(LiveError::Refused(refusal)) => refusal.clone(),
        other => panic!("{other:?}: {error:#}"),
    })
}

/// A guest for whom a proxy speaks.
async fn from(world: &World, address: &str) -> Result<LiveClient, Refusal> {
    let guest = Viewer::Guest { id: GuestId::new() };
    connect(world, guest, &[("X-Forwarded-For", address)]).await
}

fn code<T>(result: Result<T, Refusal>) -> Option<ErrorCode> {
    result.err().map(|refusal| refusal.code)
}

fn behind_a_proxy(config: &mut Config) {
    config.trusted_proxies = vec![IpAddr::from([127, 0, 0, 1])];
}

/// Waits until so many are left.
async fn left(world: &World, count: usize) {
    let by = tokio::time::Instant::now() + DEADLINE;
    while world.engine.connections() > count {
        assert!(tokio::time::Instant::now() < by, "a place is not given back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_ipv6_network_counts_as_one_address_and_a_mapped_one_as_ipv4() {
    let world = World::start_with(|config| {
        behind_a_proxy(config);
        config.limits.connections_per_address = 2;
    })
    .await;
    let mut there = Vec::new();
    for address in [
        "2001:db8::1",
        "2001:db8::2:3:4:5",
        "2001:db8:0:1::1",
        "9.9.9.9",
        "::ffff:9.9.9.9",
    ] {
        there.push(from(&world, address).await.expect(address));
    }
    for address in ["2001:db8::6", "9.9.9.9", "::ffff:9.9.9.9"] {
        assert_eq!(
            code(from(&world, address).await),
            Some(ErrorCode::Overloaded),
            "{address}"
        );
    }
    left(&world, there.len()).await;
    there.remove(0).close().await;
    left(&world, there.len()).await;
    from(&world, "2001:db8::6").await.expect("a place is free");
    world.engine.stop().await;
}

#[tokio::test]
async fn an_address_that_a_stranger_names_counts_for_nothing() {
    let world = World::start_with(|config| config.limits.connections_per_address = 2).await;
    let (first, second) = (from(&world, "9.9.9.1").await, from(&world, "9.9.9.2").await);
    assert!(first.is_ok() && second.is_ok());
    // Closed without a word: to whom nothing was promised, nothing is said.
    let guest = Viewer::Guest { id: GuestId::new() };
    let ticket = Auth::Ticket(ticket(guest, world.shop.stream, Part::Viewer));
    let headers = [("X-Forwarded-For", "9.9.9.3")];
    let third = LiveClient::connect_with(&world.url, Format::Json, ticket, &headers).await;
    let error = third.err().expect("the third of one address");
    assert!(
        matches!(error.downcast_ref(), Some(LiveError::Transport(_))),
        "{error:#}"
    );
    world.engine.stop().await;
}

#[tokio::test]
async fn who_connects_too_often_is_told_when_to_come_back() {
    let world = World::start_with(|config| {
        behind_a_proxy(config);
        config.limits.connects = rate("1/3");
    })
    .await;
    for _ in 0..3 {
        from(&world, "2001:db8::1").await.expect("not too often").close().await;
    }
    let refused = from(&world, "2001:db8::2").await.err().expect("too often");
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.is_some_and(|ms| ms <= 1000), "{refused:?}");
    from(&world, "2001:db8:1::2").await.expect("somebody else");
    world.engine.stop().await;
}

#[tokio::test]
async fn an_account_has_so_many_sockets_on_all_workers_together() {
    let world = World::start_with(|config| {
        config.workers = 3;
        config.limits.connections_per_account = 4;
    })
    .await;
    let person = world.person("Collector").await;
    let mut there = Vec::new();
    for _ in 0..4 {
        there.push(connect(&world, person.clone(), &[]).await.expect("one of four"));
    }
    assert_eq!(
        code(connect(&world, person.clone(), &[]).await),
        Some(ErrorCode::Overloaded)
    );
    // By a way back it is one more, too.
    let resume = there[0].hello().resume.clone().expect("a way back");
    let resumed = LiveClient::connect(&world.url, Format::Json, Auth::Resume(resume.clone())).await;
    let error = resumed.err().expect("one too many");
    let Some(LiveError::Refused(refusal)) = error.downcast_ref() else {
        panic!("{error:#}");
    };
    assert_eq!(refusal.code, ErrorCode::Overloaded);
    let other = world.person("Other").await;
    let other = connect(&world, other, &[]).await.expect("somebody else");
    left(&world, 5).await;
    there.remove(0).close().await;
    left(&world, 4).await;
    LiveClient::connect(&world.url, Format::Json, Auth::Resume(resume))
        .await
        .expect("a place is free");
    other.close().await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_connection_joins_so_often() {
    let world = World::start_with(|config| config.limits.joins = rate("1/3")).await;
    let mut restless = world.viewer("Restless").await;
    let join = ClientCommand::Join {
        stream: world.shop.stream,
        since: None,
    };
    for _ in 0..3 {
        restless.call(join.clone()).await.expect("answered").expect("joined");
        restless
            .call(ClientCommand::Leave)
            .await
            .expect("answered")
            .expect("left");
    }
    let refused = restless
        .call(join.clone())
        .await
        .expect("answered")
        .expect_err("too often");
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.is_some());
    let mut other = world.viewer("Other").await;
    other.call(join).await.expect("answered").expect("joined");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_person_commands_so_often_over_all_connections() {
    let world = World::start_with(|config| config.limits.person_commands = rate("1/6")).await;
    let person = world.person("Busy").await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut socket = connect(&world, person.clone(), &[]).await.expect("connected");
        world.join(&mut socket).await;
        sockets.push(socket);
    }
    let react = ClientCommand::React {
        kind: "heart".into(),
        count: 1,
    };
    let mut refused = 0;
    for n in 0..8 {
        let answer = sockets[n % 2].call(react.clone()).await.expect("answered, and open");
        if let Err(refusal) = answer {
            assert_eq!(refusal.code, ErrorCode::RateLimited);
            assert!(refusal.retry_after_ms.is_some());
            refused += 1;
        }
    }
    // Six at once, of which two were joins; and perhaps one or two more on a slow machine.
    assert!((2..=4).contains(&refused), "{refused}");
    let mut other = world.joined("Other").await;
    other.call(react).await.expect("answered").expect("done");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_crowd_of_guests_at_one_address_reacts_no_more_than_one_address_may() {
    let world = World::start_with(|config| {
        behind_a_proxy(config);
        config.limits.reactions_per_address = rate("1/100");
    })
    .await;
    let react = || ClientCommand::React {
        kind: "heart".into(),
        count: 30,
    };
    let mut taken = 0;
    for n in 0..6 {
        // Each of them with an address of its own, in one network.
        let mut guest = from(&world, &format!("2001:db8::{n}")).await.expect("let in");
        world.join(&mut guest).await;
        match guest.call(react()).await.expect("answered") {
            Ok(_) => taken += 30,
            Err(refusal) => {
                assert_eq!(refusal.code, ErrorCode::RateLimited);
                assert!(refusal.retry_after_ms.is_some(), "{refusal:?}");
            }
        }
    }
    assert_eq!(taken, 90, "of a hundred");
    let mut other = from(&world, "2001:db8:0:1::1").await.expect("let in");
    world.join(&mut other).await;
    other.call(react()).await.expect("answered").expect("taken");
    let World { engine, db, .. } = world;
    engine.stop().await;
    let counted: i64 = sqlx::query_scalar("select sum(count)::bigint from stream_reactions")
        .fetch_one(&db.pool)
        .await
        .expect("read");
    assert_eq!(counted, 120);
}
