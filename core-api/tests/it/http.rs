//! The shape of answers: errors, headers, origins, the API's own description.

use reqwest::Method;
use serde_json::{Value, json};
use shared::error::ErrorCode;
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
    assert_eq!(wrong.header("allow"), "GET, POST");
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
async fn silent_after(app: &App, bytes: String) -> String {
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
async fn the_description_is_whole() {
    let app = App::start().await;
    let api: Value = app.get("/openapi.json").send().await.ok();
    assert!(
        api["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    assert_eq!(api["info"]["title"], "Hawker");
    assert_eq!(api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let paths = api["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let at = format!("{method} {path}");
            assert!(
                operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
                "{at}"
            );
            let too_often = &operation["responses"]["429"]["headers"];
            let is_probe = matches!(path.as_str(), "/healthz" | "/readyz");
            for name in ["Retry-After", "RateLimit", "RateLimit-Policy"] {
                assert_ne!(too_often[name].is_object(), is_probe, "{at}: {name}");
            }
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{at}"
            );
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let named = |name: &str| parameters.iter().any(|parameter| parameter["name"] == name);
            for segment in path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')) {
                assert!(named(segment), "{at} has no parameter {segment}");
            }
            if path.starts_with("/seller/") || path.starts_with("/admin/") || path.starts_with("/users/") {
                assert!(operation["security"][0]["bearer"].is_array(), "{at}");
            }
        }
    }
    let stock = &paths["/seller/variants/{id}/stock"]["post"]["parameters"];
    let key = stock
        .as_array()
        .expect("parameters")
        .iter()
        .find(|p| p["name"] == "Idempotency-Key");
    assert_eq!(
        key.map(|key| (&key["in"], &key["required"])),
        Some((&json!("header"), &json!(true)))
    );
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(api["components"]["schemas"]["ErrorCode"]["enum"], json!(codes));
    dangling(&api, &api);
}

/// Every reference leads somewhere.
fn dangling(api: &Value, node: &Value) {
    match node {
        Value::Object(fields) => {
            if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
                let pointer = to.strip_prefix('#').expect("a reference into this document");
                assert!(api.pointer(pointer).is_some(), "{to} leads nowhere");
            }
            fields.values().for_each(|value| dangling(api, value));
        }
        Value::Array(items) => items.iter().for_each(|value| dangling(api, value)),
        _ => {}
    }
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
