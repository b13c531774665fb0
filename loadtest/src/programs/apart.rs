//! Hawker as separate processes over one Postgres and one Redis.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::{Binaries, Program, free_port};

/// The signing secret of the processes that are started here, and of nothing else.
const TOKEN_SECRET: &str = "processes-under-test-sign-with-this-alone";
/// Per minute and address or account: as good as none.
const UNLIMITED: &str = "1000000";
const LIFTED: [&str; 10] = [
    "HAWKER_LIMIT_READS_PER_MINUTE",
    "HAWKER_LIMIT_WRITES_PER_MINUTE",
    "HAWKER_LIMIT_MONEY_PER_MINUTE",
    "HAWKER_LIMIT_REGISTER_PER_MINUTE",
    "HAWKER_LIMIT_LOGIN_PER_MINUTE",
    "HAWKER_LIMIT_LOGIN_PER_EMAIL_PER_MINUTE",
    "HAWKER_LIMIT_REFRESH_PER_MINUTE",
    "HAWKER_LIMIT_TICKETS_PER_MINUTE",
    "HAWKER_LIMIT_CONNECTIONS_LIFTED",
    "HAWKER_LIMIT_PASSWORD_QUEUE",
];

/// What the processes work on.
#[derive(Clone, Debug)]
pub struct Place {
    /// The programs.
    pub binaries: Binaries,
    /// Where their logs go.
    pub dir: PathBuf,
    /// A migrated database.
    pub database_url: String,
    /// The database may be one that forgets in a power cut.
    pub database_forgets: bool,
    /// The bus.
    pub redis_url: String,
    /// Further settings: variables of the environment.
    pub settings: Vec<(String, String)>,
}

/// `core-api` and `live-engine`, each a process that can be killed and started again.
#[derive(Debug)]
pub struct Apart {
    place: Place,
    http: SocketAddr,
    live: SocketAddr,
    /// The REST service.
    pub core: Option<Program>,
    /// The engine.
    pub engine: Option<Program>,
}

impl Apart {
    /// Starts both, and waits until they listen.
    ///
    /// # Errors
    /// When one of them does not.
    pub async fn start(place: Place) -> Result<Self> {
        let mut apart = Self {
            place,
            http: free_port()?,
            live: free_port()?,
            core: None,
            engine: None,
        };
        apart.start_missing().await?;
        Ok(apart)
    }

    /// Where REST is.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Starts what does not run, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start_missing(&mut self) -> Result<()> {
        self.spawn_missing()?;
        self.listen().await
    }

    /// Starts what does not run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn_missing(&mut self) -> Result<()> {
        if self.engine.is_none() {
            let command = self.command("live-engine")?;
            self.engine = Some(Program::start("live-engine", command, &self.log("live-engine"))?);
        }
        if self.core.is_none() {
            let command = self.command("core-api")?;
            self.core = Some(Program::start("core-api", command, &self.log("core-api"))?);
        }
        Ok(())
    }

    /// Waits until both listen.
    ///
    /// # Errors
    /// When one ends, or does not listen in time.
    pub async fn listen(&mut self) -> Result<()> {
        for (program, addr) in [(&mut self.engine, self.live), (&mut self.core, self.http)] {
            if let Some(program) = program {
                program.listens(addr).await?;
            }
        }
        Ok(())
    }

    /// Stops both in order.
    ///
    /// # Errors
    /// When one does not end well.
    pub async fn stop(mut self) -> Result<()> {
        for program in [self.engine.take(), self.core.take()].into_iter().flatten() {
            program.stop().await?;
        }
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.place.dir.join(format!("{name}.log"))
    }

    fn command(&self, program: &str) -> Result<Command> {
        let place = &self.place;
        let mut command = place.binaries.command(program)?;
        command
            .env("HAWKER_DATABASE_URL", &place.database_url)
            .env("HAWKER_REDIS_URL", &place.redis_url)
            .env("HAWKER_TOKEN_SECRET", TOKEN_SECRET)
            .env("HAWKER_HTTP", self.http.to_string())
            .env("HAWKER_LIVE", self.live.to_string())
            .env("HAWKER_LIVE_URL", format!("ws://{}/ws", self.live))
            .env("HAWKER_LIVE_NODE", "engine")
            .env("HAWKER_LIMIT_CONNECTS", "1000000/1000000")
            .env("HAWKER_COOKIE_SECURE", "false");
        if place.database_forgets {
            command.env("HAWKER_ALLOW_UNSAFE_DATABASE", "true");
        }
        for limit in LIFTED {
            command.env(limit, UNLIMITED);
        }
        command.envs(place.settings.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// A Redis on a socket in `dir` that keeps nothing, and how to reach it.
///
/// # Errors
/// When `redis-server` cannot be started.
pub fn redis_server(dir: &Path) -> Result<(Program, String)> {
    let socket = dir.join("redis.sock");
    let mut command = Command::new("redis-server");
    command
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--maxmemory", "64mb"])
        .arg("--unixsocket")
        .arg(&socket)
        .arg("--dir")
        .arg(dir);
    let program = Program::start("redis-server", command, &dir.join("redis.log"))?;
    Ok((program, format!("unix://{}", socket.display())))
}
