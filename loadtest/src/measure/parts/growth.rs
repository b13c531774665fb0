//! How the cost of a delivery grows with the room: it should not.

use std::time::Duration;

use anyhow::Result;

use super::Bench;
use crate::measure::arrivals::Arrivals;
use crate::measure::fanout::{Plan, TALKERS, hawker};
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::world::{Setup, World};

const ROOMS: [usize; 3] = [1000, 5000, 15_000];
const PER_SECOND: f64 = 100.0;
/// What the noise of a run may add to a cost that is flat.
const FLAT: f64 = 1.05;

/// Measures it over `seconds` for each size.
///
/// # Errors
/// When a viewer misses anything.
pub fn measure(bench: &Bench, seconds: u64) -> Result<Part> {
    let world = World::make(bench.engine.clone(), Cores::Load, TALKERS, false)?;
    let conditions = format!(
        "{PER_SECOND} messages/s of 120 B at random times, {seconds} s each; engine with 1 worker on core 0, load and \
         Postgres on the others; load average {:.1}",
        process::load_average()
    );
    let mut part = Part::new("growth", conditions);
    let mut costs = Vec::new();
    for room in ROOMS {
        let viewers = bench.scaled(room, 20);
        let engine = world.engine(&Setup::one_core())?;
        let plan = Plan {
            viewers,
            per_second: PER_SECOND,
            arrivals: Arrivals::Random,
            warm_up: Duration::from_secs(2),
            window: Duration::from_secs(seconds),
            seed: 1,
        };
        let outcome = hawker::measure(&world, &engine, &plan)?;
        engine.stop()?;
        part.figure(format!("{viewers} viewers: CPU per delivery"), outcome.cpu_us(), "µs");
        part.figure(format!("{viewers} viewers: latency p99"), outcome.ms(0.99), "ms");
        costs.push(outcome.cpu_us());
    }
    world.verify()?;
    world.end();
    for (pair, name) in costs
        .windows(2)
        .zip(["from the first to the second", "from the second to the third"])
    {
        part.at_most(name, pair[1] / pair[0], FLAT);
    }
    Ok(part)
}
