//! The shape of answers: errors, headers, origins, the API's own description.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::harness::App;

#[tokio::test]
async fn every_error_is_problem_details() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    app.get("/nothing/here").send().await.refused(404, "not_found");
    app.get("/products/not-an-id").send().await.refused(404, "not_found");
    app.get(&format!("/products/{}", Uuid::now_v7()))
        .send()
        .await
        .refused(404, "not_found");
    app.get("/products?limit=many")
        .send()
        .await
        .refused(400, "invalid_parameter");
    app.get("/auth/me").send().await.refused(401, "unauthenticated");
    let odd = app.get("/auth/me").header("Authorization", "Basic abc").send().await;
    odd.refused(401, "unauthenticated");
    assert_eq!(odd.header("www-authenticate"), "Bearer");

    let wrong = app.method(Method::PUT, "/auth/login").send().await;
    wrong.refused(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "POST");
    let wrong = viewer.delete("/users/addresses").await;
    wrong.refused(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), "GET, HEAD, POST");
}

#[tokio::test]
async fn a_body_must_be_json_of_the_right_shape() {
    let app = App::start().await;
    let send = async |media: &str, body: &str| app.post("/auth/login").body(media, body.to_owned()).send().await;
    send("application/json", "{").await.refused(400, "malformed");
    send("application/json", "").await.refused(422, "invalid_body");
    send("text/plain", "{}").await.refused(415, "unsupported_media_type");
    send("application/x-www-form-urlencoded", "email=a")
        .await
        .refused(415, "unsupported_media_type");
    let huge = format!(r#"{{"email":"{}"}}"#, "a".repeat(70_000));
    send("application/json", &huge).await.refused(413, "payload_too_large");

    let field = |reply: crate::harness::Reply| reply.refused(422, "invalid_body")["field"].clone();
    assert_eq!(field(send("application/json", "{}").await), "email");
    let body = r#"{"email":"a@example.com","password":7}"#;
    assert_eq!(field(send("application/json; charset=utf-8", body).await), "password");
    let body = r#"{"email":"nobody","password":"correct horse"}"#;
    assert_eq!(field(send("application/json", body).await), "email");
    let short = json!({"email": "a@example.com", "password": "short", "display_name": "A"});
    assert_eq!(field(app.post("/auth/register").json(&short).send().await), "password");
}

#[tokio::test]
async fn a_compressed_body_is_refused_wherever_it_goes() {
    let app = App::start().await;
    let encoded = async |path: &str, coding: &str, body: Vec<u8>| {
        let call = app.post(path).header("Content-Encoding", coding);
        call.body("application/json", body).send().await
    };
    // gzip of `{}`: what it unfolds into would have been read.
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00\x43\xbf\xa6\xa3\x02\x00\x00\x00".to_vec();
    for coding in ["gzip", "identity, gzip", "br", "zstd", "deflate", "unheard-of"] {
        for path in ["/auth/login", "/seller/products/imports", "/nothing/here"] {
            let reply = encoded(path, coding, packed.clone()).await;
            assert_eq!(
                reply.refused(415, "unsupported_media_type")["field"],
                "content-encoding",
                "{coding} {path}"
            );
            assert_eq!(reply.header("accept-encoding"), "identity");
        }
    }
    let plain = encoded("/auth/login", "identity", b"{}".to_vec()).await;
    plain.refused(422, "invalid_body");
    let media = app.post("/auth/login").body("text/plain", "{}").send().await;
    media.refused(415, "unsupported_media_type");
    assert_eq!(media.header("accept-encoding"), "");
}

/// What a connection is answered that sends `bytes` and then nothing more.
pub async fn silent_after(app: &App, bytes: String) -> String {
    let mut socket = TcpStream::connect(app.addr()).await.expect("connected");
    socket.write_all(bytes.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 4096];
    let reading = tokio::time::timeout(std::time::Duration::from_secs(60), socket.read(&mut answer));
    let read = reading.await.expect("an answer in time").expect("read");
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn what_does_not_arrive_in_time_is_not_waited_for() {
    let app = App::start_with(|config| {
        config.limits.body_wait = std::time::Duration::from_millis(100);
        config.limits.file_wait = std::time::Duration::from_millis(200);
    })
    .await;
    let half =
        "POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    let answer = silent_after(&app, half.to_owned()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"request_timeout\""), "{answer}");

    let (owner, _) = app.seller("Shop").await;
    let head = format!(
        "POST /seller/products/imports HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nIdempotency-Key: {}\r\n\
         Content-Type: text/csv\r\nContent-Length: 50\r\n\r\nproduct_key",
        owner.token,
        Uuid::now_v7()
    );
    let answer = silent_after(&app, head).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");

    let answer = silent_after(&app, "GET /healthz HTTP/1.1\r\nHost:".to_owned()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_fault_of_ours_does_not_tell_its_cause() {
    let app = App::start().await;
    let viewer = app.register("Viewer").await;
    sqlx::query("alter table profiles rename to lost")
        .execute(&app.db.pool)
        .await
        .expect("broken");
    let reply = viewer.get("/auth/me").await;
    reply.refused(500, "internal");
    assert!(!reply.text.contains("profiles"), "{}", reply.text);
}

#[tokio::test]
async fn pages_of_listed_origins_may_call() {
    let app = App::start_with(|config| config.allowed_origins = vec!["https://shop.example".into()]).await;
    let from = |origin: &str| app.get("/products").header("Origin", origin);
    let listed = from("https://shop.example").send().await;
    assert_eq!(listed.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(listed.header("access-control-allow-credentials"), "true");
    for other in ["https://evil.example", "https://shop.example.evil.example", "null"] {
        let reply = from(other).send().await;
        assert_eq!(reply.header("access-control-allow-origin"), "", "{other}");
        assert!(reply.header("vary").contains("origin"));
    }
    // An error can be read by the page as well.
    let refused = app
        .get("/auth/me")
        .header("Origin", "https://shop.example")
        .send()
        .await;
    assert_eq!(refused.header("access-control-allow-origin"), "https://shop.example");

    let ask = |origin: &str| {
        app.method(Method::OPTIONS, "/users/addresses")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "PATCH")
    };
    let allowed = ask("https://shop.example").send().await;
    allowed.gone();
    assert!(allowed.header("access-control-allow-methods").contains("PATCH"));
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("idempotency-key")
    );
    assert_eq!(
        ask("https://evil.example")
            .send()
            .await
            .header("access-control-allow-origin"),
        ""
    );
}

#[tokio::test]
async fn answers_say_who_they_are_and_are_not_kept() {
    let app = App::start().await;
    let (a, b) = (app.get("/healthz").send().await, app.get("/healthz").send().await);
    assert_ne!(a.header("x-request-id"), b.header("x-request-id"));
    assert!(a.header("x-request-id").parse::<Uuid>().is_ok());
    assert_eq!(a.header("x-content-type-options"), "nosniff");
    assert_eq!(a.header("x-frame-options"), "DENY");
    assert_eq!(a.header("referrer-policy"), "same-origin");
    assert_eq!(a.header("cross-origin-resource-policy"), "same-origin");
    assert_eq!(a.header("cache-control"), "no-store");
    assert_eq!(
        a.header("content-security-policy"),
        "default-src 'none'; frame-ancestors 'none'"
    );
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
    let app = App::start_with(|config| {
        config.limits.reads_per_minute = std::num::NonZeroU32::new(8).expect("some");
        config.allowed_origins = vec!["https://shop.example".into()];
    })
    .await;
    let preflight = app
        .method(Method::OPTIONS, "/orders")
        .header("Origin", "https://shop.example")
        .header("Access-Control-Request-Method", "POST");
    let mut answers = vec![
        (200, app.get("/products").send().await),
        (401, app.get("/auth/me").send().await),
        (404, app.get("/nothing/here").send().await),
        (405, app.method(Method::PUT, "/auth/login").send().await),
        (
            415,
            app.post("/auth/login").header("Content-Encoding", "gzip").send().await,
        ),
        (422, app.post("/auth/login").json(&json!({})).send().await),
        (204, preflight.send().await),
        (200, app.get("/docs/").send().await),
    ];
    let limited = loop {
        let reply = app.get("/products").send().await;
        if reply.status != 200 {
            break reply;
        }
    };
    answers.push((429, limited));
    for (status, reply) in answers {
        assert_eq!(reply.status.as_u16(), status, "{}", reply.text);
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{status}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{status}");
        assert_eq!(reply.header("referrer-policy"), "same-origin", "{status}");
        assert!(reply.header("x-request-id").parse::<Uuid>().is_ok(), "{status}");
        assert_eq!(reply.header("strict-transport-security"), "", "{status}");
        if reply.header("content-type").ends_with("json") {
            assert_eq!(reply.header("cache-control"), "no-store", "{status}");
            assert!(
                reply
                    .header("content-security-policy")
                    .starts_with("default-src 'none'")
            );
        }
    }
}

#[tokio::test]
async fn browsers_are_told_to_come_over_https_where_that_is_set() {
    let app = App::start_with(|config| config.hsts_seconds = 31_536_000).await;
    for path in ["/healthz", "/nothing/here", "/docs/"] {
        let reply = app.get(path).send().await;
        assert_eq!(reply.header("strict-transport-security"), "max-age=31536000", "{path}");
    }
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_dropped_and_leaves_nothing_behind() {
    let app = App::start_with(|config| config.limits.request_time = std::time::Duration::from_secs(2)).await;
    let viewer = app.register("Viewer").await;
    let address = json!({"recipient": "Viewer", "line1": "1 Quay Street", "city": "Hamburg",
                         "postal_code": "20457", "country": "DE"});
    let address: Value = viewer.post("/users/addresses", &address).await.created();
    let path = format!("/users/addresses/{}", address["id"].as_str().expect("an id"));
    let mut other = app.db.pool.begin().await.expect("a transaction");
    sqlx::query("lock table addresses in access exclusive mode")
        .execute(&mut *other)
        .await
        .expect("locked");
    let late = viewer.patch(&path, &json!({"city": "Bremen"})).await;
    late.refused(503, "overloaded");
    assert_eq!(late.header("retry-after"), "1");
    assert_eq!(late.header("x-content-type-options"), "nosniff");
    assert_eq!(late.header("cache-control"), "no-store");
    assert!(late.header("ratelimit").starts_with("\"write\""));
    other.rollback().await.expect("unlocked");
    let city: String = sqlx::query_scalar("select city from addresses")
        .fetch_one(&app.db.pool)
        .await
        .expect("the address");
    assert_eq!(city, "Hamburg");
    let again: Value = viewer.patch(&path, &json!({"city": "Bremen"})).await.ok();
    assert_eq!(again["city"], "Bremen");
}

#[tokio::test]
async fn those_who_run_it_can_ask_how_it_is() {
    let app = App::start().await;
    assert_eq!(app.get("/healthz").send().await.ok::<Value>()["status"], "ok");
    assert_eq!(app.get("/readyz").send().await.ok::<Value>()["status"], "ok");
    let head = app.method(Method::HEAD, "/healthz").send().await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    // How much it does is not told on the public port.
    app.get("/metrics").send().await.refused(404, "not_found");
}

#[tokio::test]
async fn the_page_to_browse_it_loads_nothing_from_elsewhere() {
    let app = App::start().await;
    let moved = app.get("/docs").send().await;
    assert_eq!((moved.status.as_u16(), moved.header("location")), (307, "/docs/"));
    let page = app.get("/docs/").send().await;
    assert_eq!(page.status, 200);
    for source in ["src=\"http", "href=\"http", "src=\"//", "href=\"//"] {
        assert!(!page.text.contains(source), "{}", page.text);
    }
    let script = app.get("/docs/swagger-initializer.js").send().await;
    assert!(script.text.contains("/openapi.json"), "{}", script.text);
    assert_eq!(app.get("/docs/swagger-ui-bundle.js").send().await.status, 200);
}
