//! A show from its waiting room to its farewell: who may be there when, a host who is
//! lost, what the show came to.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use loadtest::live::LiveClient;
use shared::error::ErrorCode;
use shared::protocol::{ClientCommand, Ephemeral, HostAway, Outcome, Private, RoomEvent, ServerFrame, Snapshot};
use shared::status::StreamStatus;
use shared::token::Part;

use crate::harness::{World, chat, hears};

/// Waits for a status.
async fn becomes(client: &mut LiveClient, wanted: StreamStatus) {
    let told = client.event(|event| match event {
        RoomEvent::StreamStatus { status } if *status == wanted => Some(()),
        _ => None,
    });
    told.await.expect("told");
}

async fn snapshot(world: &World, client: &mut LiveClient) -> Snapshot {
    world.join(client).await.snapshot.expect("a snapshot")
}

async fn scheduled_in(world: &World, ahead: TimeDelta) {
    sqlx::query("update streams set status = 'scheduled', started_at = null, scheduled_at = $2 where id = $1")
        .bind(world.shop.stream.0)
        .bind(Utc::now() + ahead)
        .execute(&world.db.pool)
        .await
        .expect("scheduled");
}

async fn flag(world: &World, sql: &'static str) -> bool {
    let flag: Option<bool> = sqlx::query_scalar(sql)
        .bind(world.shop.stream.0)
        .fetch_one(&world.db.pool)
        .await
        .expect("the database answers");
    flag.unwrap_or(false)
}

/// Waits until the database says so.
async fn until(world: &World, sql: &'static str) {
    let by = tokio::time::Instant::now() + loadtest::live::DEADLINE;
    while !flag(world, sql).await {
        assert!(tokio::time::Instant::now() < by, "never so: {sql}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_waiting_room_opens_a_while_before_the_show() {
    let world = World::start().await;
    scheduled_in(&world, TimeDelta::minutes(40)).await;
    let mut early = world.viewer("Early").await;
    let join = ClientCommand::Join {
        stream: world.shop.stream,
        since: None,
    };
    let refusal = early.call(join).await.expect("answered").expect_err("too early");
    assert_eq!(refusal.code, ErrorCode::TooEarly);
    let wait = refusal.retry_after_ms.expect("when to come back");
    assert!((590_000..=600_000).contains(&wait), "{wait}");
    let mut host = world
        .connect(world.owner(), Part::Host, shared::protocol::Format::Json)
        .await;
    let shown = snapshot(&world, &mut host).await;
    assert_eq!(
        shown.stream.status,
        StreamStatus::Scheduled,
        "the host may come at any time"
    );
    host.close().await;
    world.engine.stop().await;

    let world = World::start().await;
    scheduled_in(&world, TimeDelta::minutes(20)).await;
    let mut viewer = world.viewer("In time").await;
    let shown = snapshot(&world, &mut viewer).await;
    let ahead = shown.stream.scheduled_at - shown.now;
    assert!(
        (1_190_000..=1_200_000).contains(&ahead),
        "a countdown by the server's clock: {ahead}"
    );
    viewer.call(chat("hello?")).await.expect("answered").expect("said");
    hears(&mut viewer, "hello?").await;
    let mut host = world.host().await;
    host.call(ClientCommand::Start)
        .await
        .expect("answered")
        .expect("on air");
    becomes(&mut viewer, StreamStatus::Live).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn who_waits_for_a_show_that_is_called_off_is_sent_away_for_good() {
    let world = World::start().await;
    scheduled_in(&world, TimeDelta::minutes(5)).await;
    let mut viewer = world.joined("Visitor").await;
    let mut tx = world.db.pool.begin().await.expect("a transaction");
    sqlx::query("update streams set status = 'cancelled' where id = $1")
        .bind(world.shop.stream.0)
        .execute(&mut *tx)
        .await
        .expect("cancelled");
    let event = RoomEvent::StreamStatus {
        status: StreamStatus::Cancelled,
    };
    shared::outbox::push_happened(&mut tx, world.shop.stream, event)
        .await
        .expect("noted");
    tx.commit().await.expect("committed");
    shared::outbox::hint(&*world.bus).await;
    becomes(&mut viewer, StreamStatus::Cancelled).await;
    assert_eq!(viewer.closed().await.expect("closed").code, 4502);
    let mut late = world.viewer("Late").await;
    let join = ClientCommand::Join {
        stream: world.shop.stream,
        since: None,
    };
    let refusal = late.call(join).await.expect("answered").expect_err("called off");
    assert_eq!(refusal.code, ErrorCode::ShowOver);
    assert_eq!(late.closed().await.expect("closed").code, 4502);
    world.engine.stop().await;
}

#[tokio::test]
async fn an_ended_show_says_farewell_and_tells_its_host_what_it_came_to() {
    let world = World::start_with(|config| config.show.doors.close_after = Duration::from_secs(2)).await;
    let mut host = world.host().await;
    let (mut viewer, mut guest) = (world.joined("Visitor").await, world.guest().await);
    for text in ["one", "two"] {
        viewer.call(chat(text)).await.expect("answered").expect("said");
    }
    let opened = host.call(ClientCommand::SaleOpen(world.flash_sale(5))).await;
    let Outcome::SaleOpened { sale } = opened.expect("answered").expect("opened") else {
        panic!("no sale");
    };
    let bought = viewer.call(ClientCommand::Buy { sale, quantity: 2 }).await;
    bought.expect("answered").expect("held");
    for (kind, count) in [("heart", 3), ("fire", 2), ("heart", 4)] {
        let react = ClientCommand::React {
            kind: kind.into(),
            count,
        };
        guest.call(react).await.expect("answered").expect("taken");
    }
    // At least one look at who watches.
    until(&world, "select max(peak) >= 3 from stream_viewers where stream_id = $1").await;
    host.call(ClientCommand::End).await.expect("answered").expect("ended");
    becomes(&mut viewer, StreamStatus::Ended).await;
    let told = host.private(|message| match message {
        Private::Summary(summary) => Some((**summary).clone()),
        _ => None,
    });
    let summary = told.await.expect("told");
    assert_eq!(summary.stream, world.shop.stream);
    let audience = &summary.audience;
    assert_eq!((audience.peak_viewers, audience.accounts, audience.guests), (3, 2, 1));
    assert!((1..=3).contains(&audience.average_viewers), "{audience:?}");
    assert_eq!((audience.chat_messages, audience.chatters), (2, 1));
    let reactions: Vec<_> = audience
        .reactions
        .iter()
        .map(|(kind, count)| (kind.as_str(), *count))
        .collect();
    assert_eq!(reactions, [("fire", 2), ("heart", 7)]);
    let commerce = &summary.commerce;
    assert_eq!((commerce.sales, commerce.holds, commerce.held_units), (1, 1, 2));
    // Whoever comes in the meantime still sees that it is over.
    let mut late = world.viewer("Late").await;
    let shown = snapshot(&world, &mut late).await;
    assert_eq!(shown.stream.status, StreamStatus::Ended);
    assert!(shown.stream.ended_at.is_some());
    for client in [&mut viewer, &mut guest, &mut late, &mut host] {
        assert_eq!(client.closed().await.expect("closed").code, 4502);
        let heard = client.drain();
        let private = heard
            .iter()
            .any(|frame| matches!(frame, ServerFrame::Private(Private::Summary(_))));
        assert!(!private, "the summary is for the host alone, and once");
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn a_host_who_is_lost_is_missed_told_of_and_given_up() {
    let world = World::start_with(|config| {
        config.show.patience.grace = Duration::from_secs(1);
        config.show.patience.ends_after = Duration::from_secs(4);
    })
    .await;
    let mut viewer = world.joined("Visitor").await;
    let host = world.host().await;
    let opened = world
        .over_the_bus(
            world.shop.owner,
            shared::ids::RequestId::new(),
            shared::protocol::HostCommand::SaleOpen(world.flash_sale(5)),
        )
        .await;
    assert!(matches!(opened, Ok(Outcome::SaleOpened { .. })), "{opened:?}");
    // The room has seen them: it looks once a second.
    until(&world, "select host_seen_at is not null from streams where id = $1").await;
    host.close().await;
    let away = async |client: &mut LiveClient| -> HostAway {
        let told = client.event(|event| match event {
            RoomEvent::HostAway(away) => Some(*away),
            _ => None,
        });
        told.await.expect("told")
    };
    let missed = away(&mut viewer).await;
    assert_eq!(missed.ends_at - missed.since, 4_000);
    let mut late = world.viewer("Late").await;
    assert_eq!(snapshot(&world, &mut late).await.stream.host_away, Some(missed));
    assert!(flag(&world, "select host_away_since is not null from streams where id = $1").await);
    let host = world.host().await;
    let back = |event: &RoomEvent| matches!(event, RoomEvent::HostBack).then_some(());
    viewer.event(back).await.expect("told");
    assert!(flag(&world, "select host_away_since is null from streams where id = $1").await);
    host.close().await;
    let again = away(&mut viewer).await;
    assert!(again.since > missed.since, "a clock of its own");
    let closed = |event: &RoomEvent| matches!(event, RoomEvent::SaleClosed { .. }).then_some(());
    viewer.event(closed).await.expect("the sale is closed with the show");
    becomes(&mut viewer, StreamStatus::Ended).await;
    assert!(
        flag(
            &world,
            "select count(*) = 1 from audit_log where subject_id = $1 and action = 'room.end_unattended'"
        )
        .await
    );
    world.engine.stop().await;
}

#[tokio::test]
async fn a_room_that_changes_hands_goes_on_with_the_hosts_clock() {
    let rules = |config: &mut live_engine::Config| {
        config.show.patience.grace = Duration::from_secs(1);
        config.show.patience.ends_after = Duration::from_secs(20);
    };
    let world = World::start_with(rules).await;
    let mut viewer = world.joined("Visitor").await;
    let host = world.host().await;
    until(&world, "select host_seen_at is not null from streams where id = $1").await;
    host.close().await;
    let missed = viewer.event(|event| match event {
        RoomEvent::HostAway(away) => Some(*away),
        _ => None,
    });
    let missed = missed.await.expect("told");
    // The clock has nearly run out when another engine takes the room.
    world.engine.stop().await;
    sqlx::query("update streams set host_away_since = host_away_since - interval '18 seconds' where id = $1")
        .bind(world.shop.stream.0)
        .execute(&world.db.pool)
        .await
        .expect("time passes");
    let world = World::start_in(world.db, world.bus, rules).await.with_shop(world.shop);
    let mut viewer = world.viewer("Visitor").await;
    let shown = snapshot(&world, &mut viewer).await;
    assert_eq!(
        shown.stream.host_away.map(|away| away.since),
        Some(missed.since - 18_000)
    );
    becomes(&mut viewer, StreamStatus::Ended).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_show_that_is_run_over_rest_alone_misses_no_host() {
    let world = World::start_with(|config| {
        config.show.patience.grace = Duration::from_millis(1);
        config.show.patience.ends_after = Duration::from_millis(1);
    })
    .await;
    let mut viewer = world.joined("Visitor").await;
    // Three looks at who watches later, nothing has happened.
    until(
        &world,
        "select sum(samples) >= 3 from stream_viewers where stream_id = $1",
    )
    .await;
    viewer
        .call(chat("still on air"))
        .await
        .expect("answered")
        .expect("said");
    let missed = viewer
        .drain()
        .into_iter()
        .any(|frame| format!("{frame:?}").contains("HostAway"));
    assert!(!missed);
    world.engine.stop().await;
}

#[tokio::test]
async fn people_are_counted_once_and_named_in_a_small_room() {
    let world = World::start_with(|config| config.show.named_below = 3).await;
    let watching = async |client: &mut LiveClient, wanted: (u64, u64, &[&str])| {
        let seen = client.ephemeral(|message| match message {
            Ephemeral::Viewers { count, people, who }
                if (*count, *people) == (wanted.0, wanted.1) && who.iter().eq(wanted.2) =>
            {
                Some(())
            }
            _ => None,
        });
        seen.await.unwrap_or_else(|error| panic!("{wanted:?}: {error:#}"));
    };
    let moss = world.person("Moss").await;
    let mut first = world
        .connect(moss.clone(), Part::Viewer, shared::protocol::Format::Json)
        .await;
    world.join(&mut first).await;
    watching(&mut first, (1, 1, &["Moss"])).await;
    let mut second = world
        .connect(moss, Part::Viewer, shared::protocol::Format::MsgPack)
        .await;
    let shown = snapshot(&world, &mut second).await;
    assert_eq!((shown.viewers, shown.people), (1, 1), "as last told");
    watching(&mut first, (2, 1, &["Moss"])).await;
    let fern = world.joined("Fern").await;
    watching(&mut first, (3, 2, &["Fern", "Moss"])).await;
    let guest = world.guest().await;
    watching(&mut first, (4, 3, &["Fern", "Moss"])).await;
    let large = world.joined("Reed").await;
    watching(&mut first, (5, 4, &[])).await;
    second.close().await;
    watching(&mut first, (4, 4, &[])).await;
    drop((fern, guest, large));
    watching(&mut first, (1, 1, &["Moss"])).await;
    until(
        &world,
        "select count(*) = 4 and count(*) filter (where account) = 3 from stream_attendance where stream_id = $1",
    )
    .await;
    until(&world, "select peak_viewers = 5 from streams where id = $1").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn peaks_outlive_the_engine() {
    let world = World::start().await;
    let viewers = [
        world.joined("One").await,
        world.joined("Two").await,
        world.joined("Three").await,
    ];
    until(&world, "select peak_viewers = 3 from streams where id = $1").await;
    drop(viewers);
    let world = world.restart().await;
    let _alone = world.joined("Alone").await;
    until(
        &world,
        "select count(*) >= 4 from stream_attendance where stream_id = $1",
    )
    .await;
    until(
        &world,
        "select sum(samples) >= 2 from stream_viewers where stream_id = $1",
    )
    .await;
    assert!(flag(&world, "select peak_viewers = 3 from streams where id = $1").await);
    world.engine.stop().await;
}
