//! Messages that answer others, and messages that are taken back.

use std::time::Duration;

use shared::bus::MemoryBus;
use shared::error::ErrorCode;
use shared::ids::{MessageId, RequestId, UserId};
use shared::protocol::{ClientCommand, DeletedBy, MAX_QUOTE_CHARS, Mute, Outcome, RoomEvent};
use shared::rights::Right;

use super::{answer_to, count, done, heard, moderator, refused, say, snapshot};
use crate::harness::{World, chat, hears};
use crate::proxy::{Line, Proxy};

const fn delete(message: MessageId) -> ClientCommand {
    ClientCommand::DeleteMessage { message }
}

fn gone(message: MessageId, by: DeletedBy) -> impl FnMut(&RoomEvent) -> Option<()> {
    move |event| (*event == RoomEvent::MessageDeleted { message, by }).then_some(())
}

#[tokio::test]
async fn an_author_takes_a_message_back_and_it_is_gone_for_everybody() {
    let world = World::start().await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    let (kept, message) = (say(&mut author, "kept").await, say(&mut author, "regretted").await);
    let since = other.position();
    hears(&mut other, "regretted").await;
    done(&mut author, delete(message)).await;
    other.event(gone(message, DeletedBy::Author)).await.expect("heard");
    let texts =
        |chat: Vec<shared::protocol::ChatMessage>| chat.into_iter().map(|message| message.id).collect::<Vec<_>>();
    assert_eq!(texts(snapshot(&world).await.chat), [kept]);
    // Who comes back by the log meets both, and ends where the others are.
    let viewer = world.person("Late").await;
    let mut late = world
        .connect(viewer, shared::token::Part::Viewer, shared::protocol::Format::Json)
        .await;
    let since = since.expect("a position");
    let joined = late
        .join(world.shop.stream, Some(since))
        .await
        .expect("the log has it all");
    assert!(joined.snapshot.is_none());
    hears(&mut late, "regretted").await;
    late.event(gone(message, DeletedBy::Author)).await.expect("heard");
    drop((author, other, late));
    let world = world.restart().await;
    assert_eq!(texts(snapshot(&world).await.chat), [kept]);
    let (audited, marked) = (
        count(
            &world,
            "select count(*) from audit_log where action = 'room.delete_message'",
        )
        .await,
        count(
            &world,
            "select count(*) from stream_chat_messages
              where deleted_as = 'author' and deleted_by = user_id and deleted_at is not null",
        )
        .await,
    );
    assert_eq!((audited, marked), (0, 1));
    world.engine.stop().await;
}

#[tokio::test]
async fn a_moderator_deletes_what_others_say_and_a_stranger_does_not() {
    let world = World::start().await;
    let (user, mut moderator) = moderator(&world, &[Right::DeleteMessages]).await;
    let (mut author, mut stranger) = (world.joined("Author").await, world.joined("Stranger").await);
    let message = say(&mut author, "rude").await;
    assert_eq!(refused(&mut stranger, delete(message)).await, ErrorCode::Forbidden);
    assert_eq!(
        refused(&mut stranger, delete(MessageId::new())).await,
        ErrorCode::NotFound
    );
    done(&mut moderator, delete(message)).await;
    stranger
        .event(gone(message, DeletedBy::Moderator))
        .await
        .expect("heard");
    // Again, under another name and by others: it is gone already, and nobody hears of it twice.
    done(&mut moderator, delete(message)).await;
    let mut host = world.host().await;
    done(&mut host, delete(message)).await;
    done(&mut author, delete(message)).await;
    say(&mut author, "end").await;
    hears(&mut stranger, "end").await;
    assert!(!format!("{:?}", stranger.drain()).contains("MessageDeleted"));
    let audited: (i64, Option<uuid::Uuid>) = sqlx::query_as(
        "select count(*), min(actor_id::text)::uuid from audit_log where action = 'room.delete_message'",
    )
    .fetch_one(&world.db.pool)
    .await
    .expect("the database answers");
    assert_eq!(audited, (1, Some(user.0)));
    world.engine.stop().await;
}

#[tokio::test]
async fn a_deletion_sent_again_gets_the_same_answer_and_happens_once() {
    let world = World::start().await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    let (first, second) = (say(&mut author, "one").await, say(&mut author, "two").await);
    let act = RequestId::new();
    for _ in 0..2 {
        let outcome = author.call_as(delete(first), act).await.expect("answered");
        assert_eq!(outcome, Ok(Outcome::Done));
    }
    let reused = author.call_as(delete(second), act).await.expect("answered");
    assert_eq!(reused.expect_err("another act").code, ErrorCode::RequestIdReused);
    say(&mut author, "end").await;
    hears(&mut other, "end").await;
    let deletions = count(
        &world,
        "select count(*) from stream_events where kind = 'message_deleted'",
    )
    .await;
    assert_eq!(deletions, 1);
    world.engine.stop().await;
}

#[tokio::test]
async fn what_is_not_stored_yet_is_deleted_once_it_is() {
    let db = testkit::database().await;
    let proxy = Proxy::before(&db.url).await;
    let url = proxy.url.clone();
    let world = World::start_in(db, MemoryBus::shared(), |config| {
        config.database_url = shared::config::Secret::new(url);
    })
    .await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    proxy.set(Line::Cut);
    let said = author
        .send(chat("too fast"), Some(RequestId::new()))
        .await
        .expect("sent");
    let message = heard(&mut other, "too fast").await.id;
    let deleted = author
        .send(delete(message), Some(RequestId::new()))
        .await
        .expect("sent");
    // Longer than any call to the database may take.
    let early = tokio::time::timeout(Duration::from_secs(3), author.answer(deleted)).await;
    assert!(early.is_err(), "nothing is there to be deleted yet: {early:?}");
    proxy.set(Line::Open);
    assert!(matches!(
        author.answer(said).await.expect("answered"),
        Ok(Outcome::Said { .. })
    ));
    assert_eq!(author.answer(deleted).await.expect("answered"), Ok(Outcome::Done));
    other.event(gone(message, DeletedBy::Author)).await.expect("heard");
    world.engine.stop().await;
}

#[tokio::test]
async fn an_answer_quotes_what_it_answers_until_that_is_deleted() {
    let world = World::start().await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    let long = "é".repeat(MAX_QUOTE_CHARS + 20);
    let message = say(&mut author, &long).await;
    let answered = other.call(answer_to(message, "why?")).await.expect("answered");
    answered.expect("said");
    let quote = heard(&mut author, "why?").await.quote.expect("it quotes");
    assert_eq!(quote.name, "Author");
    assert_eq!(quote.text, format!("{}…", "é".repeat(MAX_QUOTE_CHARS)));
    // Also when the room is built from its rows, and the message is long out of memory.
    drop((author, other));
    let world = world.restart().await;
    let mut author = world.joined("Another").await;
    let shown = snapshot(&world).await.chat;
    assert!(shown.iter().any(|message| message.quote.as_ref() == Some(&quote)));
    author
        .call(answer_to(message, "indeed"))
        .await
        .expect("answered")
        .expect("said");
    let mut host = world.host().await;
    done(&mut host, delete(message)).await;
    let shown = snapshot(&world).await.chat;
    assert!(shown.iter().all(|message| message.quote.is_none()), "{shown:?}");
    assert!(shown.iter().all(|answer| answer.reply_to == Some(message)));
    world.engine.stop().await;
}

#[tokio::test]
async fn a_quote_goes_with_what_it_quotes_however_old_that_is() {
    let world = World::start_with(|config| {
        config.limits.chat = "1000/1000".parse().expect("a rate");
        config.limits.commands = "1000/1000".parse().expect("a rate");
    })
    .await;
    let (mut host, mut rude) = (world.host().await, world.joined("Rude").await);
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    let (old, older) = (say(&mut author, "regretted").await, say(&mut rude, "an insult").await);
    for n in 0..live_engine::room::state::SNAPSHOT_MESSAGES {
        say(&mut other, &format!("{n}")).await;
    }
    for (message, text) in [(old, "really?"), (older, "pardon?")] {
        let said = other.call(answer_to(message, text)).await.expect("answered");
        said.expect("said");
        assert!(heard(&mut author, text).await.quote.is_some());
    }
    let pinned = heard_last(&world).await;
    done(&mut host, ClientCommand::PinMessage { message: pinned }).await;
    done(&mut author, delete(old)).await;
    let user = rude.hello().user.expect("an account");
    done(&mut host, timeout(user)).await;
    let shown = snapshot(&world).await;
    let shown = format!("{:?} {:?}", shown.chat, shown.pinned);
    assert!(shown.contains("really?") && shown.contains("pardon?"), "{shown}");
    assert!(!shown.contains("regretted") && !shown.contains("an insult"), "{shown}");
    world.engine.stop().await;
}

/// The last message of the room.
async fn heard_last(world: &World) -> MessageId {
    snapshot(world).await.chat.last().expect("something was said").id
}

const fn timeout(user: UserId) -> ClientCommand {
    ClientCommand::Timeout(Mute {
        user,
        seconds: 600,
        reason: String::new(),
    })
}

#[tokio::test]
async fn only_its_author_has_a_message_wait_to_be_deleted_and_once() {
    let db = testkit::database().await;
    let proxy = Proxy::before(&db.url).await;
    let url = proxy.url.clone();
    let world = World::start_in(db, MemoryBus::shared(), |config| {
        config.database_url = shared::config::Secret::new(url);
    })
    .await;
    let (mut author, mut stranger) = (world.joined("Author").await, world.joined("Stranger").await);
    proxy.set(Line::Cut);
    author
        .send(chat("too fast"), Some(RequestId::new()))
        .await
        .expect("sent");
    let message = heard(&mut stranger, "too fast").await.id;
    assert_eq!(refused(&mut stranger, delete(message)).await, ErrorCode::Forbidden);
    let first = author
        .send(delete(message), Some(RequestId::new()))
        .await
        .expect("sent");
    assert_eq!(refused(&mut author, delete(message)).await, ErrorCode::RequestInFlight);
    // Nor may they ask without end.
    let mut last = ErrorCode::RequestInFlight;
    for _ in 0..50 {
        last = refused(&mut author, delete(message)).await;
        if last != ErrorCode::RequestInFlight {
            break;
        }
    }
    assert_eq!(last, ErrorCode::RateLimited);
    proxy.set(Line::Open);
    assert_eq!(author.answer(first).await.expect("answered"), Ok(Outcome::Done));
    world.engine.stop().await;
}

#[tokio::test]
async fn only_a_message_of_this_room_that_is_there_can_be_answered() {
    let world = World::start().await;
    let mut author = world.joined("Author").await;
    let message = say(&mut author, "hello").await;
    done(&mut author, delete(message)).await;
    let (elsewhere, foreign) = (testkit::fixtures::shop(&world.db.pool, 1, 100).await, MessageId::new());
    sqlx::query(
        "insert into stream_chat_messages (id, stream_id, epoch, seq, user_id, text, created_at)
         values ($1, $2, 1, 1, $3, 'elsewhere', now())",
    )
    .bind(foreign.0)
    .bind(elsewhere.stream.0)
    .bind(elsewhere.owner.0)
    .execute(&world.db.pool)
    .await
    .expect("a message of another show");
    for unknown in [message, MessageId::new(), foreign] {
        let refusal = author.call(answer_to(unknown, "what?")).await.expect("answered");
        let refusal = refusal.expect_err("nothing to answer");
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (ErrorCode::NotFound, Some("reply_to"))
        );
    }
    world.engine.stop().await;
}
