//! Hawker's own programs as processes: started, asked whether they answer, killed,
//! started again at the same place. For the tests and the fault injector.

mod apart;

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::Rng as _;
use tokio::time::Instant;

pub use apart::{Apart, Place, redis_server};

/// How long a program may take to answer, and to end, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// The folder with the programs.
#[derive(Clone, Debug)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// The folder of `program`, one of the workspace's.
    #[must_use]
    pub fn beside(program: &Path) -> Self {
        Self(program.parent().unwrap_or(Path::new("")).to_owned())
    }

    /// The folder of the program that runs now.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn beside_this() -> Result<Self> {
        Ok(Self::beside(&std::env::current_exe()?))
    }

    /// A command line of one of them, out of reach of the caller's own settings.
    ///
    /// # Errors
    /// When it is not there.
    pub fn command(&self, name: &str) -> Result<Command> {
        let path = self.0.join(name);
        if !path.is_file() {
            bail!("{} is not there: cargo build --workspace makes it", path.display());
        }
        let mut command = Command::new(path);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HAWKER_") || name == "RUST_LOG") {
            command.env_remove(name);
        }
        Ok(command)
    }
}

/// A running program. It is killed with this handle, and with the thread that started it.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts it; what it writes is added to `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let log = open_log(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: prctl is a system call and touches no memory of the parent.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits until something listens at `addr` while the program lives.
    ///
    /// # Errors
    /// When it ends, or does not listen in time.
    pub async fn listens(&mut self, addr: SocketAddr) -> Result<()> {
        let by = Instant::now() + PATIENCE;
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            if let Some(status) = self.ended()? {
                bail!("{} has ended with {status}", self.name);
            }
            if Instant::now() > by {
                bail!("{} does not listen at {addr} after {} s", self.name, PATIENCE.as_secs());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: libc::c_int) -> io::Result<()> {
        kill(self.pid(), signal)
    }

    /// Kills it at once, and waits for its end.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it does not end in time, or not well.
    pub async fn stop(mut self) -> Result<()> {
        self.signal(libc::SIGTERM)?;
        let status = self.end().await?;
        if !status.success() {
            bail!("{} ended with {status} (signal {:?})", self.name, status.signal());
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn end(&mut self) -> Result<ExitStatus> {
        let by = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() > by {
                bail!("{} has not ended after {} s", self.name, PATIENCE.as_secs());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a process a signal.
///
/// # Errors
/// When it is not there, or not ours.
pub fn kill(pid: u32, signal: libc::c_int) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: kill touches no memory.
    if unsafe { libc::kill(pid, signal) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// A free port of this machine that stays free while its program is away: outside of
/// what the system hands out to connections (by default 32768 and above).
///
/// # Errors
/// When none is found.
pub fn free_port() -> Result<SocketAddr> {
    for _ in 0..1000 {
        let port = rand::rng().random_range(12_000..32_000);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(addr).is_ok() {
            return Ok(addr);
        }
    }
    bail!("no port between 12000 and 32000 is free")
}
