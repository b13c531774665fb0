//! As much of an SMTP server as a client needs to hand a letter over.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server on loopback; it ends with the test.
pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    heard: watch::Receiver<usize>,
}

struct Shared {
    answer: Mutex<&'static str>,
    letters: Mutex<Vec<String>>,
    /// Connections that there have been.
    connections: AtomicUsize,
    heard: watch::Sender<usize>,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, heard) = watch::channel(0);
        let shared = Arc::new(Shared {
            answer: Mutex::new("250 thank you"),
            letters: Mutex::default(),
            connections: AtomicUsize::new(0),
            heard: sender,
        });
        tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(talk(socket, shared.clone()));
                }
            }
        });
        Self { port, shared, heard }
    }

    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// Says this to each recipient that is named from now on; to nothing it falls silent
    /// and keeps the connection open.
    pub fn answer_with(&self, line: &'static str) {
        *self.shared.answer.lock().expect("unpoisoned") = line;
    }

    /// The letters that were taken.
    pub fn letters(&self) -> Vec<String> {
        self.shared.letters.lock().expect("unpoisoned").clone()
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until so many recipients have been named.
    pub async fn heard(&self, count: usize) {
        let mut heard = self.heard.clone();
        let waited = tokio::time::timeout(Duration::from_secs(30), heard.wait_for(|n| *n >= count)).await;
        waited.expect("in time").expect("the server is there");
    }
}

async fn talk(socket: TcpStream, shared: Arc<Shared>) {
    let (read, mut write) = socket.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut say = async |line: &str| write.write_all(format!("{line}\r\n").as_bytes()).await.is_ok();
    if !say("220 test").await {
        return;
    }
    while let Ok(Some(line)) = lines.next_line().await {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let told = match verb.as_str() {
            "EHLO" => say("250 test").await,
            "RCPT" => {
                let answer = *shared.answer.lock().expect("unpoisoned");
                let told = answer.is_empty() || say(answer).await;
                shared.heard.send_modify(|n| *n += 1);
                told
            }
            "DATA" => {
                say("354 go on").await;
                let mut letter = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line == "." {
                        break;
                    }
                    letter.push_str(&line);
                    letter.push('\n');
                }
                shared.letters.lock().expect("unpoisoned").push(letter);
                say("250 taken").await
            }
            "QUIT" => {
                say("221 bye").await;
                return;
            }
            _ => say("250 ok").await,
        };
        if !told {
            return;
        }
    }
}
