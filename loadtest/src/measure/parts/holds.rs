//! Durable holds a second on one sale, through the whole engine, sockets included;
//! beside the best of pgbench with 1, 4, 16 and 32 clients doing the same on the same
//! database with one transaction for each buyer. All on all cores.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use shared::ids::SaleId;

use super::Bench;
use super::buyers::Buyers;
use crate::measure::crowd::Crowd;
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::swarm::Swarm;
use crate::measure::world::{Setup, World, store};

const BUYERS: usize = 4000;
const FILL_DEADLINE: Duration = Duration::from_secs(120);
const WARM_UP: Duration = Duration::from_secs(1);
/// Units of a sale, and the most for one buyer: more than a run grants.
const UNITS: u32 = 1_000_000;
const PER_BUYER: u32 = 1000;

/// Measures it over `seconds`, and pgbench as long with each number of clients.
///
/// # Errors
/// When a buyer is refused, or what was granted is not what is stored.
pub fn measure(bench: &Bench, seconds: u64) -> Result<Part> {
    let buyers = bench.scaled(BUYERS, 100);
    let window = Duration::from_secs(seconds);
    let world = World::make(bench.engine.clone(), Cores::All, buyers, false)?;
    let conditions = format!(
        "{buyers} buyers with one attempt on its way each, {seconds} s; engine with 2 workers, load, Postgres \
         (durable) and pgbench on all cores; load average {:.1}",
        process::load_average()
    );
    let mut part = Part::new("holds", conditions);
    let engine = world.engine(&Setup::all_cores())?;
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(&world, Buyers::default());
    crowd.fill(&mut swarm, &world, buyers, FILL_DEADLINE)?;
    let sale = world.open_sale(&engine, UNITS, PER_BUYER)?;
    crowd.acts.look_at(sale);
    crowd.acts.again = true;
    for seat in 0..buyers {
        crowd.acts.ask(swarm.client(seat))?;
    }
    run_for(&mut swarm, &mut crowd, WARM_UP)?;
    let (pids, own) = (engine.pids(), [std::process::id()]);
    let cpu = || {
        Ok::<_, anyhow::Error>([
            process::cpu(&pids)?,
            process::cpu(&world.postgres())?,
            process::cpu(&own)?,
        ])
    };
    let (start, before, held) = (Instant::now(), cpu()?, crowd.acts.held);
    run_for(&mut swarm, &mut crowd, window)?;
    let (took, after, held) = (start.elapsed().as_secs_f64(), cpu()?, crowd.acts.held - held);
    crowd.acts.again = false;
    swarm.wait(&mut crowd, "the last answers", Duration::from_secs(10), |crowd| {
        let (asked, answered) = crowd.acts.counts();
        asked == answered
    })?;
    let (granted, _) = world.run(store::granted(world.pool(), sale))?;
    if u64::try_from(granted)? != crowd.acts.held {
        bail!("{} holds were answered and {granted} are stored", crowd.acts.held);
    }
    let rate = held as f64 / took;
    part.figure("Hawker", rate, "holds/s");
    for (name, (before, after)) in ["engine", "Postgres", "load"]
        .into_iter()
        .zip(before.into_iter().zip(after))
    {
        let share = (after - before).as_secs_f64() / took;
        part.figure(format!("cores used by {name}"), share, "");
    }
    let sale = world.open_sale(&engine, UNITS, PER_BUYER)?;
    engine.stop()?;
    let mut best = 0.0_f64;
    for clients in [1, 4, 16, 32] {
        let tps = pgbench(&world, sale, buyers, clients, seconds)?;
        part.figure(format!("pgbench, {clients} clients"), tps, "holds/s");
        best = best.max(tps);
    }
    world.verify()?;
    world.end();
    part.at_least("beside the best of pgbench", rate / best, 15.0);
    Ok(part)
}

fn run_for(swarm: &mut Swarm, crowd: &mut Crowd<Buyers>, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        swarm.turn(crowd, until)?;
    }
    Ok(())
}

/// One transaction for each buyer, prepared, over the Unix socket; holds a second.
fn pgbench(world: &World, sale: SaleId, buyers: usize, clients: usize, seconds: u64) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("hold.sql");
    let last = buyers - 1;
    std::fs::write(
        &script,
        format!(
            "\\set n random(0, {last})\n\
             select outcome from reserve_flash_units('{sale}', array[gen_random_uuid()], \
             array[('0191e2a4-0001-7000-8000-' || lpad(to_hex(:n::int), 12, '0'))::uuid], array[1], \
             array[gen_random_uuid()]);\n"
        ),
    )?;
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-f"])
        .arg(&script)
        .args(["-c", &clients.to_string(), "-j", &clients.min(2).to_string()])
        .args(["-T", &seconds.to_string(), &world.database_url()])
        .stdin(Stdio::null())
        .output()
        .context("pgbench is needed (Debian's postgresql brings it)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let tps = text
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse::<f64>().ok());
    tps.with_context(|| format!("pgbench: {text}{}", String::from_utf8_lossy(&output.stderr)))
}
