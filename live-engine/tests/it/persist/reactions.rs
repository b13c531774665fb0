//! Sums of reactions: each counted once, whatever becomes of an answer.

use chrono::{DateTime, Utc};
use shared::ids::StreamId;
use sqlx::PgPool;

use super::{until_blocked, world, world_at};
use crate::proxy::{Line, Proxy};
#[tokio::test]
async fn reactions_add_up_by_kind_and_minute() {
    let world = world().await;
    let minute: DateTime<Utc> = "2026-11-23T10:00:00Z".parse().expect("a time");
    for _ in 0..3 {
        world.persister.add_reactions(world.stream, "heart", minute, 5);
        world.persister.add_reactions(world.stream, "fire", minute, 1);
        world.flush().await;
    }
    world
        .persister
        .add_reactions(world.stream, "heart", minute + chrono::Duration::minutes(1), 2);
    world.flush().await;
    let expected = [("fire", 3), ("heart", 15), ("heart", 2)].map(owned);
    assert_eq!(reactions(&world.base.pool).await, expected);
}

#[tokio::test]
async fn reactions_whose_answer_is_lost_are_counted_once() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let world = world_at(base, &proxy.url).await;
    let minute: DateTime<Utc> = "2026-11-23T10:00:00Z".parse().expect("a time");
    world.persister.add_reactions(world.stream, "heart", minute, 3);
    world.flush().await;
    for _ in 0..3 {
        proxy.set(Line::LosesAnswerTo(b"clap".to_vec()));
        world.persister.add_reactions(world.stream, "clap", minute, 5);
        proxy.until(Line::Open).await;
        world.persister.add_reactions(world.stream, "heart", minute, 1);
        world.flush().await;
    }
    assert_eq!(
        reactions(&world.base.pool).await,
        [("clap", 15), ("heart", 6)].map(owned)
    );
}

#[tokio::test]
async fn one_sum_that_the_database_refuses_does_not_take_the_others_with_it() {
    let world = world().await;
    let minute: DateTime<Utc> = "2026-11-23T10:00:00Z".parse().expect("a time");
    for kind in ["clap", "fire", "heart"] {
        world.persister.add_reactions(world.stream, kind, minute, 2);
        // No such stream.
        world.persister.add_reactions(StreamId::new(), kind, minute, 2);
    }
    world.flush().await;
    let expected = [("clap", 2), ("fire", 2), ("heart", 2)].map(owned);
    assert_eq!(reactions(&world.base.pool).await, expected);
}

fn owned((kind, count): (&str, i64)) -> (String, i64) {
    (kind.to_owned(), count)
}

/// Kinds and counts as stored.
async fn reactions(pool: &PgPool) -> Vec<(String, i64)> {
    sqlx::query_as("select kind, count from stream_reactions order by minute, kind")
        .fetch_all(pool)
        .await
        .expect("read")
}

#[tokio::test]
async fn reactions_on_a_connection_that_went_silent_hold_nothing_up_for_good() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(base, &proxy.url).await;
    // The connection is taken, and everything prepared on it.
    world.persister.add_reactions(world.stream, "heart", Utc::now(), 1);
    world.flush().await;
    // It waits for this row when it goes silent.
    let mut lock = world.base.pool.begin().await.expect("begun");
    sqlx::query("lock table stream_reactions in share mode")
        .execute(&mut *lock)
        .await
        .expect("locked");
    world.persister.add_reactions(world.stream, "heart", Utc::now(), 1);
    until_blocked(&world.base.pool).await;
    proxy.set(Line::Replaced);
    lock.rollback().await.expect("unlocked");
    world.persister.offer(world.mixed(1, 1..=2)).expect("there is room");
    world.until_committed(2).await;
    world.flush().await;
}
