//! The engine over real sockets and a real Postgres.

#![allow(missing_docs, reason = "tests say what they test by their names")]

mod abuse;
mod autobahn;
mod chat;
mod chatting;
mod compression;
mod descriptors;
mod desk;
mod drain;
mod ears;
mod feed;
mod flash_buy;
mod formats;
mod harness;
mod host;
mod join;
mod lifecycle;
mod limits;
mod nodes;
mod notified;
mod once;
mod openings;
mod operations;
mod order;
mod orphans;
mod persist;
mod process;
mod proxy;
mod resume;
mod room_store;
mod sale;
mod sale_faults;
mod sale_line;
mod sale_locks;
mod sale_model;
mod shut_out;
mod slow;
mod stall;
mod takeover;
mod trace;
mod verify;
mod wait_list;
mod wire;
