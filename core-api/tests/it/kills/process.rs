//! core-api as a process that can be told where to die, and started again.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use core_api::faults::{self, Edge, Step};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long anything may take on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The signal that nobody can catch.
const KILL: i32 = 9;
/// The carrier's secret.
pub const CARRIER: &str = "whsec_of_the_carrier";

/// A running core-api over a database.
pub struct Process {
    child: Child,
    fault: PathBuf,
    /// Where it answers.
    pub origin: String,
}

impl Process {
    /// Starts it over a database, with its files in `dir`, and waits until it answers.
    pub async fn start(database_url: &str, dir: &Path) -> Self {
        let fault = dir.join("fault");
        let mut command = Command::new(env!("CARGO_BIN_EXE_core-api"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HAWKER_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        let settings = [
            ("HAWKER_DATABASE_URL", database_url),
            ("HAWKER_ALLOW_UNSAFE_DATABASE", "true"),
            ("HAWKER_BUS", "memory"),
            ("HAWKER_TOKEN_SECRET", testkit::TOKEN_SECRET),
            ("HAWKER_HTTP", "127.0.0.1:0"),
            ("HAWKER_HTTP_WORKERS", "1"),
            ("HAWKER_ADMIN_HTTP", "127.0.0.1:0"),
            ("HAWKER_LOG_FORMAT", "json"),
            ("HAWKER_JOB_INTERVAL_SECONDS", "1"),
            ("HAWKER_LIMIT_MONEY_PER_MINUTE", "1000000"),
            ("HAWKER_CARRIER_WEBHOOK_SECRET", CARRIER),
        ];
        command
            .envs(settings)
            .env("HAWKER_MEDIA_FOLDER", dir.join("media"))
            .env("HAWKER_MAIL_FOLDER", dir)
            .env(faults::FILE, &fault)
            .env("TOKIO_WORKER_THREADS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let listens = async {
            let mut said = String::new();
            while let Some(line) = lines.next_line().await.expect("it writes text") {
                if let Some(addr) = line
                    .split(r#""addr":""#)
                    .nth(1)
                    .filter(|_| line.contains("core-api answers"))
                {
                    return addr.split('"').next().expect("an address").to_owned();
                }
                said += &line;
            }
            panic!("it has ended: {said}");
        };
        let addr = timeout(DEADLINE, listens).await.expect("it answers in time");
        // What it says is of no use here, but nobody may keep it from saying it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            child,
            fault,
            origin: format!("http://{addr}"),
        }
    }

    /// It is to die there next.
    pub fn dies_at(&self, edge: Edge, step: Step) {
        // Whole or not at all: it may look at any time.
        let new = self.fault.with_extension("new");
        std::fs::write(&new, format!("{} {}", edge.as_str(), step.as_str())).expect("written");
        std::fs::rename(new, &self.fault).expect("renamed");
    }

    /// Whether it has died, as it was told to.
    pub fn has_died(&mut self) -> bool {
        let Some(status) = self.child.try_wait().expect("a child") else {
            return false;
        };
        assert_eq!(status.signal(), Some(KILL), "it has ended otherwise: {status}");
        let _ = std::fs::remove_file(&self.fault);
        true
    }
}
