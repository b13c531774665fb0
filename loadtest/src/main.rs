//! The measurement as a program: each part alone, or all of them, as a table and as JSON.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use loadtest::measure::arrivals::Arrivals;
use loadtest::measure::figures::Part;
use loadtest::measure::parts::{self, Bench, chat, fan, growth, holds, memory, outage, press, resume, sold_out};
use loadtest::measure::peers::{Peers, bare};
use loadtest::measure::process::{Cores, pin_self};
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

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    Dense,
    Sparse,
    Quiet,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    init_logs(LogFormat::Text, "info");
    if matches!(cli.command, Command::BareLoop) {
        return bare::serve();
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
        Command::Press => report(press::measure(bench)?),
        Command::SoldOut(time) => report(sold_out::measure(bench, time.seconds)?),
        Command::Chat(time) => report(chat::measure(bench, time.seconds)?),
        Command::Outage { seconds } => report(outage::measure(bench, *seconds)?),
        Command::Resume => report(resume::measure(bench)?),
        Command::Growth(time) => report(growth::measure(bench, time.seconds)?),
        Command::All => all(bench, report),
        Command::BareLoop => Ok(()),
    }
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
    report(chat::measure(bench, 8)?)?;
    report(outage::measure(bench, 60)?)
}

fn setting(pair: &str) -> Result<(String, String)> {
    let (key, value) = pair
        .split_once('=')
        .with_context(|| format!("{pair:?} is not KEY=VALUE"))?;
    Ok((key.to_owned(), value.to_owned()))
}
