//! The operator's moderation service, played by a small HTTP server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use live_engine::Config;
use live_engine::hook::{HookConfig, OnFailure};
use serde_json::{Value, json};
use shared::config::Secret;
use shared::error::ErrorCode;
use shared::ids::RequestId;
use shared::protocol::{HeldFor, Outcome, Private};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::words::block;
use super::{again, answer_to, count, done, heard, say, snapshot, try_to_say};
use crate::harness::{World, chat, hears};

const SECRET: &str = "a secret of the operator";

/// How the service answers a text.
#[derive(Clone)]
enum Reply {
    Json(Value),
    Status(u16),
    /// After so long.
    Late(Duration, Value),
    Never,
    Garbage,
    Redirect,
}

/// A moderation service under the test's control. Ends when dropped.
struct Service {
    url: String,
    replies: Arc<Mutex<HashMap<String, Reply>>>,
    /// What it was asked, in order.
    asked: Arc<Mutex<Vec<Value>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Service {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/moderate", listener.local_addr().expect("bound"));
        let (replies, asked) = (Arc::<Mutex<HashMap<_, _>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (given, noted) = (replies.clone(), asked.clone());
        let accepting = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                tasks.spawn(serve(socket, given.clone(), noted.clone()));
            }
        });
        Self {
            url,
            replies,
            asked,
            accepting,
        }
    }

    fn on(&self, text: &str, reply: Reply) {
        self.replies.lock().expect("unpoisoned").insert(text.to_owned(), reply);
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("unpoisoned").clone()
    }

    fn configure(&self, config: &mut Config, on_failure: OnFailure) {
        config.moderation = Some(HookConfig {
            url: self.url.clone(),
            secret: Secret::new(SECRET.into()),
            deadline: Duration::from_millis(200),
            on_failure,
            concurrency: 64,
        });
    }
}

async fn serve(socket: TcpStream, replies: Arc<Mutex<HashMap<String, Reply>>>, asked: Arc<Mutex<Vec<Value>>>) {
    let mut socket = BufReader::new(socket);
    while let Some((path, signature, body)) = request(&mut socket).await {
        assert_eq!(signature, sign(&signature, &body), "the request is signed");
        let asks: Value = serde_json::from_slice(&body).expect("JSON");
        let text = asks["text"].as_str().expect("a text").to_owned();
        asked.lock().expect("unpoisoned").push(asks);
        let reply = replies.lock().expect("unpoisoned").get(&text).cloned();
        let (status, extra, body) = match reply.filter(|_| path != "/elsewhere") {
            None => (200, "", json!({"action": "allow"}).to_string()),
            Some(Reply::Json(value)) => (200, "", value.to_string()),
            Some(Reply::Late(after, value)) => {
                tokio::time::sleep(after).await;
                (200, "", value.to_string())
            }
            Some(Reply::Status(status)) => (status, "", String::new()),
            Some(Reply::Garbage) => (200, "", "<html>".to_owned()),
            Some(Reply::Redirect) => (307, "location: /elsewhere\r\n", String::new()),
            Some(Reply::Never) => std::future::pending().await,
        };
        let response = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{extra}\r\n{body}",
            body.len()
        );
        if socket.get_mut().write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The path, the signature and the body of the next request.
async fn request(socket: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let (mut path, mut signature, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        } else if let Some((name, value)) = line.split_once(": ") {
            match name.to_ascii_lowercase().as_str() {
                "hawker-signature" => signature = value.to_owned(),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    socket.read_exact(&mut body).await.ok()?;
    Some((path, signature, body))
}

/// What the signature of this body is, at the time that it names.
fn sign(signature: &str, body: &[u8]) -> String {
    let at = signature.strip_prefix("t=").and_then(|rest| rest.split(',').next());
    let at = at.expect("a time");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t={at},v1={hex}")
}

#[tokio::test]
async fn the_service_lets_pass_changes_and_denies() {
    let service = Service::start().await;
    let world = World::start_with(|config| service.configure(config, OnFailure::Deny)).await;
    service.on("rude", Reply::Json(json!({"action": "change", "text": "  *** "})));
    service.on("vile", Reply::Json(json!({"action": "deny", "reason": "be kind"})));
    service.on("worse", Reply::Json(json!({"action": "deny"})));
    service.on("empty", Reply::Json(json!({"action": "change", "text": " \u{202e} "})));
    let person = world.person("Author").await;
    let (mut author, mut other) = (again(&world, &person).await, world.joined("Other").await);
    let message = say(&mut author, "hello").await;
    assert_eq!(heard(&mut other, "hello").await.id, message);
    let asked = &service.asked()[0];
    assert_eq!(
        *asked,
        json!({
            "stream": world.shop.stream, "user": person.user(), "message": message, "text": "hello"
        })
    );
    let act = RequestId::new();
    let first = author
        .call_as(chat("rude"), act)
        .await
        .expect("answered")
        .expect("said");
    hears(&mut other, "***").await;
    for (text, detail) in [("vile", Some("be kind")), ("worse", None), ("empty", None)] {
        let refusal = author.call(chat(text)).await.expect("answered").expect_err("denied");
        assert_eq!(refusal.code, ErrorCode::MessageRefused, "{text}");
        assert!(detail.is_none_or(|detail| detail == refusal.detail), "{refusal}");
    }
    // The host is looked at too.
    assert_eq!(
        try_to_say(&mut world.host().await, "vile").await,
        Err(ErrorCode::MessageRefused)
    );
    // A message that was changed is known by what was sent, also by the room's next owner.
    assert_eq!(
        author.call_as(chat("rude"), act).await.expect("answered"),
        Ok(first.clone())
    );
    drop((author, other));
    let world = world.restart().await;
    let mut author = again(&world, &person).await;
    assert_eq!(author.call_as(chat("rude"), act).await.expect("answered"), Ok(first));
    world.engine.stop().await;
}

#[tokio::test]
async fn what_follows_when_it_is_slow_or_wrong_is_configured() {
    let replies = [
        Reply::Never,
        Reply::Late(Duration::from_secs(5), json!({"action": "allow"})),
        Reply::Status(500),
        Reply::Garbage,
        Reply::Redirect,
        Reply::Json(json!({"action": "applaud"})),
        Reply::Json(json!({"action": "deny", "reason": "x".repeat(20_000)})),
    ];
    for (index, reply) in replies.into_iter().enumerate() {
        for on_failure in [OnFailure::Allow, OnFailure::Hold, OnFailure::Deny] {
            let service = Service::start().await;
            let world = World::start_with(|config| service.configure(config, on_failure)).await;
            service.on("hello", reply.clone());
            let (mut author, mut host) = (world.joined("Author").await, world.host().await);
            let begun = std::time::Instant::now();
            let outcome = author.call(chat("hello")).await.expect("answered");
            let took = begun.elapsed();
            assert!(took < Duration::from_secs(4), "{index}: {took:?}");
            match on_failure {
                OnFailure::Allow => assert!(matches!(outcome, Ok(Outcome::Said { .. })), "{index}: {outcome:?}"),
                OnFailure::Deny => {
                    let refusal = outcome.expect_err("refused");
                    assert_eq!(refusal.code, ErrorCode::Overloaded, "{index}");
                    assert!(refusal.retry_after_ms.is_some());
                }
                OnFailure::Hold => {
                    assert!(
                        matches!(outcome, Ok(Outcome::HeldForReview { .. })),
                        "{index}: {outcome:?}"
                    );
                    let cause = host.private(|message| match message {
                        Private::Review(held) => Some(held.cause),
                        _ => None,
                    });
                    assert_eq!(cause.await.expect("told"), HeldFor::Hook, "{index}");
                }
            }
            world.engine.stop().await;
        }
    }
}

#[tokio::test]
async fn messages_of_one_author_keep_their_order_and_wait_for_nobody_elses() {
    let service = Service::start().await;
    let world = World::start_with(|config| {
        service.configure(config, OnFailure::Deny);
        if let Some(hook) = &mut config.moderation {
            hook.deadline = Duration::from_secs(5);
        }
    })
    .await;
    let allow = json!({"action": "allow"});
    service.on("slow", Reply::Late(Duration::from_millis(400), allow));
    let (mut author, mut quick) = (world.joined("Author").await, world.joined("Quick").await);
    let mut other = world.joined("Other").await;
    for text in ["slow", "second", "third"] {
        author.send(chat(text), Some(RequestId::new())).await.expect("sent");
    }
    say(&mut quick, "quick").await;
    let mut order = Vec::new();
    for _ in 0..4 {
        let text = other.event(|event| match event {
            shared::protocol::RoomEvent::Chat(message) => Some(message.text.clone()),
            _ => None,
        });
        order.push(text.await.expect("heard"));
    }
    assert_eq!(order, ["quick", "slow", "second", "third"]);
    world.engine.stop().await;
}

/// A world whose service may take its time.
async fn patient(service: &Service) -> World {
    World::start_with(|config| {
        service.configure(config, OnFailure::Deny);
        if let Some(hook) = &mut config.moderation {
            hook.deadline = Duration::from_secs(5);
        }
    })
    .await
}

#[tokio::test]
async fn what_a_banned_person_has_under_way_is_said_no_more() {
    let service = Service::start().await;
    let world = patient(&service).await;
    let late = |ms| Reply::Late(Duration::from_millis(ms), json!({"action": "allow"}));
    service.on("buy mine", late(600));
    service.on("and then", late(1_200));
    let (mut host, mut watcher) = (world.host().await, world.joined("Watcher").await);
    let (mut spammer, mut patient) = (world.joined("Spammer").await, world.joined("Patient").await);
    let user = spammer.hello().user.expect("an account");
    for text in ["buy mine", "buy more", "and more"] {
        spammer.send(chat(text), Some(RequestId::new())).await.expect("sent");
    }
    let by = std::time::Instant::now() + crate::ears::DEADLINE;
    while service.asked().is_empty() {
        assert!(std::time::Instant::now() < by, "the service is not asked");
        tokio::task::yield_now().await;
    }
    done(&mut host, crate::order::ban(shared::protocol::Person::User(user))).await;
    // The service was asked about this one later, and answers later.
    say(&mut patient, "and then").await;
    hears(&mut watcher, "and then").await;
    let heard = format!("{:?}", watcher.drain());
    assert!(!heard.contains("buy m") && !heard.contains("and more"), "{heard}");
    let stored = count(&world, "select count(*) from stream_chat_messages").await;
    assert_eq!(stored, 1);
    let texts: Vec<_> = snapshot(&world).await.chat.into_iter().map(|said| said.text).collect();
    assert_eq!(texts, ["and then"]);
    world.engine.stop().await;
}

#[tokio::test]
async fn the_service_says_for_nobody_what_the_room_does_not_let_them_say() {
    let service = Service::start().await;
    let world = patient(&service).await;
    block(&world, "counterfeit", "word", "refuse").await;
    block(&world, "cheaper", "word", "hold").await;
    sqlx::query("update streams set chat_links = 'moderators', chat_max_chars = 40")
        .execute(&world.db.pool)
        .await
        .expect("changed");
    let long = "x".repeat(41);
    for (text, changed) in [
        ("1", "see evil.com"),
        ("2", "counterfeit"),
        ("3", &long),
        ("4", "cheaper"),
    ] {
        service.on(text, Reply::Json(json!({"action": "change", "text": changed})));
    }
    let (mut author, mut host) = (world.joined("Author").await, world.host().await);
    assert_eq!(try_to_say(&mut author, "1").await, Err(ErrorCode::MessageRefused));
    assert_eq!(try_to_say(&mut author, "2").await, Err(ErrorCode::MessageRefused));
    assert_eq!(try_to_say(&mut author, "3").await, Err(ErrorCode::InvalidBody));
    let held = author.call(chat("4")).await.expect("answered");
    assert!(matches!(held, Ok(Outcome::HeldForReview { .. })), "{held:?}");
    // The host is bound by the length alone.
    assert_eq!(try_to_say(&mut host, "1").await, Ok(()));
    assert_eq!(try_to_say(&mut host, "3").await, Err(ErrorCode::InvalidBody));
    world.engine.stop().await;
}

#[tokio::test]
async fn what_is_deleted_while_an_answer_is_looked_at_is_not_quoted_by_it() {
    let service = Service::start().await;
    let world = patient(&service).await;
    let (mut author, mut other) = (world.joined("Author").await, world.joined("Other").await);
    let message = say(&mut author, "regretted").await;
    service.on(
        "really?",
        Reply::Late(Duration::from_millis(600), json!({"action": "allow"})),
    );
    let answer = other
        .send(answer_to(message, "really?"), Some(RequestId::new()))
        .await
        .expect("sent");
    let by = std::time::Instant::now() + crate::ears::DEADLINE;
    while service.asked().len() < 2 {
        assert!(std::time::Instant::now() < by, "the service is not asked");
        tokio::task::yield_now().await;
    }
    done(&mut author, shared::protocol::ClientCommand::DeleteMessage { message }).await;
    other.answer(answer).await.expect("answered").expect("said");
    let said = heard(&mut author, "really?").await;
    assert_eq!((said.reply_to, said.quote), (Some(message), None));
    world.engine.stop().await;
}

#[tokio::test]
async fn a_service_that_keeps_failing_is_left_alone() {
    let service = Service::start().await;
    let world = World::start_with(|config| {
        service.configure(config, OnFailure::Allow);
        config.limits.chat = "100/100".parse().expect("a rate");
    })
    .await;
    let mut author = world.joined("Author").await;
    for n in 0..12 {
        service.on(&format!("{n}"), Reply::Status(500));
    }
    for n in 0..12 {
        say(&mut author, &format!("{n}")).await;
    }
    assert_eq!(service.asked().len(), 5, "it was asked until the circuit was broken");
    world.engine.stop().await;
}

#[tokio::test]
async fn nobody_is_there_to_ask() {
    let world = World::start_with(|config| {
        config.moderation = Some(HookConfig {
            // Nothing listens on the discard port.
            url: "http://127.0.0.1:9/".into(),
            secret: Secret::new(SECRET.into()),
            deadline: Duration::from_millis(200),
            on_failure: OnFailure::Allow,
            concurrency: 1,
        });
    })
    .await;
    say(&mut world.joined("Author").await, "hello").await;
    world.engine.stop().await;
}
