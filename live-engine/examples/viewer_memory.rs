//! What a viewer costs in memory: the growth of the engine's resident bytes from the
//! first thousand viewers to the last, divided by their number. Each has a ticket, has
//! joined, was answered and has heard a message. The viewers are a process of their own.
//!
//! `cargo run --release -p live-engine --example viewer_memory -- [viewers] [json|msgpack]`,
//! with a database server as tests need one.

#![allow(clippy::print_stdout, reason = "its figures are its purpose")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use live_engine::{Config, Limits};
use shared::bus::MemoryBus;
use shared::config::Secret;
use shared::ids::{RequestId, StreamId, UserId};
use shared::protocol::{ClientCommand, ClientFrame, Format};
use shared::token::{Part, Ticket, Viewer};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What everything that is there once costs is not counted.
const FIRST: usize = 1000;
const DEADLINE: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let first = args.next();
    if first.as_deref() == Some("viewers") {
        let [addr, stream, count, format] = [(); 4].map(|()| args.next().unwrap_or_default());
        return watch(addr.parse()?, StreamId(stream.parse()?), count.parse()?, &format);
    }
    let viewers = first.map_or(Ok(15_000), |count| count.parse())?;
    let format = args.next().unwrap_or_else(|| "json".to_owned());
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(measure(viewers, &format))
}

async fn measure(viewers: usize, format: &str) -> Result<()> {
    let db = testkit::database().await;
    let shop = testkit::fixtures::shop(&db.pool, 100, 1900).await;
    let config = Config {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: 2,
        node: None,
        database_url: Secret::new(db.url.clone()),
        db: testkit::db_options(),
        token_key: testkit::token_key(),
        allowed_origins: Vec::new(),
        trusted_proxies: Vec::new(),
        moderation: None,
        compression: true,
        drain: live_engine::Drain::default(),
        show: live_engine::ShowRules::default(),
        limits: Limits {
            connections_per_address: usize::MAX,
            // They answer no pings.
            ping_interval: Duration::from_secs(3600),
            ..Limits::default()
        },
    };
    let engine = live_engine::start(config, MemoryBus::shared()).await?;
    let mut small = Audience::gather(engine.addr(), shop.stream, FIRST, format)?;
    let before = resident_bytes()?;
    let mut large = Audience::gather(engine.addr(), shop.stream, viewers - FIRST, format)?;
    let after = resident_bytes()?;
    println!("{format}: {before} bytes with {FIRST} viewers, {after} with {viewers}");
    println!(
        "{} bytes a viewer",
        (after.saturating_sub(before)) / (viewers - FIRST) as u64
    );
    small.leave()?;
    large.leave()?;
    engine.stop().await;
    Ok(())
}

fn resident_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("VmRSS")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// A process of viewers who stay until it is told to end.
struct Audience {
    process: Child,
    input: ChildStdin,
}

impl Audience {
    fn gather(engine: SocketAddr, stream: StreamId, count: usize, format: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["viewers", &engine.to_string(), &stream.to_string()])
            .args([&count.to_string(), format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().context("its input")?;
        let output = process.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() != "there" {
            bail!("the viewers did not get in");
        }
        Ok(Self { process, input })
    }

    fn leave(&mut self) -> Result<()> {
        self.input.write_all(b"\n")?;
        self.process.wait()?;
        Ok(())
    }
}

/// The viewers' side: connects them, lets them hear a message, and waits for a line.
fn watch(engine: SocketAddr, stream: StreamId, count: usize, format: &str) -> Result<()> {
    let format = match format {
        "msgpack" => Format::MsgPack,
        _ => Format::Json,
    };
    let mut viewers = Vec::with_capacity(count);
    for n in 0..count {
        viewers.push(join(engine, stream, format, n).with_context(|| format!("viewer {n}"))?);
    }
    let text = format!("everybody there? {count}");
    let chat = ClientCommand::Chat {
        text: text.clone(),
        reply_to: None,
    };
    if let Some(author) = viewers.last_mut() {
        send(author, format, 3, chat)?;
    }
    for viewer in &mut viewers {
        until(viewer, text.as_bytes())?;
    }
    println!("there");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn join(engine: SocketAddr, stream: StreamId, format: Format, n: usize) -> Result<TcpStream> {
    let claims = Ticket {
        jti: Uuid::now_v7(),
        viewer: Viewer::User {
            id: UserId::new(),
            name: format!("Viewer {n}"),
        },
        session: None,
        stream,
        part: Part::Viewer,
    };
    let ticket = testkit::token_key()
        .sign(claims, chrono::Utc::now().timestamp())
        .ok()
        .context("a ticket")?;
    let mut socket = TcpStream::connect(engine)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    write!(
        socket,
        "GET /ws?ticket={ticket} HTTP/1.1\r\nHost: {engine}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: {}\r\n\r\n",
        format.subprotocol()
    )?;
    until(&mut socket, b"hello")?;
    send(&mut socket, format, 1, ClientCommand::Join { stream, since: None })?;
    until(&mut socket, b"snapshot")?;
    // Refused, so that what one does is not told to all others meanwhile.
    let react = ClientCommand::React {
        kind: "none".into(),
        count: 1,
    };
    send(&mut socket, format, 2, react)?;
    until(&mut socket, b"no such reaction")?;
    Ok(socket)
}

/// Writes a command as a frame with a mask of nothing.
fn send(socket: &mut TcpStream, format: Format, id: u64, command: ClientCommand) -> Result<()> {
    let frame = ClientFrame {
        id,
        request_id: Some(RequestId::new()),
        command,
    };
    let payload = format.encode(&frame)?;
    let opcode = match format {
        Format::Json => 0x81,
        Format::MsgPack => 0x82,
    };
    let mut bytes = vec![opcode];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&u16::try_from(payload.len())?.to_be_bytes());
        }
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&payload);
    socket.write_all(&bytes)?;
    Ok(())
}

/// Reads until these bytes have come.
fn until(socket: &mut TcpStream, wanted: &[u8]) -> Result<()> {
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = socket.read(&mut buffer)?;
        if read == 0 {
            bail!("the engine has hung up");
        }
        heard.extend_from_slice(&buffer[..read]);
        if heard.windows(wanted.len()).any(|window| window == wanted) {
            return Ok(());
        }
    }
}
