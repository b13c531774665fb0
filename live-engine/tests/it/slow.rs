//! A reader that does not read: others do not wait for it, and it gets everything in the
//! end or is sent away to resume.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use shared::ids::RequestId;
use shared::protocol::{ClientFrame, Format, RoomEvent, ServerFrame};
use shared::token::Part;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{World, chat, hears, ticket};

/// A client with a receive buffer so small that it falls behind at once.
async fn slow_reader(world: &World) -> WebSocketStream<TcpStream> {
    let person = world.person("Slow").await;
    let ticket = ticket(person, world.shop.stream, Part::Viewer);
    let mut request = format!("{}?ticket={ticket}", world.url)
        .into_client_request()
        .expect("a request");
    let protocol = Format::Json.subprotocol().parse().expect("a header");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let socket = TcpStream::connect(world.engine.addr()).await.expect("connected");
    SockRef::from(&socket)
        .set_recv_buffer_size(4096)
        .expect("a small buffer");
    let (mut socket, _) = tokio_tungstenite::client_async(request, socket)
        .await
        .expect("upgraded");
    let join = ClientFrame {
        id: 1,
        request_id: None,
        command: shared::protocol::ClientCommand::Join {
            stream: world.shop.stream,
            since: None,
        },
    };
    let text = serde_json::to_string(&join).expect("a command is JSON");
    socket.send(Message::text(text)).await.expect("sent");
    // Hello, the reply and the snapshot.
    for _ in 0..3 {
        socket.next().await.expect("open").expect("a frame");
    }
    socket
}

/// What is left for a slow reader: the texts it gets, and the code it is closed with.
async fn read_all(mut socket: WebSocketStream<TcpStream>, until: Option<&str>) -> (Vec<String>, Option<u16>) {
    let (mut texts, mut last) = (Vec::new(), 0);
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), socket.next()).await;
        match next.expect("something comes") {
            Some(Ok(Message::Text(text))) => {
                if let Ok(ServerFrame::Numbered(frame)) = serde_json::from_str(text.as_str()) {
                    assert_eq!(frame.from, last + 1, "no gap");
                    last = frame.to;
                    texts.extend(frame.m.into_iter().filter_map(|event| match event {
                        RoomEvent::Chat(message) => Some(message.text),
                        _ => None,
                    }));
                }
                if until.is_some_and(|until| texts.last().is_some_and(|text| text == until)) {
                    return (texts, None);
                }
            }
            Some(Ok(Message::Close(frame))) => return (texts, frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            // A reader that is too slow may also just be cut off.
            Some(Err(_)) | None => return (texts, None),
        }
    }
}

/// Says `count` long messages and returns them.
async fn talk(author: &mut loadtest::live::LiveClient, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for n in 0..count {
        let text = format!("{n:05}{}", "x".repeat(490));
        author.send(chat(&text), Some(RequestId::new())).await.expect("sent");
        if n % 50 == 49 || n + 1 == count {
            hears(author, &text).await;
            // Keeps the client's queue short.
            author.drain();
        }
        texts.push(text);
    }
    texts
}

fn talkative(config: &mut live_engine::Config) {
    config.limits.chat = "100000/100000".parse().expect("a rate");
    config.limits.room_chat = config.limits.chat;
    config.limits.commands = "100000/100000".parse().expect("a rate");
    config.limits.person_commands = "100000/100000".parse().expect("a rate");
    config.limits.send_buffer_bytes = 16 * 1024;
}

#[tokio::test]
async fn a_slow_reader_delays_nobody_and_catches_up_exactly() {
    let world = World::start_with(|config| {
        talkative(config);
        config.limits.log.bytes = 64 * 1024 * 1024;
    })
    .await;
    let slow = slow_reader(&world).await;
    let mut author = world.joined("Author").await;
    // More than the sockets' buffers take, while the slow one reads nothing.
    let texts = talk(&mut author, 700).await;
    let (heard, _) = read_all(slow, texts.last().map(String::as_str)).await;
    assert_eq!(heard.len(), texts.len());
    assert_eq!(heard, texts);
    world.engine.stop().await;
}

#[tokio::test]
async fn a_reader_that_the_log_has_passed_is_sent_away() {
    let world = World::start_with(|config| {
        talkative(config);
        config.limits.log.bytes = 64 * 1024;
    })
    .await;
    let slow = slow_reader(&world).await;
    let mut author = world.joined("Author").await;
    let texts = talk(&mut author, 900).await;
    let (heard, code) = read_all(slow, None).await;
    assert_eq!(code, Some(4008));
    assert!(heard.len() < texts.len());
    assert_eq!(heard, texts[..heard.len()], "what it got is a prefix");
    author
        .call(chat("others go on"))
        .await
        .expect("answered")
        .expect("said");
    world.engine.stop().await;
}
