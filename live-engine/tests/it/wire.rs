//! A client that speaks bytes, written apart from what it tests: frames by hand, flate2
//! for compressed ones, a blocking socket. For cases and abuses that no library's client
//! would commit.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use socket2::{Domain, Socket, Type};

pub const FINAL: u8 = 0x80;
pub const MORE: u8 = 0x00;
pub const COMPRESSED: u8 = 0x40;
pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xa;

const DEADLINE: Duration = Duration::from_secs(30);
const MASK: [u8; 4] = [0x81, 0x0f, 0xf0, 0x5a];

/// A frame whose first byte is `first`.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// A message in frames of `size` bytes; `first` has the opcode and the reserved bits.
pub fn fragmented(first: u8, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
    let last = payload.chunks(size).count().saturating_sub(1);
    let frames = payload.chunks(size).enumerate().map(|(n, part)| {
        let fin = if n == last { FINAL } else { MORE };
        frame(fin | if n == 0 { first } else { 0 }, part)
    });
    frames.collect()
}

/// Compresses a message that stands for itself.
pub fn deflate(message: &[u8]) -> Vec<u8> {
    let mut stream = Compress::new(Compression::default(), false);
    let mut out = Vec::with_capacity(message.len() * 2 + 64);
    stream
        .compress_vec(message, &mut out, FlushCompress::Sync)
        .expect("compressed");
    assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    out.truncate(out.len() - 4);
    out
}

fn inflate(message: &[u8]) -> Vec<u8> {
    let message = [message, &[0, 0, 0xff, 0xff]].concat();
    let (mut stream, mut out) = (Decompress::new(false), Vec::with_capacity(1 << 20));
    stream
        .decompress_vec(&message, &mut out, FlushDecompress::Sync)
        .expect("deflate");
    out
}

/// A connection.
pub struct Client {
    pub socket: TcpStream,
    /// What the server has taken up of the extensions offered.
    pub extensions: Option<String>,
    /// Whether the last message was compressed.
    pub was_compressed: bool,
    /// The close frame, once it has come.
    close: Option<Vec<u8>>,
    heard: Vec<u8>,
}

/// A request for the upgrade.
pub fn request(target: &str, offer: Option<&str>) -> String {
    let offer = offer.map_or(String::new(), |offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    format!(
        "GET {target} HTTP/1.1\r\nHost: echo\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: hawker.v1.json\r\n{offer}\r\n"
    )
}

impl Client {
    /// Connects, and says nothing yet.
    pub fn connect(server: SocketAddr) -> Self {
        Self::over(TcpStream::connect(server).expect("connected"))
    }

    /// The same with a receive buffer so small that it falls behind at once.
    pub fn connect_small(server: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(&server.into()).expect("connected");
        Self::over(socket.into())
    }

    fn over(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        socket.set_nodelay(true).expect("every write is a segment");
        Self {
            socket,
            extensions: None,
            was_compressed: false,
            close: None,
            heard: Vec::new(),
        }
    }

    /// Connects and upgrades, with an offer of extensions.
    pub fn open(server: SocketAddr, target: &str, offer: Option<&str>) -> Self {
        let mut client = Self::connect(server);
        client.send(request(target, offer).as_bytes(), usize::MAX);
        client.upgraded();
        client
    }

    /// Reads the response to the request.
    pub fn upgraded(&mut self) {
        self.heard.clear();
        while !self.heard.ends_with(b"\r\n\r\n") {
            assert!(self.read(1), "{}", String::from_utf8_lossy(&self.heard));
        }
        let response = String::from_utf8(std::mem::take(&mut self.heard)).expect("text");
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        let field = |name: &str| {
            let line = response.lines().find(|line| line.to_lowercase().starts_with(name));
            line.and_then(|line| line.split_once(": "))
                .map(|(_, value)| value.to_owned())
        };
        // The example of RFC 6455, 1.3.
        let accept = field("sec-websocket-accept");
        assert_eq!(accept.as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        self.extensions = field("sec-websocket-extensions");
    }

    /// Sends bytes, `chop` at a time. A server that has closed may not take them all.
    pub fn send(&mut self, bytes: &[u8], chop: usize) {
        for part in bytes.chunks(chop.min(bytes.len().max(1))) {
            if self.socket.write_all(part).is_err() {
                return;
            }
        }
    }

    /// Reads so many bytes more; false at the end of the connection.
    fn read(&mut self, count: usize) -> bool {
        let from = self.heard.len();
        self.heard.resize(from + count, 0);
        let read = self.socket.read_exact(&mut self.heard[from..]);
        if let Err(error) = &read {
            let kind = error.kind();
            assert!(kind != std::io::ErrorKind::WouldBlock, "nothing came");
            self.heard.truncate(from);
        }
        read.is_ok()
    }

    /// The next frame: its first byte and its payload.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        self.heard.clear();
        if !self.read(2) {
            return None;
        }
        assert_eq!(self.heard[1] & 0x80, 0, "a server does not mask");
        let first = self.heard[0];
        let more = match self.heard[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mut length = usize::from(self.heard[1]);
        if more > 0 {
            self.read(more);
            length = self.heard[2..]
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        }
        self.heard.clear();
        assert!(self.read(length), "the end comes inside a frame");
        Some((first, std::mem::take(&mut self.heard)))
    }

    /// The next message or pong; `None` when the connection closes instead.
    pub fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let (first, payload) = self.frame()?;
        assert_ne!(first & FINAL, 0, "our server does not fragment");
        self.was_compressed = first & COMPRESSED != 0;
        match (first & 0x70, first & 0x0f) {
            (0x00, CLOSE) => {
                self.close = Some(payload);
                None
            }
            (0x40, opcode @ (TEXT | BINARY)) if self.extensions.is_some() => Some((opcode, inflate(&payload))),
            (0x00, opcode) if opcode != PING => Some((opcode, payload)),
            _ => panic!("the server sent a frame that begins with {first:x}"),
        }
    }

    /// Reads to the end: the code of the close frame, which must be the last; or what
    /// came instead.
    pub fn closed(&mut self) -> Result<Option<u16>, String> {
        if self.close.is_none()
            && let Some(heard) = self.message()
        {
            return Err(format!("{heard:?}"));
        }
        let Some(close) = self.close.take() else {
            return Err("the end, without a close frame".to_owned());
        };
        match self.frame() {
            None => Ok(close.first_chunk().map(|code| u16::from_be_bytes(*code))),
            Some(frame) => Err(format!("{frame:?} after the close frame")),
        }
    }
}
