//! Hawker in one program: a private Postgres, both services, the pages and a demo show.
//!
//! The map: [`cli`] is what can be said, [`plan`] makes a checked plan of it, [`run`]
//! starts and stops everything, [`database`] and [`data_dir`] are where data lives,
//! [`pages`] and [`pictures`] are what browsers see beside the API, [`seed`] is the demo
//! shop, [`show`] what programs play in it. It composes the services and holds no rule
//! of either.

pub mod accounts;
mod banner;
pub mod cli;
mod command;
pub mod data_dir;
pub mod database;
pub mod out;
pub mod pages;
pub mod pictures;
pub mod plan;
pub mod run;
pub mod seed;
mod show;
mod signals;
mod verify;

pub use command::execute;

/// Lets this process open as many files as the system allows: every viewer is one.
pub fn raise_file_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: both calls get a pointer to a value that outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            // Without it there is room for fewer; the engine says so when it matters.
            let _ = libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
