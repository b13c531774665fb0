//! What the room said, as its viewers heard it: each distinct payload is decoded once,
//! and each numbered event must be the same to everybody, in both formats.
//!
//! Viewers of one format get the same bytes, so thousands of them cost one decode and a
//! hash each. Equality is by the whole payload, never by the hash alone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shared::protocol::{EphemeralFrame, Format, NumberedFrame, Position, Private, RoomEvent, ServerFrame};
use tokio::time::Instant;

use crate::live;
use crate::socket::LiveError;

/// How many payloads of a format are remembered, newest first.
const REMEMBERED_PAYLOADS: usize = 4096;
/// How many contradictions are written out; the rest are counted.
const REPORTED_CONFLICTS: usize = 20;

/// A frame as all who get the same bytes share it.
#[derive(Clone)]
pub enum Heard {
    /// Numbered events.
    Numbered(Arc<Batch>),
    /// Ephemeral messages.
    Ephemeral(Arc<EphemeralFrame>),
    /// A message for one alone.
    Private(Arc<Private>),
}

/// Numbered events, with what is known about them here.
pub struct Batch {
    /// The events.
    pub frame: NumberedFrame,
    /// When the chat messages among them were sent, where that was here.
    pub sent: Vec<Instant>,
    /// How many chat messages are among them.
    pub chats: u64,
}

/// One numbered event and who has heard it so far.
struct Entry {
    event: RoomEvent,
    json: bool,
    msgpack: bool,
}

#[derive(Default)]
struct Payloads {
    by_hash: HashMap<u64, (Bytes, Heard)>,
    oldest_first: VecDeque<u64>,
}

#[derive(Default)]
struct Inner {
    payloads: [Payloads; 2],
    events: BTreeMap<(i64, u64), Entry>,
    conflicts: Vec<String>,
    conflict_count: u64,
    sent: HashMap<String, Instant>,
    decoded: u64,
}

/// The common record of all viewers.
#[derive(Default)]
pub struct Record {
    hasher: RandomState,
    inner: Mutex<Inner>,
}

impl Record {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a chat text, unique in the show, is about to be sent.
    pub fn note_sent(&self, text: &str) {
        self.inner().sent.insert(text.to_owned(), Instant::now());
    }

    /// Reads a payload: from memory where somebody has had the same bytes already.
    ///
    /// # Errors
    /// `Unreadable`.
    pub fn read(&self, format: Format, payload: &Bytes) -> Result<Heard, LiveError> {
        let slot = usize::from(format == Format::MsgPack);
        let hash = self.hasher.hash_one(payload);
        let known = self.inner().payloads[slot].by_hash.get(&hash).cloned();
        if let Some((bytes, heard)) = known
            && bytes == payload
        {
            return Ok(heard);
        }
        let heard = match live::decode(format, payload)? {
            // Nobody else gets these bytes.
            ServerFrame::Private(message) => return Ok(Heard::Private(Arc::new(message))),
            ServerFrame::Ephemeral(frame) => Heard::Ephemeral(Arc::new(frame)),
            ServerFrame::Numbered(frame) => Heard::Numbered(self.compare(format, frame)),
        };
        let mut inner = self.inner();
        inner.decoded += 1;
        let payloads = &mut inner.payloads[slot];
        // A copy: the slice would keep a connection's whole read buffer alive.
        let entry = (Bytes::copy_from_slice(payload), heard.clone());
        if payloads.by_hash.insert(hash, entry).is_none() {
            payloads.oldest_first.push_back(hash);
        }
        if payloads.oldest_first.len() > REMEMBERED_PAYLOADS
            && let Some(oldest) = payloads.oldest_first.pop_front()
        {
            payloads.by_hash.remove(&oldest);
        }
        Ok(heard)
    }

    /// Enters a batch, and notes where it contradicts what others heard.
    pub fn compare(&self, format: Format, frame: NumberedFrame) -> Arc<Batch> {
        let mut inner = self.inner();
        let mut batch = Batch {
            sent: Vec::new(),
            chats: 0,
            frame,
        };
        for (seq, event) in (batch.frame.from..).zip(&batch.frame.m) {
            if let RoomEvent::Chat(message) = event {
                batch.chats += 1;
                batch.sent.extend(inner.sent.get(&message.text));
            }
            let at = (batch.frame.epoch, seq);
            let entry = inner.events.entry(at).or_insert_with(|| Entry {
                event: event.clone(),
                json: false,
                msgpack: false,
            });
            match format {
                Format::Json => entry.json = true,
                Format::MsgPack => entry.msgpack = true,
            }
            if entry.event != *event {
                let line = format!(
                    "epoch {} seq {seq} was heard as {:?} and, in {format:?}, as {event:?}",
                    at.0, entry.event
                );
                inner.conflict_count += 1;
                if inner.conflicts.len() < REPORTED_CONFLICTS {
                    inner.conflicts.push(line);
                }
            }
        }
        Arc::new(batch)
    }

    /// How many distinct payloads were decoded.
    pub fn decoded(&self) -> u64 {
        self.inner().decoded
    }

    /// Contradictions between viewers, the first of them in words.
    pub fn conflicts(&self) -> (u64, Vec<String>) {
        let inner = self.inner();
        (inner.conflict_count, inner.conflicts.clone())
    }

    /// Events that were heard in one format and not in the other.
    pub fn heard_in_one_format(&self) -> Vec<Position> {
        self.inner()
            .events
            .iter()
            .filter(|(_, entry)| entry.json != entry.msgpack)
            .map(|(&(epoch, seq), _)| Position { epoch, seq })
            .collect()
    }

    /// Every event heard, in order.
    pub fn events(&self) -> Vec<(Position, RoomEvent)> {
        self.inner()
            .events
            .iter()
            .map(|(&(epoch, seq), entry)| (Position { epoch, seq }, entry.event.clone()))
            .collect()
    }

    /// The first event that `pick` wants, with its position.
    pub fn find<T>(&self, pick: impl Fn(&RoomEvent) -> Option<T>) -> Option<(Position, T)> {
        self.inner()
            .events
            .iter()
            .find_map(|(&(epoch, seq), entry)| pick(&entry.event).map(|found| (Position { epoch, seq }, found)))
    }

    /// How many events `wanted` counts.
    pub fn count(&self, wanted: impl Fn(&RoomEvent) -> bool) -> usize {
        self.inner()
            .events
            .values()
            .filter(|entry| wanted(&entry.event))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(format: Format, seq: u64, title: &str) -> Bytes {
        let frame = NumberedFrame {
            epoch: 1,
            from: seq,
            to: seq,
            now: 0,
            m: vec![RoomEvent::Purchase {
                buyer: None,
                name: None,
                title: title.into(),
                quantity: 1,
            }],
        };
        Bytes::from(format.encode(&frame).expect("encodes"))
    }

    #[test]
    fn the_same_event_in_both_formats_is_one_event() {
        let record = Record::default();
        for format in Format::ALL {
            for _ in 0..3 {
                record.read(format, &payload(format, 1, "mug")).expect("read");
            }
        }
        assert_eq!(record.decoded(), 2, "one decode a format");
        assert_eq!(record.conflicts().0, 0);
        assert!(record.heard_in_one_format().is_empty());
        assert_eq!(record.events().len(), 1);
    }

    #[test]
    fn an_event_that_differs_between_viewers_is_a_conflict() {
        let record = Record::default();
        record
            .read(Format::Json, &payload(Format::Json, 1, "mug"))
            .expect("read");
        record
            .read(Format::MsgPack, &payload(Format::MsgPack, 1, "jug"))
            .expect("read");
        let (count, lines) = record.conflicts();
        assert_eq!((count, lines.len()), (1, 1));
        record
            .read(Format::Json, &payload(Format::Json, 2, "mug"))
            .expect("read");
        assert_eq!(record.heard_in_one_format(), [Position { epoch: 1, seq: 2 }]);
    }
}
