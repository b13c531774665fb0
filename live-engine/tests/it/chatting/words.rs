//! Words that a shop does not want in its chats.

use shared::error::ErrorCode;
use shared::live::RoomNotice;

use super::{say, snapshot, try_to_say};
use crate::harness::World;

/// Blocks a word the way core-api does.
pub async fn block(world: &World, word: &str, matching: &str, action: &str) {
    sqlx::query(
        "insert into blocked_words (id, seller_id, word, folded, matching, action, created_by)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(uuid::Uuid::now_v7())
    .bind(world.shop.seller.0)
    .bind(word)
    .bind(shared::words::folded(word))
    .bind(matching)
    .bind(action)
    .bind(world.shop.owner.0)
    .execute(&world.db.pool)
    .await
    .expect("blocked");
    tell(world).await;
}

/// Tells the room that its shop's words have changed.
async fn tell(world: &World) {
    let mut conn = world.db.pool.acquire().await.expect("a connection");
    shared::outbox::push_to_shows(&mut conn, world.shop.seller, None, &RoomNotice::WordsChanged)
        .await
        .expect("noted");
    shared::outbox::hint(&*world.bus).await;
}

/// Waits until the room has heard of its shop's words: once this is refused.
async fn until_refused(world: &World, text: &str) {
    let by = tokio::time::Instant::now() + crate::ears::DEADLINE;
    loop {
        let mut author = world.joined("Somebody").await;
        match try_to_say(&mut author, text).await {
            Err(code) => return assert_eq!(code, ErrorCode::MessageRefused),
            Ok(()) => assert!(tokio::time::Instant::now() < by, "{text:?} is still said"),
        }
    }
}

/// Blocks nothing any more.
pub async fn unblock(world: &World) {
    sqlx::query("delete from blocked_words")
        .execute(&world.db.pool)
        .await
        .expect("allowed again");
    tell(world).await;
}

/// Waits until the room has heard that this may be said again.
pub async fn until_said(world: &World, text: &str) {
    let by = tokio::time::Instant::now() + crate::ears::DEADLINE;
    while try_to_say(&mut world.joined("Somebody").await, text).await.is_err() {
        assert!(tokio::time::Instant::now() < by, "{text:?} is still blocked");
    }
}

#[tokio::test]
async fn a_blocked_word_is_refused_however_it_is_written_and_innocent_words_pass() {
    let world = World::start().await;
    // There before the room is opened.
    block(&world, "swindle", "word", "refuse").await;
    let mut author = world.joined("Author").await;
    for text in ["a swindle!", "$w1ndl3", "s w i n d l e", "ѕwindlе", "swiiindle"] {
        assert_eq!(
            try_to_say(&mut author, text).await,
            Err(ErrorCode::MessageRefused),
            "{text}"
        );
    }
    say(&mut author, "swindlers, the band").await;
    // Not for who runs the show.
    say(&mut world.host().await, "no swindle here").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_room_hears_of_other_words_while_it_is_open() {
    let world = World::start().await;
    let mut author = world.joined("Author").await;
    say(&mut author, "counterfeit bowls").await;
    let begun = std::time::Instant::now();
    block(&world, "counterfeit", "anywhere", "refuse").await;
    until_refused(&world, "counterfeits").await;
    // A hint brings it at once; a lost one costs the polling interval.
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    unblock(&world).await;
    until_said(&world, "counterfeits").await;
    assert!(!snapshot(&world).await.chat.is_empty());
    world.engine.stop().await;
}

#[tokio::test]
async fn the_words_of_one_shop_are_not_those_of_another() {
    let world = World::start().await;
    let other = testkit::fixtures::shop(&world.db.pool, 1, 100).await;
    sqlx::query(
        "insert into blocked_words (id, seller_id, word, folded, matching, action, created_by)
         values ($1, $2, 'bowl', 'bowl', 'word', 'refuse', $3)",
    )
    .bind(uuid::Uuid::now_v7())
    .bind(other.seller.0)
    .bind(other.owner.0)
    .execute(&world.db.pool)
    .await
    .expect("blocked there");
    say(&mut world.joined("Author").await, "a bowl").await;
    world.engine.stop().await;
}
