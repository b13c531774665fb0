//! Viewers, buyers and sellers as programs: clients of both services for tests, the
//! demo show that measures and checks a whole sale, and the simulated show that keeps a
//! page alive.
//!
//! [`measure`] is the load program `loadtest`: the engine as a process, thousands of viewers
//! on one thread, and the figures.
//!
//! Everything here goes through real sockets and real REST; nothing reaches into a
//! service. Only the demo's last checks read the database, to hold what was
//! acknowledged against what is there.

pub mod chaos;
pub mod live;
pub mod measure;
pub mod programs;
pub mod rest;
pub mod show;
pub mod socket;
