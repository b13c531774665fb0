//! One connection of the swarm: its socket, and no more beside it than what a half-read
//! frame or a full socket leaves over.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, bail};
use mio::net::TcpStream;

use super::Handler;
use super::wire::{self, Found};

/// The key that RFC 6455 itself uses as its example; the answer to it is known.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// An upgrade's response is shorter.
const MAX_RESPONSE_BYTES: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Connecting,
    Upgrading,
    Open,
    Closed,
}

/// See the module.
pub struct Client {
    /// Its number in the swarm.
    pub id: usize,
    pub(super) stream: TcpStream,
    stage: Stage,
    /// The beginning of a frame whose rest has not come yet.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
    close_code: Option<u16>,
}

impl Client {
    pub(super) fn connect(id: usize, to: SocketAddr, path: &str, protocol: Option<&str>) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        let protocol = protocol.map_or_else(String::new, |name| format!("Sec-WebSocket-Protocol: {name}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{protocol}\r\n"
        );
        Ok(Self {
            id,
            stream,
            stage: Stage::Connecting,
            partial: Vec::new(),
            unsent: request.into_bytes(),
            close_code: None,
        })
    }

    /// Whether frames can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether the upgrade is still to come.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Connecting | Stage::Upgrading)
    }

    /// The code of the server's close frame, if there was one.
    #[must_use]
    pub const fn close_code(&self) -> Option<u16> {
        self.close_code
    }

    /// Sends a text message; what the socket does not take now follows by itself.
    ///
    /// # Errors
    /// When the connection has failed.
    pub fn send(&mut self, text: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(text.len() + 14);
        wire::push(&mut frame, wire::TEXT, text);
        self.send_frames(&frame)
    }

    /// Sends bytes that are whole frames.
    ///
    /// # Errors
    /// When the connection has failed.
    pub fn send_frames(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.unsent.is_empty() {
            let sent = match self.stream.write(frames) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            self.unsent.extend_from_slice(&frames[sent..]);
        } else {
            self.unsent.extend_from_slice(frames);
        }
        Ok(())
    }

    /// Drops the connection as a lost network would: no close frame.
    pub fn cut(&mut self) {
        self.stage = Stage::Closed;
        // An error means that it is gone already.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.partial = Vec::new();
        self.unsent = Vec::new();
    }

    /// The socket takes bytes again, or is connected.
    pub(super) fn writable(&mut self) -> io::Result<()> {
        if self.stage == Stage::Connecting {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            self.stream.set_nodelay(true)?;
            self.stage = Stage::Upgrading;
        }
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        Ok(())
    }

    /// Reads all there is and hands on whole messages. `buffer` is the swarm's, and holds
    /// nothing between two calls.
    pub(super) fn readable<H: Handler>(&mut self, buffer: &mut [u8], handler: &mut H) -> Result<()> {
        while self.stage != Stage::Closed {
            let kept = self.partial.len();
            if kept >= buffer.len() {
                bail!("a frame of more than {} bytes", buffer.len());
            }
            buffer[..kept].copy_from_slice(&self.partial);
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return self.over(handler),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return self.over(handler),
            };
            self.partial.clear();
            let filled = kept + read;
            let used = self.take(&buffer[..filled], handler)?;
            if self.stage != Stage::Closed && used < filled {
                self.partial.extend_from_slice(&buffer[used..filled]);
            } else if self.partial.capacity() > 0 {
                self.partial = Vec::new();
            }
            // A short read has emptied the socket: epoll(7) says so for streams.
            if filled < buffer.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands on what is whole; how many bytes that was.
    fn take<H: Handler>(&mut self, bytes: &[u8], handler: &mut H) -> Result<usize> {
        let mut used = 0;
        if self.stage == Stage::Upgrading {
            match upgraded(bytes)? {
                Some(size) => used = size,
                None => return Ok(0),
            }
            self.stage = Stage::Open;
            handler.opened(self)?;
        }
        let at = Instant::now();
        while self.stage == Stage::Open {
            match wire::first(&bytes[used..]) {
                Found::Partial => break,
                Found::Broken(why) => bail!("connection {}: {why}", self.id),
                Found::Frame { opcode, payload, size } => {
                    used += size;
                    match opcode {
                        wire::TEXT | wire::BINARY => handler.message(self, payload, at)?,
                        wire::PING => {
                            let mut pong = Vec::with_capacity(payload.len() + 6);
                            wire::push(&mut pong, wire::PONG, payload);
                            self.send_frames(&pong)?;
                        }
                        wire::CLOSE => {
                            self.close_code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                            self.over(handler)?;
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(used)
    }

    pub(super) fn over<H: Handler>(&mut self, handler: &mut H) -> Result<()> {
        if self.stage == Stage::Closed {
            return Ok(());
        }
        self.cut();
        handler.closed(self)
    }
}

/// How long the upgrade's response is, once it is whole.
fn upgraded(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        if bytes.len() > MAX_RESPONSE_BYTES {
            bail!("a response to the upgrade without an end");
        }
        return Ok(None);
    };
    let response = String::from_utf8_lossy(&bytes[..end]);
    if !response.starts_with("HTTP/1.1 101") || !response.contains(ACCEPT) {
        bail!("the upgrade was refused: {response}");
    }
    Ok(Some(end + 4))
}
