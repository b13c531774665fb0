//! The thread that starts the server, watches it and stops it.
//!
//! The kernel ends a child when the *thread* that started it ends, so the server belongs
//! to a thread of its own, which lives exactly as long as the server is wanted. That
//! also holds when the program is killed: its threads end, and the server stops by itself.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::account::{Account, prepare};
use crate::binaries::Binaries;
use crate::directory::Directory;
use crate::error::{StartError, io_error, words};
use crate::{Options, stale};

const POLL: Duration = Duration::from_millis(3);
/// How often a running server is looked at.
const WATCH: Duration = Duration::from_millis(250);
/// Recovery after a crash counts into it.
const START_DEADLINE: Duration = Duration::from_secs(300);
/// How long another start is tried while the system still clears up after a kill.
const RETRY_FOR: Duration = Duration::from_secs(10);
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// What a server says when the remains of an earlier one are in its way.
const PASSING: [&str; 3] = [
    "lock file \"postmaster.pid\" already exists",
    ".lock\" already exists",
    "pre-existing shared memory block",
];

/// What the thread is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Stop,
    Hurry,
}

/// Makes a stop under way drop everything at once; the next start recovers.
#[derive(Clone, Debug)]
pub struct Hurry(SyncSender<Order>);

impl Hurry {
    /// Do it.
    pub fn now(&self) {
        // A full or closed channel: it is hurrying or has ended.
        let _ = self.0.try_send(Order::Hurry);
    }
}

/// A running server and its thread.
#[derive(Debug)]
pub(crate) struct Supervisor {
    orders: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
    died: Arc<AtomicBool>,
    pid: u32,
}

impl Supervisor {
    /// Starts the server and waits until it takes connections.
    pub fn start(
        binaries: &Binaries,
        account: Option<Account>,
        directory: &Directory,
        options: &Options,
    ) -> Result<Self, StartError> {
        let (log, _) = directory.open_log()?;
        let launch = Launch {
            postgres: binaries.postgres(),
            arguments: arguments(directory, options),
            account,
            data: directory.data(),
            socket_dir: directory.socket_dir().to_owned(),
            log_file: directory.log_file().to_owned(),
            log,
        };
        let (orders, inbox) = sync_channel(4);
        let (started, answer) = sync_channel(1);
        let died = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&died);
        let thread = std::thread::Builder::new()
            .name("postgres".into())
            .spawn(move || launch.run(&started, &inbox, &flag))
            .map_err(io_error("cannot start a thread for", directory.log_file()))?;
        match answer.recv() {
            Ok(Ok(pid)) => Ok(Self {
                orders,
                thread: Some(thread),
                died,
                pid,
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Failed {
                why: "its thread ended".into(),
                log: directory.log_file().to_owned(),
            }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn has_died(&self) -> bool {
        self.died.load(Ordering::Acquire)
    }

    pub fn hurry(&self) -> Hurry {
        Hurry(self.orders.clone())
    }

    /// Stops the server and waits for its end. A second call does nothing.
    pub fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A closed channel: the server has died and its thread with it.
            let _ = self.orders.send(Order::Stop);
            if thread.join().is_err() {
                tracing::error!("the thread that minds Postgres panicked");
            }
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// All that it takes to start the process.
struct Launch {
    postgres: PathBuf,
    arguments: Vec<String>,
    account: Option<Account>,
    data: PathBuf,
    socket_dir: PathBuf,
    log_file: PathBuf,
    log: File,
}

impl Launch {
    /// The thread's work from beginning to end.
    fn run(&self, started: &SyncSender<Result<u32, StartError>>, orders: &Receiver<Order>, died: &AtomicBool) {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                // The one who waits for it is there, or nobody cares.
                let _ = started.send(Err(error));
                return;
            }
        };
        if started.send(Ok(child.id())).is_err() {
            stop(&mut child, orders);
            return;
        }
        loop {
            match orders.recv_timeout(WATCH) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break stop(&mut child, orders),
                Ok(Order::Hurry) => {}
                Err(RecvTimeoutError::Timeout) => {
                    if let Ok(Some(status)) = child.try_wait() {
                        tracing::error!(%status, log = %self.log_file.display(), "Postgres has ended by itself");
                        died.store(true, Ordering::Release);
                        break;
                    }
                }
            }
        }
    }

    fn start(&self) -> Result<Child, StartError> {
        let deadline = Instant::now() + RETRY_FOR;
        loop {
            stale::clear(&self.data, &self.socket_dir, &self.log_file)?;
            let log_start = self.log.metadata().map_or(0, |meta| meta.len());
            let mut child = self.spawn()?;
            match self.wait_until_ready(&mut child) {
                Ok(()) => return Ok(child),
                Err(why) => {
                    let said = last_words(&self.log_file, log_start);
                    let passing = PASSING
                        .iter()
                        .any(|words| said.as_ref().is_some_and(|said| said.contains(words)));
                    if passing && Instant::now() < deadline {
                        std::thread::sleep(POLL * 10);
                        continue;
                    }
                    return Err(StartError::Failed {
                        why: said.unwrap_or(why),
                        log: self.log_file.clone(),
                    });
                }
            }
        }
    }

    fn spawn(&self) -> Result<Child, StartError> {
        let output = || self.log.try_clone().map_err(io_error("cannot open", &self.log_file));
        let mut command = Command::new(&self.postgres);
        command.args(&self.arguments).current_dir("/").stdin(Stdio::null());
        command.stdout(output()?).stderr(output()?);
        // A fast shutdown, the same that an orderly stop asks for.
        prepare(&mut command, self.account.as_ref(), libc::SIGINT);
        command.spawn().map_err(|error| StartError::NotRunnable {
            path: self.postgres.clone(),
            why: words(&error),
        })
    }

    /// Ready is what the server itself says in its pid file.
    fn wait_until_ready(&self, child: &mut Child) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        let pid_file = self.data.join("postmaster.pid");
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Err(format!("it ended with {status}")),
                Err(error) => return Err(words(&error)),
            }
            if fs::read_to_string(&pid_file).is_ok_and(|text| says_ready(&text, child.id())) {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
        signal(child, libc::SIGQUIT);
        let _ = child.wait();
        Err(format!("it was not ready after {} s", START_DEADLINE.as_secs()))
    }
}

/// Line 1 is the process, line 8 its state.
fn says_ready(pid_file: &str, pid: u32) -> bool {
    let mut lines = pid_file.lines();
    let ours = lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid);
    ours && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

fn arguments(directory: &Directory, options: &Options) -> Vec<String> {
    let on = if options.durable { "on" } else { "off" };
    let mut settings: Vec<(&str, String)> = vec![
        // No TCP at all: the socket's folder is closed to others.
        ("listen_addresses", String::new()),
        (
            "unix_socket_directories",
            format!("\"{}\"", directory.socket_dir().display()),
        ),
        ("unix_socket_permissions", "0700".into()),
        ("port", "5432".into()),
        ("max_connections", options.max_connections.to_string()),
        ("fsync", on.into()),
        ("synchronous_commit", on.into()),
        ("full_page_writes", on.into()),
        // Short statements by the thousand: neither pays for itself.
        ("jit", "off".into()),
        ("max_parallel_workers_per_gather", "0".into()),
        ("logging_collector", "off".into()),
        ("log_timezone", "UTC".into()),
        ("timezone", "UTC".into()),
    ];
    settings.extend(
        options
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    let mut arguments = vec!["-D".to_owned(), directory.data().display().to_string()];
    for (name, value) in settings {
        arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
    }
    arguments
}

/// What the server wrote last that explains its end.
fn last_words(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut text = String::new();
    // Bounded: a server that fails to start says little.
    file.take(64 * 1024).read_to_string(&mut text).ok()?;
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let line = lines()
        .find(|line| line.contains("FATAL:"))
        .or_else(|| lines().next_back())?;
    let words = line.split_once("FATAL:").map_or(line, |(_, words)| words);
    Some(words.trim().to_owned())
}

fn signal(child: &Child, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(child.id()) {
        // SAFETY: a plain system call on a child that has not been waited for, so that its
        // number cannot be another's.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Fast shutdown; after ten seconds, or when told to hurry, immediate; then by force.
fn stop(child: &mut Child, orders: &Receiver<Order>) {
    for push in [libc::SIGINT, libc::SIGQUIT, libc::SIGKILL] {
        signal(child, push);
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            match orders.recv_timeout(POLL) {
                Ok(Order::Hurry) => break,
                // Nobody can hurry us any more.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
                Ok(Order::Stop) | Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
    // After SIGKILL there is nothing left to do but to collect it.
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_line_eight_of_our_own_process() {
        let file = |pid: u32, state: &str| format!("{pid}\n/d\n1\n5432\n/s\n\n 1 2\n{state}   \n");
        assert!(says_ready(&file(7, "ready"), 7));
        assert!(!says_ready(&file(8, "ready"), 7));
        assert!(!says_ready(&file(7, "starting"), 7));
        assert!(!says_ready("7\n", 7));
    }
}
