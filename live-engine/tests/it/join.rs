//! Coming in: who may, as whom, and what they are shown.

use loadtest::live::{Auth, LiveClient, LiveError};
use shared::error::ErrorCode;
use shared::ids::{GuestId, RequestId, StreamId};
use shared::protocol::{ClientCommand, Format, Outcome, Private};
use shared::status::StreamStatus;
use shared::token::{Access, Part, TICKET_SECONDS, Ticket, Viewer};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use uuid::Uuid;

use crate::harness::{World, chat, hears, ticket};

/// The close code of a connection made with `ticket`.
async fn closed_with(world: &World, ticket: &str) -> u16 {
    use futures_util::StreamExt;
    let mut request = format!("{}?ticket={ticket}", world.url)
        .into_client_request()
        .expect("a request");
    let protocol = Format::Json.subprotocol().parse().expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.expect("upgraded");
    loop {
        let message = tokio::time::timeout(loadtest::live::DEADLINE, socket.next()).await;
        match message.expect("closed in time") {
            Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
            Some(Ok(_)) => {}
            other => panic!("ended without a close frame: {other:?}"),
        }
    }
}

fn upgrade_status(error: &anyhow::Error) -> Option<u16> {
    match error.downcast_ref::<LiveError>() {
        Some(LiveError::Upgrade { status, .. }) => Some(*status),
        _ => None,
    }
}

#[tokio::test]
async fn a_viewer_is_greeted_and_shown_the_room() {
    let world = World::start().await;
    let person = world.person("Visitor").await;
    let user = person.user();
    let mut client = world.connect(person, Part::Viewer, Format::Json).await;
    let hello = client.hello().clone();
    assert_eq!((hello.user, hello.guest), (user, None));
    assert!(hello.resume.is_some());
    assert_eq!(hello.limits.frame_bytes, 16 * 1024);
    let joined = world.join(&mut client).await;
    let snapshot = joined.snapshot.expect("a snapshot");
    assert_eq!(snapshot.stream.id, world.shop.stream);
    assert_eq!(snapshot.stream.status, StreamStatus::Live);
    assert_eq!((snapshot.at.seq, snapshot.viewers), (0, 1));
    assert!(snapshot.chat.is_empty() && snapshot.reservations.is_empty() && snapshot.orders.is_empty());
    world.engine.stop().await;
}

#[tokio::test]
async fn a_late_joiner_is_shown_what_was_said_and_goes_on_from_there() {
    let world = World::start().await;
    let mut early = world.joined("Early").await;
    for text in ["one", "two", "three"] {
        early.call(chat(text)).await.expect("answered").expect("said");
        hears(&mut early, text).await;
    }
    // What is acknowledged and not sent yet would come as an event.
    let mut late = world.viewer("Late").await;
    let joined = world.join(&mut late).await;
    let snapshot = joined.snapshot.expect("a snapshot");
    let texts: Vec<_> = snapshot.chat.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(snapshot.at.seq, 3);
    early.call(chat("four")).await.expect("answered").expect("said");
    // The client refuses a gap or a repeat.
    hears(&mut late, "four").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_ticket_opens_one_socket_once() {
    let world = World::start().await;
    let person = world.person("Visitor").await;
    let once = ticket(person.clone(), world.shop.stream, Part::Viewer);
    let client = LiveClient::connect(&world.url, Format::Json, Auth::Ticket(once.clone())).await;
    let _client = client.expect("the first time");
    assert_eq!(closed_with(&world, &once).await, 4503);
    assert_eq!(closed_with(&world, "nonsense").await, 4503);
    let claims = Ticket {
        jti: Uuid::now_v7(),
        viewer: person,
        session: None,
        stream: world.shop.stream,
        part: Part::Viewer,
    };
    let long_ago = chrono::Utc::now().timestamp() - TICKET_SECONDS - 1;
    let old = testkit::token_key().sign(claims, long_ago).expect("signed");
    assert_eq!(closed_with(&world, &old).await, 4503);
    world.engine.stop().await;
}

#[tokio::test]
async fn nobody_opens_the_room_of_a_show_that_nobody_may_come_to() {
    let world = World::start().await;
    let access = Access {
        sub: world.person("App").await.user().expect("an account"),
        sid: Uuid::now_v7(),
    };
    let token = testkit::token_key()
        .sign(access, chrono::Utc::now().timestamp())
        .expect("signed");
    let come = async || {
        let client = LiveClient::connect(&world.url, Format::Json, Auth::Bearer(token.clone())).await;
        client.expect("connected")
    };
    let stream = world.shop.stream;
    for (change, named, code) in [
        ("select 1", StreamId::new(), ErrorCode::NotFound),
        (
            "update streams set status = 'scheduled', started_at = null, scheduled_at = now() + interval '2 days'",
            stream,
            ErrorCode::TooEarly,
        ),
        (
            "update streams set status = 'ended', started_at = now(), ended_at = now() - interval '1 hour'",
            stream,
            ErrorCode::ShowOver,
        ),
    ] {
        sqlx::query(change).execute(&world.db.pool).await.expect("changed");
        let join = ClientCommand::Join {
            stream: named,
            since: None,
        };
        let refused = come().await.call(join).await.expect("answered");
        assert_eq!(refused.expect_err("refused").code, code);
    }
    let leases: i64 = sqlx::query_scalar("select count(*) from room_leases")
        .fetch_one(&world.db.pool)
        .await
        .expect("counted");
    assert_eq!(leases, 0, "no room was opened");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_ticket_is_for_one_room_and_a_connection_in_one() {
    let world = World::start().await;
    let mut client = world.viewer("Visitor").await;
    let join = |stream| ClientCommand::Join { stream, since: None };
    let refusal = client
        .call(join(StreamId::new()))
        .await
        .expect("answered")
        .expect_err("another room");
    assert_eq!(refusal.code, ErrorCode::Forbidden);
    let refusal = client
        .call(chat("hello"))
        .await
        .expect("answered")
        .expect_err("not joined");
    assert_eq!(refusal.code, ErrorCode::NotJoined);
    world.join(&mut client).await;
    let refusal = client
        .call(join(world.shop.stream))
        .await
        .expect("answered")
        .expect_err("joined");
    assert_eq!(refusal.code, ErrorCode::AlreadyJoined);
    assert_eq!(
        client.call(ClientCommand::Leave).await.expect("answered"),
        Ok(Outcome::Done)
    );
    world.join(&mut client).await;
    client.call(chat("back again")).await.expect("answered").expect("said");
    hears(&mut client, "back again").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_room_that_does_not_exist_is_not_found() {
    let world = World::start().await;
    let (person, nowhere) = (world.person("Visitor").await, StreamId::new());
    let ticket = ticket(person, nowhere, Part::Viewer);
    let client = LiveClient::connect(&world.url, Format::Json, Auth::Ticket(ticket)).await;
    let error = client
        .expect("connected")
        .join(nowhere, None)
        .await
        .expect_err("no such room");
    let Some(LiveError::Refused(refusal)) = error.downcast_ref() else {
        panic!("{error:#}");
    };
    assert_eq!(refusal.code, ErrorCode::NotFound);
    world.engine.stop().await;
}

#[tokio::test]
async fn an_app_may_come_with_its_access_token() {
    let world = World::start().await;
    let user = world.person("App").await.user().expect("an account");
    let access = Access {
        sub: user,
        sid: Uuid::now_v7(),
    };
    let token = testkit::token_key()
        .sign(access, chrono::Utc::now().timestamp())
        .expect("signed");
    let client = LiveClient::connect(&world.url, Format::MsgPack, Auth::Bearer(token)).await;
    let mut client = client.expect("connected");
    assert_eq!(client.hello().user, Some(user));
    world.join(&mut client).await;
    client.call(chat("from an app")).await.expect("answered").expect("said");
    let name = client.event(|event| match event {
        shared::protocol::RoomEvent::Chat(message) => Some(message.author.name.clone()),
        _ => None,
    });
    assert_eq!(name.await.expect("heard"), "App");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_guest_watches_and_reacts_but_neither_chats_nor_buys() {
    let world = World::start().await;
    let mut guest = world.guest().await;
    assert!(guest.hello().guest.is_some());
    let refusal = guest.call(chat("hello")).await.expect("answered").expect_err("a guest");
    assert_eq!(refusal.code, ErrorCode::Unauthenticated);
    let buy = ClientCommand::Buy {
        sale: shared::ids::SaleId::new(),
        quantity: 1,
    };
    let refusal = guest.call(buy).await.expect("answered").expect_err("a guest");
    assert_eq!(refusal.code, ErrorCode::Unauthenticated);
    let react = ClientCommand::React {
        kind: "heart".into(),
        count: 3,
    };
    assert_eq!(guest.call(react).await.expect("answered"), Ok(Outcome::Done));
    let hearts = guest.ephemeral(|message| match message {
        shared::protocol::Ephemeral::Reactions { counts } => counts.get("heart").copied(),
        _ => None,
    });
    assert_eq!(hearts.await.expect("heard"), 3);
    let mut other = world.joined("Visitor").await;
    other.call(chat("hello guest")).await.expect("answered").expect("said");
    hears(&mut guest, "hello guest").await;
    world.engine.stop().await;
}

#[tokio::test]
async fn an_unknown_origin_path_or_subprotocol_is_not_upgraded() {
    let world = World::start().await;
    let connect = async |url: &str, origin: &str| {
        let ticket = ticket(Viewer::Guest { id: GuestId::new() }, world.shop.stream, Part::Viewer);
        LiveClient::connect_with(url, Format::Json, Auth::Ticket(ticket), &[("origin", origin)]).await
    };
    let error = connect(&world.url, "https://evil.example")
        .await
        .err()
        .expect("refused");
    assert_eq!(upgrade_status(&error), Some(403));
    let elsewhere = world.url.replace("/ws", "/other");
    let error = connect(&elsewhere, "https://shop.example")
        .await
        .err()
        .expect("refused");
    assert_eq!(upgrade_status(&error), Some(404));
    assert!(connect(&world.url, "https://shop.example").await.is_ok());
    let request = world.url.as_str().into_client_request().expect("a request");
    let error = tokio_tungstenite::connect_async(request).await.expect_err("refused");
    assert!(matches!(error, tokio_tungstenite::tungstenite::Error::Http(response) if response.status() == 400));
    world.engine.stop().await;
}

#[tokio::test]
async fn nobody_who_does_not_say_who_may_stay() {
    let world = World::start_with(|config| config.limits.handshake = std::time::Duration::from_secs(2)).await;
    let client = LiveClient::connect(&world.url, Format::Json, Auth::None).await;
    let mut silent = client.expect("upgraded");
    assert_eq!((silent.hello().user, silent.hello().resume.clone()), (None, None));
    assert_eq!(silent.closed().await.expect("closed").code, 4503);
    let client = LiveClient::connect(&world.url, Format::Json, Auth::None).await;
    let mut hasty = client.expect("upgraded");
    hasty.send(ClientCommand::Leave, None).await.expect("sent");
    assert_eq!(hasty.closed().await.expect("closed").code, 4503);
    world.engine.stop().await;
}

#[tokio::test]
async fn too_many_connections_of_one_address_are_turned_away() {
    let world = World::start_with(|config| config.limits.connections_per_address = 2).await;
    let (first, _second) = (world.guest().await, world.guest().await);
    let ticket = || ticket(Viewer::Guest { id: GuestId::new() }, world.shop.stream, Part::Viewer);
    let third = LiveClient::connect(&world.url, Format::Json, Auth::Ticket(ticket())).await;
    assert!(third.is_err());
    first.close().await;
    let by = tokio::time::Instant::now() + loadtest::live::DEADLINE;
    while world.engine.connections() > 1 {
        assert!(tokio::time::Instant::now() < by, "the seat is given back");
        tokio::task::yield_now().await;
    }
    let again = LiveClient::connect(&world.url, Format::Json, Auth::Ticket(ticket())).await;
    assert!(again.is_ok());
    world.engine.stop().await;
}

#[tokio::test]
async fn a_socket_ends_with_its_token_unless_it_is_renewed() {
    let world = World::start().await;
    let person = world.person("Visitor").await;
    let user = person.user().expect("an account");
    // An access token that is about to end.
    let access = Access {
        sub: user,
        sid: Uuid::now_v7(),
    };
    let soon = chrono::Utc::now().timestamp() - shared::token::ACCESS_SECONDS + 3;
    let token = testkit::token_key().sign(access.clone(), soon).expect("signed");
    let connect = async || {
        let client = LiveClient::connect(&world.url, Format::Json, Auth::Bearer(token.clone())).await;
        client.expect("connected")
    };
    let (mut ends, mut stays) = (connect().await, connect().await);
    let somebody = ticket(world.person("Somebody").await, world.shop.stream, Part::Viewer);
    let renew = |token| ClientCommand::Renew { token };
    let refusal = stays
        .call(renew(somebody))
        .await
        .expect("answered")
        .expect_err("another person");
    assert_eq!(refusal.code, ErrorCode::Unauthenticated);
    let fresh = testkit::token_key()
        .sign(access, chrono::Utc::now().timestamp())
        .expect("signed");
    let renewed = stays.call(renew(fresh)).await.expect("answered");
    assert!(matches!(renewed, Ok(Outcome::Renewed { .. })), "{renewed:?}");
    let closed = ends.closed().await.expect("closed");
    assert_eq!(closed.code, 4001);
    let told = ends.private(|message| match message {
        Private::Error { refusal, .. } => Some(refusal.code),
        _ => None,
    });
    assert_eq!(told.await.expect("told why"), ErrorCode::TokenExpired);
    assert_eq!(
        stays
            .call_as(ClientCommand::Leave, RequestId::new())
            .await
            .expect("answered")
            .err()
            .map(|r| r.code),
        Some(ErrorCode::NotJoined)
    );
    world.engine.stop().await;
}

#[tokio::test]
async fn a_renewed_ticket_brings_a_new_way_back() {
    let world = World::start().await;
    let person = world.person("Visitor").await;
    let mut client = world.connect(person.clone(), Part::Viewer, Format::Json).await;
    let token = ticket(person, world.shop.stream, Part::Viewer);
    let renewed = client.call(ClientCommand::Renew { token }).await.expect("answered");
    assert!(matches!(renewed, Ok(Outcome::Renewed { .. })), "{renewed:?}");
    let resume = client.private(|message| match message {
        Private::Hello(hello) => hello.resume.clone(),
        _ => None,
    });
    let resume = resume.await.expect("a resume token");
    let back = LiveClient::connect(&world.url, Format::Json, Auth::Resume(resume)).await;
    assert_eq!(back.expect("back").hello().user, client.hello().user);
    world.engine.stop().await;
}
