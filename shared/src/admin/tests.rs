//! The listener over real sockets.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::config::Secret;

fn config(token: Option<&str>) -> AdminConfig {
    AdminConfig {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        may_move: false,
        token: token.map(|token| Secret::new(token.to_owned())),
    }
}

fn contents() -> Contents {
    let echo = Page::new(|query: Query| async move {
        let limit = query.get("limit").ok_or("limit is missing")?;
        Ok(json!({ "limit": limit }))
    });
    let never = Page::new(|_| std::future::pending());
    Contents {
        metrics: crate::telemetry::init_metrics(),
        parts: Vec::new(),
        pages: BTreeMap::from([("/debug/echo", echo), ("/debug/never", never)]),
    }
}

async fn ask(addr: SocketAddr, head: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(addr).await.expect("it listens");
    let request = format!("{head}Connection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answered");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.expect("a status"), body.expect("a body"))
}

#[tokio::test]
async fn on_this_machine_only_requests_to_this_machine_are_answered() {
    let admin = serve(&config(None), contents()).await.expect("listening");
    let get = async |path: &str, host: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
        ask(admin.addr(), &head).await.0
    };
    for path in ["/metrics", "/healthz", "/readyz", "/debug/echo?limit=1"] {
        assert_eq!(get(path, "localhost").await, 200, "{path}");
    }
    let refused = get("/metrics", "shop.example:8082").await;
    assert_eq!(refused, 403, "a name that was made to point here");
    assert_eq!(get("/nothing", "localhost").await, 404);
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\n";
    assert_eq!(ask(admin.addr(), post).await.0, 405);
    admin.stop().await;
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let config = config(Some("a token of some length"));
    let admin = serve(&config, contents()).await.expect("listening");
    let get = async |token: &str| {
        let head = format!("GET /metrics HTTP/1.1\r\nHost: anywhere\r\nAuthorization: Bearer {token}\r\n");
        ask(admin.addr(), &head).await.0
    };
    assert_eq!(get("a token of some length").await, 200);
    assert_eq!(get("another").await, 401);
    let none = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
    assert_eq!(ask(admin.addr(), none).await.0, 401, "on loopback, too");
    admin.stop().await;
}

#[tokio::test]
async fn pages_get_their_query_and_say_what_is_wrong_with_it() {
    let admin = serve(&config(None), contents()).await.expect("listening");
    let get = async |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n");
        ask(admin.addr(), &head).await
    };
    let said = (200, r#"{"limit":"7"}"#.to_owned());
    assert_eq!(get("/debug/echo?after=x&limit=7").await, said);
    assert_eq!(get("/debug/echo").await.0, 400);
    assert_eq!(
        get("/debug/never").await.0,
        503,
        "it never takes longer than its deadline"
    );
    admin.stop().await;
}

#[tokio::test]
async fn a_port_that_nobody_named_may_be_another_and_a_named_one_may_not() {
    let taken = serve(&config(None), contents()).await.expect("listening");
    let mut again = AdminConfig {
        bind: taken.addr(),
        ..config(None)
    };
    assert!(serve(&again, contents()).await.is_err());
    again.may_move = true;
    let moved = serve(&again, contents()).await.expect("listening elsewhere");
    assert_ne!(moved.addr(), taken.addr());
}
