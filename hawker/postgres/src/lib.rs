//! A private Postgres server as a child process, in a directory of its own: made at the
//! first start, recovered by itself after a crash, stopped with its owner, and never
//! left behind.
//!
//! The map: [`binaries`] finds the server's programs and judges their version,
//! [`account`] decides as whom it runs, [`directory`] owns what lies on disk (lock,
//! cluster, password, sockets), [`stale`] clears what a killed run left behind, and
//! [`supervisor`] is the thread that starts, watches and stops the process.
//!
//! This crate speaks to no database: it knows processes and files only, and it blocks.
//! Call it from a thread that may wait.

mod account;
mod binaries;
mod directory;
mod error;
mod stale;
mod supervisor;

use std::path::{Path, PathBuf};

pub use crate::error::StartError;
pub use crate::supervisor::Hurry;

use crate::account::Account;
use crate::binaries::Binaries;
use crate::directory::Directory;
use crate::supervisor::Supervisor;

/// The superuser of every cluster made here.
pub const SUPERUSER: &str = "hawker";
/// The oldest major version that is started.
pub const OLDEST_MAJOR: u32 = 14;

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory that holds the cluster and the lock. Made if it is not there.
    pub dir: PathBuf,
    /// Survive a power cut. Off only for tests and throw-away data.
    pub durable: bool,
    /// Connections at most.
    pub max_connections: u32,
    /// Further server settings, by name; they win over the ones chosen here.
    pub settings: Vec<(String, String)>,
}

impl Options {
    /// A durable server in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durable: true,
            max_connections: 100,
            settings: Vec::new(),
        }
    }

    /// A server for tests: quick, and forgetful in a power cut.
    #[must_use]
    pub fn forgetful(dir: impl Into<PathBuf>) -> Self {
        Self {
            durable: false,
            ..Self::new(dir)
        }
    }
}

/// A running server. Dropping it stops it, as [`Server::stop`] does.
#[derive(Debug)]
pub struct Server {
    supervisor: Supervisor,
    directory: Directory,
    password: String,
}

impl Server {
    /// Starts a server on `options.dir`, making the cluster first if there is none, and
    /// returns when it takes connections. Blocks for tens of milliseconds, or about a
    /// second when the cluster is made, or as long as recovery takes after a crash.
    ///
    /// # Errors
    /// See [`StartError`]; each reads as one line for the person who started the program.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let directory = Directory::open(&options.dir)?;
        let binaries = Binaries::find(directory.cluster_major()?)?;
        let account = Account::choose(directory.cluster_owner()?)?;
        directory.admit(account.as_ref())?;
        if !directory.has_cluster() {
            directory.make_cluster(&binaries, account.as_ref(), options.durable)?;
        }
        let password = directory.password()?;
        let supervisor = Supervisor::start(&binaries, account, &directory, options)?;
        Ok(Self {
            supervisor,
            directory,
            password,
        })
    }

    /// How to reach `database` as the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        url(&self.password, self.directory.socket_dir(), database)
    }

    /// The process id of the server's first process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.supervisor.pid()
    }

    /// Where the server writes its log.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        self.directory.log_file()
    }

    /// The server has ended although nobody asked it to.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.supervisor.has_died()
    }

    /// A handle that makes a stop under way drop everything at once.
    #[must_use]
    pub fn hurry(&self) -> Hurry {
        self.supervisor.hurry()
    }

    /// Stops the server and waits until it has gone: connections are ended and
    /// everything is on disk; after ten seconds it is stopped the hard way, which the
    /// next start recovers from.
    pub fn stop(mut self) {
        self.supervisor.stop();
    }
}

/// How to reach `database` of the server that another process runs in `dir`, as far as
/// this user may read its password.
///
/// # Errors
/// When there is no cluster, or it is not ours to read.
pub fn running_url(dir: &Path, database: &str) -> Result<String, StartError> {
    let (password, socket_dir) = directory::of_running(dir)?;
    Ok(url(&password, &socket_dir, database))
}

fn url(password: &str, socket_dir: &Path, database: &str) -> String {
    let host = percent_encode(&socket_dir.to_string_lossy());
    format!("postgres://{SUPERUSER}:{password}@{host}/{database}")
}

/// Encodes a path for the host's place in a URL.
fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_folder_becomes_a_host() {
        assert_eq!(percent_encode("/tmp/a b"), "%2Ftmp%2Fa%20b");
    }
}
