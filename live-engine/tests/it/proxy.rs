//! A stand between a service and Postgres that can be cut, can go silent, and can lose
//! the answer to a commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// How the proxy treats what passes through it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// Everything passes.
    Open,
    /// Connections are cut and new ones closed at once.
    Cut,
    /// Nothing passes, and nobody is told.
    Silent,
    /// The connections that are there stay silent; new ones pass, as after a failover.
    Replaced,
    /// The next message with these bytes reaches Postgres, its answer is lost and the
    /// connection cut; then open.
    LosesAnswerTo(Vec<u8>),
}

/// See the module. Ends when dropped.
pub struct Proxy {
    statements: Arc<AtomicU64>,
    /// The database's URL through the proxy.
    pub url: String,
    line: Arc<watch::Sender<Line>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// A proxy before the database at `url`, whose host is a socket's folder.
    pub async fn before(url: &str) -> Self {
        let (user, rest) = url.split_once('@').expect("the URL names a user");
        let (folder, database) = rest.split_once('/').expect("the URL names a database");
        let socket = format!("{}/.s.PGSQL.5432", folder.replace("%2F", "/"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let line = Arc::new(watch::Sender::new(Line::Open));
        let statements = Arc::<AtomicU64>::default();
        let accepting = tokio::spawn(accept(listener, socket, line.clone(), statements.clone()));
        let url = format!("{user}@{address}/{database}");
        Self {
            statements,
            url,
            line,
            accepting,
        }
    }

    /// Statements that were executed through it so far.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Changes the line.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Waits until the line is as wished.
    pub async fn until(&self, line: Line) {
        let mut now = self.line.subscribe();
        let changed = tokio::time::timeout(crate::ears::DEADLINE, now.wait_for(|now| *now == line)).await;
        let _ = changed.expect("the line changes in time").expect("the proxy lives");
    }
}

async fn accept(listener: TcpListener, socket: String, line: Arc<watch::Sender<Line>>, statements: Arc<AtomicU64>) {
    let mut tasks = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if *line.borrow() == Line::Cut {
            continue;
        }
        let (socket, line) = (socket.clone(), line.clone());
        let messages = Messages::new(statements.clone());
        tasks.spawn(async move {
            let server = UnixStream::connect(&socket).await.expect("Postgres listens");
            // However it ends, both sides are closed.
            let _ = carry(client, server, &line, messages).await;
        });
    }
}

/// Counts the statements in what a client sends: `Execute` and simple `Query` messages
/// (Postgres, "Frontend/Backend Protocol").
struct Messages {
    statements: Arc<AtomicU64>,
    /// Of a message that has begun: what is left of it.
    left: usize,
    header: Vec<u8>,
    /// The first message has no type.
    started: bool,
}

impl Messages {
    fn new(statements: Arc<AtomicU64>) -> Self {
        Self {
            statements,
            left: 0,
            header: Vec::new(),
            started: false,
        }
    }

    fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let Some((byte, rest)) = bytes.split_first() else {
                return;
            };
            self.header.push(*byte);
            bytes = rest;
            let typed = usize::from(self.started);
            if self.header.len() < typed + 4 {
                continue;
            }
            if self.started && matches!(self.header[0], b'E' | b'Q') {
                self.statements.fetch_add(1, Ordering::Relaxed);
            }
            let length: [u8; 4] = self.header[typed..].try_into().expect("four bytes");
            self.left = u32::from_be_bytes(length) as usize - 4;
            self.header.clear();
            self.started = true;
        }
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: UnixStream,
    line: &watch::Sender<Line>,
    mut messages: Messages,
) -> std::io::Result<()> {
    let mut changes = line.subscribe();
    let late = *line.borrow() == Line::Replaced;
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        let now = changes.borrow_and_update().clone();
        if now == Line::Cut {
            return Ok(());
        }
        if now == Line::Silent || (now == Line::Replaced && !late) {
            if changes.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
            }
            count = client.read(&mut up) => {
                let bytes = &up[..count?];
                if bytes.is_empty() {
                    return Ok(());
                }
                messages.see(bytes);
                server.write_all(bytes).await?;
                let loses = |mark: &[u8]| bytes.windows(mark.len()).any(|word| word == mark);
                if matches!(&now, Line::LosesAnswerTo(mark) if loses(mark)) {
                    // The answer says that it is done; nobody hears it.
                    let _answer = server.read(&mut down).await?;
                    line.send_replace(Line::Open);
                    return Ok(());
                }
            }
            count = server.read(&mut down) => {
                let bytes = &down[..count?];
                if bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}
