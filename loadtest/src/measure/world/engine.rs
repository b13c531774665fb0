//! The engine under measurement, and the REST service: release builds of `live-engine` and
//! `core-api` as processes of their own, with every limit lifted that would only limit the
//! load.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::measure::process::{self, Cores};

/// How long it may take to listen.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take to stop before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(15);
/// A rate that no load reaches.
const LIFTED: &str = "100000000/100000000";

/// How an engine is run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where.
    pub cores: Cores,
    /// Threads that serve connections.
    pub workers: usize,
    /// Further settings, as in the environment but without the prefix.
    pub settings: Vec<(String, String)>,
}

impl Setup {
    /// One worker on the server's core.
    #[must_use]
    pub const fn one_core() -> Self {
        Self {
            cores: Cores::Server,
            workers: 1,
            settings: Vec::new(),
        }
    }

    /// Two workers on all cores, which the load and the database share.
    #[must_use]
    pub const fn all_cores() -> Self {
        Self {
            cores: Cores::All,
            workers: 2,
            settings: Vec::new(),
        }
    }
}

/// A running engine, or REST service. Dropping it kills it.
pub struct Engine {
    child: Child,
    addr: SocketAddr,
    log: PathBuf,
}

impl Engine {
    pub(super) fn start(program: &Path, setup: &Setup, database: &str, secret: &str, log: PathBuf) -> Result<Self> {
        // Free a moment ago: nobody else here takes ports by number.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = process::pinned(program.as_os_str(), setup.cores)?;
        command
            .env("HAWKER_LIVE", addr.to_string())
            .env("HAWKER_BUS", "memory")
            .env("HAWKER_LIVE_WORKERS", setup.workers.to_string())
            .env("HAWKER_DATABASE_URL", database)
            .env("HAWKER_TOKEN_SECRET", secret)
            .env("HAWKER_LIMIT_CONNECTIONS", "100000")
            .env("HAWKER_LIMIT_CONNECTIONS_PER_ADDRESS", "100000")
            .env("HAWKER_LIMIT_CONNECTIONS_PER_ACCOUNT", "100000");
        for limit in [
            "CONNECTS",
            "JOINS",
            "COMMANDS",
            "COMMANDS_PER_PERSON",
            "CHAT",
            "ROOM_CHAT",
            "BUYS",
            "REACTIONS",
        ] {
            command.env(format!("HAWKER_LIMIT_{limit}"), LIFTED);
        }
        for (name, value) in &setup.settings {
            command.env(format!("HAWKER_{}", name.to_uppercase()), value);
        }
        Self::spawn(command, addr, log)
    }

    pub(super) fn start_api(
        program: &Path,
        workers: usize,
        database: &str,
        secret: &str,
        log: PathBuf,
    ) -> Result<Self> {
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let admin = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = process::pinned(program.as_os_str(), Cores::All)?;
        let media = log.with_extension("media");
        command
            .env("HAWKER_HTTP", addr.to_string())
            .env("HAWKER_ADMIN_HTTP", admin.to_string())
            .env("HAWKER_BUS", "memory")
            .env("HAWKER_HTTP_WORKERS", workers.to_string())
            .env("HAWKER_DATABASE_URL", database)
            .env("HAWKER_TOKEN_SECRET", secret)
            .env("HAWKER_MEDIA_FOLDER", media);
        for kind in ["READS", "WRITES", "MONEY"] {
            command.env(format!("HAWKER_LIMIT_{kind}_PER_MINUTE"), "100000000");
        }
        Self::spawn(command, addr, log)
    }

    fn spawn(mut command: Command, addr: SocketAddr, log: PathBuf) -> Result<Self> {
        let program = command.get_program().to_owned();
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.to_string_lossy()))?;
        let mut engine = Self { child, addr, log };
        engine.listens()?;
        Ok(engine)
    }

    fn listens(&mut self) -> Result<()> {
        let until = Instant::now() + START_DEADLINE;
        while TcpStream::connect(self.addr).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}:\n{}", self.log());
            }
            if Instant::now() > until {
                bail!("it did not listen in {START_DEADLINE:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        // taskset has become it.
        vec![self.child.id()]
    }

    /// What it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// When it does not stop, or had died before.
    pub fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the engine had ended with {status}:\n{}", self.log());
        }
        process::signal(&self.pids(), "TERM")?;
        let until = Instant::now() + STOP_DEADLINE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > until {
                bail!("the engine did not stop in {STOP_DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
