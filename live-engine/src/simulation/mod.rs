//! A simulation of a whole room and its flash sales: its core, its workers' mirrors and
//! writers, the persister, and the sale desk's lanes, batches and memory, all of them the
//! production code, under one seeded scheduler with a virtual clock, readers that take a
//! few bytes at a time, workers that get stuck, nodes that die or lose the database, and a
//! database that is away, late, has a clock of its own, or whose answers are lost. Only
//! what ties them together is played, and of the database the functions that grant and
//! release: by the pure rules that a differential test holds them to.
//!
//! Every client holds the server to the protocol; what is acknowledged must be stored,
//! what is stored must be a prefix, what is counted must add up, and in the end everybody
//! must have the same room. Buyers press, press again, stand in line, leave it and give
//! up what they hold: each press is answered in time, once, and never refused for good
//! when it was granted; nothing is granted past the units or the limit, nobody out of
//! turn. One seed is one run, the same each time:
//!
//! ```text
//! SEED=17 cargo test -p live-engine --lib simulation -- --nocapture
//! ```
//!
//! prints what happened in it, the last `LINES` of it. `SEEDS=100000` runs more, `SEEDS_FROM=5000` others.

#![allow(clippy::print_stderr, reason = "a failing seed is printed")]

mod acts;
mod chance;
mod checks;
mod client;
mod database;
mod desk;
mod node;
mod room;
mod schedule;
mod shelf;
mod store;
mod tend;
mod worker;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use world::{Tally, World};

/// Seeds that every run of the tests tries.
const SEEDS: u64 = 2_000;
/// Lines of a run that are shown at most, unless `LINES` says otherwise.
const SHOWN: u64 = 400;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one seed; its trace, and what it came to or why it failed.
fn run(seed: u64, with_trace: bool) -> (Vec<String>, Result<Tally, String>) {
    let mut world = World::new(seed, with_trace);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    let result = result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default()
    });
    (world.trace.take().unwrap_or_default(), result)
}

#[test]
fn whatever_happens_in_whatever_order_the_promises_hold() {
    if let Some(seed) = setting("SEED") {
        let (trace, result) = run(seed, true);
        let lines = usize::try_from(setting("LINES").unwrap_or(SHOWN)).unwrap_or(usize::MAX);
        for line in &trace[trace.len().saturating_sub(lines)..] {
            eprintln!("{line}");
        }
        panic_on(seed, &result);
        eprintln!("seed {seed}: {:?}", result.expect("it has not failed"));
        return;
    }
    let (from, count) = (setting("SEEDS_FROM").unwrap_or(0), setting("SEEDS").unwrap_or(SEEDS));
    let next = AtomicU64::new(from);
    let (failed, sum) = (Mutex::new(None), Mutex::new(Tally::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + count || lock(&failed).is_some() {
                return;
            }
            match run(seed, false).1 {
                Ok(tally) => lock(&sum).add(tally),
                result => *lock(&failed) = Some((seed, result)),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get) {
            scope.spawn(work);
        }
    });
    if let Some((seed, result)) = &*lock(&failed) {
        panic_on(*seed, result);
    }
    let sum = *lock(&sum);
    eprintln!("{count} seeds: {sum:?}");
    // A simulation in which nothing happens proves nothing.
    for (what, least) in [
        (sum.events, count * 10),
        (sum.acknowledged, count * 10),
        (sum.epochs, count),
        (sum.replays, count / 10),
        (sum.resyncs, count / 10),
        (sum.granted, count),
        (sum.offered, count / 40),
        (sum.recalled, count / 4),
        (sum.pages, count / 8),
    ] {
        assert!(what >= least, "too little happens: {sum:?}");
    }
}

#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 0..20 {
        let (first, second) = (run(seed, true), run(seed, true));
        assert_eq!(first.0, second.0, "seed {seed}");
    }
}

fn panic_on(seed: u64, result: &Result<Tally, String>) {
    if let Err(why) = result {
        panic!(
            "seed {seed} fails: {why}\nalone: SEED={seed} cargo test -p live-engine --lib simulation -- --nocapture"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
