//! What goes around a message on its way: who asks, which question an answer is for.

use bytes::{BufMut as _, Bytes, BytesMut};
use uuid::Uuid;

use super::super::BusError;

const END_BYTES: usize = 16;
const NUMBER_BYTES: usize = 8;

/// A request as its server gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// Who asks.
    pub end: Uuid,
    /// The asker's number for it.
    pub number: u64,
    /// What.
    pub message: Bytes,
}

/// An answer as its asker gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// The asker's number.
    pub number: u64,
    /// The server's word, or why there is none.
    pub result: Result<Bytes, BusError>,
}

impl Question {
    /// As bytes.
    pub fn write(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(END_BYTES + NUMBER_BYTES + self.message.len());
        bytes.put_slice(self.end.as_bytes());
        bytes.put_u64(self.number);
        bytes.put_slice(&self.message);
        bytes.freeze()
    }

    /// From bytes; `None` when they are not one.
    pub fn read(bytes: &Bytes) -> Option<Self> {
        let end = Uuid::from_slice(bytes.get(..END_BYTES)?).ok()?;
        let number = read_number(bytes.get(END_BYTES..)?)?;
        let message = bytes.slice(END_BYTES + NUMBER_BYTES..);
        Some(Self { end, number, message })
    }
}

impl Answer {
    /// As bytes.
    pub fn write(&self) -> Bytes {
        let (kind, message) = match &self.result {
            Ok(message) => (0, message.as_ref()),
            Err(BusError::Overloaded) => (1, &[][..]),
            Err(_) => (2, &[][..]),
        };
        let mut bytes = BytesMut::with_capacity(NUMBER_BYTES + 1 + message.len());
        bytes.put_u64(self.number);
        bytes.put_u8(kind);
        bytes.put_slice(message);
        bytes.freeze()
    }

    /// From bytes; `None` when they are not one.
    pub fn read(bytes: &Bytes) -> Option<Self> {
        let number = read_number(bytes)?;
        let result = match bytes.get(NUMBER_BYTES)? {
            0 => Ok(bytes.slice(NUMBER_BYTES + 1..)),
            1 => Err(BusError::Overloaded),
            2 => Err(BusError::NoServer),
            _ => return None,
        };
        Some(Self { number, result })
    }
}

fn read_number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_anything_shorter_is_not() {
        let question = Question {
            end: Uuid::now_v7(),
            number: 7,
            message: Bytes::from_static(b"who?"),
        };
        let bytes = question.write();
        assert_eq!(Question::read(&bytes), Some(question));
        assert_eq!(Question::read(&bytes.slice(..23)), None);
        for result in [
            Ok(Bytes::from_static(b"me")),
            Err(BusError::Overloaded),
            Err(BusError::NoServer),
        ] {
            let answer = Answer { number: 9, result };
            let bytes = answer.write();
            assert_eq!(Answer::read(&bytes), Some(answer));
            assert_eq!(Answer::read(&bytes.slice(..8)), None);
        }
    }
}
