//! The two wire formats: the same names and values in both.

use serde::{Deserialize, Serialize};

use super::extent;

/// How deep values may nest in MessagePack, like JSON's limit: what is nested deeper would
/// run a thread's stack over, and a few bytes of a frame are enough for a thousand levels.
const MAX_DEPTH: usize = 128;

/// How a connection's frames are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// Text frames of JSON.
    Json,
    /// Binary frames of MessagePack with named fields.
    MsgPack,
}

/// A frame could not be read or written in its format.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Json, Self::MsgPack];

    /// The WebSocket subprotocol that asks for it.
    #[must_use]
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "hawker.v1.json",
            Self::MsgPack => "hawker.v1.msgpack",
        }
    }

    /// The format of a subprotocol, if it is one of ours.
    #[must_use]
    pub fn from_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.subprotocol() == name)
    }

    /// The message's bytes.
    ///
    /// # Errors
    /// Only for a type that the format cannot hold, which is a defect of ours.
    pub fn encode<T: Serialize>(self, message: &T) -> Result<Vec<u8>, FormatError> {
        match self {
            Self::Json => serde_json::to_vec(message).map_err(|e| FormatError(e.to_string())),
            Self::MsgPack => rmp_serde::to_vec_named(message).map_err(|e| FormatError(e.to_string())),
        }
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are not of the format, or not this message.
    pub fn decode<'a, T: Deserialize<'a>>(self, bytes: &'a [u8]) -> Result<T, FormatError> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(|e| FormatError(e.to_string())),
            Self::MsgPack => {
                if !extent::is_whole(bytes) {
                    return Err(FormatError("the value is cut short".into()));
                }
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                reader.set_max_depth(MAX_DEPTH);
                T::deserialize(&mut reader).map_err(|e| FormatError(e.to_string()))
            }
        }
    }
}
