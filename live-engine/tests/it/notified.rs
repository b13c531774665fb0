//! Notifications as they reach open sockets: every connection of a person, in whatever room
//! or none, at whatever engine, once; with the bus or without.

use std::sync::Arc;
use std::time::Duration;

use loadtest::live::{Auth, LiveClient};
use shared::bus::{MemoryBus, RedisBus, RedisConfig, SharedBus};
use shared::config::Secret;
use shared::ids::{NotificationId, UserId};
use shared::notification::NotificationKind;
use shared::outbox;
use shared::protocol::{Format, HostCommand, Notification, Outcome, Private, ServerFrame};
use shared::token::{Part, Viewer};
use sqlx::PgConnection;
use testkit::Redis;

use crate::harness::{World, chat, config, ticket};
use crate::order::id_of;
use crate::proxy::Proxy;

/// Tells somebody that a show of the world's has begun.
async fn tell(world: &World, conn: &mut PgConnection, user: UserId, listed: bool) -> NotificationId {
    let id = NotificationId::new();
    let insert = "insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id, listed)
                  values ($1, $2, 'show_started', $1, $3, $4, $5)";
    let insert = sqlx::query(insert).bind(id.0).bind(user.0).bind(world.shop.seller.0);
    let insert = insert.bind(world.shop.stream.0).bind(listed);
    insert.execute(conn).await.expect("told");
    id
}

async fn notification(client: &mut LiveClient) -> Notification {
    let heard = client.private(|message| match message {
        Private::Notification(notification) => Some((**notification).clone()),
        _ => None,
    });
    heard.await.expect("a notification")
}

/// Everything for this person that was under way has come.
async fn nothing_more(client: &mut LiveClient) {
    client.call(chat("and on")).await.expect("answered").expect("said");
    let again = |frame: &ServerFrame| matches!(frame, ServerFrame::Private(Private::Notification(_)));
    assert!(!client.drain().iter().any(again), "told twice");
}

#[tokio::test]
async fn every_connection_of_a_person_is_told_once_and_nobody_elses() {
    let world = World::start().await;
    let person = world.person("Visitor").await;
    let user = person.user().expect("an account");
    let mut joined = world.connect(person.clone(), Part::Viewer, Format::Json).await;
    world.join(&mut joined).await;
    let mut outside = world.connect(person, Part::Viewer, Format::MsgPack).await;
    let mut stranger = world.joined("Stranger").await;

    let mut conn = world.db.pool.acquire().await.expect("a connection");
    tell(&world, &mut conn, user, false).await;
    let first = tell(&world, &mut conn, user, true).await;
    outbox::hint_notifications(world.bus.as_ref()).await;
    for client in [&mut joined, &mut outside] {
        let heard = notification(client).await;
        assert_eq!((heard.notification, heard.kind), (first, NotificationKind::ShowStarted));
        assert_eq!(heard.seller.map(|seller| seller.name).as_deref(), Some("Test Shop"));
        assert_eq!(heard.stream.map(|stream| stream.title).as_deref(), Some("Test Show"));
    }
    let own = tell(&world, &mut conn, id_of(&stranger), true).await;
    assert_eq!(
        notification(&mut stranger).await.notification,
        own,
        "polled, without a hint"
    );
    // Several readings later.
    let second = tell(&world, &mut conn, user, true).await;
    assert_eq!(notification(&mut joined).await.notification, second);
    nothing_more(&mut joined).await;
    nothing_more(&mut stranger).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn what_commits_late_is_told_and_what_was_told_is_not_told_again() {
    let world = World::start().await;
    let (mut slow, mut quick) = (world.joined("Slow").await, world.joined("Quick").await);
    let mut late = world.db.pool.begin().await.expect("begun");
    let slow_one = tell(&world, &mut late, id_of(&slow), true).await;
    let mut conn = world.db.pool.acquire().await.expect("a connection");
    for _ in 0..3 {
        // What has begun later is committed and read now, reading after reading.
        let told = tell(&world, &mut conn, id_of(&quick), true).await;
        assert_eq!(notification(&mut quick).await.notification, told);
    }
    late.commit().await.expect("committed");
    assert_eq!(notification(&mut slow).await.notification, slow_one);
    nothing_more(&mut quick).await;
    nothing_more(&mut slow).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn of_an_order_a_connection_is_told_which() {
    let world = World::start().await;
    let mut buyer = world.joined("Buyer").await;
    let mut conn = world.db.pool.acquire().await.expect("a connection");
    let number: i64 = sqlx::query_scalar(
        "with address as (
             insert into addresses (id, user_id, recipient, line1, city, postal_code, country)
             values (gen_random_uuid(), $1, 'Test Buyer', '1 Quay Street', 'Hamburg', '20457', 'DE') returning id),
         checkout as (
             insert into checkouts (id, user_id, address_id, address, currency, items_minor, shipping_minor, total_minor,
                                    expires_at)
             select gen_random_uuid(), $1, id, '{}', 'EUR', 0, 0, 0, now() from address returning id),
         placed as (
             insert into orders (id, user_id, checkout_id, currency, items_minor, shipping_minor, total_minor,
                                 address, expires_at)
             select $2, $1, id, 'EUR', 0, 0, 0, '{}', now() from checkout returning number)
         select number from placed",
    )
    .bind(id_of(&buyer).0)
    .bind(ORDER)
    .fetch_one(&mut *conn)
    .await
    .expect("placed");
    let insert = "insert into notifications (id, user_id, kind, subject_id, seller_id, order_id)
                  values ($1, $2, 'order_shipped', $1, $3, $4)";
    let insert = sqlx::query(insert).bind(NotificationId::new().0).bind(id_of(&buyer).0);
    let insert = insert.bind(world.shop.seller.0).bind(ORDER);
    insert.execute(&mut *conn).await.expect("told");
    outbox::hint_notifications(world.bus.as_ref()).await;
    let heard = notification(&mut buyer).await;
    let order = heard.order.map(|order| (order.id.0, order.number));
    assert_eq!(
        (heard.kind, order),
        (NotificationKind::OrderShipped, Some((ORDER, number)))
    );
    world.engine.stop().await;
}

const ORDER: uuid::Uuid = uuid::Uuid::from_u128(0x0191_e2a4_0005_7000_8000_0000_0000_0005);

async fn end(redis: &Redis) -> SharedBus {
    let config = RedisConfig::new(&Secret::new(redis.url()), "test".into()).expect("an address");
    let bus = RedisBus::start(config).expect("a thread");
    assert!(bus.reached(Duration::from_secs(20)).await);
    Arc::new(bus)
}

#[tokio::test]
async fn a_push_reaches_a_person_at_every_engine() {
    let redis = Redis::start().await;
    let world = World::start_on(end(&redis).await, |_| {}).await;
    let other = live_engine::start(config(&world.db), end(&redis).await)
        .await
        .expect("a second engine starts");
    let person = world.person("Visitor").await;
    let user = person.user().expect("an account");
    let mut here = world.connect(person.clone(), Part::Viewer, Format::Json).await;
    let there = format!("ws://{}/ws", other.addr());
    let auth = Auth::Ticket(ticket(person, world.shop.stream, Part::Viewer));
    let mut there = LiveClient::connect(&there, Format::Json, auth).await.expect("let in");

    let mut conn = world.db.pool.acquire().await.expect("a connection");
    let told = tell(&world, &mut conn, user, true).await;
    // As another process hints.
    outbox::hint_notifications(end(&redis).await.as_ref()).await;
    for client in [&mut here, &mut there] {
        assert_eq!(notification(client).await.notification, told);
    }
    // Without Redis it comes a little later.
    drop(redis);
    let told = tell(&world, &mut conn, user, true).await;
    for client in [&mut here, &mut there] {
        assert_eq!(notification(client).await.notification, told);
    }
    world.engine.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_crowd_is_told_without_a_query_for_each() {
    const CROWD: u64 = 200;
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let through = |config: &mut live_engine::Config| {
        config.database_url = Secret::new(proxy.url.clone());
        config.limits.connects = "100000/100000".parse().expect("a rate");
    };
    let world = World::start_in(base, MemoryBus::shared(), through).await;
    let mut crowd = Vec::new();
    for id in crate::desk::users(&world.db.pool, CROWD as usize).await {
        let name = "Viewer".to_owned();
        let person = Viewer::User { id, name };
        crowd.push(world.connect(person, Part::Viewer, Format::Json).await);
    }
    let ids: Vec<_> = crowd.iter().map(|client| id_of(client).0).collect();
    let before = proxy.statements();
    sqlx::query(
        "insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id)
         select uuid_by_time(), u, 'show_started', $2, $3, $2 from unnest($1::uuid[]) u",
    )
    .bind(&ids)
    .bind(world.shop.stream.0)
    .bind(world.shop.seller.0)
    .execute(&world.db.pool)
    .await
    .expect("told");
    for client in &mut crowd {
        notification(client).await;
    }
    let asked = proxy.statements() - before;
    assert!(asked < CROWD / 2, "{asked} statements for {CROWD} people");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_show_that_begins_is_to_be_announced_once() {
    let world = World::start().await;
    sqlx::query("update streams set status = 'scheduled', started_at = null")
        .execute(&world.db.pool)
        .await
        .expect("scheduled");
    let owner = world.shop.owner;
    let request = shared::ids::RequestId::new();
    for _ in 0..2 {
        let done = world.over_the_bus(owner, request, HostCommand::Start).await;
        assert_eq!(done, Ok(Outcome::Done));
    }
    let announced: Vec<String> = sqlx::query_scalar("select kind from announcements where stream_id = $1")
        .bind(world.shop.stream.0)
        .fetch_all(&world.db.pool)
        .await
        .expect("read");
    assert_eq!(announced, ["show_started"]);
    world.engine.stop().await;
}
