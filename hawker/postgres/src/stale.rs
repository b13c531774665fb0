//! Clears the way for a start where an earlier run was killed: its server may still be
//! stopping, may linger as a zombie, or its process id may be somebody else's by now.
//!
//! It may signal only servers that work in our own cluster, and it is called only by the
//! holder of the directory's lock: whatever runs there has lost its owner.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::directory::SOCKET_NAME;
use crate::error::{StartError, io_error};

const POLL: Duration = Duration::from_millis(10);
/// How long an orphan may take to stop by itself, and once more after each push.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until no server works in `data`, and removes pid files, there and among the
/// sockets, that would keep the next one out for no reason.
pub(crate) fn clear(data: &Path, socket_dir: &Path, log: &Path) -> Result<(), StartError> {
    for push in [None, Some(libc::SIGINT), Some(libc::SIGQUIT), Some(libc::SIGKILL)] {
        if let Some(signal) = push {
            for pid in servers_in(data) {
                tracing::warn!(pid, signal, "stopping a Postgres that lost its owner");
                // SAFETY: a plain system call; the worst case is a process that has just ended.
                unsafe { libc::kill(pid, signal) };
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if servers_in(data).is_empty() {
                remove_misleading(&data.join("postmaster.pid"))?;
                return remove_misleading(&socket_dir.join(format!("{SOCKET_NAME}.lock")));
            }
            std::thread::sleep(POLL);
        }
    }
    Err(StartError::Failed {
        why: "another Postgres is running on the same cluster and does not stop".into(),
        log: log.to_owned(),
    })
}

/// The server refuses to start when the process named in its pid file exists. A zombie
/// and a stranger with a used-up number exist, too, but nothing works in the cluster.
/// A number that is free again is left to the server, which then looks for itself.
fn remove_misleading(pid_file: &Path) -> Result<(), StartError> {
    let Ok(text) = fs::read_to_string(pid_file) else {
        return Ok(());
    };
    let named = text
        .lines()
        .next()
        .and_then(|line| line.trim().parse::<libc::pid_t>().ok());
    if named.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists()) {
        tracing::info!(pid = named, "removing the pid file of a Postgres that has ended");
        fs::remove_file(pid_file).map_err(io_error("cannot remove", pid_file))?;
    }
    Ok(())
}

/// The server processes whose working directory is `data`; all of a cluster's are, and
/// zombies have none.
fn servers_in(data: &Path) -> Vec<libc::pid_t> {
    let Ok(data) = data.canonicalize() else {
        return Vec::new();
    };
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap_or_default();
            link("cwd") == data && link("exe").to_string_lossy().contains("postgres")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_that_names_a_stranger_is_removed() {
        let scratch = tempfile::tempdir().expect("scratch");
        let files = ["postmaster.pid", ".s.PGSQL.5432.lock"].map(|name| scratch.path().join(name));
        for file in &files {
            // This very process lives, and is no Postgres.
            fs::write(file, format!("{}\n", std::process::id())).expect("written");
        }
        clear(scratch.path(), scratch.path(), Path::new("log")).expect("cleared");
        assert!(files.iter().all(|file| !file.exists()));
    }

    #[test]
    fn a_pid_file_of_a_number_that_is_free_is_left_to_the_server() {
        let scratch = tempfile::tempdir().expect("scratch");
        let pid_file = scratch.path().join("postmaster.pid");
        fs::write(&pid_file, "2147483647\n").expect("written");
        clear(scratch.path(), scratch.path(), Path::new("log")).expect("cleared");
        assert!(pid_file.exists());
    }
}
