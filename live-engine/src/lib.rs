//! Hawker's WebSocket engine: rooms, chat fan-out, reactions, featured products, flash-buy.
//!
//! The map:
//!
//! - `engine` starts and stops everything; `config` is what it is told, `limits` what is
//!   too much.
//! - `net` owns sockets: a worker is one thread with its own listener and connections,
//!   a connection has one writer. `auth` says who is there, `commands` what they ask.
//! - `room` owns what happens: one actor a room decides and numbers (`room::state` is its
//!   pure core), one shard a room and worker keeps the recent frames and writes them to
//!   its viewers.
//! - `audience` writes down who watches, and what a show came to.
//! - `own` reads what people have open in a show, for many at once, and knows of whom
//!   there has been news.
//! - `db` keeps Postgres on threads of its own; `persist` stores numbered events, `sale`
//!   grants holds, `tickets` spends tickets, `feed` brings committed changes, `requests`
//!   commands from core-api, `revoked` word of whoever was shut out, `notified` what people
//!   are told wherever they are. `hook` asks the operator's moderation service, on a thread
//!   of its own.
//! - `once` does an act once, however often it is asked for.
//! - `metrics` is what is counted, `trace` where what is logged came from, `operations`
//!   what an operator may look at.
//!
//! Workers share nothing but what `types` and `router` pass between them, and no worker
//! ever waits for another.

pub mod audience;
pub mod auth;
mod commands;
pub mod config;
pub mod db;
mod engine;
pub mod feed;
pub mod hook;
pub mod limits;
mod metrics;
pub mod net;
mod notified;
mod once;
pub mod operations;
pub mod own;
pub mod persist;
mod requests;
pub mod revoked;
pub mod room;
mod router;
pub mod sale;
mod sieve;
#[cfg(test)]
mod simulation;
pub mod tickets;
mod trace;
pub mod types;

pub use config::{Config, Drain, Limits, Rate, ShowRules};
pub use engine::{Engine, start};
pub use metrics::table::METRICS;
pub use operations::Operations;
