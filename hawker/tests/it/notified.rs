//! Notifications from what happens to the socket, through both services as processes, their
//! bus and one database.

use std::time::Duration;

use loadtest::live::{Auth, LiveClient};
use reqwest::Method;
use serde_json::{Value, json};
use shared::ids::RequestId;
use shared::notification::NotificationKind;
use shared::protocol::{Format, Notification, Private};

use crate::world::World;

/// The job that tells followers looks every two seconds.
const DEADLINE: Duration = Duration::from_secs(30);

async fn notification(live: &mut LiveClient) -> Notification {
    let heard = live.private(|message| match message {
        Private::Notification(notification) => Some((**notification).clone()),
        _ => None,
    });
    let heard = tokio::time::timeout(DEADLINE, heard).await.expect("in time");
    heard.expect("a notification")
}

#[tokio::test]
async fn a_follower_hears_in_another_room_that_a_show_has_begun() {
    let world = World::start_apart().await;
    let (watched, followed) = (world.on_air(1).await, world.on_air(1).await);
    let (follower, _, _) = world.register("Follower").await;
    let follow = format!("/sellers/{}/follow", followed.stream.seller.id);
    let answer = follower.raw(Method::POST, &follow, None, None).await.expect("answered");
    assert_eq!(answer.status, 204);
    let ticket = follower.ticket(watched.stream.id).await.expect("a ticket");
    let mut live = LiveClient::connect(&ticket.url, Format::Json, Auth::Ticket(ticket.ticket))
        .await
        .expect("connected");
    live.join(watched.stream.id, None).await.expect("joined");

    let body = json!({"title": "The next show", "start": true});
    let begun = followed
        .host
        .raw(Method::POST, "/streams", Some(RequestId::new()), Some(&body));
    let begun = begun.await.expect("answered");
    assert_eq!(begun.status, 201, "{}", begun.body);
    let heard = notification(&mut live).await;
    assert_eq!(
        heard.kind,
        NotificationKind::ShowStarted,
        "and not that it was scheduled"
    );
    let show = heard.stream.expect("a show");
    assert_eq!(json!(show.id), begun.body["id"]);
    assert_eq!(show.title, "The next show");

    let list = follower
        .raw(Method::GET, "/notifications?unread=true", None, None)
        .await;
    let list: Value = list.expect("answered").body;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["id"], json!(heard.notification));
    world.stop().await;
}
