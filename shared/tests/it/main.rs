//! What the shared types promise to the outside, in one binary.
#![allow(clippy::unwrap_used)]

mod bus;
mod protocol_doc;
