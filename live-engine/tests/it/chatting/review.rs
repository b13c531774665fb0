//! Messages that wait for a moderator.

use loadtest::live::LiveClient;
use shared::error::ErrorCode;
use shared::ids::{MessageId, RequestId};
use shared::protocol::{ClientCommand, HeldFor, HeldMessage, Mute, Outcome, Person, Private, Unban};
use shared::rights::Right;

use super::words::{block, unblock, until_said};
use super::{again, answer_to, count, done, heard, moderator, refused, say, snapshot};
use crate::harness::{World, chat, hears};

async fn held(client: &mut LiveClient, text: &str) -> MessageId {
    match client.call(chat(text)).await.expect("answered") {
        Ok(Outcome::HeldForReview { message }) => message,
        other => panic!("{text:?}: {other:?}"),
    }
}

async fn review(client: &mut LiveClient) -> HeldMessage {
    let review = client.private(|message| match message {
        Private::Review(held) => Some(held.clone()),
        _ => None,
    });
    review.await.expect("told of a held message")
}

async fn reviewed(client: &mut LiveClient, message: MessageId) -> bool {
    let reviewed = client.private(|told| match told {
        Private::Reviewed { message: of, approved } if *of == message => Some(*approved),
        _ => None,
    });
    reviewed.await.expect("told of the decision")
}

const fn approve(message: MessageId) -> ClientCommand {
    ClientCommand::ApproveMessage { message }
}

const fn reject(message: MessageId) -> ClientCommand {
    ClientCommand::RejectMessage { message }
}

#[tokio::test]
async fn a_held_message_is_said_once_a_moderator_approves_it() {
    let world = World::start().await;
    block(&world, "cheaper", "word", "hold").await;
    let (_, mut reviewer) = moderator(&world, &[Right::Review]).await;
    let (mut host, mut other) = (world.host().await, world.joined("Other").await);
    let mut author = world.joined("Author").await;
    let first = say(&mut author, "hello").await;
    let answered = author
        .call(answer_to(first, "ch3aper elsewhere"))
        .await
        .expect("answered");
    let Ok(Outcome::HeldForReview { message }) = answered else {
        panic!("{answered:?}");
    };
    let stored = count(&world, "select count(*) from chat_reviews where status = 'waiting'").await;
    assert_eq!(stored, 1, "stored before it is answered");
    for client in [&mut host, &mut reviewer] {
        let told = review(client).await;
        assert_eq!(
            (told.message, told.text.as_str(), told.cause, told.detail.as_str()),
            (message, "ch3aper elsewhere", HeldFor::Word, "cheaper")
        );
        assert_eq!(told.author.name, "Author");
    }
    assert_eq!(refused(&mut other, approve(message)).await, ErrorCode::Forbidden);
    assert_eq!(refused(&mut author, approve(message)).await, ErrorCode::Forbidden);
    done(&mut reviewer, approve(message)).await;
    let said = heard(&mut other, "ch3aper elsewhere").await;
    assert_eq!((said.id, said.author.name.as_str()), (message, "Author"));
    assert_eq!(
        (said.reply_to, said.quote.map(|quote| quote.text)),
        (Some(first), Some("hello".into()))
    );
    for client in [&mut host, &mut reviewer, &mut author] {
        assert!(reviewed(client, message).await);
    }
    // Again it is the same decision; another one comes too late.
    done(&mut host, approve(message)).await;
    assert_eq!(refused(&mut host, reject(message)).await, ErrorCode::WrongState);
    say(&mut author, "end").await;
    hears(&mut other, "end").await;
    assert_eq!(count(&world, "select count(*) from stream_chat_messages").await, 3);
    let told = format!("{:?}", other.drain());
    assert!(!told.contains("Review") && !told.contains("ch3aper"), "{told}");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_rejected_message_is_said_to_nobody_and_its_author_is_told() {
    let world = World::start().await;
    block(&world, "cheaper", "word", "hold").await;
    let (mut host, mut author) = (world.host().await, world.joined("Author").await);
    let mut other = world.joined("Other").await;
    let message = held(&mut author, "cheaper").await;
    done(&mut host, reject(message)).await;
    assert!(!reviewed(&mut author, message).await);
    done(&mut host, reject(message)).await;
    assert_eq!(refused(&mut host, approve(message)).await, ErrorCode::WrongState);
    assert_eq!(refused(&mut host, reject(MessageId::new())).await, ErrorCode::NotFound);
    say(&mut author, "end").await;
    hears(&mut other, "end").await;
    assert!(!format!("{:?}", other.drain()).contains("cheaper"));
    let audited = count(&world, "select count(*) from audit_log where action = 'room.review'").await;
    assert_eq!(audited, 2);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_held_message_sent_again_is_answered_the_same_and_held_once() {
    let world = World::start().await;
    block(&world, "cheaper", "word", "hold").await;
    let person = world.person("Author").await;
    let (mut host, mut author) = (world.host().await, again(&world, &person).await);
    let act = RequestId::new();
    let first = author.call_as(chat("cheaper"), act).await.expect("answered");
    let Ok(Outcome::HeldForReview { message }) = first else {
        panic!("{first:?}");
    };
    assert_eq!(author.call_as(chat("cheaper"), act).await.expect("answered"), first);
    let reused = author.call_as(chat("dearer"), act).await.expect("answered");
    assert_eq!(reused.expect_err("another text").code, ErrorCode::RequestIdReused);
    done(&mut host, approve(message)).await;
    hears(&mut author, "cheaper").await;
    assert_eq!(author.call_as(chat("cheaper"), act).await.expect("answered"), first);
    // Also by the room's next owner.
    drop((author, host));
    let world = world.restart().await;
    let mut author = again(&world, &person).await;
    assert_eq!(author.call_as(chat("cheaper"), act).await.expect("answered"), first);
    assert_eq!(count(&world, "select count(*) from chat_reviews").await, 1);
    let chat = snapshot(&world).await.chat;
    assert_eq!(chat.iter().filter(|said| said.id == message).count(), 1);
    world.engine.stop().await;
}

#[tokio::test]
async fn what_may_be_held_is_not_said_when_it_is_sent_again() {
    let world = World::start().await;
    block(&world, "cheaper", "word", "hold").await;
    block(&world, "swindle", "word", "refuse").await;
    let (mut host, mut author) = (world.host().await, world.joined("Author").await);
    let mut lock = world.db.pool.begin().await.expect("a transaction");
    sqlx::query("lock table chat_reviews in share mode")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let act = RequestId::new();
    let lost = author.call_as(chat("cheaper"), act).await.expect("answered");
    let lost = lost.expect_err("nobody knows in time");
    assert_ne!(lost.code.retry(), shared::error::Retry::No, "{lost:?}");
    // By now nothing would be wrong with it.
    unblock(&world).await;
    until_said(&world, "swindle").await;
    lock.commit().await.expect("unlocked");
    let again = author.call_as(chat("cheaper"), act).await.expect("answered");
    let Ok(Outcome::HeldForReview { message }) = again else {
        panic!("{again:?}");
    };
    assert_eq!(review(&mut host).await.message, message, "moderators hear of it now");
    assert_eq!(count(&world, "select count(*) from chat_reviews").await, 1);
    done(&mut host, approve(message)).await;
    assert_eq!(heard(&mut author, "cheaper").await.id, message);
    assert_eq!(
        author.call_as(chat("cheaper"), act).await.expect("answered"),
        Ok(Outcome::HeldForReview { message })
    );
    // What is approved is heard before it is stored, and stored before what comes after it.
    say(&mut author, "and that is all").await;
    let said = count(
        &world,
        "select count(*) from stream_chat_messages where text = 'cheaper'",
    )
    .await;
    assert_eq!(said, 1);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_held_message_keeps_its_place_among_its_authors() {
    let world = World::start().await;
    block(&world, "cheaper", "word", "hold").await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    let mut ids = Vec::new();
    for text in ["one", "cheaper", "two"] {
        ids.push(author.send(chat(text), Some(RequestId::new())).await.expect("sent"));
    }
    let mut outcomes = Vec::new();
    for id in ids {
        outcomes.push(author.answer(id).await.expect("answered").expect("taken"));
    }
    assert!(
        matches!(
            outcomes[..],
            [
                Outcome::Said { seq: 1, .. },
                Outcome::HeldForReview { .. },
                Outcome::Said { seq: 2, .. }
            ]
        ),
        "{outcomes:?}"
    );
    for text in ["one", "two"] {
        hears(&mut other, text).await;
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn nothing_is_approved_of_who_may_not_chat() {
    let world = World::start().await;
    block(&world, "cheaper", "word", "hold").await;
    let (mut host, mut author) = (world.host().await, world.joined("Author").await);
    let user = author.hello().user.expect("an account");
    let message = held(&mut author, "cheaper").await;
    let mute = Mute {
        user,
        seconds: 600,
        reason: String::new(),
    };
    done(&mut host, ClientCommand::Timeout(mute)).await;
    assert_eq!(refused(&mut host, approve(message)).await, ErrorCode::WrongState);
    done(&mut host, ClientCommand::Unmute { user }).await;
    done(&mut host, crate::order::ban(Person::User(user))).await;
    assert_eq!(refused(&mut host, approve(message)).await, ErrorCode::WrongState);
    let unban = Unban {
        who: Person::User(user),
    };
    done(&mut host, ClientCommand::Unban(unban)).await;
    done(&mut host, approve(message)).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn nothing_is_approved_after_the_end() {
    let world = World::start().await;
    block(&world, "cheaper", "word", "hold").await;
    let (mut host, mut author) = (world.host().await, world.joined("Author").await);
    let message = held(&mut author, "cheaper").await;
    done(&mut host, ClientCommand::End).await;
    assert_eq!(refused(&mut host, approve(message)).await, ErrorCode::WrongState);
    done(&mut host, reject(message)).await;
    world.engine.stop().await;
}
