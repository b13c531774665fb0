//! What is not ours and is tested with: localstripe, Stripe's SDK for Python, and Stripe's
//! published description. They are fetched by `scripts/ensure.sh test`; what is missing fails
//! a test.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(30);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stripe")
}

/// Something that `scripts/ensure.sh test` has fetched.
#[track_caller]
pub fn fetched(name: &str) -> PathBuf {
    let path = folder().join(name);
    assert!(
        path.exists(),
        "{} is missing: run scripts/ensure.sh test",
        path.display()
    );
    path
}

fn python(script: &str) -> Command {
    let mut command = Command::new(fetched("venv/bin/python"));
    command.arg(folder().join(script)).kill_on_drop(true);
    command
}

/// Runs a script to its end, and answers whether it was content and what it printed.
pub async fn run(script: &str, arguments: &[&str], input: &[u8]) -> (bool, String) {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input).expect("written");
    std::io::Seek::rewind(&mut file).expect("rewound");
    let command = python(script).args(arguments).stdin(Stdio::from(file)).output();
    let done = tokio::time::timeout(DEADLINE, command)
        .await
        .expect("in time")
        .expect("it runs");
    let printed = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(printed).expect("text"))
}

/// A localstripe of this test's own.
pub struct Local {
    pub api: Url,
    _process: Child,
}

impl Local {
    /// Starts it, and has it tell `webhooks` what happens, signed with `secret`.
    pub async fn start() -> Self {
        let mut process = python("localstripe_here.py")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let line = tokio::time::timeout(DEADLINE, lines.next_line())
            .await
            .expect("in time");
        let port: u16 = line.expect("readable").expect("a line").parse().expect("a port");
        let api = format!("http://127.0.0.1:{port}").parse().expect("an address");
        Self { api, _process: process }
    }

    /// Asks it for something, as whoever has a key.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let url = self.api.join(path).expect("a path");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.request(method, url).bearer_auth(super::double::KEY);
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.expect("it answers");
        let (status, text) = (response.status(), response.text().await.expect("an answer"));
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Has it tell an address what happens.
    pub async fn tells(&self, url: &str, secret: &str) {
        let body = json!({"url": url, "secret": secret});
        self.ask(Method::POST, "/_config/webhooks/test", &body).await;
    }
}
