//! What must hold for whatever bytes a stranger sends: of the frame reader, of commands,
//! and of both wire formats. Each property is a function over bytes that panics when it
//! does not hold; `fuzz_targets/` gives them to libFuzzer, and a test gives them the
//! committed corpus (CONTRIBUTING.md says how to run both).

mod allocations;
mod frames;

use std::ops::ControlFlow;

use live_engine::net::deflate::Inflater;
use live_engine::net::reader::{Event, ReadError, ReadLimits, Reader};
use shared::protocol::{ClientFrame, Format, MAX_CLIENT_FRAME_BYTES, ServerFrame, read_client_frame};

pub use frames::frames;

/// The most memory that reading one command may take at one time, for a frame of the
/// largest size: every byte of it may become a value of 32 bytes on the way, in a list
/// that is copied when it grows.
pub const COMMAND_BYTES: usize = 2 * 1024 * 1024;

/// A header that has begun, and the payload of a control frame.
const BESIDE_THE_MESSAGE: usize = 14 + 125;

/// An event that owns what it carries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<Event<'_>> for Heard {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Event::Ping(payload) => Self::Ping(payload.to_vec()),
            Event::Pong => Self::Pong,
            Event::Close(code) => Self::Close(code),
        }
    }
}

/// What was heard, and why reading ended before the end.
pub(crate) type Reading = (Vec<Heard>, Option<ReadError>);

/// How bytes are handed to the reader.
#[derive(Clone, Copy)]
pub(crate) struct Manner<'a> {
    pub limits: ReadLimits,
    pub deflate: bool,
    /// The lengths of the pieces, over and over.
    pub pieces: &'a [usize],
    /// Whether reading pauses after every event.
    pub pauses: bool,
}

/// Reads a stream, and sees to it that nothing more is kept than may be.
pub(crate) fn read(stream: &[u8], manner: Manner<'_>) -> Reading {
    let (mut reader, mut inflater) = (Reader::new(manner.limits, manner.deflate), Inflater::default());
    let (mut heard, mut rest) = (Vec::new(), stream);
    let mut pieces = manner.pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let length = pieces.next().unwrap_or(usize::MAX).clamp(1, rest.len());
        let (piece, after) = rest.split_at(length);
        rest = after;
        let mut piece = piece.to_vec();
        let mut from = 0;
        while from < piece.len() {
            let fed = reader.feed(&mut piece[from..], &mut inflater, |event| {
                heard.push(event.into());
                if manner.pauses {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            match fed {
                Ok(used) => {
                    assert!(used > 0, "nothing was read of {} bytes", piece.len() - from);
                    assert!(manner.pauses || used == piece.len(), "something was left unread");
                    from += used;
                }
                Err(error) => return (heard, Some(error)),
            }
            let most = manner.limits.message_bytes as usize + BESIDE_THE_MESSAGE;
            assert!(reader.kept_bytes() <= most, "{} bytes are kept", reader.kept_bytes());
            assert!(
                reader.is_midway() || reader.kept_bytes() == 0,
                "something was kept for nothing"
            );
        }
    }
    (heard, None)
}

/// Any bytes. However they are cut, whether reading pauses or not, the same is heard and
/// the same ends it; and no more memory is taken than a message of the largest size needs.
///
/// The first byte says how bytes are read, the next up to seven how they are cut.
pub fn reader(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    let cuts = usize::from(how >> 5).min(rest.len());
    let (cuts, stream) = rest.split_at(cuts);
    let pieces: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut)).collect();
    let limits = ReadLimits {
        message_bytes: [16, 300, 5_000, 16_384][usize::from(how >> 1 & 3)],
        fragments: [1, 3, 40, 1024][usize::from(how >> 3 & 3)],
    };
    let manner = Manner {
        limits,
        deflate: how & 1 != 0,
        pieces: &[],
        pauses: false,
    };
    let ((mut bytes, mut inflater), mut reader) = (
        (stream.to_vec(), Inflater::default()),
        Reader::new(limits, manner.deflate),
    );
    let ((), most) = allocations::most_of(|| {
        let _ = reader.feed(&mut bytes, &mut inflater, |_| ControlFlow::Continue(()));
    });
    // What grows is copied into twice its size; and what is inflated has one byte more.
    let bound = 4 * limits.message_bytes as usize + 1024;
    assert!(
        most <= bound,
        "{most} bytes to read messages of {}",
        limits.message_bytes
    );

    let whole = read(stream, manner);
    for pieces in [&pieces[..], &[1]] {
        for pauses in [false, true] {
            let cut = read(
                stream,
                Manner {
                    pieces,
                    pauses,
                    ..manner
                },
            );
            assert_eq!(cut, whole, "cut into {pieces:?}, with pauses: {pauses}");
        }
    }
}

/// A client's frame of at most the size that clients are allowed. Whatever it is, it is
/// read or refused without taking too much memory; a refusal says little; and what was
/// read is the same when it is written and read again, in both formats.
pub fn command(data: &[u8]) {
    let Some((format, bytes)) = choose(data) else { return };
    let bytes = &bytes[..bytes.len().min(MAX_CLIENT_FRAME_BYTES)];
    let (read, most) = allocations::most_of(|| read_client_frame(format, bytes));
    assert!(most <= COMMAND_BYTES, "{most} bytes for a frame of {}", bytes.len());
    match read {
        Ok(frame) => {
            for format in Format::ALL {
                let written = format.encode(&frame).expect("what was read can be written");
                let again: ClientFrame = format.decode(&written).expect("what was written can be read");
                assert_eq!(again, frame, "{format:?}");
            }
        }
        Err((_, refusal)) => {
            assert!(refusal.detail.chars().count() <= 200, "{refusal:?}");
            Format::Json.encode(&refusal).expect("a refusal can be told");
        }
    }
}

/// A server's frame, as clients read it: the same when it is written and read again.
pub fn message(data: &[u8]) {
    let Some((format, bytes)) = choose(data) else { return };
    let Ok(frame) = format.decode::<ServerFrame>(bytes) else {
        return;
    };
    for format in Format::ALL {
        let written = format.encode(&frame).expect("what was read can be written");
        let again: ServerFrame = format.decode(&written).expect("what was written can be read");
        assert_eq!(again, frame, "{format:?}");
    }
}

/// The first byte says the format.
fn choose(data: &[u8]) -> Option<(Format, &[u8])> {
    let (format, bytes) = data.split_first()?;
    Some((Format::ALL[usize::from(format & 1)], bytes))
}
