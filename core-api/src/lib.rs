//! Hawker's REST service: identity, sellers, catalog, streams, checkout, orders, payments.
//!
//! The way of a request: a route on the one page of [`routes`], an extractor of [`http`]
//! that says who calls and what they send, a feature's handler, its use case (one
//! transaction), its store (all SQL of its tables). It holds no WebSockets and no live
//! logic: commands to a room go over the bus to the engine, and what a room must hear of
//! goes through the outbox.

pub mod addresses;
pub mod audit;
mod batch;
pub mod books;
pub mod cart;
pub mod catalog;
pub mod chat;
pub mod checkout;
pub mod claims;
pub mod commerce;
pub mod commission;
pub mod config;
pub mod dead_letters;
pub mod discounts;
pub mod disputes;
mod docs;
pub mod earnings;
pub mod faults;
pub mod flash;
pub mod fulfilment;
pub mod history;
pub mod http;
pub mod idempotency;
pub mod identity;
pub mod jobs;
pub mod ledger;
pub mod mail;
pub mod media;
pub mod moderation;
pub mod notifications;
pub mod orders;
pub mod payments;
pub mod payouts;
pub mod privacy;
pub mod refunds;
pub mod returns;
pub mod routes;
pub mod seller_orders;
pub mod sellers;
mod server;
mod state;
pub mod stock;
pub mod streams;
pub mod tax;
pub mod webhooks;

pub use config::{Config, Limits};
pub use docs::openapi;
pub use http::METRICS;
pub use server::{Pages, Service, start};
pub use state::{Rates, State};
