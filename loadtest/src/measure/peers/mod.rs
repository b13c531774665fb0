//! The servers that Hawker is measured beside, each pinned to the server's core: Bun
//! (its uWebSockets), nginx with nchan, and a bare loop of one send for each viewer.
//! They are measured and not shipped.

pub mod bare;

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::fanout::plain::Way;
use super::process::{self, Cores};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// Where the peers are; `benches/peers/run` installs them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Peers {
    /// Bun's program.
    #[arg(long, value_name = "FILE", env = "PEER_BUN")]
    pub bun: Option<PathBuf>,
    /// nginx's program.
    #[arg(long, value_name = "FILE", env = "PEER_NGINX")]
    pub nginx: Option<PathBuf>,
    /// nchan's module for it.
    #[arg(long, value_name = "FILE", env = "PEER_NCHAN")]
    pub nchan: Option<PathBuf>,
    /// The folder with the peers' server script and configuration.
    #[arg(long, value_name = "DIR", env = "PEER_FILES", default_value = "benches/peers")]
    pub peer_files: PathBuf,
}

/// A peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// Bun's built-in WebSocket server.
    Bun,
    /// nginx with nchan.
    Nchan,
    /// One send for each viewer, and nothing else.
    Bare,
}

impl Peer {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bun => "Bun",
            Self::Nchan => "nchan",
            Self::Bare => "bare loop",
        }
    }
}

/// A peer that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    /// How it is spoken to.
    pub way: Way,
    /// nginx keeps its files here.
    _dir: Option<tempfile::TempDir>,
}

impl Peers {
    /// Those that are there.
    #[must_use]
    pub fn present(&self) -> Vec<Peer> {
        let mut present = vec![Peer::Bare];
        present.extend(self.bun.as_ref().map(|_| Peer::Bun));
        present.extend(self.nginx.as_ref().and(self.nchan.as_ref()).map(|_| Peer::Nchan));
        present
    }

    /// Starts one.
    ///
    /// # Errors
    /// When it is not there or does not listen.
    pub fn start(&self, peer: Peer) -> Result<Running> {
        match peer {
            Peer::Bun => self.start_bun(),
            Peer::Nchan => self.start_nchan(),
            Peer::Bare => start_bare(),
        }
    }

    fn start_bun(&self) -> Result<Running> {
        let program = self
            .bun
            .as_deref()
            .context("Bun is not installed: benches/peers/run does it")?;
        let script = self.peer_files.join("bun/server.js");
        let mut command = process::pinned(program.as_os_str(), Cores::Server)?;
        command.arg("run").arg(&script);
        says_its_port(command, "/", None)
    }

    fn start_nchan(&self) -> Result<Running> {
        let missing = "nginx and nchan are not installed: benches/peers/run does it";
        let (nginx, module) = (
            self.nginx.as_deref().context(missing)?,
            self.nchan.as_deref().context(missing)?,
        );
        let dir = tempfile::Builder::new().prefix("hawker-nchan-").tempdir()?;
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let template = self.peer_files.join("nchan/nginx.conf");
        let config = std::fs::read_to_string(&template).with_context(|| template.display().to_string())?;
        let config = config
            .replace("@MODULE@", &module.canonicalize()?.display().to_string())
            .replace("@LISTEN@", &addr.to_string())
            .replace("@DIR@", &dir.path().display().to_string());
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config)?;
        let mut command = process::pinned(nginx.as_os_str(), Cores::Server)?;
        command
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let way = Way {
            addr,
            watch: "/sub",
            talk: Some("/pub"),
        };
        let mut running = Running {
            child,
            way,
            _dir: Some(dir),
        };
        running.listens()?;
        running.has_a_worker()?;
        Ok(running)
    }
}

fn start_bare() -> Result<Running> {
    let mut command = process::pinned(std::env::current_exe()?.as_os_str(), Cores::Server)?;
    command.arg("bare-loop");
    says_its_port(command, "/", None)
}

/// Starts a server that prints its port as its first line.
fn says_its_port(
    mut command: std::process::Command,
    watch: &'static str,
    talk: Option<&'static str>,
) -> Result<Running> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().context("its output is ours")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let port: u16 = line
        .trim()
        .parse()
        .with_context(|| format!("no port from the server: {line:?}"))?;
    let way = Way {
        addr: SocketAddr::from(([127, 0, 0, 1], port)),
        watch,
        talk,
    };
    let mut running = Running { child, way, _dir: None };
    running.listens()?;
    Ok(running)
}

impl Running {
    fn listens(&mut self) -> Result<()> {
        let until = Instant::now() + START_DEADLINE;
        while TcpStream::connect(self.way.addr).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended with {status}");
            }
            if Instant::now() > until {
                bail!("the server did not listen in {START_DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// nginx's master listens before the worker is there whose CPU time is to be counted.
    fn has_a_worker(&self) -> Result<()> {
        let until = Instant::now() + START_DEADLINE;
        while self.pids().len() < 2 {
            if Instant::now() > until {
                bail!("nginx had no worker in {START_DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its processes.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        process::family(self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx's worker ends when its master is told to, and not when it is killed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = process::signal(&[self.child.id()], "TERM");
        }
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
