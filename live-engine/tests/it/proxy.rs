//! A stand between a service and Postgres that can be cut, can go silent, and can lose
//! the answer to a commit.

use std::sync::Arc;

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
        let accepting = tokio::spawn(accept(listener, socket, line.clone()));
        let url = format!("{user}@{address}/{database}");
        Self { url, line, accepting }
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

async fn accept(listener: TcpListener, socket: String, line: Arc<watch::Sender<Line>>) {
    let mut tasks = tokio::task::JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if *line.borrow() == Line::Cut {
            continue;
        }
        let (socket, line) = (socket.clone(), line.clone());
        tasks.spawn(async move {
            let server = UnixStream::connect(&socket).await.expect("Postgres listens");
            // However it ends, both sides are closed.
            let _ = carry(client, server, &line).await;
        });
    }
}

async fn carry(mut client: TcpStream, mut server: UnixStream, line: &watch::Sender<Line>) -> std::io::Result<()> {
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
