//! Keeping order over REST, as it reaches open sockets: both services, their bus and one
//! database.

use loadtest::live::{Auth, LiveClient};
use loadtest::rest::RestClient;
use reqwest::Method;
use serde_json::{Value, json};
use shared::error::ErrorCode;
use shared::ids::{RequestId, StreamId, UserId};
use shared::protocol::{ClientCommand, Format, Mute, Outcome, Private, RoomEvent};
use shared::rights::Right;
use shared::status::StreamStatus;

use crate::world::World;

const BANNED: u16 = 4501;
const TICKET_INVALID: u16 = 4503;
const SUSPENDED: u16 = 4504;

async fn enter(client: &RestClient, stream: StreamId) -> LiveClient {
    let ticket = client.ticket(stream).await.expect("a ticket");
    let mut live = LiveClient::connect(&ticket.url, Format::Json, Auth::Ticket(ticket.ticket))
        .await
        .expect("connected");
    live.join(stream, None).await.expect("joined");
    live
}

/// Asks REST, under a key, and reads the answer with this status.
async fn ask(client: &RestClient, method: Method, path: &str, body: Value, status: u16) -> Value {
    let key = Some(RequestId::new());
    let body = (!body.is_null()).then_some(&body);
    let answer = client.raw(method, path, key, body).await.expect("answered");
    assert_eq!(answer.status, status, "{}", answer.body);
    answer.body
}

fn id_of(live: &LiveClient) -> UserId {
    live.hello().user.expect("an account")
}

async fn close_code(live: &mut LiveClient) -> u16 {
    live.closed().await.expect("closed").code
}

async fn say(live: &mut LiveClient, text: &str) -> Result<Outcome, ErrorCode> {
    let chat = ClientCommand::Chat {
        text: text.into(),
        reply_to: None,
    };
    live.call(chat).await.expect("answered").map_err(|refusal| refusal.code)
}

#[tokio::test]
async fn a_moderator_who_is_appointed_over_rest_may_and_who_is_dismissed_may_not() {
    let world = World::start().await;
    let show = world.on_air(5).await;
    let stream = show.stream.id;
    let (helper, session, _) = world.register("Helper").await;
    let (viewer, _, _) = world.register("Viewer").await;
    let (mut moderating, mut target) = (enter(&helper, stream).await, enter(&viewer, stream).await);
    let user = id_of(&target);
    let mute = json!({"user": user, "seconds": 60, "reason": "spam"});
    let path = |what: &str| format!("/streams/{stream}/{what}");
    ask(&helper, Method::POST, &path("mutes"), mute.clone(), 403).await;

    let appointment = json!({"user_id": session.user.id, "rights": ["mute", "pin", "announce"]});
    let moderator = ask(&show.host, Method::POST, "/seller/moderators", appointment, 201).await;
    let told = moderating.private(|message| match message {
        Private::Standing(standing) if standing.rights.has(Right::Mute) => Some(()),
        _ => None,
    });
    told.await.expect("told");
    ask(&helper, Method::POST, &path("mutes"), mute.clone(), 200).await;
    assert_eq!(say(&mut target, "hello?").await, Err(ErrorCode::Muted));
    ask(
        &helper,
        Method::DELETE,
        &path(&format!("mutes/{user}")),
        Value::Null,
        204,
    )
    .await;
    let Ok(Outcome::Said { message, .. }) = say(&mut target, "thank you").await else {
        panic!("not said");
    };
    ask(&helper, Method::POST, &path("pin"), json!({"message": message}), 200).await;
    ask(&helper, Method::DELETE, &path("pin"), Value::Null, 204).await;
    ask(
        &helper,
        Method::POST,
        &path("announcements"),
        json!({"text": "Soon"}),
        200,
    )
    .await;
    let notice = target.event(|event| matches!(event, RoomEvent::Notice { .. }).then_some(()));
    notice.await.expect("told");
    ask(&helper, Method::POST, &path("timeouts"), mute.clone(), 200).await;
    let gone = moderating.event(|event| matches!(event, RoomEvent::Moderation { .. }).then_some(()));
    gone.await.expect("told");
    ask(&helper, Method::POST, &path("bans"), json!({"user": user}), 403).await;
    let wrong = json!({"user": user, "seconds": 0});
    ask(&helper, Method::POST, &path("mutes"), wrong, 422).await;

    let dismiss = format!("/seller/moderators/{}", moderator["id"].as_str().expect("an id"));
    ask(&show.host, Method::DELETE, &dismiss, Value::Null, 204).await;
    let told = moderating.private(|message| match message {
        Private::Standing(standing) if standing.rights.is_empty() => Some(()),
        _ => None,
    });
    told.await.expect("told");
    let command = ClientCommand::Mute(Mute {
        user,
        seconds: 60,
        reason: String::new(),
    });
    let refusal = moderating
        .call(command)
        .await
        .expect("answered")
        .expect_err("dismissed");
    assert_eq!(refusal.code, ErrorCode::Forbidden);
    ask(&helper, Method::POST, &path("mutes"), mute, 403).await;
    world.stop().await;
}

#[tokio::test]
async fn a_ban_over_rest_closes_sockets_and_keeps_out_until_it_is_lifted() {
    let world = World::start().await;
    let show = world.on_air(5).await;
    let stream = show.stream.id;
    let (viewer, _, _) = world.register("Viewer").await;
    let (mut first, mut second) = (enter(&viewer, stream).await, enter(&viewer, stream).await);
    let (watcher, _, _) = world.register("Watcher").await;
    let mut watching = enter(&watcher, stream).await;
    let back = first.hello().resume.clone().expect("a way back");
    let body = json!({"user": id_of(&first), "reason": "insults"});
    let ban = ask(&show.host, Method::POST, "/seller/bans", body, 201).await;
    assert_eq!(close_code(&mut first).await, BANNED);
    assert_eq!(close_code(&mut second).await, BANNED);
    let gone = watching.event(|event| matches!(event, RoomEvent::Moderation { .. }).then_some(()));
    gone.await.expect("told");
    let refused = viewer.ticket(stream).await.expect_err("banned");
    assert_eq!(refused.code(), Some(ErrorCode::Banned));
    let url = watcher.ticket(stream).await.expect("a ticket").url;
    let resumed = LiveClient::connect(&url, Format::Json, Auth::Resume(back)).await;
    assert!(resumed.is_err(), "a way back is none any more");

    let lift = format!("/seller/bans/{}", ban["id"].as_str().expect("an id"));
    ask(&show.host, Method::DELETE, &lift, Value::Null, 204).await;
    let entered = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        loop {
            let ticket = viewer.ticket(stream).await.expect("a ticket");
            let came = LiveClient::connect(&ticket.url, Format::Json, Auth::Ticket(ticket.ticket)).await;
            // The engine has heard of it within a second.
            if let Ok(client) = came {
                return client;
            }
        }
    });
    let mut entered = entered.await.expect("let in");
    entered.join(stream, None).await.expect("joined");
    world.stop().await;
}

#[tokio::test]
async fn logging_out_and_a_suspension_close_sockets() {
    let world = World::start().await;
    let show = world.on_air(5).await;
    let stream = show.stream.id;
    let (leaving, _, credentials) = world.register("Leaving").await;
    let (staying, _) = world
        .rest
        .login(&credentials.email, &credentials.password)
        .await
        .expect("signed in");
    let (mut by_first, mut by_second) = (enter(&leaving, stream).await, enter(&staying, stream).await);
    ask(&leaving, Method::POST, "/auth/logout", json!({}), 204).await;
    assert_eq!(close_code(&mut by_first).await, TICKET_INVALID);
    assert!(say(&mut by_second, "another session stays").await.is_ok());

    let (admin, _) = world.admin().await;
    let suspend = format!("/admin/users/{}/suspend", id_of(&by_second));
    ask(&admin, Method::POST, &suspend, json!({"reason": "fraud"}), 200).await;
    assert_eq!(close_code(&mut by_second).await, SUSPENDED);
    world.stop().await;
}

#[tokio::test]
async fn a_suspension_of_a_shop_ends_its_show_and_none_begins() {
    let world = World::start().await;
    let show = world.on_air(5).await;
    let (stream, shop) = (show.stream.id, show.stream.seller.id);
    let next = json!({"title": "The next show"});
    let next = ask(&show.host, Method::POST, "/streams", next, 201).await;
    let (viewer, _, _) = world.register("Viewer").await;
    let mut watching = enter(&viewer, stream).await;
    let (admin, _) = world.admin().await;
    let suspend = format!("/admin/sellers/{shop}/suspend");
    ask(&admin, Method::POST, &suspend, json!({}), 200).await;
    let over = watching.event(|event| match event {
        RoomEvent::StreamStatus { status } => Some(*status),
        _ => None,
    });
    assert_eq!(over.await.expect("told"), StreamStatus::Ended);
    for show_of_it in [stream.to_string(), next["id"].as_str().expect("an id").to_owned()] {
        let start = format!("/streams/{show_of_it}/start");
        ask(&show.host, Method::POST, &start, Value::Null, 403).await;
    }
    let mute = json!({"user": id_of(&watching), "seconds": 60});
    ask(&show.host, Method::POST, &format!("/streams/{stream}/mutes"), mute, 200).await;
    world.stop().await;
}
