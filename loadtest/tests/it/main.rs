//! The clients against a server that does what each test tells it to.

#![allow(clippy::unwrap_used, missing_docs)]

mod fake_server;
mod live_client;
