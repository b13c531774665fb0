//! What a frame of the live protocol is, read off its first bytes: thousands of viewers
//! get the same bytes, and only the first of them needs to read them whole.
//!
//! The reading leans on the order in which the server writes fields; a test holds it to
//! the types of `shared::protocol`.

/// The beginning of a server's JSON frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Head<'a> {
    /// Numbered events.
    Numbered {
        /// The room's epoch.
        epoch: i64,
        /// The first seq.
        from: u64,
        /// The last.
        to: u64,
    },
    /// What may be missed.
    Ephemeral,
    /// A command has succeeded.
    Reply {
        /// The command's id.
        id: u64,
        /// The field `result`.
        result: &'a [u8],
    },
    /// A command, or without an id the connection, was refused.
    Error {
        /// The command's id.
        id: Option<u64>,
        /// The field `code`.
        code: &'a [u8],
    },
    /// Another private message.
    Private {
        /// The field `type`.
        kind: &'a [u8],
    },
    /// Nothing that the protocol knows.
    Unknown,
}

/// Reads a frame's beginning.
#[must_use]
pub fn head(frame: &[u8]) -> Head<'_> {
    read(frame).unwrap_or(Head::Unknown)
}

fn read(frame: &[u8]) -> Option<Head<'_>> {
    if let Some(rest) = frame.strip_prefix(b"{\"epoch\":") {
        let (epoch, rest) = number(rest)?;
        let (from, rest) = number(rest.strip_prefix(b",\"from\":")?)?;
        let (to, _) = number(rest.strip_prefix(b",\"to\":")?)?;
        let epoch = i64::try_from(epoch).ok()?;
        return Some(Head::Numbered { epoch, from, to });
    }
    if frame.starts_with(b"{\"now\":") {
        return Some(Head::Ephemeral);
    }
    let (kind, rest) = string(frame.strip_prefix(b"{\"type\":")?)?;
    match kind {
        b"reply" => {
            let (id, rest) = number(rest.strip_prefix(b",\"id\":")?)?;
            let (result, _) = string(rest.strip_prefix(b",\"result\":")?)?;
            Some(Head::Reply { id, result })
        }
        b"error" => {
            let (id, rest) = match rest.strip_prefix(b",\"id\":") {
                Some(rest) => number(rest).map(|(id, rest)| (Some(id), rest))?,
                None => (None, rest),
            };
            let (code, _) = string(rest.strip_prefix(b",\"code\":")?)?;
            Some(Head::Error { id, code })
        }
        kind => Some(Head::Private { kind }),
    }
}

/// A whole number, and what follows it.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len());
    let digits = bytes.get(..end).filter(|digits| !digits.is_empty())?;
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })?;
    Some((value, &bytes[end..]))
}

/// A string without escapes, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    Some((&rest[..end], &rest[end + 1..]))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use shared::error::ErrorCode;
    use shared::ids::MessageId;
    use shared::protocol::{Ephemeral, EphemeralFrame, NumberedFrame, Outcome, Position, Private, RoomEvent};

    use super::*;

    fn written<T: Serialize>(frame: &T) -> Vec<u8> {
        serde_json::to_vec(frame).expect("written")
    }

    #[test]
    fn the_server_writes_its_fields_in_the_order_that_is_read_here() {
        let numbered = NumberedFrame {
            epoch: 3,
            from: 41,
            to: 41,
            now: 1_795_399_200_123,
            m: vec![RoomEvent::Unfeatured],
        };
        assert_eq!(
            head(&written(&numbered)),
            Head::Numbered {
                epoch: 3,
                from: 41,
                to: 41
            }
        );
        let ephemeral = EphemeralFrame {
            now: 7,
            m: vec![Ephemeral::Time],
        };
        assert_eq!(head(&written(&ephemeral)), Head::Ephemeral);
        let reply = |outcome| written(&Private::Reply { id: 12, outcome });
        let joined = reply(Outcome::Joined(Position { epoch: 3, seq: 9 }));
        assert_eq!(
            head(&joined),
            Head::Reply {
                id: 12,
                result: b"joined"
            }
        );
        let message = MessageId::new();
        let said = reply(Outcome::Said {
            message,
            epoch: 3,
            seq: 9,
        });
        assert_eq!(
            head(&said),
            Head::Reply {
                id: 12,
                result: b"said"
            }
        );
        for id in [None, Some(4)] {
            let refusal = ErrorCode::SoldOut.into();
            let error = written(&Private::Error { id, refusal });
            assert_eq!(head(&error), Head::Error { id, code: b"sold_out" });
        }
        assert_eq!(head(&written(&Private::Resynced)), Head::Private { kind: b"resynced" });
        assert_eq!(head(b"{}"), Head::Unknown);
        assert_eq!(head(b"{\"epoch\":1,\"from\":"), Head::Unknown);
    }
}
