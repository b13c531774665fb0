//! SQL that knows every feature's tables, for these two purposes alone.

pub(super) mod erase;
pub(super) mod export;
