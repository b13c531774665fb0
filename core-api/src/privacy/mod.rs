//! What the service knows of a person: all of it as JSON for them, and all of it gone when
//! they leave. Personal data lies in many features' tables; this is the one place that
//! knows every one of them, and [`tables::PERSONAL`] says of each what it holds, whether
//! it is told, and what becomes of it. A table that refers to people and is not listed
//! there fails a test.

mod erase;
mod export;
pub mod handlers;
pub mod model;
mod store;
pub mod tables;

pub(crate) use erase::erase;
pub(crate) use export::export;
