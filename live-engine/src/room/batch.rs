//! One tick of a room: its events encoded once for each wire format and framed once, for
//! every viewer of every worker.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Serialize;
use shared::protocol::{Ephemeral, EphemeralFrame, Format, FormatError, Millis, NumberedFrame, RoomEvent};

use super::log::{Encoded, Framed};
use super::state::Watching;
use crate::net::frame::{self, Opcode};

/// What a room sends to each worker in one message.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The room's epoch.
    pub epoch: i64,
    /// The numbered events and when each was decided, for the shards' own copies of the
    /// room's state.
    pub events: Arc<[(RoomEvent, Millis)]>,
    /// Who is in the room, as last counted.
    pub watching: Watching,
    /// The frames; numbered ones in it follow each other from batch to batch.
    pub encoded: Arc<Encoded>,
}

impl Batch {
    /// Encodes a tick: `events` numbered from `from` on, and what may be missed.
    ///
    /// # Errors
    /// For an event that a format cannot hold, which is a defect.
    pub fn encode(
        epoch: i64,
        from: u64,
        events: Vec<(RoomEvent, Millis)>,
        ephemeral: Vec<Ephemeral>,
        watching: Watching,
        now: Millis,
        at: Instant,
    ) -> Result<Self, FormatError> {
        let to = from + events.len() as u64 - 1;
        let (m, times): (Vec<_>, Vec<_>) = events.into_iter().unzip();
        let numbered = (!m.is_empty()).then_some(NumberedFrame {
            epoch,
            from,
            to,
            now,
            m,
        });
        let ephemeral = (!ephemeral.is_empty()).then_some(EphemeralFrame { now, m: ephemeral });
        let frames = [
            framed(Format::ALL[0], numbered.as_ref(), ephemeral.as_ref())?,
            framed(Format::ALL[1], numbered.as_ref(), ephemeral.as_ref())?,
        ];
        Ok(Self {
            epoch,
            events: numbered
                .map_or_else(Vec::new, |frame| frame.m)
                .into_iter()
                .zip(times)
                .collect(),
            watching,
            encoded: Arc::new(Encoded::new(from, to, at, frames)),
        })
    }
}

impl Batch {
    /// Compresses it for the formats in which somebody may read it compressed, in the order
    /// of [`Format::ALL`]. Before it is shared: afterwards it stays as it is.
    #[must_use]
    pub fn deflated(mut self, wanted: [bool; 2]) -> Self {
        if wanted != [false; 2]
            && let Some(encoded) = Arc::get_mut(&mut self.encoded)
        {
            encoded.deflate(wanted);
        }
        self
    }
}

fn framed(
    format: Format,
    numbered: Option<&NumberedFrame>,
    ephemeral: Option<&EphemeralFrame>,
) -> Result<Framed, FormatError> {
    let mut out = Vec::new();
    if let Some(frame) = numbered {
        frame::push(&mut out, Opcode::of(format), &format.encode(frame)?);
    }
    let numbered = out.len();
    if let Some(frame) = ephemeral {
        frame::push(&mut out, Opcode::of(format), &format.encode(frame)?);
    }
    Ok(Framed {
        bytes: Bytes::from(out),
        numbered,
    })
}

/// One message as one frame.
///
/// # Errors
/// For a message that the format cannot hold, which is a defect.
pub fn message<T: Serialize>(format: Format, message: &T) -> Result<Vec<u8>, FormatError> {
    let mut out = Vec::new();
    frame::push(&mut out, Opcode::of(format), &format.encode(message)?);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use shared::protocol::ServerFrame;
    use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};

    use super::*;
    use crate::net::deflate::Inflater;
    use crate::room::log::Variant;

    fn read_all(format: Format, bytes: &Bytes) -> Vec<ServerFrame> {
        let mut socket = WebSocket::from_raw_socket(Cursor::new(bytes.to_vec()), Role::Client, None);
        std::iter::from_fn(|| match socket.read() {
            Ok(Message::Text(text)) if format == Format::Json => Some(format.decode(text.as_bytes()).expect("json")),
            Ok(Message::Binary(bytes)) if format == Format::MsgPack => Some(format.decode(&bytes).expect("msgpack")),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        })
        .collect()
    }

    fn viewers() -> Ephemeral {
        Ephemeral::Viewers {
            count: 4,
            people: 3,
            who: vec!["Somebody".into()],
        }
    }

    #[test]
    fn both_formats_carry_the_same_frames() {
        let events = vec![RoomEvent::Unfeatured; 3];
        let timed = events.iter().map(|event| (event.clone(), 98)).collect();
        let batch =
            Batch::encode(2, 8, timed, vec![viewers()], Watching::default(), 99, Instant::now()).expect("encodes");
        assert_eq!((batch.encoded.from, batch.encoded.to), (8, 10));
        for format in Format::ALL {
            let framed = batch.encoded.framed(Variant::plain(format));
            let frames = read_all(format, &framed.bytes);
            let numbered = NumberedFrame {
                epoch: 2,
                from: 8,
                to: 10,
                now: 99,
                m: events.clone(),
            };
            let ephemeral = EphemeralFrame {
                now: 99,
                m: vec![viewers()],
            };
            assert_eq!(
                frames,
                [
                    ServerFrame::Numbered(numbered.clone()),
                    ServerFrame::Ephemeral(ephemeral)
                ],
                "{format:?}"
            );
            let alone = read_all(format, &Bytes::copy_from_slice(framed.numbered()));
            assert_eq!(alone, [ServerFrame::Numbered(numbered)]);
        }
    }

    #[test]
    fn a_tick_without_events_is_only_what_may_be_missed() {
        let batch = Batch::encode(
            1,
            5,
            vec![],
            vec![Ephemeral::Time],
            Watching::default(),
            1,
            Instant::now(),
        )
        .expect("encodes");
        assert_eq!((batch.encoded.from, batch.encoded.to), (5, 4));
        for format in Format::ALL {
            assert_eq!(batch.encoded.framed(Variant::plain(format)).numbered, 0);
            assert!(!batch.encoded.framed(Variant::plain(format)).bytes.is_empty());
        }
    }

    #[test]
    fn a_tick_is_compressed_where_that_pays_and_only_for_who_wants_it() {
        let chatter = || vec![(RoomEvent::Unfeatured, 98); 60];
        let passing = || vec![Ephemeral::Time];
        let encode =
            |events| Batch::encode(2, 1, events, passing(), Watching::default(), 99, Instant::now()).expect("encodes");
        let variant = |format| Variant { format, deflate: true };
        let batch = encode(chatter()).deflated([true, false]);
        let [plain, deflated] = [Variant::plain(Format::Json), variant(Format::Json)].map(|v| batch.encoded.framed(v));
        assert!(
            deflated.numbered < plain.numbered / 4,
            "{} of {}",
            deflated.numbered,
            plain.numbered
        );
        assert_eq!(deflated.numbered()[0], 0xc1, "a whole text, compressed");
        let mut inflater = Inflater::default();
        let inflated = inflater.inflate(frame::payload(deflated.numbered()), 1 << 20);
        assert_eq!(inflated, Ok(frame::payload(plain.numbered())));
        assert_eq!(deflated.ephemeral(), plain.ephemeral(), "too short to gain by it");
        let unwanted = batch.encoded.framed(variant(Format::MsgPack));
        assert_eq!(
            unwanted.bytes,
            batch.encoded.framed(Variant::plain(Format::MsgPack)).bytes
        );
        let quiet = encode(vec![(RoomEvent::Unfeatured, 98)]).deflated([true, true]);
        for format in Format::ALL {
            let [plain, deflated] = [Variant::plain(format), variant(format)].map(|v| &quiet.encoded.framed(v).bytes);
            assert!(plain.as_ptr() == deflated.as_ptr(), "the same bytes, not a copy");
        }
    }
}
