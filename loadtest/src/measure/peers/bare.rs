//! The least that a server can do: for each message one `send` to each viewer, in a
//! loop, with nothing kept, nothing checked and nothing shared between messages. What it
//! costs is the kernel's TCP stack.

use std::io::{ErrorKind, Read as _, Write as _};

use anyhow::{Context as _, Result, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const LISTENER: Token = Token(usize::MAX);

struct Viewer {
    stream: TcpStream,
    is_open: bool,
    /// A request or a message whose rest has not come yet.
    partial: Vec<u8>,
}

/// Serves until it is killed; prints its port first.
///
/// # Errors
/// When it cannot listen, or a viewer takes no more, which the loop has no answer to.
pub fn serve() -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    #[allow(clippy::print_stdout, reason = "whoever started it reads its port there")]
    {
        println!("{}", listener.local_addr()?.port());
    }
    std::io::stdout().flush()?;
    let mut events = Events::with_capacity(1024);
    let mut viewers: Vec<Viewer> = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut viewers)?;
                continue;
            }
            let who = event.token().0;
            for message in receive(&mut viewers[who], &mut buffer)? {
                send_all(&mut viewers, &message)?;
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, viewers: &mut Vec<Viewer>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                stream.set_nodelay(true)?;
                let token = Token(viewers.len());
                poll.registry().register(&mut stream, token, Interest::READABLE)?;
                viewers.push(Viewer {
                    stream,
                    is_open: false,
                    partial: Vec::new(),
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The measure itself.
fn send_all(viewers: &mut [Viewer], frame: &[u8]) -> Result<()> {
    for viewer in viewers.iter_mut().filter(|viewer| viewer.is_open) {
        match viewer.stream.write(frame) {
            Ok(sent) if sent == frame.len() => {}
            Ok(_) => bail!("a viewer takes no more"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => bail!("a viewer takes no more"),
            // Gone.
            Err(_) => viewer.is_open = false,
        }
    }
    Ok(())
}

/// What has come from one viewer, as the frames that go to all.
fn receive(viewer: &mut Viewer, buffer: &mut [u8]) -> Result<Vec<Vec<u8>>> {
    loop {
        match viewer.stream.read(buffer) {
            Ok(0) => {
                viewer.is_open = false;
                return Ok(Vec::new());
            }
            Ok(n) => viewer.partial.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(_) => {
                viewer.is_open = false;
                return Ok(Vec::new());
            }
        }
    }
    if !viewer.is_open {
        upgrade(viewer)?;
    }
    let mut frames = Vec::new();
    while let Some((size, message)) = message(&viewer.partial) {
        viewer.partial.drain(..size);
        frames.extend(message);
    }
    Ok(frames)
}

fn upgrade(viewer: &mut Viewer) -> Result<()> {
    if !viewer.partial.ends_with(b"\r\n\r\n") {
        return Ok(());
    }
    let request = String::from_utf8_lossy(&viewer.partial).into_owned();
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let accept = derive_accept_key(key.context("an upgrade without a key")?.trim().as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    viewer.stream.write_all(response.as_bytes())?;
    viewer.partial.clear();
    viewer.is_open = true;
    Ok(())
}

/// The first masked frame of less than 126 bytes: its size, and the frame to pass on if
/// it is a text.
fn message(bytes: &[u8]) -> Option<(usize, Option<Vec<u8>>)> {
    let [head, length, a, b, c, d, rest @ ..] = bytes else {
        return None;
    };
    let length = usize::from(length & 0x7f);
    let payload = rest.get(..length)?;
    let frame = (*head == 0x81).then(|| {
        let mask = [a, b, c, d];
        let mut frame = vec![0x81, u8::try_from(length).unwrap_or(0)];
        frame.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ **mask),
        );
        frame
    });
    Some((6 + length, frame))
}
