//! Both wire formats carry the same, and what is no frame of either ends the connection.

use std::collections::BTreeMap;

use loadtest::live::LiveClient;
use shared::error::ErrorCode;
use shared::protocol::{ClientCommand, Format, NumberedFrame, Private, ServerFrame};
use shared::token::Part;

use crate::harness::{World, chat};

/// The numbered events of a client by their numbers, up to `last`.
async fn events(client: &mut LiveClient, last: u64) -> BTreeMap<u64, String> {
    let mut events = BTreeMap::new();
    while !events.contains_key(&last) {
        if let ServerFrame::Numbered(NumberedFrame { from, m, .. }) = client.next().await.expect("a frame") {
            for (seq, event) in (from..).zip(m) {
                events.insert(seq, format!("{event:?}"));
            }
        }
    }
    events
}

#[tokio::test]
async fn two_formats_deliver_the_same_events() {
    let world = World::start().await;
    let (one, two) = (world.person("One").await, world.person("Two").await);
    let mut json = world.connect(one, Part::Viewer, Format::Json).await;
    let mut packed = world.connect(two, Part::Viewer, Format::MsgPack).await;
    let (a, b) = (world.join(&mut json).await, world.join(&mut packed).await);
    let shown = |joined: loadtest::live::Joined| {
        let mut snapshot = joined.snapshot.expect("a snapshot");
        (snapshot.now, snapshot.viewers) = (0, 0);
        snapshot
    };
    assert_eq!(shown(a), shown(b));
    let mut host = world.host().await;
    host.call(ClientCommand::Feature(world.feature()))
        .await
        .expect("answered")
        .expect("shown");
    json.call(chat("grüße 👋")).await.expect("answered").expect("said");
    host.call(ClientCommand::SaleOpen(world.flash_sale(5)))
        .await
        .expect("answered")
        .expect("opened");
    packed.call(chat("\"quoted\"")).await.expect("answered").expect("said");
    host.call(ClientCommand::End).await.expect("answered").expect("ended");
    let over = host.event(|event| matches!(event, shared::protocol::RoomEvent::StreamStatus { .. }).then_some(()));
    over.await.expect("told");
    let position = host.position().expect("a position");
    let heard = events(&mut json, position.seq).await;
    assert_eq!(heard, events(&mut packed, position.seq).await);
    assert!(heard.len() >= 6, "{heard:?}");
    world.engine.stop().await;
}

#[tokio::test]
async fn an_oversized_frame_closes_with_1009() {
    let world = World::start().await;
    for format in Format::ALL {
        let person = world.person("Visitor").await;
        let mut client = world.connect(person, Part::Viewer, format).await;
        client.send_raw(vec![b'x'; 16 * 1024 + 1]).await.expect("sent");
        assert_eq!(client.closed().await.expect("closed").code, 1009, "{format:?}");
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn what_is_no_frame_of_the_format_closes_with_1007() {
    let world = World::start().await;
    for (format, bytes) in [
        (Format::Json, b"{".to_vec()),
        (Format::Json, b"[1,2]".to_vec()),
        (Format::MsgPack, vec![0xc1, 0xff]),
    ] {
        let person = world.person("Visitor").await;
        let mut client = world.connect(person, Part::Viewer, format).await;
        client.send_raw(bytes).await.expect("sent");
        assert_eq!(client.closed().await.expect("closed").code, 1007, "{format:?}");
        let why = client.private(|message| match message {
            Private::Error { refusal, .. } => Some(refusal.code),
            _ => None,
        });
        assert_eq!(why.await.expect("told why"), ErrorCode::Malformed);
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn what_is_no_command_counts_like_one() {
    let world = World::start_with(|config| config.limits.commands = "1/4".parse().expect("a rate")).await;
    let mut client = world.joined("Visitor").await;
    let mut codes = Vec::new();
    for id in 70..75 {
        let frame = match id % 2 {
            0 => format!(r#"{{"id":{id},"cmd":"fly"}}"#),
            _ => format!(r#"{{"id":{id},"cmd":"chat"}}"#),
        };
        client.send_raw(frame.into_bytes()).await.expect("sent");
        codes.push(client.answer(id).await.expect("answered").expect_err("refused").code);
    }
    let (unknown, invalid) = (ErrorCode::UnknownCommand, ErrorCode::InvalidBody);
    assert_eq!(codes[..3], [unknown, invalid, unknown]);
    assert!(codes.contains(&ErrorCode::RateLimited), "{codes:?}");
    world.engine.stop().await;
}

#[tokio::test]
async fn an_unknown_command_is_answered_and_the_connection_stays() {
    let world = World::start().await;
    let mut client = world.joined("Visitor").await;
    client
        .send_raw(br#"{"id":77,"cmd":"fly"}"#.to_vec())
        .await
        .expect("sent");
    let refusal = client.answer(77).await.expect("answered").expect_err("unknown");
    assert_eq!(refusal.code, ErrorCode::UnknownCommand);
    client
        .send_raw(br#"{"id":78,"cmd":"chat"}"#.to_vec())
        .await
        .expect("sent");
    let refusal = client.answer(78).await.expect("answered").expect_err("no text");
    assert_eq!(refusal.code, ErrorCode::InvalidBody);
    client.call(chat("still here")).await.expect("answered").expect("said");
    world.engine.stop().await;
}
