//! The engine's integration tests, one binary: over real sockets and a real Postgres.

mod ears;
mod feed;
mod persist;
mod proxy;
mod room_store;
mod sale;
mod sale_model;
