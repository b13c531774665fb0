//! The engine as a program of its own, for tests of what only a process shows: its end,
//! its private listener, its metrics, which all engines of one process would share.

use std::net::SocketAddr;
use std::process::Stdio;

use loadtest::live::{Auth, LiveClient};
use serde_json::Value;
use shared::ids::StreamId;
use shared::protocol::Format;
use shared::token::{Part, Viewer};
use testkit::TestDb;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::ears::DEADLINE;
use crate::harness::ticket;

/// A running engine. Dropping it kills it.
pub struct Process {
    child: Child,
    log: watch::Receiver<Vec<Value>>,
    /// Where sockets connect.
    pub url: String,
    /// Where its private listener is.
    pub private: SocketAddr,
}

impl Process {
    /// Starts it on a database.
    pub async fn start(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_live-engine"))
            .args(["--log-format", "json"])
            .env_clear()
            .env("HAWKER_DATABASE_URL", database_url)
            .env("HAWKER_TOKEN_SECRET", testkit::TOKEN_SECRET)
            .env("HAWKER_ALLOW_UNSAFE_DATABASE", "true")
            .env("HAWKER_BUS", "memory")
            .env("HAWKER_LIVE", "127.0.0.1:0")
            .env("HAWKER_ADMIN_HTTP", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        // It says first where its sockets are, then where its private listener is.
        let mut said = Vec::new();
        while said.len() < 2 {
            let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
            let line = line.expect("in time").expect("readable").expect("it goes on");
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            said.extend(entry["fields"]["addr"].as_str().map(str::to_owned));
        }
        // What it says from now on is read, so that it never waits to say it.
        let (sender, log) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let entry = serde_json::from_str(&line).unwrap_or_default();
                sender.send_modify(|log| log.push(entry));
            }
        });
        Self {
            child,
            log,
            url: format!("ws://{}/ws", said[0]),
            private: said[1].parse().expect("an address"),
        }
    }

    /// Somebody with an account who has joined a show.
    pub async fn join(&self, db: &TestDb, stream: StreamId, name: &str) -> LiveClient {
        let id = testkit::fixtures::user(&db.pool, name).await;
        let viewer = Viewer::User { id, name: name.into() };
        let mut client = self.connect(viewer, stream, Part::Viewer).await;
        client.join(stream, None).await.expect("joined");
        client
    }

    /// Somebody with a ticket.
    pub async fn connect(&self, viewer: Viewer, stream: StreamId, part: Part) -> LiveClient {
        let ticket = ticket(viewer, stream, part);
        LiveClient::connect(&self.url, Format::Json, Auth::Ticket(ticket))
            .await
            .expect("in")
    }

    /// Asks the private listener.
    pub async fn get(&self, path: &str) -> (u16, String) {
        get(self.private, path).await.expect("it answers")
    }

    /// Waits until a page of the private listener is as wanted.
    pub async fn until(&self, path: &str, is_so: impl Fn(u16, &str) -> bool) -> String {
        let mut last = (0, String::new());
        let waiting = async {
            loop {
                last = self.get(path).await;
                if is_so(last.0, &last.1) {
                    return;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(DEADLINE, waiting).await;
        assert!(waited.is_ok(), "{path} did not become so in time: {last:?}");
        last.1
    }

    /// Waits for a line of its log.
    pub async fn says(&self, is_it: impl Fn(&Value) -> bool) -> Value {
        let mut log = self.log.clone();
        let said = tokio::time::timeout(DEADLINE, log.wait_for(|log| log.iter().any(&is_it))).await;
        let said = said.unwrap_or_else(|_| panic!("not said: {:#?}", self.log.borrow()));
        let said = said.expect("it goes on");
        said.iter().find(|line| is_it(line)).cloned().expect("as waited for")
    }

    /// Tells it to stop.
    pub async fn terminate(&self) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.expect("kill runs").success());
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("known").is_none()
    }

    /// Waits for its end: its exit status.
    pub async fn ended(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await;
        status.expect("it ends in time").expect("waited for").code()
    }
}

/// Asks a private listener.
pub async fn get(addr: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut socket = TcpStream::connect(addr).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    Ok((status.unwrap_or(0), body.unwrap_or_default()))
}
