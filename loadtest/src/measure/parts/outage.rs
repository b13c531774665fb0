//! The database is away: stopped where it stands, so that its sockets stay open and
//! nothing answers. Chat at a thousand messages a second has to go on being seen; what
//! was acknowledged must be there afterwards.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Bench;
use super::chat::{Talkers, check, run_for, talk};
use crate::measure::crowd::Crowd;
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::swarm::Swarm;
use crate::measure::world::{Setup, World};

const VIEWERS: usize = 100;
const PER_SECOND: f64 = 1000.0;
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures it with an outage of `seconds`.
///
/// # Errors
/// When anything acknowledged is lost, or the room falls silent.
pub fn measure(bench: &Bench, seconds: u64) -> Result<Part> {
    let world = World::make(bench.engine.clone(), Cores::Load, VIEWERS, false)?;
    let engine = world.engine(&Setup::one_core())?;
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(&world, Talkers::new()?);
    crowd.fill(&mut swarm, &world, VIEWERS, DEADLINE)?;
    talk(&mut swarm, &mut crowd, PER_SECOND, Duration::from_secs(5), |_| Ok(()))?;
    let pids = engine.pids();
    let before = process::resident_bytes(&pids)?;
    let (heard, acknowledged) = (crowd.head(), crowd.acts.acknowledged.len());
    let away = world.postgres();
    process::signal(&away, "STOP")?;
    let (mut most, mut look_at, mut head, mut silent) = (before, Instant::now(), heard, Duration::ZERO);
    let mut moved = Instant::now();
    let time = Duration::from_secs(seconds);
    let talked = talk(&mut swarm, &mut crowd, PER_SECOND, time, |crowd| {
        if look_at.elapsed() >= Duration::from_millis(50) {
            look_at = Instant::now();
            most = most.max(process::resident_bytes(&pids)?);
            if crowd.head() > head {
                silent = silent.max(moved.elapsed());
                (head, moved) = (crowd.head(), Instant::now());
            }
        }
        Ok(())
    });
    let waiting = crowd.acts.sent() - crowd.acts.acknowledged.len();
    let back = Instant::now();
    process::signal(&away, "CONT")?;
    talked?;
    swarm.wait(&mut crowd, "the backlog's last acknowledgement", DEADLINE, |crowd| {
        crowd.acts.settled()
    })?;
    let drained = back.elapsed();
    most = most.max(process::resident_bytes(&pids)?);
    run_for(&mut swarm, &mut crowd, Duration::from_secs(1))?;
    check(&world, &crowd.acts)?;
    if crowd.have(crowd.head()) != VIEWERS {
        bail!("not everybody has heard everything");
    }
    let seen = crowd.head() - heard;
    drop(swarm);
    engine.stop()?;
    world.verify()?;
    world.end();
    let conditions = format!(
        "Postgres stopped (SIGSTOP) for {seconds} s; {PER_SECOND} messages/s of 120 B in a room of {VIEWERS}; engine \
         with 1 worker on core 0, load and Postgres on the others; load average {:.1}",
        process::load_average()
    );
    let mut part = Part::new("outage", conditions);
    let mib = (most - before) as f64 / (1024.0 * 1024.0);
    part.figure("messages seen while it was away", seen as f64, "")
        .figure("longest silence, to 50 ms", silent.as_secs_f64() * 1000.0, "ms")
        .figure("messages refused", crowd.acts.refused as f64, "")
        .figure("acknowledgements waiting at its return", waiting as f64, "")
        .figure("more memory", mib, "MiB")
        .figure("until all were acknowledged", drained.as_secs_f64(), "s")
        .figure("acknowledged in all", crowd.acts.acknowledged.len() as f64, "")
        .figure("acknowledged before", acknowledged as f64, "")
        .figure("acknowledged and lost", 0.0, "");
    part.at_most("more memory in MiB", mib, 64.0);
    part.at_most("until all were acknowledged in s", drained.as_secs_f64(), 10.0);
    part.at_most("acknowledged and lost", 0.0, 0.0);
    Ok(part)
}
