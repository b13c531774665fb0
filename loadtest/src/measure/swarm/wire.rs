//! WebSocket frames as a client of the swarm sees them: its own written into a buffer,
//! the server's found in one without copying. Pure; a server's frames are never masked
//! (RFC 6455, 5.1) and, here, never in fragments.

/// Text, binary, close, ping and pong (RFC 6455, 5.2).
pub const TEXT: u8 = 1;
/// See [`TEXT`].
pub const BINARY: u8 = 2;
/// See [`TEXT`].
pub const CLOSE: u8 = 8;
/// See [`TEXT`].
pub const PING: u8 = 9;
/// See [`TEXT`].
pub const PONG: u8 = 10;

/// What stands at the beginning of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found<'a> {
    /// A whole frame, and how many bytes of the buffer it takes.
    Frame {
        /// Its opcode.
        opcode: u8,
        /// What it carries.
        payload: &'a [u8],
        /// Header and payload.
        size: usize,
    },
    /// More bytes are needed.
    Partial,
    /// No frame that a server may send.
    Broken(&'static str),
}

/// Finds the first frame of a buffer.
#[must_use]
pub fn first(bytes: &[u8]) -> Found<'_> {
    let [head, length, rest @ ..] = bytes else {
        return Found::Partial;
    };
    if head & 0x70 != 0 {
        return Found::Broken("a reserved bit is set, and no extension was agreed on");
    }
    if head & 0x80 == 0 {
        return Found::Broken("a message in fragments");
    }
    if length & 0x80 != 0 {
        return Found::Broken("a masked frame from a server");
    }
    let (length, header): (usize, usize) = match length {
        126 => match rest {
            [a, b, ..] => (usize::from(u16::from_be_bytes([*a, *b])), 4),
            _ => return Found::Partial,
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (usize::try_from(u64::from_be_bytes(*bytes)).unwrap_or(usize::MAX), 10),
            None => return Found::Partial,
        },
        short => (usize::from(*short), 2),
    };
    match header
        .checked_add(length)
        .and_then(|size| Some((size, bytes.get(header..size)?)))
    {
        Some((size, payload)) => Found::Frame {
            opcode: head & 0x0f,
            payload,
            size,
        },
        None => Found::Partial,
    }
}

/// Appends a client's frame. The mask is all zeroes: it is there for proxies between
/// strangers, and the server takes it off like any other.
pub fn push(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | u8::try_from(length).unwrap_or(0)),
        length @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};

    use super::*;

    fn server_frame(length: usize) -> Vec<u8> {
        let mut socket = WebSocket::from_raw_socket(std::io::Cursor::new(Vec::new()), Role::Server, None);
        socket.send(Message::text("x".repeat(length))).expect("written");
        socket.get_ref().get_ref().clone()
    }

    #[test]
    fn frames_of_every_size_are_found_once_they_are_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes = server_frame(length);
            for cut in [0, 1, 2, 3, bytes.len() - 1] {
                let cut = cut.min(bytes.len() - 1);
                assert_eq!(first(&bytes[..cut]), Found::Partial, "{length} cut at {cut}");
            }
            let Found::Frame { opcode, payload, size } = first(&bytes) else {
                panic!("{length} was not found");
            };
            assert_eq!((opcode, payload.len(), size), (TEXT, length, bytes.len()));
        }
    }

    #[test]
    fn what_a_client_writes_is_read_by_a_server() {
        for length in [0, 125, 126, 70_000] {
            let mut bytes = Vec::new();
            push(&mut bytes, TEXT, &vec![b'y'; length]);
            let mut socket = WebSocket::from_raw_socket(std::io::Cursor::new(bytes), Role::Server, None);
            assert_eq!(socket.read().expect("read").len(), length);
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_broken() {
        for bytes in [[0xc1, 0], [0x01, 0], [0x81, 0x80]] {
            assert!(matches!(first(&bytes), Found::Broken(_)), "{bytes:?}");
        }
    }
}
