//! A room that is opened anew after more was said in it than it reads at once: messages
//! from before keep their answers, and new ones soon need no look-up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use live_engine::Engine;
use live_engine::room::store::{load, said};
use loadtest::live::LiveClient;
use shared::bus::MemoryBus;
use shared::config::Secret;
use shared::error::ErrorCode;
use shared::ids::{RequestId, StreamId, UserId};
use shared::protocol::{Format, Outcome, RoomEvent};
use shared::token::{Part, Viewer};
use sqlx::PgPool;
use testkit::fixtures;

use crate::ears::DEADLINE;
use crate::harness::{World, chat};
use crate::proxy::{Line, Proxy};

/// More than a room reads when it opens, all of them younger than what was said.
async fn said_since(pool: &PgPool, stream: StreamId, by: UserId, count: i32) {
    sqlx::query(
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, body_hash, text, created_at)
         select ('ffffffff-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $1, 1, 1000 + n,
                $2, gen_random_uuid(), 1, 'other', now()
           from generate_series(1, $3) n",
    )
    .bind(stream.0)
    .bind(by.0)
    .bind(count)
    .execute(pool)
    .await
    .expect("stored");
}

/// Whether the show's room knows what was said before it was opened.
async fn knows_earlier(engine: &Engine, stream: StreamId) -> bool {
    let page = engine.operations().rooms(&BTreeMap::new()).await.expect("rooms");
    let rooms = page["rooms"].as_array().expect("rooms");
    let room = rooms.iter().find(|room| room["stream"] == stream.to_string());
    room.is_some_and(|room| room["room"]["earlier_known"] == true)
}

async fn until_earlier_is_known(engine: &Engine, stream: StreamId) {
    let known = async {
        while !knows_earlier(engine, stream).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, known).await.expect("known in time");
}

/// A person with an account, joined; the room opens anew for the first.
async fn back(world: &World, user: UserId) -> LiveClient {
    let name = "Author".into();
    let mut client = world
        .connect(Viewer::User { id: user, name }, Part::Viewer, Format::Json)
        .await;
    world.join(&mut client).await;
    client
}

#[tokio::test]
async fn a_message_from_before_a_takeover_keeps_its_answer_while_names_are_read_and_after() {
    let world = World::start().await;
    let mut before = Vec::new();
    for n in 0..10 {
        let mut author = world.joined("Author").await;
        let (act, text) = (RequestId::new(), format!("message {n}"));
        let said = author.call_as(chat(&text), act).await.expect("answered").expect("said");
        before.push((author.hello().user.expect("an account"), act, text, said));
    }
    said_since(&world.db.pool, world.shop.stream, world.shop.owner, 30_000).await;
    let world = world.restart().await;
    for (n, (user, act, text, said)) in before.into_iter().enumerate() {
        // The first ones come while names are read, the others when all are known.
        if n == 5 {
            until_earlier_is_known(&world.engine, world.shop.stream).await;
        }
        let mut author = back(&world, user).await;
        let again = author.call_as(chat(&text), act).await.expect("answered");
        assert_eq!(again, Ok(said));
        let other = author.call_as(chat("bye"), act).await.expect("answered");
        assert_eq!(other.expect_err("another body").code, ErrorCode::RequestIdReused);
    }
    let stored: i64 = sqlx::query_scalar("select count(*) from stream_chat_messages where text like 'message %'")
        .fetch_one(&world.db.pool)
        .await
        .expect("counted");
    assert_eq!(stored, 10, "none was said twice");
    world.engine.stop().await;
}

#[tokio::test]
async fn once_the_names_of_what_was_said_are_read_chat_needs_the_database_no_more_to_be_heard() {
    const AUTHORS: usize = 20;
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let (db_url, bus) = (proxy.url.clone(), MemoryBus::shared());
    let world = World::start_in(base, bus, |config| config.database_url = Secret::new(db_url)).await;
    said_since(&world.db.pool, world.shop.stream, world.shop.owner, 12_000).await;
    let mut listener = world.joined("Listener").await;
    let mut authors = Vec::new();
    for _ in 0..AUTHORS {
        authors.push(world.joined("Author").await);
    }
    until_earlier_is_known(&world.engine, world.shop.stream).await;
    proxy.set(Line::Cut);
    let mut asked = Vec::new();
    for (n, author) in authors.iter_mut().enumerate() {
        let message = chat(&format!("message {n}"));
        asked.push(author.send(message, Some(RequestId::new())).await.expect("sent"));
    }
    let mut heard = BTreeSet::new();
    while heard.len() < AUTHORS {
        let said = listener.event(|event| match event {
            RoomEvent::Chat(message) => Some(message.text.clone()),
            _ => None,
        });
        heard.insert(said.await.expect("heard while the database is away"));
    }
    proxy.set(Line::Open);
    for (author, id) in authors.iter_mut().zip(asked) {
        let said = author.answer(id).await.expect("answered");
        assert!(matches!(said, Ok(Outcome::Said { .. })), "{said:?}");
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn names_of_all_that_was_said_or_held_are_read_in_pages_without_a_gap() {
    let base = testkit::database().await;
    let shop = fixtures::shop(&base.pool, 1, 100).await;
    said_since(&base.pool, shop.stream, shop.owner, 6_000).await;
    // Held ones lie between, and one that was approved has its name in its review alone.
    let held = "insert into chat_reviews (message_id, stream_id, user_id, request_id, body_hash, text, cause)
                select ('ffffffff-0000-7000-8000-' || lpad(to_hex(n * 10), 12, '0') )::uuid, $1, $2, gen_random_uuid(), 1, 'held', 'word'
                  from generate_series(1, 600) n";
    let unnamed = "update stream_chat_messages set request_id = null, body_hash = null
                    where id in (select message_id from chat_reviews)";
    for sql in [held, unnamed] {
        let query = sqlx::query(sql);
        let query = if sql == held {
            query.bind(shop.stream.0).bind(shop.owner.0)
        } else {
            query
        };
        query.execute(&base.pool).await.expect("stored");
    }
    let mut conn = base.pool.acquire().await.expect("connected");
    let room = load::load_room(&mut conn, shop.stream, 50)
        .await
        .expect("read")
        .expect("there");
    let mut names: Vec<_> = room.said.iter().map(|said| (said.user, said.request_id)).collect();
    assert_eq!(names.len(), 5_000);
    let (mut before, mut pages) = (room.said_before, 0);
    while let Some(from) = before {
        let page = said::earlier(&mut conn, shop.stream, from, 250).await.expect("read");
        names.extend(page.names);
        before = page.before;
        pages += 1;
    }
    assert_eq!(pages, 5, "four full ones, and one to see that there is no more");
    let stored: Vec<(UserId, RequestId)> = sqlx::query_as(
        "select user_id, request_id from stream_chat_messages where request_id is not null
         union all select user_id, request_id from chat_reviews",
    )
    .fetch_all(&base.pool)
    .await
    .expect("read");
    assert_eq!((names.len(), stored.len()), (6_000, 6_000), "each once");
    let (names, stored): (BTreeSet<_>, BTreeSet<_>) = (names.into_iter().collect(), stored.into_iter().collect());
    assert!(names == stored, "and all of them");
}
