//! Fan-out, dense, sparse and quiet: Hawker and the peers in turn, so often, each on the
//! same core with the same load from the other.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use crate::measure::arrivals::Arrivals;
use crate::measure::fanout::{Outcome, Plan, hawker, plain};
use crate::measure::figures::{Part, median};
use crate::measure::peers::Peer;
use crate::measure::process::{self, Cores};
use crate::measure::world::{Setup, World};

/// One kind of load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    viewers: usize,
    per_second: f64,
    /// Beside whom it is measured.
    beside: &'static [Peer],
    /// Whether Hawker is measured a second time, with [`QUICK`].
    quick: bool,
}

/// Settings of an engine that is to spend more of its core on being early.
const QUICK: [(&str, &str); 1] = [("live_sweep_share_percent", "60")];

/// Busy: as many messages as a large room can have.
pub const DENSE: Kind = Kind {
    name: "dense",
    viewers: 5000,
    per_second: 200.0,
    beside: &[Peer::Bun, Peer::Nchan],
    quick: true,
};
/// Usual: a message now and then.
pub const SPARSE: Kind = Kind {
    name: "sparse",
    viewers: 5000,
    per_second: 20.0,
    beside: &[Peer::Bare, Peer::Bun, Peer::Nchan],
    quick: false,
};
/// Hardly anything.
pub const QUIET: Kind = Kind {
    name: "quiet",
    viewers: 1000,
    per_second: 1.0,
    beside: &[Peer::Bare, Peer::Bun],
    quick: false,
};

/// How it is run.
#[derive(Clone, Debug)]
pub struct How {
    /// How often each server is measured.
    pub runs: usize,
    /// How long, in seconds.
    pub seconds: u64,
    /// How messages follow each other.
    pub arrivals: Arrivals,
    /// Further settings of the engine.
    pub settings: Vec<(String, String)>,
    /// Whether peers are measured too.
    pub peers: bool,
}

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Hawker,
    /// With the settings of [`QUICK`].
    Quick,
    Peer(Peer),
}

impl Who {
    const fn name(self) -> &'static str {
        match self {
            Self::Hawker => "Hawker",
            Self::Quick => "Hawker, share 60 %",
            Self::Peer(peer) => peer.name(),
        }
    }
}

/// A server and its runs.
struct Series {
    who: Who,
    runs: Vec<Outcome>,
    /// Why a peer was given up: it did not keep up.
    given_up: Option<String>,
}

impl Series {
    fn median(&self, of: impl Fn(&Outcome) -> f64) -> f64 {
        median(self.runs.iter().map(of))
    }

    fn cpu_us(&self) -> f64 {
        self.median(Outcome::cpu_us)
    }

    fn p99(&self) -> f64 {
        self.median(|run| run.ms(0.99))
    }
}

/// Measures one kind.
///
/// # Errors
/// When a viewer of any server misses anything.
pub fn measure(bench: &Bench, kind: Kind, how: &How) -> Result<Part> {
    let viewers = bench.scaled(kind.viewers, 10);
    let world = World::make(
        bench.engine.clone(),
        Cores::Load,
        crate::measure::fanout::TALKERS,
        false,
    )?;
    let present = bench.peers.present();
    let beside = kind.beside.iter().filter(|peer| how.peers && present.contains(peer));
    let mut series: Vec<Series> = std::iter::once(Who::Hawker)
        .chain(kind.quick.then_some(Who::Quick))
        .chain(beside.copied().map(Who::Peer))
        .map(|who| Series {
            who,
            runs: Vec::new(),
            given_up: None,
        })
        .collect();
    for run in 0..how.runs {
        let plan = Plan {
            viewers,
            per_second: kind.per_second,
            arrivals: how.arrivals,
            warm_up: Duration::from_secs(2),
            window: Duration::from_secs(how.seconds),
            seed: run as u64 + 1,
        };
        for series in series.iter_mut().filter(|series| series.given_up.is_none()) {
            let name = series.who.name();
            let outcome = match run_once(bench, &world, series.who, how, &plan) {
                Ok(outcome) => outcome,
                // That is a finding about the peer; of Hawker it would be a failure.
                Err(error) if matches!(series.who, Who::Peer(_)) => {
                    tracing::warn!("{} {run}: {name} is given up: {error}", kind.name);
                    series.given_up = Some(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            tracing::info!(
                "{} {run}: {name}: {:.3} µs a delivery, p50 {:.1} ms, p99 {:.1} ms, server {:.0} %, load {:.0} %",
                kind.name,
                outcome.cpu_us(),
                outcome.ms(0.5),
                outcome.ms(0.99),
                100.0 * outcome.cpu.as_secs_f64() / outcome.window.as_secs_f64(),
                100.0 * outcome.load_cpu.as_secs_f64() / outcome.window.as_secs_f64(),
            );
            series.runs.push(outcome);
        }
    }
    world.verify()?;
    world.end();
    Ok(report(kind, viewers, how, &series))
}

fn run_once(bench: &Bench, world: &World, who: Who, how: &How, plan: &Plan) -> Result<Outcome> {
    if let Who::Peer(peer) = who {
        let running = bench.peers.start(peer)?;
        return plain::measure(&running.way, plan, &running.pids());
    }
    let mut setup = Setup {
        settings: how.settings.clone(),
        ..Setup::one_core()
    };
    if who == Who::Quick {
        let quick = QUICK.map(|(key, value)| (key.to_owned(), value.to_owned()));
        setup.settings.extend(quick);
    }
    let engine = world.engine(&setup)?;
    let outcome = hawker::measure(world, &engine, plan)?;
    engine.stop()?;
    Ok(outcome)
}

fn report(kind: Kind, viewers: usize, how: &How, all: &[Series]) -> Part {
    let arrivals = match how.arrivals {
        Arrivals::Random => "at random times",
        Arrivals::Even => "evenly spaced",
    };
    let conditions = format!(
        "{viewers} viewers × {} messages/s of 120 B, {arrivals}; {} s, medians of {} runs in turn; server on core 0, \
         load and Postgres on the others; load average {:.1}",
        kind.per_second,
        how.seconds,
        how.runs,
        process::load_average()
    );
    let given_up = all
        .iter()
        .filter_map(|series| Some((series.who.name(), series.given_up.as_ref()?)));
    let given_up = given_up.map(|(name, why)| format!("; {name} was given up: {why}"));
    let mut part = Part::new(kind.name, conditions + &given_up.collect::<String>());
    for series in all.iter().filter(|series| series.given_up.is_none()) {
        let name = series.who.name();
        part.figure(format!("{name}: CPU per delivery"), series.cpu_us(), "µs")
            .figure(format!("{name}: latency p50"), series.median(|run| run.ms(0.5)), "ms")
            .figure(format!("{name}: latency p99"), series.p99(), "ms")
            .figure(
                format!("{name}: share of its core"),
                series.median(|run| 100.0 * run.cpu.as_secs_f64() / run.window.as_secs_f64()),
                "%",
            )
            .figure(
                format!("{name}: deliveries"),
                series.median(|run| run.deliveries as f64 / run.window.as_secs_f64()),
                "/s",
            );
    }
    judge(&mut part, kind, all);
    part
}

fn judge(part: &mut Part, kind: Kind, all: &[Series]) {
    let of = |who| all.iter().find(|series| series.who == who && series.given_up.is_none());
    let Some(own) = of(Who::Hawker) else { return };
    match kind {
        DENSE => {
            part.at_most("p99 in ms", own.p99(), 300.0);
            if let Some(bun) = of(Who::Peer(Peer::Bun)) {
                part.at_most("CPU beside Bun's", own.cpu_us() / bun.cpu_us(), 0.5);
                if let Some(quick) = of(Who::Quick) {
                    part.at_most("share 60 %: CPU beside Bun's", quick.cpu_us() / bun.cpu_us(), 1.0);
                    part.at_most("share 60 %: p99 beside Bun's", quick.p99() / bun.p99(), 1.0);
                }
            }
        }
        SPARSE => {
            if let Some(bare) = of(Who::Peer(Peer::Bare)) {
                part.at_most("CPU beside the bare loop's", own.cpu_us() / bare.cpu_us(), 1.0);
                part.at_most("p99 beside the bare loop's", own.p99() / bare.p99(), 1.5);
            }
        }
        _ => {
            part.at_most("p99 in ms", own.p99(), 15.0);
        }
    }
}
