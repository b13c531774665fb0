//! What a show makes of its chat: who may say what, how often, and what is taken back,
//! held and reported.

mod deletion;
mod hook;
mod reports;
mod review;
mod rules;
mod words;

use loadtest::live::LiveClient;
use shared::error::ErrorCode;
use shared::ids::{MessageId, UserId};
use shared::protocol::{ChatMessage, ClientCommand, Format, Outcome, RoomEvent, Snapshot};
use shared::rights::Right;
use shared::token::{Part, Viewer};
use uuid::Uuid;

use crate::harness::{World, chat};

/// Says something that is allowed.
async fn say(client: &mut LiveClient, text: &str) -> MessageId {
    match client.call(chat(text)).await.expect("answered") {
        Ok(Outcome::Said { message, .. }) => message,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// Says something, or learns why not.
async fn try_to_say(client: &mut LiveClient, text: &str) -> Result<(), ErrorCode> {
    let said = client.call(chat(text)).await.expect("answered");
    said.map(|_| ()).map_err(|refusal| refusal.code)
}

/// Has a command carried out.
async fn done(client: &mut LiveClient, command: ClientCommand) {
    let shown = format!("{command:?}");
    let outcome = client.call(command).await.expect("answered");
    assert_eq!(outcome, Ok(Outcome::Done), "{shown}");
}

/// Has a command refused.
async fn refused(client: &mut LiveClient, command: ClientCommand) -> ErrorCode {
    let shown = format!("{command:?}");
    match client.call(command).await.expect("answered") {
        Err(refusal) => refusal.code,
        Ok(outcome) => panic!("{shown}: {outcome:?}"),
    }
}

fn answer_to(message: MessageId, text: &str) -> ClientCommand {
    ClientCommand::Chat {
        text: text.into(),
        reply_to: Some(message),
    }
}

/// The message with this text, once it is heard.
async fn heard(client: &mut LiveClient, text: &str) -> ChatMessage {
    let heard = client.event(|event| match event {
        RoomEvent::Chat(message) if message.text == text => Some(message.clone()),
        _ => None,
    });
    heard
        .await
        .unwrap_or_else(|error| panic!("{text:?} was not heard: {error:#}"))
}

/// What somebody who comes in now is shown.
async fn snapshot(world: &World) -> Snapshot {
    let mut visitor = world.viewer("Visitor").await;
    let joined = world.join(&mut visitor).await;
    joined.snapshot.expect("whoever comes first gets a snapshot")
}

/// Somebody who moderates the show with these rights, joined. Before anybody else is: the
/// room reads of it when it opens.
async fn moderator(world: &World, rights: &[Right]) -> (UserId, LiveClient) {
    let viewer = world.person("Moderator").await;
    let user = viewer.user().expect("an account");
    let rights: Vec<_> = rights.iter().map(|right| right.as_str().to_owned()).collect();
    sqlx::query("insert into moderators (id, seller_id, user_id, rights, appointed_by) values ($1, $2, $3, $4, $5)")
        .bind(Uuid::now_v7())
        .bind(world.shop.seller.0)
        .bind(user.0)
        .bind(rights)
        .bind(world.shop.owner.0)
        .execute(&world.db.pool)
        .await
        .expect("appointed");
    let mut client = world.connect(viewer, Part::Viewer, Format::Json).await;
    world.join(&mut client).await;
    (user, client)
}

/// One number out of the database.
async fn count(world: &World, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(&world.db.pool)
        .await
        .expect("the database answers")
}

/// The same person, at another door.
async fn again(world: &World, viewer: &Viewer) -> LiveClient {
    let mut client = world.connect(viewer.clone(), Part::Viewer, Format::MsgPack).await;
    world.join(&mut client).await;
    client
}
