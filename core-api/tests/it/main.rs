//! core-api against a real server and a real Postgres, each test in a database of its own.

mod adjustments;
mod bus;
mod catalog;
mod categories;
mod chat;
mod checkout;
mod flash;
mod flash_orders;
mod handles;
mod harness;
mod history;
mod http;
mod identity;
mod jobs;
mod late_payments;
mod market;
mod moderation;
mod orders;
mod payments;
mod search;
mod sellers;
mod sessions;
mod shipping;
mod streams;
mod variants;
