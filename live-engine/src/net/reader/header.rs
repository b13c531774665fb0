//! The header of a client's frame: what may stand there, judged as far as it is there.

use super::ReadError;
use crate::net::frame::MAX_CONTROL_BYTES;

/// The longest header: two bytes, eight of length, four of mask.
pub const MAX_HEADER_BYTES: usize = 14;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    /// Whether it may come between the frames of a message.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub last: bool,
    pub compressed: bool,
    pub kind: Kind,
    /// Bytes of payload still to come.
    pub left: usize,
    /// The mask from the next byte on.
    pub mask: [u8; 4],
}

/// Reads a header and judges as much of it as is there. `None` when it is not whole.
pub fn parse(bytes: &[u8], deflate: bool) -> Result<Option<(Header, usize)>, ReadError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let (last, reserved) = (first & 0x80 != 0, first & 0x70);
    let kind = match first & 0x0f {
        0x0 => Kind::Continuation,
        0x1 => Kind::Text,
        0x2 => Kind::Binary,
        0x8 => Kind::Close,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        _ => return Err(ReadError::Protocol("the opcode is reserved")),
    };
    // The first frame of a message says whether the message is compressed (RFC 7692, 6.1).
    let compressed = reserved == 0x40 && deflate && matches!(kind, Kind::Text | Kind::Binary);
    if reserved != 0 && !compressed {
        return Err(ReadError::Protocol("a reserved bit is set"));
    }
    if kind.is_control() && !last {
        return Err(ReadError::Protocol("a control frame is fragmented"));
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 == 0 {
        return Err(ReadError::Protocol("a client's frame must be masked"));
    }
    let short = second & 0x7f;
    if kind.is_control() && usize::from(short) > MAX_CONTROL_BYTES {
        return Err(ReadError::Protocol("a control frame is too long"));
    }
    let Some((length, at)) = parse_length(short, &bytes[2..])? else {
        return Ok(None);
    };
    let Some(mask) = bytes[2 + at..].first_chunk::<4>() else {
        return Ok(None);
    };
    // On a platform where it does not fit it is too large all the same.
    let left = usize::try_from(length).unwrap_or(usize::MAX);
    let header = Header {
        last,
        compressed,
        kind,
        left,
        mask: *mask,
    };
    Ok(Some((header, 2 + at + 4)))
}

/// The payload's length and how many bytes beyond the second byte it took.
fn parse_length(short: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ReadError> {
    let (length, at, least) = match short {
        126 => match bytes.first_chunk::<2>() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 2, 126),
            None => return Ok(None),
        },
        127 => match bytes.first_chunk::<8>() {
            Some(length) => (u64::from_be_bytes(*length), 8, 65_536),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, 0),
    };
    if length < least {
        return Err(ReadError::Protocol("the length is not written in the shortest way"));
    }
    if length > i64::MAX as u64 {
        return Err(ReadError::Protocol("the length has its first bit set"));
    }
    Ok(Some((length, at)))
}

/// Takes the mask off a payload, or puts it on.
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}
