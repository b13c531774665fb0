//! Several engines over one database and one Redis: each room has one owner, and a
//! command gets to it whoever is asked.

use std::sync::Arc;
use std::time::Duration;

use shared::bus::{RedisBus, RedisConfig, SharedBus};
use shared::config::Secret;
use shared::ids::{NodeId, RequestId};
use shared::protocol::{HostCommand, Outcome, RoomEvent};
use testkit::Redis;

use crate::harness::{World, config};

async fn end(redis: &Redis) -> SharedBus {
    let config = RedisConfig::new(&Secret::new(redis.url()), "test".into()).expect("an address");
    let bus = RedisBus::start(config).expect("a thread");
    assert!(bus.reached(Duration::from_secs(20)).await);
    Arc::new(bus)
}

async fn epochs(world: &World) -> i64 {
    sqlx::query_scalar("select epoch from room_leases where stream_id = $1")
        .bind(world.shop.stream.0)
        .fetch_one(&world.db.pool)
        .await
        .expect("a lease")
}

#[tokio::test]
async fn a_command_gets_to_the_rooms_owner_whichever_engine_is_asked() {
    let redis = Redis::start().await;
    let mut world = World::start_on(end(&redis).await, |_| {}).await;
    let other = live_engine::start(config(&world.db), end(&redis).await)
        .await
        .expect("a second engine starts");
    // Neither engine's own end: what is asked here goes to one of the two in turn.
    world.bus = end(&redis).await;
    let mut viewer = world.joined("Visitor").await;
    for _ in 0..4 {
        for command in [HostCommand::Feature(world.feature()), HostCommand::Unfeature] {
            let done = world.over_the_bus(world.shop.owner, RequestId::new(), command).await;
            assert_eq!(done, Ok(Outcome::Done));
        }
    }
    for expected in ["featured", "unfeatured"].repeat(4) {
        let heard = viewer.event(|event| {
            let kind = event.kind();
            matches!(event, RoomEvent::Featured { .. } | RoomEvent::Unfeatured).then_some(kind)
        });
        assert_eq!(heard.await.expect("heard once and in order"), expected);
    }
    assert_eq!(epochs(&world).await, 1, "nobody else has opened the room");
    world.engine.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_room_whose_owner_died_is_taken_by_the_engine_that_is_asked() {
    let redis = Redis::start().await;
    let world = World::start_on(end(&redis).await, |_| {}).await;
    let lease = "insert into room_leases (stream_id, epoch, node_id, expires_at)
                 values ($1, 7, $2, clock_timestamp() + interval '1 second')";
    sqlx::query(lease)
        .bind(world.shop.stream.0)
        .bind(NodeId::new().0)
        .execute(&world.db.pool)
        .await
        .expect("a lease of nobody who lives");
    let feature = HostCommand::Feature(world.feature());
    let done = world.over_the_bus(world.shop.owner, RequestId::new(), feature).await;
    assert_eq!(done, Ok(Outcome::Done));
    assert_eq!(epochs(&world).await, 8);
    world.engine.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_started_again_under_its_name_has_its_rooms_at_once() {
    let redis = Redis::start().await;
    let world = World::start_on(end(&redis).await, |config| config.node = Some("shelf".into())).await;
    let lease = "insert into room_leases (stream_id, epoch, node_id, expires_at)
                 values ($1, 7, $2, clock_timestamp() + interval '1 hour')";
    sqlx::query(lease)
        .bind(world.shop.stream.0)
        .bind(NodeId::named("shelf").0)
        .execute(&world.db.pool)
        .await
        .expect("a lease of its life before");
    let feature = HostCommand::Feature(world.feature());
    let done = world.over_the_bus(world.shop.owner, RequestId::new(), feature).await;
    assert_eq!(done, Ok(Outcome::Done));
    assert_eq!(epochs(&world).await, 8);
    world.engine.stop().await;
}
