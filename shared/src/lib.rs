//! What Hawker's services both speak, defined once: ids, money, statuses, error
//! codes, the wire protocol, the bus between them, and how they reach Postgres.
//!
//! Nothing here knows a web framework or an actor, and nothing here holds a rule of
//! one service alone.

pub mod admin;
pub mod bus;
pub mod client_address;
pub mod config;
pub mod db;
pub mod error;
pub mod idempotency;
pub mod ids;
pub mod live;
pub mod metric;
pub mod money;
pub mod notification;
pub mod outbox;
pub mod protocol;
pub mod rights;
pub mod status;
pub mod telemetry;
pub mod token;
pub mod verify;
pub mod words;

/// Points in time as they cross every boundary: RFC 3339 in JSON, `timestamptz` in SQL.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
