//! How HTTP meets the features: who calls, what they send, and in which shape they are
//! answered. No feature's rule lives here.

mod answer;
mod body;
mod client;
mod conditional;
mod error;
mod inflow;
mod meter;
pub mod operations;
mod origin;
mod page;
mod rate;
pub mod request;
pub mod rules;
mod span;
mod traffic;
mod who;

pub use answer::{AllowedMethods, METRICS, answer, no_route};
pub use body::{Body, Id, IdempotencyKey, OptionalKey, RawBody, extractor_errors, in_time, time_for};
pub use client::client_address;
pub use conditional::is_known;
pub use error::{Error, PROBLEM_JSON, Problem, Result, problem};
pub use inflow::{Arrived, Entry, Inflow};
pub use origin::require_origin;
pub use page::{Created, List, Page};
pub use rate::{AddressLimit, RateLimit, counted};
pub use span::RequestSpan;
pub use traffic::{Traffic, is_counted};
pub use who::{Admin, Caller, Confirmed, MaybeCaller, Owner, Shopkeeper};
