//! What a run did and found, as text.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shared::verify;

use super::check::Known;
use super::hall::Hall;
use super::rig::{Kind, Target};

/// What became of one rig.
#[derive(Clone, Debug)]
pub struct Round {
    /// Which.
    pub kind: Kind,
    /// What must not have happened.
    pub faults: Vec<String>,
    /// How often what was killed.
    pub killed: BTreeMap<Target, u32>,
    /// What was acknowledged, by kind.
    pub told: BTreeMap<&'static str, u64>,
    recoveries: Vec<Duration>,
    refused: usize,
    again: u64,
    returns: u64,
    resumed: u64,
    heard: usize,
    invariants: usize,
    facts: i64,
    took: Duration,
}

/// What became of all.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where choices began.
    pub seed: u64,
    /// One for each rig.
    pub rounds: Vec<Round>,
}

impl Round {
    /// Nothing yet.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            faults: Vec::new(),
            killed: BTreeMap::new(),
            told: BTreeMap::new(),
            recoveries: Vec::new(),
            refused: 0,
            again: 0,
            returns: 0,
            resumed: 0,
            heard: 0,
            invariants: 0,
            facts: 0,
            took: Duration::ZERO,
        }
    }

    /// Kills so far.
    #[must_use]
    pub fn kills(&self) -> u32 {
        self.killed.values().sum()
    }

    /// One more.
    pub(super) fn killed(&mut self, target: Target) {
        *self.killed.entry(target).or_default() += 1;
    }

    /// It took so long from the restart until everything was acknowledged again.
    pub(super) fn recovered(&mut self, after: Duration) {
        self.recoveries.push(after);
    }

    /// What was compared.
    pub(super) fn proved(&mut self, known: &Known, verified: &verify::Report) {
        for told in &known.told {
            *self.told.entry(told.done.kind()).or_default() += 1;
        }
        self.refused = known.refused.len();
        self.heard = known.heard.len();
        self.invariants = verified.checks.len();
        self.facts = verified.checks.iter().map(|check| check.examined).sum();
    }

    /// What clients counted, and what must not have happened.
    pub(super) fn take(&mut self, hall: &Hall, took: Duration) {
        let book = &hall.book;
        self.again = book.again.load(Ordering::Relaxed);
        self.returns = book.returns.load(Ordering::Relaxed);
        self.resumed = book.resumed.load(Ordering::Relaxed);
        self.faults = book.faults();
        self.took = took;
    }
}

impl Report {
    /// Nothing yet.
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            rounds: Vec::new(),
        }
    }

    /// Whether nothing was lost, doubled or broken.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.rounds.iter().all(|round| round.faults.is_empty())
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind {
            Kind::OneProgram => "one program with its private Postgres",
            Kind::Apart => "core-api and live-engine over Postgres and Redis",
        };
        let killed: Vec<_> = self
            .killed
            .iter()
            .map(|(target, n)| format!("{} {n}", target.words()))
            .collect();
        writeln!(f, "{name}")?;
        writeln!(f, "  killed         {} times: {}", self.kills(), killed.join(", "))?;
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        if let (Some(median), Some(longest)) = (recoveries.get(recoveries.len() / 2), recoveries.last()) {
            writeln!(
                f,
                "  recovered      in {} ms (median), {} ms at most: from the restart until everything is acknowledged again",
                median.as_millis(),
                longest.as_millis()
            )?;
        }
        let told: Vec<_> = self.told.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        writeln!(f, "  acknowledged   {}", told.join(", "))?;
        writeln!(
            f,
            "  besides        {} refused for good, {} asked again and answered the same",
            self.refused, self.again
        )?;
        writeln!(
            f,
            "  connections    {} made again, {} of them with exactly what was missed",
            self.returns, self.resumed
        )?;
        writeln!(
            f,
            "  compared       every acknowledgement, {} numbered events, {} invariants over {} facts; {:.0} s in all",
            self.heard,
            self.invariants,
            self.facts,
            self.took.as_secs_f64()
        )?;
        for fault in &self.faults {
            writeln!(f, "  FAULT          {fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for round in &self.rounds {
            writeln!(f, "{round}")?;
        }
        let kills: u32 = self.rounds.iter().map(Round::kills).sum();
        let faults: usize = self.rounds.iter().map(|round| round.faults.len()).sum();
        if faults == 0 {
            writeln!(
                f,
                "seed {}: {kills} kills, nothing acknowledged was lost or doubled.",
                self.seed
            )
        } else {
            writeln!(
                f,
                "seed {}: {kills} kills, {faults} FAULTS. The same seed again: --seed {}",
                self.seed, self.seed
            )
        }
    }
}
