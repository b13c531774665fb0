//! Clients that mean no good, or are broken: each costs the engine something bounded, and
//! no other viewer anything.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use live_engine::Limits;
use loadtest::live::LiveClient;
use shared::error::ErrorCode;
use shared::ids::{GuestId, RequestId};
use shared::protocol::{ClientCommand, Private};
use shared::token::{Part, Viewer};

use crate::harness::{World, chat, hears, ticket};
use crate::wire::{COMPRESSED, CONTINUATION, Client, FINAL, MORE, PING, PONG, TEXT, deflate, frame, request};

const DEADLINE: Duration = Duration::from_secs(20);
const OFFER: Option<&str> = Some("permessage-deflate; client_max_window_bits");

/// Where a guest with a fresh ticket connects.
fn target(world: &World) -> String {
    let guest = Viewer::Guest { id: GuestId::new() };
    format!("/ws?ticket={}", ticket(guest, world.shop.stream, Part::Viewer))
}

/// A guest who has heard `hello`.
fn guest(world: &World, offer: Option<&str>) -> Client {
    let mut client = Client::open(world.engine.addr(), &target(world), offer);
    let (opcode, hello) = client.message().expect("hello");
    assert_eq!(opcode, TEXT);
    assert!(hello.starts_with(br#"{"type":"hello""#));
    client
}

/// What a connection is told before it is closed, and with which code.
fn end(mut client: Client) -> (ErrorCode, Option<u16>) {
    let mut told = None;
    while let Some((_, message)) = client.message() {
        if let Ok(Private::Error { refusal, .. }) = serde_json::from_slice(&message) {
            told = Some(refusal.code);
        }
    }
    (told.expect("told why"), client.closed().expect("closed"))
}

/// Waits for the end of a connection that may be cut off without a word.
fn cut_off(mut socket: TcpStream) {
    socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
            Ok(_) => {}
            Err(error) => panic!("it is still there: {error}"),
        }
    }
}

async fn until(what: &str, done: impl Fn() -> bool) {
    let by = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < by, "{what}");
        tokio::task::yield_now().await;
    }
}

fn impatient(limits: &mut Limits) {
    limits.handshake = Duration::from_millis(300);
    limits.message = Duration::from_millis(300);
    limits.stall = Duration::from_millis(300);
}

#[tokio::test]
async fn messages_that_are_too_much_are_refused_by_what_they_announce() {
    let world = World::start().await;
    let mut author = world.joined("Author").await;
    let announced = |length: u64| [&[FINAL | TEXT, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    let fragments = |count: usize| {
        let more = frame(MORE | CONTINUATION, b"");
        [frame(MORE | TEXT, b""), more.repeat(count)].concat()
    };
    let bomb = deflate(&vec![b' '; 64 * 1024 * 1024]);
    // A compressed message within the limit that is a bomb, in nested fragments too.
    let packed = deflate(&vec![b' '; 10 * 1024 * 1024]);
    assert!(packed.len() < 16 * 1024 && bomb.len() > 16 * 1024);
    for sent in [
        announced(1 << 62),
        announced(65_536),
        frame(FINAL | COMPRESSED | TEXT, &bomb),
        frame(FINAL | COMPRESSED | TEXT, &packed),
        fragments(1024),
    ] {
        let mut client = guest(&world, OFFER);
        client.send(&sent, usize::MAX);
        assert_eq!(end(client), (ErrorCode::PayloadTooLarge, Some(1009)));
    }
    author
        .call(chat("others go on"))
        .await
        .expect("answered")
        .expect("said");
    world.engine.stop().await;
}

#[tokio::test]
async fn who_connects_and_says_nothing_or_too_slowly_is_cut_off() {
    let world = World::start_with(|config| impatient(&mut config.limits)).await;
    let connect = || TcpStream::connect(world.engine.addr()).expect("connected");
    let silent: Vec<_> = (0..50).map(|_| connect()).collect();
    let mut slow = connect();
    let half = request(&target(&world), None);
    slow.write_all(&half.as_bytes()[..half.len() - 3]).expect("sent");
    until("they are there", || world.engine.connections() > 50).await;
    for socket in silent {
        cut_off(socket);
    }
    // Byte by byte, and never to the end.
    while slow.write_all(b"x").is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
    until("nobody is left", || world.engine.connections() == 0).await;
    world.engine.stop().await;
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_frames_right_behind_it() {
    let world = World::start().await;
    let mut client = Client::connect(world.engine.addr());
    client.send(request(&target(&world), None).as_bytes(), 7);
    client.upgraded();
    drop(client);
    let mut client = Client::connect(world.engine.addr());
    let ping = frame(FINAL | PING, b"at once");
    let both = [request(&target(&world), None).as_bytes(), &ping].concat();
    client.send(&both, usize::MAX);
    client.upgraded();
    let heard: Vec<_> = [client.message(), client.message()].into_iter().flatten().collect();
    assert!(heard.contains(&(PONG, b"at once".to_vec())), "{heard:?}");
    drop(client);
    let mut large = Client::connect(world.engine.addr());
    large.send(&vec![b'x'; 17 * 1024], usize::MAX);
    let mut answer = String::new();
    large.socket.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    world.engine.stop().await;
}

#[tokio::test]
async fn a_message_that_does_not_come_to_its_end_closes_the_connection() {
    let world = World::start_with(|config| config.limits.message = Duration::from_millis(300)).await;
    let mut slow: Vec<_> = (0..20).map(|_| guest(&world, None)).collect();
    // A header with nothing behind it, a message with nothing behind its first fragment,
    // and a byte now and then.
    for (n, client) in slow.iter_mut().enumerate() {
        let sent = match n % 2 {
            0 => vec![FINAL | TEXT, 0xfe, 0x40, 0x00, 0, 0, 0, 0],
            _ => frame(MORE | TEXT, b"{"),
        };
        client.send(&sent, usize::MAX);
    }
    let mut drip = guest(&world, None);
    drip.socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .expect("a deadline");
    let mut bytes = frame(FINAL | TEXT, &[b' '; 10_000]).into_iter();
    let mut peeked = [0];
    while drip.socket.peek(&mut peeked).is_err() {
        let byte = bytes.next().expect("it is closed before its end");
        drip.send(&[byte], 1);
    }
    drip.socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    for client in slow.into_iter().chain([drip]) {
        assert_eq!(end(client), (ErrorCode::RequestTimeout, Some(1008)));
    }
    // Whole messages may come as slowly as they like.
    let mut patient = guest(&world, None);
    for _ in 0..3 {
        patient.send(&frame(FINAL | PING, b""), usize::MAX);
        assert_eq!(patient.message(), Some((PONG, Vec::new())));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn pings_are_answered_as_often_as_commands_are() {
    let world = World::start_with(|config| config.limits.commands = "1/4".parse().expect("a rate")).await;
    let mut client = guest(&world, None);
    let pings: Vec<u8> = (0..2000_u16)
        .flat_map(|n| frame(FINAL | PING, &n.to_be_bytes()))
        .collect();
    client.send(&pings, usize::MAX);
    for n in 0..4_u16 {
        assert_eq!(client.message(), Some((PONG, n.to_be_bytes().to_vec())));
    }
    client.send(&frame(FINAL | crate::wire::CLOSE, &1000_u16.to_be_bytes()), usize::MAX);
    let mut more = 0;
    while client.message().is_some() {
        more += 1;
    }
    assert!(more < 20, "{more} more of 2,000");
    assert_eq!(client.closed(), Ok(Some(1000)));
    world.engine.stop().await;
}

#[tokio::test]
async fn signs_of_life_between_its_fragments_do_not_give_a_message_more_time() {
    let world = World::start_with(|config| config.limits.message = Duration::from_millis(300)).await;
    let mut client = guest(&world, None);
    client.send(&frame(MORE | TEXT, b"{"), usize::MAX);
    let poll = Some(Duration::from_millis(20));
    client.socket.set_read_timeout(poll).expect("a deadline");
    let (by, mut peeked) = (Instant::now() + DEADLINE, [0]);
    while client.socket.peek(&mut peeked).is_err() {
        assert!(Instant::now() < by, "it goes on");
        client.send(&frame(FINAL | PONG, b""), usize::MAX);
    }
    client.socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    assert_eq!(end(client), (ErrorCode::RequestTimeout, Some(1008)));
    world.engine.stop().await;
}

#[tokio::test]
async fn whoever_sends_without_measure_is_read_no_faster_and_closed_in_the_end() {
    let world = World::start_with(|config| config.limits.commands = "500/5".parse().expect("a rate")).await;
    let commands = |count| frame(FINAL | TEXT, br#"{"id":1,"cmd":"leave"}"#).repeat(count);
    let mut flood = guest(&world, None);
    let begun = Instant::now();
    flood.send(&commands(20_000), usize::MAX);
    let (mut done, mut refused) = (0_u32, 0_u32);
    while let Some((_, message)) = flood.message() {
        match serde_json::from_slice(&message) {
            Ok(Private::Error { refusal, .. }) if refusal.code == ErrorCode::RateLimited => refused += 1,
            Ok(Private::Error { .. }) => done += 1,
            other => panic!("{other:?}"),
        }
    }
    // After each refusal nothing is read until one more command may come, and the last
    // word is why it is closed.
    assert!(done + 10 >= refused, "{done} done, {refused} refused");
    let may = 5 + 500 * (begun.elapsed().as_millis() + 1) / 1000;
    assert!(u128::from(done) <= may, "{done} of {may}");
    assert_eq!(flood.closed(), Ok(Some(1008)));
    // Who has had too much once and then waits is as welcome as before.
    let mut hasty = guest(&world, None);
    for _ in 0..3 {
        hasty.send(&commands(30), usize::MAX);
        for _ in 0..30 {
            assert!(hasty.message().is_some());
        }
    }
    world.engine.stop().await;
}

#[tokio::test]
async fn reactions_of_a_crowd_that_is_none_are_counted_up_to_a_limit() {
    let world = World::start_with(|config| {
        config.limits.commands = "1000000/1000000".parse().expect("a rate");
        config.limits.person_commands = "1000000/1000000".parse().expect("a rate");
        config.limits.reactions = "1000000/1000000".parse().expect("a rate");
        config.limits.reactions_per_address = "1000000/1000000".parse().expect("a rate");
    })
    .await;
    let mut client = guest(&world, None);
    let join = format!(r#"{{"id":1,"cmd":"join","stream":"{}"}}"#, world.shop.stream);
    client.send(&frame(FINAL | TEXT, join.as_bytes()), usize::MAX);
    while !client
        .message()
        .expect("still there")
        .1
        .starts_with(br#"{"type":"snapshot""#)
    {}
    let (begun, count) = (Instant::now(), 4_000);
    let react = frame(FINAL | TEXT, br#"{"id":2,"cmd":"react","kind":"heart","count":50}"#);
    let mut sender = client.socket.try_clone().expect("a second hand");
    let sending = std::thread::spawn(move || sender.write_all(&react.repeat(count)));
    let (mut taken, mut refused) = (0_u128, 0);
    while taken + refused < count as u128 {
        let (_, message) = client.message().expect("still there");
        match serde_json::from_slice(&message) {
            Ok(Private::Reply { id: 2, .. }) => taken += 1,
            Ok(Private::Error { refusal, .. }) if refusal.code == ErrorCode::RateLimited => refused += 1,
            _ => {}
        }
    }
    sending.join().expect("sent").expect("taken");
    let may = 5_000 * (begun.elapsed().as_millis() / 100 + 2);
    assert!(
        refused > 0 && taken * 50 <= may,
        "{taken} taken, {refused} refused, {may}"
    );
    world.engine.stop().await;
}

#[tokio::test]
async fn who_is_gone_before_the_room_opens_is_not_let_in() {
    let world = World::start_with(|config| {
        config.workers = 1;
        config.limits.handshake = Duration::from_millis(300);
        config.limits.ping_interval = Duration::from_millis(100);
        config.limits.pong_deadline = Duration::from_secs(60);
    })
    .await;
    // The room's former owner has died a moment ago: whoever joins has to wait for it.
    sqlx::query(
        "insert into room_leases (stream_id, epoch, node_id, expires_at)
         values ($1, 1, gen_random_uuid(), now() + interval '5 seconds')",
    )
    .bind(world.shop.stream.0)
    .execute(&world.db.pool)
    .await
    .expect("written");
    let mut client = guest(&world, None);
    let join = format!(r#"{{"id":1,"cmd":"join","stream":"{}"}}"#, world.shop.stream);
    client.send(&frame(FINAL | TEXT, join.as_bytes()), usize::MAX);
    let reset = socket2::SockRef::from(&client.socket).set_linger(Some(Duration::ZERO));
    reset.expect("a reset instead of a farewell");
    drop(client);
    // When the same sweep that pings the one has cut off the other, the ping has failed.
    cut_off(TcpStream::connect(world.engine.addr()).expect("connected"));
    until("nobody is left", || world.engine.connections() == 0).await;
    let mut viewer = world.viewer("Viewer").await;
    let shown = world.join(&mut viewer).await.snapshot.expect("a snapshot");
    assert_eq!((shown.viewers, shown.people), (1, 1));
    world.engine.stop().await;
}

#[tokio::test]
async fn what_comes_behind_a_command_that_waits_is_done_after_it() {
    let world = World::start().await;
    let mut client = guest(&world, None);
    let stream = world.shop.stream;
    let join = format!(r#"{{"id":1,"cmd":"join","stream":"{stream}"}}"#);
    let mut sent = frame(FINAL | TEXT, join.as_bytes());
    for id in 2..50 {
        let react = format!(r#"{{"id":{id},"cmd":"react","kind":"heart","count":1}}"#);
        sent.extend(frame(FINAL | TEXT, react.as_bytes()));
    }
    client.send(&sent, usize::MAX);
    let mut answered = Vec::new();
    while answered.len() < 49 {
        let (_, message) = client.message().expect("still there");
        if let Ok(Private::Reply { id, .. } | Private::Error { id: Some(id), .. }) = serde_json::from_slice(&message) {
            answered.push(id);
        }
    }
    assert_eq!(answered, (1..50).collect::<Vec<_>>());
    world.engine.stop().await;
}

/// A guest who has joined and then reads nothing, with a small receive buffer.
fn deaf(world: &World) -> Client {
    let mut client = Client::connect_small(world.engine.addr());
    client.send(request(&target(world), None).as_bytes(), usize::MAX);
    client.upgraded();
    let join = format!(r#"{{"id":1,"cmd":"join","stream":"{}"}}"#, world.shop.stream);
    client.send(&frame(FINAL | TEXT, join.as_bytes()), usize::MAX);
    client
}

async fn say(author: &mut LiveClient, count: usize) {
    for n in 0..count {
        let text = format!("{n:05}{}", "x".repeat(490));
        author.send(chat(&text), Some(RequestId::new())).await.expect("sent");
        if n % 50 == 49 {
            hears(author, &text).await;
            author.drain();
        }
    }
}

#[tokio::test]
async fn a_socket_that_takes_nothing_for_too_long_is_cut_off() {
    let world = World::start_with(|config| {
        config.limits.chat = "100000/100000".parse().expect("a rate");
        config.limits.room_chat = "100000/100000".parse().expect("a rate");
        config.limits.commands = "100000/100000".parse().expect("a rate");
        config.limits.person_commands = "100000/100000".parse().expect("a rate");
        config.limits.send_buffer_bytes = 16 * 1024;
        config.limits.log.bytes = 64 * 1024 * 1024;
        config.limits.stall = Duration::from_secs(2);
    })
    .await;
    let deaf: Vec<_> = (0..5).map(|_| deaf(&world)).collect();
    let mut author = world.joined("Author").await;
    say(&mut author, 700).await;
    until("they are let go", || world.engine.connections() == 1).await;
    for client in deaf {
        cut_off(client.socket);
    }
    author
        .call(chat("others go on"))
        .await
        .expect("answered")
        .expect("said");
    world.engine.stop().await;
}

#[tokio::test]
async fn replies_that_nobody_reads_pile_up_to_a_limit() {
    let world = World::start_with(|config| {
        config.limits.commands = "1000000/1000000".parse().expect("a rate");
        config.limits.person_commands = "1000000/1000000".parse().expect("a rate");
        config.limits.send_buffer_bytes = 4096;
    })
    .await;
    let mut greedy = deaf(&world);
    greedy.socket.set_write_timeout(Some(DEADLINE)).expect("a deadline");
    // Each is short, and its answer longer.
    let asked = frame(FINAL | TEXT, br#"{"id":1,"cmd":"fly"}"#).repeat(100);
    while greedy.socket.write_all(&asked).is_ok() {}
    cut_off(greedy.socket);
    until("it is let go", || world.engine.connections() == 0).await;
    let mut other = world.joined("Other").await;
    let done = other.call(ClientCommand::Leave).await.expect("answered");
    assert!(done.is_ok());
    world.engine.stop().await;
}
