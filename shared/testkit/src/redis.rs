//! A Redis of a test's own: the system's `redis-server` on a socket in a scratch folder,
//! which can be killed, stopped, started again and emptied under whoever uses it.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// A test that fills it has gone astray.
const MAX_MEMORY: &str = "64mb";

/// A running Redis, or one that was killed. It goes with this handle.
#[derive(Debug)]
pub struct Redis {
    dir: TempDir,
    child: Option<Child>,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("hawker-redis-").tempdir();
        let mut redis = Self {
            dir: dir.expect("a scratch folder can be made"),
            child: None,
        };
        redis.restart().await;
        redis
    }

    /// Where it is, for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// Kills it, with all that it knows.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only when it has ended by itself, which is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it, empty, at the same place, and waits until it answers.
    pub async fn restart(&mut self) {
        self.kill();
        self.child = Some(spawn(self.dir.path(), &self.socket()));
        let answers = async {
            while self.command("PING").await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, answers)
            .await
            .expect("Redis starts in time");
    }

    /// Empties it of every key and script.
    pub async fn flush(&self) {
        for command in ["FLUSHALL SYNC", "SCRIPT FLUSH SYNC"] {
            self.command(command).await.expect("Redis answers");
        }
    }

    /// Cuts every connection but this one's.
    pub async fn disconnect_all(&self) {
        self.command("CLIENT KILL TYPE normal SKIPME yes")
            .await
            .expect("Redis answers");
        self.command("CLIENT KILL TYPE pubsub SKIPME yes")
            .await
            .expect("Redis answers");
    }

    /// How many channels have subscribers.
    pub async fn subscribed_channels(&self) -> usize {
        let answer = self.command("PUBSUB SHARDCHANNELS").await.expect("Redis answers");
        let count = answer.trim_end().trim_start_matches('*').parse();
        count.expect("the answer is a list")
    }

    /// Stops it in its tracks: it accepts and says nothing until [`Redis::thaw`].
    pub fn freeze(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(libc::SIGCONT);
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        let pid = pid.expect("Redis runs");
        // SAFETY: the process is a child of ours that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "it is there to be signalled");
    }

    /// One command without arguments that hold spaces, and the answer's first line.
    async fn command(&self, line: &str) -> io::Result<String> {
        let mut socket = UnixStream::connect(self.socket()).await?;
        socket.write_all(format!("{line}\r\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(socket).read_line(&mut answer).await?;
        if answer.is_empty() || answer.starts_with('-') {
            return Err(io::Error::other(answer));
        }
        Ok(answer)
    }
}

fn spawn(dir: &Path, socket: &Path) -> Child {
    let mut command = Command::new("redis-server");
    command
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory",
            MAX_MEMORY,
        ])
        .arg("--unixsocket")
        .arg(socket)
        .arg("--dir")
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: prctl is a system call and touches no memory of the parent.
    unsafe {
        // A test process that is killed leaves none behind.
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
        .spawn()
        .expect("this test needs redis-server: apt-get install redis-server")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
