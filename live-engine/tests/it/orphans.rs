//! Shows on air whose owner has died and whom no viewer brings back.

use std::time::{Duration, Instant};

use live_engine::room::store::unattended;
use shared::ids::{NodeId, SellerId, StreamId};
use shared::protocol::RoomEvent;
use sqlx::PgPool;
use testkit::fixtures;

use crate::harness::World;

/// Longer than two rounds of looking.
const PATIENCE: Duration = Duration::from_secs(40);

/// A lease that ran out so long ago, of a node that is no more.
async fn left_behind(pool: &PgPool, stream: StreamId, ago: f64) {
    let lease = "insert into room_leases (stream_id, epoch, node_id, expires_at)
                 values ($1, 7, $2, clock_timestamp() - make_interval(secs => $3))";
    sqlx::query(lease)
        .bind(stream.0)
        .bind(NodeId::new().0)
        .bind(ago)
        .execute(pool)
        .await
        .expect("a lease of nobody who lives");
}

/// Another show of the shop, whose host has been there.
async fn another(pool: &PgPool, seller: SellerId, status: &str) -> StreamId {
    let stream = StreamId::new();
    let insert = "insert into streams (id, seller_id, title, scheduled_at, status, started_at, host_seen_at)
                  values ($1, $2, 'Another', now(), $3, case when $3 = 'live' then now() end, now())";
    sqlx::query(insert)
        .bind(stream.0)
        .bind(seller.0)
        .bind(status)
        .execute(pool)
        .await
        .expect("the show is new");
    stream
}

async fn epoch(world: &World, stream: StreamId) -> i64 {
    sqlx::query_scalar("select epoch from room_leases where stream_id = $1")
        .bind(stream.0)
        .fetch_one(&world.db.pool)
        .await
        .expect("a lease")
}

#[tokio::test]
async fn a_show_on_air_that_nobody_has_is_taken_up_and_what_it_owes_is_told() {
    let world = World::start().await;
    let orphan = world.shop.stream;
    sqlx::query("update streams set host_seen_at = now() where id = $1")
        .bind(orphan.0)
        .execute(&world.db.pool)
        .await
        .expect("its host was there");
    let off_air = another(&world.db.pool, world.shop.seller, "scheduled").await;
    left_behind(&world.db.pool, orphan, 60.0).await;
    left_behind(&world.db.pool, off_air, 60.0).await;
    // Its owner died between a commit and the event.
    let mut conn = world.db.pool.acquire().await.expect("connected");
    shared::outbox::push_happened(&mut conn, orphan, RoomEvent::Unpinned)
        .await
        .expect("noted");
    drop(conn);
    let by = Instant::now() + PATIENCE;
    loop {
        let told: i64 = sqlx::query_scalar("select count(*) from stream_events where stream_id = $1 and epoch = 8")
            .bind(orphan.0)
            .fetch_one(&world.db.pool)
            .await
            .expect("the database answers");
        if told > 0 {
            break;
        }
        assert!(Instant::now() < by, "nobody takes it up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(epoch(&world, orphan).await, 8);
    assert_eq!(epoch(&world, off_air).await, 7, "nobody needs that one");
    world.engine.stop().await;
}

#[tokio::test]
async fn only_what_is_left_for_good_counts_as_left() {
    let db = testkit::database().await;
    let (pool, shop) = (&db.pool, fixtures::shop(&db.pool, 1, 1).await);
    // A show that is run over REST alone has no host to look after.
    left_behind(pool, shop.stream, 60.0).await;
    // An owner that is a little late has not died.
    let late = another(pool, shop.seller, "live").await;
    left_behind(pool, late, 1.0).await;
    let long = another(pool, shop.seller, "live").await;
    left_behind(pool, long, 60.0).await;
    let longer = another(pool, shop.seller, "live").await;
    left_behind(pool, longer, 90.0).await;
    let mut conn = pool.acquire().await.expect("connected");
    let found = unattended::orphans(&mut conn, 1).await;
    assert_eq!(found.expect("read"), [longer], "the longest first, so many at once");
    let found = unattended::orphans(&mut conn, 10).await;
    assert_eq!(found.expect("read"), [longer, long]);
}
