//! Everybody's connection is lost at once and they all come back at once, with resume
//! tokens and where they were: how long it takes until all are in and have missed
//! nothing, and what it costs the database.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use shared::ids::RequestId;

use super::Bench;
use crate::measure::crowd::{Crowd, Watching};
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::swarm::Swarm;
use crate::measure::world::{Setup, World};

const VIEWERS: usize = 10_000;
/// Said while everybody is away.
const MISSED: u64 = 20;
const DEADLINE: Duration = Duration::from_secs(120);

/// Measures it.
///
/// # Errors
/// When anybody does not come back or has missed anything.
pub fn measure(bench: &Bench) -> Result<Part> {
    let viewers = bench.scaled(VIEWERS, 100);
    // One more, who keeps talking.
    let world = World::make(bench.engine.clone(), Cores::Load, viewers + 1, true)?;
    let engine = world.engine(&Setup::one_core())?;
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(&world, Watching).keeping_resume();
    crowd.fill(&mut swarm, &world, viewers, DEADLINE)?;
    let mut talker_swarm = Swarm::new(engine.addr())?;
    let mut talker = Crowd::new(&world, Watching).from_seat(viewers);
    talker.fill(&mut talker_swarm, &world, 1, DEADLINE)?;
    let pids = engine.pids();
    settle(&mut swarm, &mut crowd, Duration::from_secs(2))?;
    crowd.cut_all(&mut swarm);
    let head = talker.head();
    for nth in 0..MISSED {
        let (id, request) = (nth + 10, RequestId::new());
        let frame = format!(r#"{{"id":{id},"cmd":"chat","request_id":"{request}","text":"{nth:.<120}"}}"#);
        talker_swarm.client(0).send(frame.as_bytes())?;
    }
    talker_swarm.wait(&mut talker, "what was said", DEADLINE, |talker| {
        talker.head() == head + MISSED
    })?;
    let (before, cpu, start) = (world.statements()?, process::cpu(&pids)?, Instant::now());
    for seat in 0..viewers {
        crowd.come_back(&mut swarm, seat)?;
        if seat.is_multiple_of(64) {
            swarm.turn(&mut crowd, Instant::now())?;
        }
    }
    swarm.wait(&mut crowd, "everybody's return", DEADLINE, |crowd| {
        crowd.joined() == viewers && crowd.have(head + MISSED) == viewers
    })?;
    let (took, cpu) = (start.elapsed(), process::cpu(&pids)? - cpu);
    // What is told of one's own may come a little later, and would cost a query then.
    settle(&mut swarm, &mut crowd, Duration::from_secs(5))?;
    let asked = rise(&before, &world.statements()?);
    if crowd.resynced() > 0 {
        bail!("{} viewers could not go on where they were", crowd.resynced());
    }
    drop((swarm, talker_swarm));
    engine.stop()?;
    world.end();
    let conditions = format!(
        "{viewers} accounts cut off and back at once, {MISSED} messages missed each; engine with 1 worker on core 0, \
         load and Postgres on the others; load average {:.1}",
        process::load_average()
    );
    let mut part = Part::new("resume", conditions);
    let statements: i64 = asked.values().sum();
    part.figure("until all were back and had missed nothing", took.as_secs_f64(), "s")
        .figure("engine's CPU a return", cpu.as_secs_f64() * 1e6 / viewers as f64, "µs")
        .figure("statements in all, the background's included", statements as f64, "");
    for (text, calls) in asked.iter().filter(|(_, calls)| **calls as f64 > viewers as f64 / 10.0) {
        let text: String = text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(60)
            .collect();
        part.figure(format!("of these: {text}"), *calls as f64, "");
    }
    part.at_most("until all were back in s", took.as_secs_f64(), 5.0);
    part.at_most(
        "statements a viewer",
        (statements as f64 / viewers as f64 * 100.0).round() / 100.0,
        0.01,
    );
    Ok(part)
}

fn settle(swarm: &mut Swarm, crowd: &mut Crowd<Watching>, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        swarm.turn(crowd, until)?;
    }
    Ok(())
}

/// By how much each statement's count has risen.
fn rise(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let rise = after
        .iter()
        .map(|(text, calls)| (text.clone(), calls - before.get(text).unwrap_or(&0)));
    rise.filter(|(_, calls)| *calls > 0).collect()
}
