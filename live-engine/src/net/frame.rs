//! WebSocket frames as a server sends them (RFC 6455, section 5): unmasked, unfragmented.
//!
//! Bytes in, bytes out; nothing here knows a socket.

use shared::protocol::Format;

/// The longest payload of a control frame (RFC 6455, 5.5).
pub const MAX_CONTROL_BYTES: usize = 125;

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// The end, with a code and a reason.
    Close = 0x8,
    /// A question for a pong.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xa,
}

impl Opcode {
    /// The kind of frame that carries messages of a format.
    #[must_use]
    pub const fn of(format: Format) -> Self {
        match format {
            Format::Json => Self::Text,
            Format::MsgPack => Self::Binary,
        }
    }
}

/// The bit that ends a message, which each of our frames does.
const FINAL: u8 = 0x80;
/// The bit that says that a message is compressed (RFC 7692, 6).
const COMPRESSED: u8 = 0x40;

/// Appends one whole frame to `out`.
pub fn push(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    push_as(out, FINAL | opcode as u8, payload);
}

/// Appends one whole frame with a compressed payload.
pub fn push_deflated(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    push_as(out, FINAL | COMPRESSED | opcode as u8, payload);
}

fn push_as(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    out.reserve(payload.len() + 10);
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// What one of our own frames carries.
#[must_use]
pub fn payload(frame: &[u8]) -> &[u8] {
    let header = match frame.get(1) {
        None | Some(..126) => 2,
        Some(126) => 4,
        Some(127..) => 10,
    };
    frame.get(header..).unwrap_or_default()
}

/// A close frame; without a code it says nothing at all. The reason is cut to what a
/// control frame may hold.
#[must_use]
pub fn close(code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        let mut end = reason.len().min(MAX_CONTROL_BYTES - 2);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..end]);
    }
    let mut out = Vec::new();
    push(&mut out, Opcode::Close, &payload);
    out
}

/// A ping without a payload.
#[must_use]
pub fn ping() -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, Opcode::Ping, &[]);
    out
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};

    use super::*;

    fn read_back(bytes: Vec<u8>) -> Message {
        WebSocket::from_raw_socket(Cursor::new(bytes), Role::Client, None)
            .read()
            .expect("another implementation reads it")
    }

    #[test]
    fn another_implementation_reads_frames_of_every_length() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let text = "x".repeat(len);
            let mut out = Vec::new();
            push(&mut out, Opcode::Text, text.as_bytes());
            assert_eq!(payload(&out), text.as_bytes());
            assert_eq!(read_back(out), Message::text(text), "{len}");
            let mut out = Vec::new();
            push(&mut out, Opcode::Binary, &vec![7; len]);
            assert_eq!(read_back(out), Message::binary(vec![7; len]), "{len}");
        }
    }

    #[test]
    fn a_close_frame_carries_code_and_reason_within_a_control_frame() {
        let Message::Close(Some(frame)) = read_back(close(Some(4008), &"ü".repeat(100))) else {
            panic!("not a close frame");
        };
        assert_eq!(u16::from(frame.code), 4008);
        assert_eq!(frame.reason.as_str(), "ü".repeat(61));
        assert_eq!(read_back(close(None, "")), Message::Close(None));
    }
}
