//! The real binary in a scratch directory, and what can be asked of it from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A scratch folder that Postgres's account may enter when the tests run as root.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

/// The command line `hawker WORDS…`, out of reach of the developer's own settings.
pub fn hawker(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hawker"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HAWKER_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// `hawker run` on free ports of this machine.
pub fn run(dir: &Path, more: &[&str]) -> Command {
    let mut command = hawker(&["run", "--http", "127.0.0.1:0", "--live", "127.0.0.1:0", "--data-dir"]);
    command.arg(dir).args(more);
    command
}

/// A client that keeps nothing between requests.
pub fn client() -> reqwest::Client {
    // An error means that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// A running program.
pub struct Program {
    child: Child,
    dir: PathBuf,
    /// What it printed when it was up.
    pub banner: String,
}

impl Program {
    /// Starts it and waits for its banner.
    pub async fn start(dir: &Path, more: &[&str]) -> Self {
        let mut child = run(dir, more).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        let reading = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                banner.push_str(&line);
                banner.push('\n');
                if line.contains("Ctrl-C") {
                    return;
                }
            }
        };
        timeout(DEADLINE, reading).await.expect("it is up in time");
        if !banner.contains("Ctrl-C") {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
            panic!("it did not come up: {said}");
        }
        Self {
            child,
            dir: dir.to_owned(),
            banner,
        }
    }

    /// Where its page is, without the last slash.
    pub fn page(&self) -> String {
        let line = self
            .banner
            .lines()
            .find_map(|line| line.trim().strip_prefix("Page"))
            .unwrap();
        line.split_whitespace().next().unwrap().trim_end_matches('/').to_owned()
    }

    /// Where its private listener is.
    pub fn private(&self) -> String {
        let line = self
            .banner
            .lines()
            .find_map(|line| line.trim().strip_prefix("Operator"));
        line.unwrap().trim().split("/metrics").next().unwrap().to_owned()
    }

    /// Fetches a path of it.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        let url = format!("{}{path}", self.page());
        timeout(DEADLINE, client().get(url).send()).await.unwrap().unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end.
    pub async fn end(&mut self) -> ExitStatus {
        timeout(DEADLINE, self.child.wait())
            .await
            .expect("it ends in time")
            .unwrap()
    }

    /// Stops it in order.
    pub async fn stop(mut self) {
        self.signal("TERM");
        assert!(self.end().await.success());
        assert_eq!(processes_in(&self.dir), Vec::<u32>::new());
    }
}

/// Runs a command to its end: its status, standard output and standard error.
pub async fn finish(mut command: Command) -> (ExitStatus, String, String) {
    let output = timeout(DEADLINE, command.output())
        .await
        .expect("it ends in time")
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs a command that must be refused, and returns the one line that says why.
pub async fn refused(command: Command) -> String {
    let (status, _, said) = finish(command).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said:?}");
    said
}

/// The processes that work in `dir`, whoever started them. Zombies do not work.
pub fn processes_in(dir: &Path) -> Vec<u32> {
    let dir = dir.canonicalize().unwrap();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(&dir)))
        .collect()
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(DEADLINE, waiting).await.is_ok(), "not in time: {what}");
}
