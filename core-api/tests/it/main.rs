//! core-api against a real server and a real Postgres, each test in a database of its own.

mod catalog;
mod harness;
mod http;
mod identity;
mod sellers;
