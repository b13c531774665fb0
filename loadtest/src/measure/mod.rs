//! The measurement of the engine: what `loadtest` measures, and with what.
//!
//! The map: [`swarm`] is thousands of WebSocket clients on one thread; [`crowd`] makes
//! them viewers of a Hawker room, with [`frames`] to read what they get; [`world`] is
//! the private Postgres and the engine as a process; [`peers`] are the servers beside
//! it; [`fanout`] measures all of them the same way; [`parts`] are what can be called;
//! [`figures`] is what comes out. [`process`] looks at processes from outside.
//!
//! A benchmark reports. It fails when something is lost, doubled or refused, and never
//! because something was slow.

pub mod arrivals;
pub mod crowd;
pub mod fanout;
pub mod figures;
pub mod frames;
pub mod parts;
pub mod peers;
pub mod process;
pub mod swarm;
pub mod world;
