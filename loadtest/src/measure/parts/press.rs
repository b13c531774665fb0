//! Everybody presses at once: so many buyers for a quarter as many units, and the time
//! until the last of them has an answer.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Bench;
use super::buyers::Buyers;
use crate::measure::crowd::Crowd;
use crate::measure::figures::{Part, median};
use crate::measure::process::{self, Cores};
use crate::measure::swarm::Swarm;
use crate::measure::world::{Setup, World, store};

const BUYERS: usize = 2000;
const ROUNDS: usize = 5;
const DEADLINE: Duration = Duration::from_secs(60);

/// Measures it, several times with a new sale each.
///
/// # Errors
/// When a unit is sold twice or not at all.
pub fn measure(bench: &Bench) -> Result<Part> {
    let buyers = bench.scaled(BUYERS, 40);
    let units = u32::try_from(buyers / 4)?;
    let world = World::make(bench.engine.clone(), Cores::All, buyers, false)?;
    let engine = world.engine(&Setup::all_cores())?;
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(&world, Buyers::default());
    crowd.fill(&mut swarm, &world, buyers, DEADLINE)?;
    let mut times = Vec::new();
    let mut oversold = 0;
    for _ in 0..ROUNDS {
        let sale = world.open_sale(&engine, units, 1)?;
        crowd.acts.look_at(sale);
        // Everybody hears of it before they press.
        let pause = Instant::now() + Duration::from_millis(500);
        while Instant::now() < pause {
            swarm.turn(&mut crowd, pause)?;
        }
        let start = Instant::now();
        for seat in 0..buyers {
            crowd.acts.ask(swarm.client(seat))?;
        }
        let all = buyers as u64;
        swarm.wait(&mut crowd, "the last answer", DEADLINE, |crowd| {
            crowd.acts.counts() == (all, all)
        })?;
        times.push((crowd.acts.last - start).as_secs_f64() * 1000.0);
        let (granted, stored_units) = world.run(store::granted(world.pool(), sale))?;
        if granted != stored_units || crowd.acts.held != u64::from(units) {
            bail!("{} holds answered, {granted} stored, of {units} units", crowd.acts.held);
        }
        oversold += (granted - stored_units).max(0);
    }
    engine.stop()?;
    world.verify()?;
    world.end();
    let conditions = format!(
        "{buyers} buyers press at once for {units} units, {ROUNDS} times; engine with 2 workers, load and Postgres \
         on all cores; load average {:.1}",
        process::load_average()
    );
    let mut part = Part::new("press", conditions);
    let worst = times.iter().copied().fold(0.0, f64::max);
    let middle = median(times);
    part.figure("until the last answer, median", middle, "ms")
        .figure("until the last answer, worst", worst, "ms")
        .figure("oversold", oversold as f64, "units");
    part.at_most("until the last answer in ms", middle, 400.0);
    part.at_most("oversold", oversold as f64, 0.0);
    Ok(part)
}
