//! Sockets: a worker with its listener and its connections, and everything between a
//! TCP stream and a command. Nothing here knows what a command does.

pub mod conn;
pub mod deflate;
pub mod frame;
mod handshake;
pub mod listener;
pub mod reader;
mod serve;
pub mod socket;
pub mod worker;
pub mod writer;
