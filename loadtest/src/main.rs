//! The measurement as a program: each part alone, or all of them, as a table and as JSON.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use loadtest::chaos::{self, rig};
use loadtest::measure::arrivals::Arrivals;
use loadtest::measure::figures::Part;
use loadtest::measure::parts::{
    self, Bench, chat, fan, growth, holds, memory, orders, outage, press, resume, sold_out,
};
use loadtest::measure::peers::{Peers, bare};
use loadtest::measure::process::{Cores, pin_self};
use loadtest::programs::Binaries;
use shared::telemetry::{LogFormat, init_logs};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Hawker's live engine.
///
/// The engine is started as a process of its own, on a private, durable Postgres that is
/// thrown away afterwards, with the limits lifted that would only limit the load. For
/// fan-out it has the first core to itself and the load has the others; needs two cores,
/// the release build of live-engine, and an otherwise idle machine: look at the load
/// average that stands beside each figure.
///
/// A run fails when anything is lost, doubled or refused. It does not fail because
/// something is slow: that is what the figures are for.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct Common {
    /// The engine's program [default: beside this one].
    #[arg(long, global = true, value_name = "FILE")]
    engine: Option<PathBuf>,
    /// Write the figures to this file as JSON, too.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How much of the viewers and buyers: 0.1 is a tenth, for a quick look.
    #[arg(long, global = true, value_name = "SHARE", default_value_t = 1.0)]
    scale: f64,
    #[command(flatten)]
    peers: Peers,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fan-out beside the peers: dense (5,000 viewers × 200 messages/s), sparse (20/s), quiet (1,000 × 1/s).
    Fanout(Fanout),
    /// Resident memory of an idle viewer, beside Bun's.
    Memory,
    /// Durable holds a second on one sale, beside pgbench with one transaction a buyer.
    Holds(Seconds),
    /// Orders of three items of two shops a second, paid, beside pgbench; how long each step takes and what it asks of the database.
    Orders(Seconds),
    /// 2,000 buyers press at once for 500 units: until the last answer, and nothing oversold.
    Press,
    /// Refusals a second once everything is sold, and what they cost the database.
    SoldOut(Seconds),
    /// Chat rows a second from room to Postgres beside COPY, and how long an acknowledgement takes.
    Chat(Seconds),
    /// The database away for a minute: chat goes on, memory, drain, nothing acknowledged lost.
    Outage {
        /// How long it is away.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// 10,000 viewers cut off and back at once.
    Resume,
    /// CPU per delivery with 1,000, 5,000 and 15,000 viewers.
    Growth(Seconds),
    /// Everything, one after the other: about 25 minutes.
    All,
    /// Kill Hawker's processes at random moments under load, and check every acknowledgement.
    Chaos(Chaos),
    /// The bare loop that fan-out is measured beside; prints its port and serves until killed.
    #[command(hide = true)]
    BareLoop,
}

#[derive(Debug, Args)]
struct Seconds {
    /// How long each measurement takes.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
}

#[derive(Debug, Args)]
struct Fanout {
    /// Which; all three when none is named.
    #[arg(value_enum)]
    kind: Option<Kind>,
    /// How often each server is measured; the medians count.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How long each run is.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How messages follow each other.
    #[arg(long, value_enum, default_value = "random")]
    arrivals: Arrivals,
    /// A setting of the engine's, such as live_workers=2; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Hawker alone.
    #[arg(long)]
    alone: bool,
}

/// Real processes and real databases in a scratch folder: the all-in-one program for the
/// one half of the kills, `core-api` and `live-engine` over Postgres and Redis for the
/// other. Fails when anything acknowledged is lost, doubled or changed, or an invariant
/// is broken; data and logs stay then.
#[derive(Debug, Args)]
struct Chaos {
    /// How many kills.
    #[arg(long, default_value_t = 50)]
    kills: u32,
    /// Where choices begin; the same seed makes the same ones [default: another each time].
    #[arg(long)]
    seed: Option<u64>,
    /// Viewers, each with a socket and a shopper over REST.
    #[arg(long, default_value_t = 6)]
    viewers: usize,
    /// What is killed; both when none is named.
    #[arg(long, value_enum)]
    rig: Option<RigName>,
    /// Where data and logs go [default: a folder that is gone after a sound run].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum RigName {
    /// The all-in-one program.
    One,
    /// Separate processes.
    Apart,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Dense,
    Sparse,
    Quiet,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    // What is killed on purpose is no news.
    init_logs(LogFormat::Text, "info,hawker_postgres=off");
    match &cli.command {
        Command::BareLoop => return bare::serve(),
        Command::Chaos(chaos) => return kill_and_check(chaos),
        _ => {}
    }
    let bench = Bench {
        engine: parts::find_engine(cli.common.engine)?,
        peers: cli.common.peers,
        scale: cli.common.scale,
    };
    let mut done = Vec::new();
    measure(&cli.command, &bench, &mut |part| {
        show(&part);
        done.push(part);
        match &cli.common.json {
            // After each part: a run that is ended early has said what it found.
            Some(path) => {
                std::fs::write(path, serde_json::to_vec_pretty(&done)?).with_context(|| path.display().to_string())
            }
            None => Ok(()),
        }
    })?;
    pin_self(Cores::All)
}

#[allow(clippy::print_stdout, reason = "this is what the program is for")]
fn show(part: &Part) {
    println!("{}", part.table());
}

fn measure(command: &Command, bench: &Bench, report: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
    match command {
        Command::Fanout(fanout) => {
            let how = fan::How {
                runs: fanout.runs,
                seconds: fanout.seconds,
                arrivals: fanout.arrivals,
                settings: fanout
                    .settings
                    .iter()
                    .map(|pair| setting(pair))
                    .collect::<Result<_>>()?,
                peers: !fanout.alone,
            };
            let kinds: &[fan::Kind] = match fanout.kind {
                Some(Kind::Dense) => &[fan::DENSE],
                Some(Kind::Sparse) => &[fan::SPARSE],
                Some(Kind::Quiet) => &[fan::QUIET],
                None => &[fan::DENSE, fan::SPARSE, fan::QUIET],
            };
            kinds
                .iter()
                .try_for_each(|kind| report(fan::measure(bench, *kind, &how)?))
        }
        Command::Memory => report(memory::measure(bench)?),
        Command::Holds(time) => report(holds::measure(bench, time.seconds)?),
        Command::Orders(time) => report(orders::measure(bench, time.seconds)?),
        Command::Press => report(press::measure(bench)?),
        Command::SoldOut(time) => report(sold_out::measure(bench, time.seconds)?),
        Command::Chat(time) => report(chat::measure(bench, time.seconds)?),
        Command::Outage { seconds } => report(outage::measure(bench, *seconds)?),
        Command::Resume => report(resume::measure(bench)?),
        Command::Growth(time) => report(growth::measure(bench, time.seconds)?),
        Command::All => all(bench, report),
        // Not measured, and dealt with before.
        Command::BareLoop | Command::Chaos(_) => Ok(()),
    }
}

fn kill_and_check(args: &Chaos) -> Result<()> {
    let scratch = tempfile::Builder::new()
        .prefix("hawker-chaos-")
        // Postgres may run as somebody else, who has to get in.
        .permissions(Permissions::from_mode(0o755))
        .tempdir()?;
    let options = chaos::Options {
        kills: args.kills,
        seed: args.seed.unwrap_or_else(rand::random),
        viewers: args.viewers,
        rigs: match args.rig {
            Some(RigName::One) => vec![rig::Kind::OneProgram],
            Some(RigName::Apart) => vec![rig::Kind::Apart],
            None => vec![rig::Kind::OneProgram, rig::Kind::Apart],
        },
        binaries: Binaries::beside_this()?,
        dir: args.dir.clone().unwrap_or_else(|| scratch.path().to_owned()),
    };
    tracing::info!(seed = options.seed, kills = options.kills, "killing");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(Box::pin(chaos::run(&options)));
    let sound = done.as_ref().is_ok_and(chaos::Report::is_sound);
    if !sound {
        tracing::error!(seed = options.seed, dir = %options.dir.display(), "data and logs are kept");
        // Not dropped, so not removed.
        let _ = scratch.keep();
    }
    say(&done?);
    anyhow::ensure!(sound, "what was acknowledged is not what is there");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is what the program is for")]
fn say(report: &chaos::Report) {
    println!("{report}");
}

fn all(bench: &Bench, report: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
    let how = fan::How {
        runs: 5,
        seconds: 8,
        arrivals: Arrivals::Random,
        settings: Vec::new(),
        peers: true,
    };
    for kind in [fan::DENSE, fan::SPARSE] {
        report(fan::measure(bench, kind, &how)?)?;
    }
    // Few messages: a longer window, and once.
    let quiet = fan::How {
        runs: 1,
        seconds: 60,
        ..how
    };
    report(fan::measure(bench, fan::QUIET, &quiet)?)?;
    report(growth::measure(bench, 8)?)?;
    report(memory::measure(bench)?)?;
    report(resume::measure(bench)?)?;
    report(press::measure(bench)?)?;
    report(holds::measure(bench, 8)?)?;
    report(sold_out::measure(bench, 8)?)?;
    report(orders::measure(bench, 8)?)?;
    report(chat::measure(bench, 8)?)?;
    report(outage::measure(bench, 60)?)
}

fn setting(pair: &str) -> Result<(String, String)> {
    let (key, value) = pair
        .split_once('=')
        .with_context(|| format!("{pair:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
