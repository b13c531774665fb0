//! How often one actor may ask, and what they are told of it.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{App, Reply};

fn of(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("some")
}

/// How long whoever is refused shall wait, in seconds: told twice, and alike.
fn wait(reply: &Reply, policy: &str) -> u64 {
    let problem = reply.refused(429, "rate_limited");
    let wait: u64 = reply.header("retry-after").parse().expect("seconds");
    assert!(problem["retry_after_ms"].as_u64().is_some_and(|ms| ms <= wait * 1_000));
    assert_eq!(reply.header("ratelimit"), format!("\"{policy}\";r=0;t={wait}"));
    wait
}

#[tokio::test]
async fn an_account_that_asks_too_often_waits_and_nobody_else_does() {
    let app = App::start_with(|config| config.limits.reads_per_minute = of(3)).await;
    let (busy, other) = (app.register("Busy").await, app.register("Other").await);
    let first = busy.get("/auth/me").await;
    first.ok::<Value>();
    assert_eq!(first.header("ratelimit-policy"), "\"read\";q=3;w=60");
    assert_eq!(first.header("ratelimit"), "\"read\";r=2;t=20");
    busy.get("/users/addresses").await.ok::<Value>();
    // What is refused for another reason, or is nowhere, is asked as well.
    busy.get("/nothing/here").await.refused(404, "not_found");
    let limited = busy.get("/products").await;
    assert!((1..=20).contains(&wait(&limited, "read")));
    assert_eq!(limited.header("ratelimit-policy"), "\"read\";q=3;w=60");

    // From the same address: another account, nobody in particular, a token that is made up.
    other.get("/auth/me").await.ok::<Value>();
    let anybody = app.get("/products").send().await;
    assert_eq!(anybody.header("ratelimit"), "\"read\";r=2;t=20");
    let made_up = app.get("/auth/me").header("Authorization", "Bearer made.up.token");
    let made_up = made_up.send().await;
    made_up.refused(401, "unauthenticated");
    assert_eq!(made_up.header("ratelimit"), "\"read\";r=1;t=40");
    // Reading too much keeps nobody from writing, nor the service from saying how it is.
    let written = busy.call(Method::PATCH, "/auth/profile").json(&json!({"bio": "Busy"}));
    assert_eq!(written.send().await.status, 200);
    for _ in 0..5 {
        let alive = app.get("/healthz").send().await;
        assert_eq!((alive.status.as_u16(), alive.header("ratelimit")), (200, ""));
    }
}

#[tokio::test]
async fn a_page_of_a_listed_origin_reads_why_it_was_refused() {
    let app = App::start_with(|config| {
        config.limits.reads_per_minute = of(1);
        config.allowed_origins = vec!["https://shop.example".to_owned()];
    })
    .await;
    let ask = || app.get("/categories").header("Origin", "https://shop.example");
    ask().send().await.ok::<Value>();
    let refused = ask().send().await;
    wait(&refused, "read");
    assert_eq!(refused.header("access-control-allow-origin"), "https://shop.example");
    let readable: Vec<_> = refused.header("access-control-expose-headers").split(", ").collect();
    for name in ["x-request-id", "retry-after", "ratelimit", "ratelimit-policy"] {
        assert!(readable.contains(&name) && !refused.header(name).is_empty(), "{name}");
    }
    assert_eq!(refused.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn addresses_are_counted_apart_behind_a_proxy_that_is_named() {
    let app = App::start_with(|config| {
        config.limits.reads_per_minute = of(1);
        config.trusted_proxies = vec!["127.0.0.1".parse().expect("an address")];
    })
    .await;
    let from = async |address: &str| {
        let call = app.get("/products").header("X-Forwarded-For", address);
        call.send().await
    };
    from("2001:db8::1").await.ok::<Value>();
    wait(&from("2001:db8::ffff").await, "read");
    from("2001:db8:0:1::1").await.ok::<Value>();
    from("192.0.2.1").await.ok::<Value>();
    wait(&from("::ffff:192.0.2.1").await, "read");
}

#[tokio::test]
async fn what_moves_money_is_counted_by_itself() {
    let app = App::start_with(|config| {
        config.limits.writes_per_minute = of(1);
        config.limits.money_per_minute = of(2);
    })
    .await;
    let buyer = app.session_of(testkit::fixtures::user(&app.db.pool, "Buyer").await);
    let cancel = format!("/orders/{}/cancel", Uuid::now_v7());
    let checkout = format!("/orders/checkout/{}", Uuid::now_v7());
    let policy = |reply: Reply| reply.header("ratelimit-policy").to_owned();
    assert_eq!(policy(buyer.post(&cancel, &json!({})).await), "\"money\";q=2;w=60");
    assert_eq!(policy(buyer.delete(&checkout).await), "\"money\";q=2;w=60");
    // Written otherwise it is the same path.
    wait(&buyer.post("/%6Frders", &json!({})).await, "money");
    wait(&buyer.post("/orders", &json!({})).await, "money");
    assert_eq!(
        policy(buyer.post("/auth/logout", &json!({})).await),
        "\"write\";q=1;w=60"
    );
    wait(&buyer.post("/sellers/apply", &json!({})).await, "write");
    // A browser that asks for leave first has not asked for anything yet.
    let ask = app
        .method(Method::OPTIONS, "/orders")
        .header("Origin", "https://shop.example")
        .header("Access-Control-Request-Method", "POST")
        .send()
        .await;
    assert_eq!((ask.status.as_u16(), ask.header("ratelimit")), (204, ""));
}

#[tokio::test]
async fn who_has_waited_as_told_is_answered() {
    let app = App::start_with(|config| config.limits.reads_per_minute = of(60)).await;
    let ask = async || app.get("/categories").send().await;
    let asking = async {
        loop {
            let reply = ask().await;
            if reply.status == 429 {
                return reply;
            }
        }
    };
    let limited = tokio::time::timeout(Duration::from_secs(120), asking).await;
    let seconds = wait(&limited.expect("refused in time"), "read");
    assert_eq!(seconds, 1);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(ask().await.status, 200);
}
