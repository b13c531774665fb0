//! permessage-deflate: who offers it gets a room's ticks compressed, once for everybody,
//! and hears the same as everybody else.

use std::collections::BTreeMap;

use loadtest::live::LiveClient;
use shared::ids::{GuestId, RequestId};
use shared::protocol::{Private, ServerFrame};
use shared::token::{Part, Viewer};

use crate::harness::{World, chat, hears, ticket};
use crate::wire::{COMPRESSED, Client, FINAL, TEXT, deflate, frame, request};

const OFFER: &str = "permessage-deflate; client_max_window_bits";
const TAKEN_UP: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// Lets a guest in who offers compression; the join itself is compressed.
fn join(world: &World, mut client: Client) -> Client {
    let guest = Viewer::Guest { id: GuestId::new() };
    let target = format!("/ws?ticket={}", ticket(guest, world.shop.stream, Part::Viewer));
    client.send(request(&target, Some(OFFER)).as_bytes(), usize::MAX);
    client.upgraded();
    assert_eq!(client.extensions.as_deref(), Some(TAKEN_UP));
    let join = format!(r#"{{"id":1,"cmd":"join","stream":"{}"}}"#, world.shop.stream);
    let packed = deflate(join.as_bytes());
    client.send(&frame(FINAL | COMPRESSED | TEXT, &packed), usize::MAX);
    loop {
        let (_, message) = client.message().expect("still there");
        assert!(!client.was_compressed, "what is for one alone is not compressed");
        if let Ok(Private::Snapshot(_)) = serde_json::from_slice(&message) {
            return client;
        }
    }
}

fn talkative(config: &mut live_engine::Config) {
    config.limits.chat = "100000/100000".parse().expect("a rate");
    config.limits.room_chat = config.limits.chat;
    config.limits.commands = config.limits.chat;
    config.limits.person_commands = config.limits.chat;
}

/// Reads numbered events up to `last`; and how many frames of them were compressed.
fn events(client: &mut Client, last: u64) -> (BTreeMap<u64, String>, usize) {
    let (mut events, mut compressed) = (BTreeMap::new(), 0);
    while !events.contains_key(&last) {
        let (_, message) = client.message().expect("still there");
        if let Ok(ServerFrame::Numbered(frame)) = serde_json::from_slice(&message) {
            assert_eq!(frame.from, events.len() as u64 + 1, "no gap");
            compressed += usize::from(client.was_compressed);
            events.extend((frame.from..).zip(frame.m.iter().map(|event| format!("{event:?}"))));
        }
    }
    (events, compressed)
}

/// Says things without waiting for one another; the number of the last.
async fn say(author: &mut LiveClient, texts: &[String]) -> u64 {
    for text in texts {
        author.send(chat(text), Some(RequestId::new())).await.expect("sent");
    }
    hears(author, texts.last().expect("something to say")).await;
    author.position().expect("a position").seq
}

#[tokio::test]
async fn who_offers_compression_hears_the_same_in_fewer_bytes() {
    let world = World::start_with(talkative).await;
    let mut packed = join(&world, Client::connect(world.engine.addr()));
    let mut author = world.joined("Author").await;
    let texts: Vec<_> = (0..100).map(|n| format!("message {n}: grüße 👋")).collect();
    let last = say(&mut author, &texts).await;
    let (heard, compressed) = events(&mut packed, last);
    assert!(compressed > 0, "ticks of several messages are compressed");
    let mut plain = BTreeMap::new();
    let mut other = Client::connect(world.engine.addr());
    let guest = Viewer::Guest { id: GuestId::new() };
    let target = format!("/ws?ticket={}", ticket(guest, world.shop.stream, Part::Viewer));
    other.send(request(&target, None).as_bytes(), usize::MAX);
    other.upgraded();
    let epoch = author.position().expect("a position").epoch;
    let since = format!(
        r#"{{"id":1,"cmd":"join","stream":"{}","since":{{"epoch":{epoch},"seq":0}}}}"#,
        world.shop.stream
    );
    other.send(&frame(FINAL | TEXT, since.as_bytes()), usize::MAX);
    plain.extend(events(&mut other, last).0);
    assert!(!other.was_compressed);
    assert_eq!(heard, plain, "from the same log, in another variant");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_slow_reader_of_compressed_frames_gets_each_of_them_whole() {
    let world = World::start_with(|config| {
        talkative(config);
        config.limits.send_buffer_bytes = 16 * 1024;
        config.limits.log.bytes = 64 * 1024 * 1024;
    })
    .await;
    let mut slow = join(&world, Client::connect_small(world.engine.addr()));
    let mut author = world.joined("Author").await;
    let mut last = 0;
    for round in 0..20_u64 {
        // Little in it repeats, so that buffers fill.
        let mut n = round;
        let texts: Vec<String> = (0..30)
            .map(|_| {
                let mut word = || {
                    n = n
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    format!("{n:016x}")
                };
                (0..30).map(|_| word()).collect()
            })
            .collect();
        last = say(&mut author, &texts).await;
        author.drain();
    }
    let (heard, compressed) = events(&mut slow, last);
    assert_eq!(heard.len() as u64, last);
    assert!(compressed > 5, "{compressed} frames");
    world.engine.stop().await;
}

#[tokio::test]
async fn an_operator_may_switch_compression_off() {
    let world = World::start_with(|config| config.compression = false).await;
    let mut client = Client::connect(world.engine.addr());
    client.send(request("/ws", Some(OFFER)).as_bytes(), usize::MAX);
    client.upgraded();
    assert_eq!(client.extensions, None);
    client.message().expect("hello");
    client.send(&frame(FINAL | COMPRESSED | TEXT, &deflate(b"{}")), usize::MAX);
    while client.message().is_some() {}
    assert_eq!(client.closed(), Ok(Some(1002)), "it was not agreed");
    world.engine.stop().await;
}
