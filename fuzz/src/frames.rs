//! Frames as a client that keeps to the form sends them (masked, with lengths written the
//! shortest way), whatever they say, for our reader and for another implementation.

use std::io::{Cursor, Read, Write};

use live_engine::net::deflate::Deflater;
use live_engine::net::reader::{ReadError, ReadLimits};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket, WebSocketConfig};

use crate::{Heard, Manner, read};

const LIMITS: ReadLimits = ReadLimits {
    message_bytes: 600,
    // The other implementation has no such limit.
    fragments: u32::MAX,
};
/// What the other implementation answers where a close frame has a code that must not be
/// in one; it says so in place of the frame's own words.
const NO_SUCH_CODE: (u16, &str) = (1002, "Protocol violation");

/// A code that the registry has and the other implementation does not know (Bad Gateway).
const REGISTERED_SINCE: u16 = 1014;

/// What is left of the input.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Frames twice: as ours are compressed, and as they would be without.
#[derive(Default)]
struct Streams {
    ours: Vec<u8>,
    plain: Vec<u8>,
}

/// Frames of a client. Our reader takes and refuses what another implementation takes and
/// refuses, and hears the same; a compressed message is heard as what was compressed.
pub fn frames(data: &[u8]) {
    let mut source = Source(data);
    let mut streams = Streams::default();
    let (mut is_compressed, mut deflater) = (false, Deflater::default());
    while let Some(first) = source.byte() {
        let length = source.byte().unwrap_or(0);
        let long = length & 0x80 != 0;
        let payload = source.bytes(usize::from(length & 0x7f) * if long { 8 } else { 1 });
        let mask = [first, length, !first, length.rotate_left(3)];
        // A whole message of text or bytes that asks for it.
        let deflated = match first & 0xcf {
            0xc1 | 0xc2 if first & 0x30 == 0 => deflater.deflate(payload),
            _ => None,
        };
        if let Some(deflated) = deflated {
            is_compressed = true;
            push(&mut streams.ours, first, mask, &deflated);
            push(&mut streams.plain, first & !0x40, mask, payload);
        } else {
            // The bit may be there only where compression was agreed on.
            push(&mut streams.ours, first, mask, payload);
            push(&mut streams.plain, first, mask, payload);
        }
    }
    let manner = Manner {
        limits: LIMITS,
        deflate: false,
        pieces: &[],
        pauses: false,
    };
    assert_same(&streams.plain, read(&streams.plain, manner));
    if is_compressed && !has_other_reserved_bits(&streams) {
        let ours = read(
            &streams.ours,
            Manner {
                deflate: true,
                ..manner
            },
        );
        assert_same(&streams.plain, ours);
    }
}

/// Whether some frame has a reserved bit that is not due to our compression: then it is
/// for the reader alone whether that is an empty promise or a fault.
fn has_other_reserved_bits(streams: &Streams) -> bool {
    let mut rest = &streams.plain[..];
    while let Some((first, after)) = rest.split_first() {
        if first & 0x70 != 0 {
            return true;
        }
        let (header, length) = match after[0] & 0x7f {
            126 => (3, usize::from(u16::from_be_bytes([after[1], after[2]]))),
            short => (1, usize::from(short)),
        };
        rest = &after[header + 4 + length..];
    }
    false
}

/// A client's frame.
fn push(out: &mut Vec<u8>, first: u8, mask: [u8; 4], payload: &[u8]) {
    out.push(first);
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => out.push(0x80 | short),
        _ => {
            out.push(0x80 | 126);
            let medium = u16::try_from(payload.len()).expect("at most 1016 bytes");
            out.extend_from_slice(&medium.to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn assert_same(stream: &[u8], (ours, error): (Vec<Heard>, Option<ReadError>)) {
    let (theirs, refused, last_is_no_such_code) = read_by_another(stream);
    let mut expected = theirs;
    let mut is_refused = refused;
    if last_is_no_such_code && error.is_some() {
        expected.pop();
        is_refused = true;
    } else if last_is_no_such_code && ours.last() == Some(&Heard::Close(Some(REGISTERED_SINCE))) {
        expected.pop();
        expected.push(Heard::Close(Some(REGISTERED_SINCE)));
    }
    assert_eq!(
        ours, expected,
        "the other says that it is refused: {is_refused}, ours {error:?}"
    );
    assert_eq!(error.is_some(), is_refused, "ours: {error:?}, after {ours:?}");
}

/// What another implementation hears; whether it refuses what comes then; and whether the
/// last word is its own, on a close frame with a code that there is not.
fn read_by_another(stream: &[u8]) -> (Vec<Heard>, bool, bool) {
    let limit = Some(LIMITS.message_bytes as usize);
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(limit)
        .max_frame_size(limit);
    let mut socket = WebSocket::from_raw_socket(Line(Cursor::new(stream)), Role::Server, Some(config));
    let mut heard = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => heard.push(Heard::Text(text.as_str().to_owned())),
            Ok(Message::Binary(bytes)) => heard.push(Heard::Binary(bytes.to_vec())),
            Ok(Message::Ping(payload)) => heard.push(Heard::Ping(payload.to_vec())),
            Ok(Message::Pong(_)) => heard.push(Heard::Pong),
            Ok(Message::Close(frame)) => {
                let no_such_code = frame
                    .as_ref()
                    .is_some_and(|frame| (u16::from(frame.code), frame.reason.as_str()) == NO_SUCH_CODE);
                heard.push(Heard::Close(frame.map(|frame| frame.code.into())));
                return (heard, false, no_such_code);
            }
            Ok(Message::Frame(_)) => unreachable!("only written"),
            Err(error) => return (heard, is_refusal(&error), false),
        }
    }
}

/// Whether an error is more than the end of the stream.
fn is_refusal(error: &tokio_tungstenite::tungstenite::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    !matches!(
        error,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::ConnectionClosed
    )
}

/// A line that has said all it will, and that nobody listens to.
struct Line<'a>(Cursor<&'a [u8]>);

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
