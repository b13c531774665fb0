//! Why a server does not start: each reason as one line that says what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::OLDEST_MAJOR;

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There are no server programs on this machine.
    #[error(
        "no Postgres server found: run `sudo apt-get install postgresql`, or set PG_BIN_DIR to the folder that holds `postgres` and `initdb`"
    )]
    NotFound,
    /// `PG_BIN_DIR` is set, and they are not there.
    #[error("PG_BIN_DIR is {}, and there is no `postgres` and `initdb` in it", .0.display())]
    NotInBinDir(PathBuf),
    /// The server programs cannot be run.
    #[error("{} cannot be run: {why}", .path.display())]
    NotRunnable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The only server on this machine is too old.
    #[error("Postgres {found} in {} is too old: Hawker needs {OLDEST_MAJOR} or newer", .path.display())]
    TooOld {
        /// Its version.
        found: String,
        /// Where it is.
        path: PathBuf,
    },
    /// The cluster was made by another major version.
    #[error(
        "{} was made by Postgres {made_by}, and this machine has {found}: install postgresql-{made_by}, or choose another data directory", .dir.display()
    )]
    OtherVersion {
        /// The data directory.
        dir: PathBuf,
        /// The cluster's major version.
        made_by: u32,
        /// The server's version.
        found: String,
    },
    /// Another copy runs on this directory.
    #[error("another copy{} is running on {}: stop it, or choose another data directory", .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
        /// The other copy, if it said.
        pid: Option<u32>,
    },
    /// The directory cannot be made or written to.
    #[error("the data directory {} cannot be used: {why}", .dir.display())]
    Unwritable {
        /// The data directory.
        dir: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The directory lies where the server's account may not go.
    #[error(
        "Postgres runs as {account}, who may not enter {}: choose a data directory elsewhere, such as /var/lib/hawker", .parent.display()
    )]
    OutOfReach {
        /// Who the server runs as.
        account: String,
        /// The first folder on the way that is closed to them.
        parent: PathBuf,
    },
    /// Root may not run the server, and there is nobody else to run it as.
    #[error("Postgres does not run as root, and there is neither a user `postgres` nor `nobody` to run it as")]
    NoAccount,
    /// The cluster could not be made.
    #[error("the database could not be made: {0}")]
    Init(String),
    /// The server ended, or did not become ready.
    #[error("Postgres did not start: {why} (its log is {})", .log.display())]
    Failed {
        /// Its last words.
        why: String,
        /// The whole log.
        log: PathBuf,
    },
    /// A file of the directory could not be handled.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// The act, as the beginning of a sentence.
        what: &'static str,
        /// Its object.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Names the act and the file of an IO error.
pub(crate) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Io { what, path, source }
}

/// The system's words for an error, without its number.
pub(crate) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
