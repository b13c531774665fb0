//! Sockets: a worker with its listener and its connections, and everything between a
//! TCP stream and a command. Nothing here knows what a command does.

mod accept;
pub mod conn;
pub mod deflate;
pub mod drain;
mod extensions;
pub mod frame;
pub mod handshake;
pub mod listener;
mod poll;
pub mod reader;
mod session;
mod sweep;
pub mod turn;
pub mod worker;
pub mod writer;
