//! What is killed: Hawker as one program with its private Postgres, or as separate
//! processes over a Postgres and a Redis; and how it is put together again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hawker_postgres::{Options, Server};
use rand::Rng;
use rand::rngs::StdRng;
use reqwest::Method;
use shared::db::DbOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use crate::programs::{Apart, Binaries, PATIENCE, Place, Program, free_port, kill, redis_server};
use crate::rest::RestClient;

/// The database's name in a private Postgres.
const DATABASE: &str = "hawker";
/// What both rigs are told: limits that the load does not meet, and jobs that come soon.
const SETTINGS: [(&str, &str); 7] = [
    ("HAWKER_LIMIT_CHAT", "200/400"),
    ("HAWKER_LIMIT_BUYS", "200/400"),
    ("HAWKER_LIMIT_COMMANDS", "400/800"),
    ("HAWKER_LIMIT_COMMANDS_PER_PERSON", "400/800"),
    ("HAWKER_LIMIT_REACTIONS", "200/400"),
    ("HAWKER_RECONCILE_AFTER_SECONDS", "1"),
    ("HAWKER_JOB_INTERVAL_SECONDS", "1"),
];

/// What may be killed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// The all-in-one program; its Postgres is told to stop by that.
    Program,
    /// The all-in-one program and every process of its Postgres, at the same moment.
    Everything,
    /// The database's first process.
    Postgres,
    /// One process of the database: it stops all others and recovers.
    Backend,
    /// The live engine.
    Engine,
    /// The REST service.
    Core,
    /// Redis.
    Redis,
}

impl Target {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Program => "hawker",
            Self::Everything => "hawker with its Postgres",
            Self::Postgres => "Postgres",
            Self::Backend => "a backend of Postgres",
            Self::Engine => "live-engine",
            Self::Core => "core-api",
            Self::Redis => "Redis",
        }
    }
}

/// Which rig.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `hawker run`.
    OneProgram,
    /// `core-api` and `live-engine`.
    Apart,
}

impl Kind {
    /// What to kill next.
    pub fn choose(self, rng: &mut StdRng) -> Target {
        let nth = rng.random_range(0..100);
        match self {
            Self::OneProgram => match nth {
                0..45 => Target::Program,
                45..80 => Target::Everything,
                _ => Target::Postgres,
            },
            Self::Apart => match nth {
                0..40 => Target::Engine,
                40..65 => Target::Core,
                65..80 => Target::Postgres,
                80..88 => Target::Backend,
                _ => Target::Redis,
            },
        }
    }
}

/// See the module.
pub struct Rig {
    dir: PathBuf,
    parts: Parts,
}

enum Parts {
    One(One),
    Apart(Box<Several>),
}

struct One {
    binaries: Binaries,
    http: SocketAddr,
    live: SocketAddr,
    program: Option<Program>,
}

struct Several {
    postgres: Option<Server>,
    /// It was killed and is to be started again.
    postgres_is_gone: bool,
    redis: Option<Program>,
    apart: Apart,
}

impl Rig {
    /// Starts one in `dir`, and waits until it answers.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(kind: Kind, binaries: Binaries, dir: &Path) -> Result<Self> {
        let parts = match kind {
            Kind::OneProgram => Parts::One(One {
                binaries,
                http: free_port()?,
                live: free_port()?,
                program: None,
            }),
            Kind::Apart => Parts::Apart(Box::new(Several::start(binaries, dir).await?)),
        };
        let mut rig = Self {
            dir: dir.to_owned(),
            parts,
        };
        rig.spawn_missing().await?;
        rig.answers().await?;
        Ok(rig)
    }

    /// Where REST is.
    #[must_use]
    pub fn base_url(&self) -> String {
        match &self.parts {
            Parts::One(one) => format!("http://{}", one.http),
            Parts::Apart(several) => several.apart.base_url(),
        }
    }

    /// The database, while it runs.
    ///
    /// # Errors
    /// When there is none.
    pub fn database_url(&self) -> Result<String> {
        Ok(hawker_postgres::running_url(&self.data_dir(), DATABASE)?)
    }

    fn data_dir(&self) -> PathBuf {
        data_dir(&self.dir)
    }

    /// Kills it, with SIGKILL.
    ///
    /// # Errors
    /// When it is not part of this rig, or not there.
    pub fn kill(&mut self, target: Target) -> Result<()> {
        let postmaster = || postmaster(&data_dir(&self.dir));
        match (target, &mut self.parts) {
            (Target::Program, Parts::One(one)) => end(&mut one.program),
            (Target::Everything, Parts::One(one)) => {
                let postgres = postmaster()?;
                let processes: Vec<u32> = children_of(postgres).into_iter().chain([postgres]).collect();
                end(&mut one.program)?;
                for pid in processes {
                    // Some may have been on their way down already.
                    let _ = kill(pid, libc::SIGKILL);
                }
                Ok(())
            }
            (Target::Postgres, Parts::One(_)) => Ok(kill(postmaster()?, libc::SIGKILL)?),
            (Target::Postgres, Parts::Apart(several)) => {
                several.postgres_is_gone = true;
                Ok(kill(postmaster()?, libc::SIGKILL)?)
            }
            (Target::Backend, _) => {
                let backend = children_of(postmaster()?).into_iter().rfind(|pid| serves(*pid));
                Ok(kill(backend.context("Postgres has no backend")?, libc::SIGKILL)?)
            }
            (Target::Engine, Parts::Apart(several)) => end(&mut several.apart.engine),
            (Target::Core, Parts::Apart(several)) => end(&mut several.apart.core),
            (Target::Redis, Parts::Apart(several)) => end(&mut several.redis),
            (target, _) => bail!("{} is no part of this", target.words()),
        }
    }

    /// Starts what does not run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn spawn_missing(&mut self) -> Result<()> {
        match &mut self.parts {
            Parts::One(one) => one.spawn(&self.dir).await,
            Parts::Apart(several) => several.spawn_missing(&self.dir).await,
        }
    }

    /// Waits until everything answers.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn answers(&mut self) -> Result<()> {
        match &mut self.parts {
            Parts::One(One {
                http,
                live,
                program: Some(program),
                ..
            }) => {
                program.listens(*live).await?;
                program.listens(*http).await?;
            }
            Parts::One(_) => bail!("hawker does not run"),
            Parts::Apart(several) => several.apart.listen().await?,
        }
        is_ready(&self.base_url()).await
    }

    /// Stops everything in order.
    ///
    /// # Errors
    /// When something does not end well.
    pub async fn stop(self) -> Result<()> {
        match self.parts {
            Parts::One(One {
                program: Some(program), ..
            }) => program.stop().await,
            Parts::One(_) => Ok(()),
            Parts::Apart(several) => {
                several.apart.stop().await?;
                stop_postgres(several.postgres).await;
                Ok(())
            }
        }
    }
}

impl One {
    async fn spawn(&mut self, dir: &Path) -> Result<()> {
        if let Some(mut program) = self.program.take() {
            // Its Postgres was killed: it says so and ends.
            let status = program.end().await.context("hawker without its Postgres")?;
            if status.success() {
                bail!("hawker ended well although its Postgres was killed");
            }
        }
        let mut command = self.binaries.command("hawker")?;
        command
            .args(["run", "--no-seed"])
            .arg("--data-dir")
            .arg(data_dir(dir))
            .args(["--http", &self.http.to_string(), "--live", &self.live.to_string()])
            .envs(SETTINGS);
        self.program = Some(Program::start("hawker", command, &dir.join("hawker.log"))?);
        Ok(())
    }
}

impl Several {
    async fn start(binaries: Binaries, dir: &Path) -> Result<Self> {
        let postgres = start_postgres(dir).await?;
        let url = postgres.url(DATABASE);
        make_database(&postgres).await?;
        let (redis, redis_url) = redis_server(dir)?;
        let place = Place {
            binaries,
            dir: dir.to_owned(),
            database_url: url,
            database_forgets: false,
            redis_url,
            settings: SETTINGS.map(|(name, value)| (name.into(), value.into())).to_vec(),
        };
        Ok(Self {
            postgres: Some(postgres),
            postgres_is_gone: false,
            redis: Some(redis),
            apart: Apart::start(place).await?,
        })
    }

    async fn spawn_missing(&mut self, dir: &Path) -> Result<()> {
        if self.postgres_is_gone {
            stop_postgres(self.postgres.take()).await;
            self.postgres = Some(start_postgres(dir).await?);
            self.postgres_is_gone = false;
        }
        if self.redis.is_none() {
            self.redis = Some(redis_server(dir)?.0);
        }
        self.apart.spawn_missing()
    }
}

fn data_dir(dir: &Path) -> PathBuf {
    dir.join("data")
}

fn end(program: &mut Option<Program>) -> Result<()> {
    let mut program = program.take().context("it does not run")?;
    program.kill()?;
    Ok(())
}

async fn start_postgres(dir: &Path) -> Result<Server> {
    let options = Options::new(data_dir(dir));
    let start = tokio::task::spawn_blocking(move || Server::start(&options));
    Ok(start.await??)
}

async fn stop_postgres(server: Option<Server>) {
    if let Some(server) = server {
        // A panic in there has been logged by the thread itself.
        let _ = tokio::task::spawn_blocking(move || server.stop()).await;
    }
}

async fn make_database(server: &Server) -> Result<()> {
    let mut conn = PgConnection::connect(&server.url("postgres")).await?;
    sqlx::query("create database hawker").execute(&mut conn).await?;
    conn.close().await?;
    let pool = shared::db::connect(&server.url(DATABASE), &DbOptions::default()).await?;
    shared::db::migrate(&pool).await?;
    pool.close().await;
    Ok(())
}

/// The first process of the Postgres in `data_dir`.
fn postmaster(data_dir: &Path) -> Result<u32> {
    let path = data_dir.join("postgres/data/postmaster.pid");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = text.lines().next().unwrap_or_default();
    line.trim().parse().with_context(|| format!("{line:?} is no process"))
}

/// The processes that this one has started and that still run.
fn children_of(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether a process of Postgres serves a connection to our database.
fn serves(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(&format!(" {DATABASE} ")))
}

async fn is_ready(base_url: &str) -> Result<()> {
    let rest = RestClient::new(base_url)?;
    let by = Instant::now() + PATIENCE;
    loop {
        let asked = rest.raw(Method::GET, "/readyz", None, None).await;
        if asked.as_ref().is_ok_and(|answer| answer.status == 200) {
            return Ok(());
        }
        if Instant::now() > by {
            bail!("/readyz says {asked:?} after {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
