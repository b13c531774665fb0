//! Refusals once everything is sold: answers a second from one core, and what they cost
//! the database.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Bench;
use super::buyers::Buyers;
use crate::measure::crowd::Crowd;
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::swarm::Swarm;
use crate::measure::world::{Setup, World};

const BUYERS: usize = 2000;
const DEADLINE: Duration = Duration::from_secs(60);

/// Measures it over `seconds`.
///
/// # Errors
/// When anybody gets anything else than a refusal.
pub fn measure(bench: &Bench, seconds: u64) -> Result<Part> {
    let buyers = bench.scaled(BUYERS, 40);
    let world = World::make(bench.engine.clone(), Cores::Load, buyers, true)?;
    let engine = world.engine(&Setup::one_core())?;
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(&world, Buyers::default());
    crowd.fill(&mut swarm, &world, buyers, DEADLINE)?;
    let sale = world.open_sale(&engine, 1, 1)?;
    crowd.acts.look_at(sale);
    crowd.acts.ask(swarm.client(0))?;
    swarm.wait(&mut crowd, "the one hold", DEADLINE, |crowd| crowd.acts.held == 1)?;
    crowd.acts.again = true;
    for seat in 1..buyers {
        crowd.acts.ask(swarm.client(seat))?;
    }
    run_for(&mut swarm, &mut crowd, Duration::from_secs(1))?;
    let (pids, own) = (engine.pids(), [std::process::id()]);
    let statements = asked(&world)?;
    let (start, before) = (
        Instant::now(),
        (process::cpu(&pids)?, process::cpu(&own)?, crowd.acts.sold_out),
    );
    run_for(&mut swarm, &mut crowd, Duration::from_secs(seconds))?;
    let after = (process::cpu(&pids)?, process::cpu(&own)?, crowd.acts.sold_out);
    let took = start.elapsed().as_secs_f64();
    let statements = asked(&world)? - statements;
    if crowd.acts.held != 1 {
        bail!("{} holds of one unit", crowd.acts.held);
    }
    drop(swarm);
    engine.stop()?;
    world.verify()?;
    world.end();
    let refusals = (after.2 - before.2) as f64;
    let (cpu, load) = ((after.0 - before.0).as_secs_f64(), (after.1 - before.1).as_secs_f64());
    let conditions = format!(
        "{buyers} buyers with one attempt on its way each, one unit that is gone, {seconds} s; engine with 1 worker \
         on core 0, load and Postgres on the others; load average {:.1}",
        process::load_average()
    );
    let mut part = Part::new("sold-out", conditions);
    part.figure("refusals", refusals / took, "/s")
        .figure("refusals per second of the engine's CPU", refusals / cpu, "/s")
        .figure("engine: share of its core", 100.0 * cpu / took, "%")
        .figure("load: share of its core", 100.0 * load / took, "%")
        .figure("statements about the sale", statements as f64 / took, "/s");
    part.at_least("refusals a second", refusals / took, 50_000.0);
    part.at_most("statements a refusal", statements as f64 / refusals, 0.001);
    Ok(part)
}

fn asked(world: &World) -> Result<i64> {
    let statements = world.statements()?.into_iter();
    Ok(statements
        .filter(|(text, _)| text.contains("flash") || text.contains("reservations"))
        .map(|(_, calls)| calls)
        .sum())
}

fn run_for(swarm: &mut Swarm, crowd: &mut Crowd<Buyers>, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        swarm.turn(crowd, until)?;
    }
    Ok(())
}
