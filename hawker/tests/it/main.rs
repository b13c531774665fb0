//! The program as its users have it: the real binary, started, stopped, killed and
//! started again; and its demo shop and pages.
#![allow(clippy::unwrap_used)]

mod apart;
mod catalogue;
mod crashes;
mod demo_shop;
mod notified;
mod operations;
mod order;
mod pages;
mod program;
mod starts;
mod third_party;
mod tools;
mod whole_path;
mod world;
