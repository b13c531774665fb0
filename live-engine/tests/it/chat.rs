//! Saying something: to all at once, acknowledged when it is committed, once.

use std::time::Duration;

use shared::error::ErrorCode;
use shared::ids::{MessageId, RequestId};
use shared::protocol::{ClientCommand, Outcome, RoomEvent};
use sqlx::PgPool;

use crate::harness::{self, World, chat, hears};
use crate::proxy::{Line, Proxy};

async fn stored(pool: &PgPool, message: MessageId) -> Option<(i64, i64, String)> {
    sqlx::query_as("select epoch, seq, text from stream_chat_messages where id = $1")
        .bind(message.0)
        .fetch_optional(pool)
        .await
        .expect("the database answers")
}

#[tokio::test]
async fn an_acknowledged_message_is_in_the_database() {
    let world = World::start().await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    for n in 1..=5_u64 {
        let said = author.call(chat(&format!("  message {n} "))).await.expect("answered");
        let Ok(Outcome::Said { message, epoch, seq }) = said else {
            panic!("{said:?}");
        };
        assert_eq!(seq, n);
        let (in_epoch, in_seq, text) = stored(&world.db.pool, message).await.expect("stored");
        assert_eq!(
            (in_epoch, u64::try_from(in_seq), text),
            (epoch, Ok(seq), format!("message {n}"))
        );
        hears(&mut other, &format!("message {n}")).await;
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn a_message_sent_again_gets_the_same_answer_and_is_said_once() {
    let world = World::start().await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    let act = RequestId::new();
    let first = author
        .call_as(chat("hello"), act)
        .await
        .expect("answered")
        .expect("said");
    let again = author
        .call_as(chat("hello"), act)
        .await
        .expect("answered")
        .expect("said");
    assert_eq!(first, again);
    let refusal = author
        .call_as(chat("bye"), act)
        .await
        .expect("answered")
        .expect_err("another body");
    assert_eq!(refusal.code, ErrorCode::RequestIdReused);
    author.call(chat("end")).await.expect("answered").expect("said");
    hears(&mut other, "end").await;
    let hellos = other
        .drain()
        .into_iter()
        .filter(|frame| format!("{frame:?}").contains("hello"));
    assert_eq!(hellos.count(), 1);
    // Also after the room has been built from its rows.
    let viewer = shared::token::Viewer::User {
        id: author.hello().user.expect("an account"),
        name: "Author".into(),
    };
    drop((author, other));
    let world = world.restart().await;
    let mut author = world
        .connect(viewer, shared::token::Part::Viewer, shared::protocol::Format::Json)
        .await;
    world.join(&mut author).await;
    let later = author
        .call_as(chat("hello"), act)
        .await
        .expect("answered")
        .expect("said");
    assert_eq!(first, later);
    world.engine.stop().await;
}

#[tokio::test]
async fn what_may_not_be_said_is_refused_with_its_reason() {
    let world = World::start().await;
    let mut author = world.joined("Author").await;
    for text in ["", "   ", "a\u{0}b", "\u{202e}evil", &"x".repeat(501)] {
        let refusal = author.call(chat(text)).await.expect("answered").expect_err("refused");
        assert_eq!(refusal.code, ErrorCode::InvalidBody, "{text:?}");
        assert_eq!(refusal.field.as_deref(), Some("text"));
    }
    let id = author.send(chat("hello"), None).await.expect("sent");
    let refusal = author.answer(id).await.expect("answered").expect_err("no request id");
    assert_eq!(refusal.code, ErrorCode::IdempotencyKeyMissing);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_person_who_says_too_much_is_told_to_wait() {
    let world = World::start_with(|config| config.limits.chat = "1/3".parse().expect("a rate")).await;
    let mut author = world.joined("Author").await;
    for n in 0..3 {
        author
            .call(chat(&format!("{n}")))
            .await
            .expect("answered")
            .expect("said");
    }
    let refusal = author
        .call(chat("more"))
        .await
        .expect("answered")
        .expect_err("too much");
    assert_eq!(refusal.code, ErrorCode::RateLimited);
    assert!(refusal.retry_after_ms.is_some());
    world.engine.stop().await;
}

#[tokio::test]
async fn a_connection_that_commands_too_much_is_told_to_wait() {
    let world = World::start_with(|config| config.limits.commands = "1/4".parse().expect("a rate")).await;
    let mut client = world.joined("Visitor").await;
    let mut codes = Vec::new();
    for _ in 0..5 {
        let react = ClientCommand::React {
            kind: "fire".into(),
            count: 1,
        };
        codes.push(
            client
                .call(react)
                .await
                .expect("answered")
                .err()
                .map(|refusal| refusal.code),
        );
    }
    assert_eq!(codes[..3], [None, None, None]);
    assert!(codes.contains(&Some(ErrorCode::RateLimited)), "{codes:?}");
    world.engine.stop().await;
}

#[tokio::test]
async fn reactions_are_summed_up_and_stored() {
    let world = World::start().await;
    let (mut one, mut two) = (world.joined("One").await, world.joined("Two").await);
    let react = |kind: &str, count| ClientCommand::React {
        kind: kind.into(),
        count,
    };
    for _ in 0..3 {
        one.call(react("heart", 10)).await.expect("answered").expect("counted");
        two.call(react("heart", 1)).await.expect("answered").expect("counted");
    }
    for (kind, count) in [("heart", 0), ("heart", 51), ("star", 1)] {
        let refusal = one
            .call(react(kind, count))
            .await
            .expect("answered")
            .expect_err("refused");
        assert_eq!(refusal.code, ErrorCode::InvalidBody, "{kind} {count}");
    }
    let mut hearts = 0;
    while hearts < 33 {
        let more = one.ephemeral(|message| match message {
            shared::protocol::Ephemeral::Reactions { counts } => counts.get("heart").copied(),
            _ => None,
        });
        hearts += more.await.expect("heard");
    }
    assert_eq!(hearts, 33);
    let db = world.db;
    world.engine.stop().await;
    let sum: Option<i64> = sqlx::query_scalar("select sum(count)::bigint from stream_reactions where kind = 'heart'")
        .fetch_one(&db.pool)
        .await
        .expect("the database answers");
    assert_eq!(sum, Some(33));
}

#[tokio::test]
async fn everybody_hears_everything_in_one_order() {
    let world = World::start_with(|config| config.limits.chat = "1000/1000".parse().expect("a rate")).await;
    let mut clients = Vec::new();
    for n in 0..6 {
        clients.push(world.joined(&format!("Visitor {n}")).await);
    }
    for round in 0..10 {
        for (n, client) in clients.iter_mut().enumerate() {
            client
                .send(chat(&format!("{round}.{n}")), Some(RequestId::new()))
                .await
                .expect("sent");
        }
    }
    let mut orders = Vec::new();
    for client in &mut clients {
        let mut texts = Vec::new();
        while texts.len() < 60 {
            let text = client.event(|event| match event {
                RoomEvent::Chat(message) => Some(message.text.clone()),
                _ => None,
            });
            texts.push(text.await.expect("heard"));
        }
        orders.push(texts);
    }
    assert!(orders.iter().all(|order| *order == orders[0]));
    world.engine.stop().await;
}

#[tokio::test]
async fn what_the_database_refuses_is_said_to_its_author_and_everything_else_goes_on() {
    let world = World::start().await;
    // An account that is gone: its message breaks a foreign key.
    let nobody = shared::token::Viewer::User {
        id: shared::ids::UserId::new(),
        name: "Nobody".into(),
    };
    let mut nobody = world
        .connect(nobody, shared::token::Part::Viewer, shared::protocol::Format::Json)
        .await;
    world.join(&mut nobody).await;
    let mut author = world.joined("Author").await;
    author.call(chat("before")).await.expect("answered").expect("said");
    let refusal = nobody
        .call(chat("hello"))
        .await
        .expect("answered")
        .expect_err("refused");
    assert_eq!(refusal.code, ErrorCode::Internal);
    let said = author.call(chat("after")).await.expect("answered").expect("said");
    assert!(matches!(said, Outcome::Said { seq: 3, .. }), "{said:?}");
    let rejects: Option<i64> = sqlx::query_scalar("select count(*) from persist_rejects where seq = 2")
        .fetch_one(&world.db.pool)
        .await
        .expect("the database answers");
    assert_eq!(rejects, Some(1));
    world.engine.stop().await;
}

#[tokio::test]
async fn while_the_database_is_away_chat_goes_on_and_is_acknowledged_when_it_is_back() {
    let db = testkit::database().await;
    let shop = testkit::fixtures::shop(&db.pool, 10, 1900).await;
    let proxy = Proxy::before(&db.url).await;
    let mut config = harness::config(&db);
    config.database_url = shared::config::Secret::new(proxy.url.clone());
    let bus = shared::bus::MemoryBus::shared();
    let engine = live_engine::start(config, bus.clone())
        .await
        .expect("the engine starts");
    let url = format!("ws://{}/ws", engine.addr());
    let world = World {
        db,
        shop,
        bus,
        engine,
        url,
    };
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    proxy.set(Line::Cut);
    let id = author
        .send(chat("in the dark"), Some(RequestId::new()))
        .await
        .expect("sent");
    hears(&mut other, "in the dark").await;
    hears(&mut author, "in the dark").await;
    // Long enough for the persister to try, and to fail, several times.
    let early = tokio::time::timeout(Duration::from_secs(1), author.answer(id)).await;
    assert!(
        early.is_err(),
        "nothing is acknowledged that is not committed: {early:?}"
    );
    proxy.set(Line::Open);
    let said = author.answer(id).await.expect("answered").expect("said");
    let Outcome::Said { message, .. } = said else {
        panic!("{said:?}");
    };
    assert!(stored(&world.db.pool, message).await.is_some());
    world.engine.stop().await;
}

#[tokio::test]
async fn a_message_that_comes_again_after_thousands_of_others_is_said_once() {
    let world = World::start().await;
    let mut author = world.joined("Author").await;
    let act = RequestId::new();
    let first = author
        .call_as(chat("hello"), act)
        .await
        .expect("answered")
        .expect("said");
    let user = author.hello().user.expect("an account");
    drop(author);
    // More than a room reads when it opens, all of them younger.
    sqlx::query(
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, body_hash, text, created_at)
         select ('ffffffff-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, m.stream_id, m.epoch, m.seq + n,
                $1, gen_random_uuid(), 1, 'other', now()
           from stream_chat_messages m, generate_series(1, 6000) n",
    )
    .bind(world.shop.owner.0)
    .execute(&world.db.pool)
    .await
    .expect("stored");
    let world = world.restart().await;
    let viewer = shared::token::Viewer::User {
        id: user,
        name: "Author".into(),
    };
    let mut author = world
        .connect(viewer, shared::token::Part::Viewer, shared::protocol::Format::Json)
        .await;
    world.join(&mut author).await;
    let again = author.call_as(chat("hello"), act).await.expect("answered");
    assert_eq!(again, Ok(first));
    let other = author.call_as(chat("bye"), act).await.expect("answered");
    assert_eq!(other.expect_err("another body").code, ErrorCode::RequestIdReused);
    author.call(chat("new")).await.expect("answered").expect("said");
    let said: i64 =
        sqlx::query_scalar("select count(*) from stream_chat_messages where user_id = $1 and text <> 'new'")
            .bind(user.0)
            .fetch_one(&world.db.pool)
            .await
            .expect("read");
    assert_eq!(said, 1);
    // The last word is the database's.
    let doubled = sqlx::query(
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, request_id, body_hash, text, created_at)
         select gen_random_uuid(), stream_id, epoch + 1000, 1, user_id, request_id, body_hash, text, now()
           from stream_chat_messages where request_id = $1",
    )
    .bind(act.0)
    .execute(&world.db.pool)
    .await;
    assert!(doubled.is_err(), "{doubled:?}");
    world.engine.stop().await;
}
