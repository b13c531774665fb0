//! What browsers get beside the API.

use crate::program::{Program, client, scratch};

#[tokio::test]
async fn pages_are_typed_guarded_and_sent_once() {
    let dir = scratch();
    let program = Program::start(dir.path(), &[]).await;
    for path in ["/", "/account", "/live/7a3c0d5e-0000-4000-8000-000000000000"] {
        let page = program.get(path).await;
        assert_eq!(page.status(), 200, "{path}");
        let header = |name: &str| page.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("content-type").as_deref(), Some("text/html; charset=utf-8"));
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"));
        let policy = header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("connect-src 'self' ws://127.0.0.1:"));
        let tag = header("etag").unwrap();
        let again = client()
            .get(format!("{}{path}", program.page()))
            .header("if-none-match", tag);
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), 304);
        assert!(again.text().await.unwrap().is_empty());
    }
    let script = program.get("/assets/js/main.js").await;
    assert_eq!(script.headers()["content-type"], "text/javascript; charset=utf-8");
    let style = program.get("/assets/css/base.css").await;
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
    for path in [
        "/assets/nothing.js",
        "/assets/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/tests/x",
    ] {
        let missing = program.get(path).await;
        assert_eq!(missing.status(), 404, "{path}");
        assert_eq!(missing.headers()["content-type"], "application/problem+json", "{path}");
    }
    program.stop().await;
}

#[tokio::test]
async fn everything_that_the_page_refers_to_is_there() {
    let dir = scratch();
    let program = Program::start(dir.path(), &[]).await;
    for path in ["/", "/account"] {
        let page = program.get(path).await.text().await.unwrap();
        let quoted = page.split('"').filter(|text| text.starts_with("/assets/"));
        let mut count = 0;
        for path in quoted {
            assert_eq!(program.get(path).await.status(), 200, "{path}");
            count += 1;
        }
        assert!(count > 0);
    }
    program.stop().await;
}

#[tokio::test]
async fn every_product_has_a_picture() {
    let dir = scratch();
    let program = Program::start(dir.path(), &[]).await;
    let product = hawker::seed::catalogue::PRODUCTS[0].id();
    let picture = program.get(&hawker::pictures::address(product)).await;
    assert_eq!(picture.status(), 200);
    assert_eq!(picture.headers()["content-type"], "image/svg+xml");
    assert!(picture.headers()["cache-control"].to_str().unwrap().contains("max-age"));
    assert!(picture.text().await.unwrap().starts_with("<svg "));
    let unknown = hawker::pictures::address(uuid::Uuid::nil());
    assert_eq!(program.get(&unknown).await.status(), 404);
    program.stop().await;
}
