//! The live wire protocol, version 1: every frame that a client or the server sends.
//!
//! One set of types serves both formats: JSON text frames (`hawker.v1.json`) and
//! MessagePack binary frames with named fields (`hawker.v1.msgpack`). Ids are UUID text,
//! points in time whole milliseconds since the Unix epoch by the server's clock.
//! Unknown fields are ignored. The reference for people is docs/protocol.md.

mod cards;
mod chat;
mod command;
mod extent;
mod format;
mod message;
mod moderation;
mod notification;
mod private;
mod summary;

pub use cards::*;
pub use chat::*;
pub use command::*;
pub use format::{Format, FormatError};
pub use message::*;
pub use moderation::*;
pub use notification::*;
pub use private::*;
pub use summary::*;

/// Milliseconds since the Unix epoch, by the server's clock.
pub type Millis = i64;

/// The longest chat message, in characters.
pub const MAX_CHAT_CHARS: usize = 500;
/// The largest frame that a client may send, in bytes.
pub const MAX_CLIENT_FRAME_BYTES: usize = 16 * 1024;
/// The reactions there are.
pub const REACTION_KINDS: [&str; 5] = ["heart", "fire", "clap", "laugh", "wow"];
/// The most of one reaction that one command may carry.
pub const MAX_REACTION_COUNT: u32 = 50;

#[cfg(test)]
mod tests;
