//! Memory of an idle viewer: who has authenticated, joined, heard something and then sits
//! there. Resident bytes of the server process, beside Bun's; the kernel's own buffers are
//! in neither.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Bench;
use crate::measure::crowd::{Crowd, Watching};
use crate::measure::fanout::Audience as _;
use crate::measure::fanout::plain::Hall;
use crate::measure::figures::Part;
use crate::measure::peers::Peer;
use crate::measure::process::{self, Cores};
use crate::measure::swarm::{Handler, Swarm};
use crate::measure::world::{Setup, World};

const VIEWERS: usize = 15_000;
/// Warms what a server makes once: its own first connections do not count.
const FIRST: usize = 100;
const FILL_DEADLINE: Duration = Duration::from_secs(180);
/// Messages that everybody hears.
const MESSAGES: u64 = 20;
/// How long they then sit there.
const IDLE: Duration = Duration::from_secs(5);

/// Measures it.
///
/// # Errors
/// When anybody cannot be seated or misses anything.
pub fn measure(bench: &Bench) -> Result<Part> {
    let viewers = bench.scaled(VIEWERS, 1000);
    let conditions = format!(
        "{viewers} viewers with accounts, joined, {MESSAGES} messages heard, then {} s idle; growth of the \
         server's resident memory over that with {FIRST} viewers, a viewer",
        IDLE.as_secs()
    );
    let mut part = Part::new("memory", conditions);
    let own = hawker(bench, viewers)?;
    part.figure("Hawker", own, "bytes a viewer");
    if bench.peers.present().contains(&Peer::Bun) {
        let bun = bun(bench, viewers)?;
        part.figure("Bun", bun, "bytes a viewer");
        part.at_most("beside Bun's", own / bun, 1.0);
    }
    part.at_most("bytes a viewer", own, 2048.0);
    Ok(part)
}

fn hawker(bench: &Bench, viewers: usize) -> Result<f64> {
    let world = World::make(bench.engine.clone(), Cores::Load, viewers + FIRST, false)?;
    let engine = world.engine(&Setup::one_core())?;
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(&world, Watching);
    let mut said = 0;
    let mut talk = |crowd: &mut Crowd<Watching>, swarm: &mut Swarm, all: usize| {
        let head = crowd.head();
        for nth in 0..MESSAGES {
            said += 1;
            let (id, request) = (said + 10, shared::ids::RequestId::new());
            let frame = format!(r#"{{"id":{id},"cmd":"chat","request_id":"{request}","text":"{nth:.<120}"}}"#);
            swarm.client(0).send(frame.as_bytes())?;
            let until = Instant::now() + Duration::from_millis(50);
            while Instant::now() < until {
                swarm.turn(crowd, until)?;
            }
        }
        swarm.wait(crowd, "the last message", FILL_DEADLINE, |crowd| {
            crowd.have(head + MESSAGES) == all
        })?;
        idle(crowd, swarm)
    };
    crowd.fill(&mut swarm, &world, FIRST, FILL_DEADLINE)?;
    talk(&mut crowd, &mut swarm, FIRST)?;
    let before = process::resident_bytes(&engine.pids())?;
    crowd.fill(&mut swarm, &world, viewers, FILL_DEADLINE)?;
    talk(&mut crowd, &mut swarm, FIRST + viewers)?;
    let after = process::resident_bytes(&engine.pids())?;
    engine.stop()?;
    world.end();
    Ok(a_viewer(before, after, viewers))
}

fn bun(bench: &Bench, viewers: usize) -> Result<f64> {
    let running = bench.peers.start(Peer::Bun)?;
    let talk = |hall: &mut Hall, swarm: &mut Swarm, sent: u64| {
        for nth in sent..sent + MESSAGES {
            hall.say(swarm, nth, &format!("{:0>120}", 0))?;
            let until = Instant::now() + Duration::from_millis(50);
            while Instant::now() < until {
                swarm.turn(hall, until)?;
            }
        }
        swarm.wait(hall, "the last message", FILL_DEADLINE, |hall| {
            hall.settled(sent + MESSAGES)
        })?;
        idle(hall, swarm)
    };
    let (mut first, mut hall) = Hall::open(&running.way, FIRST)?;
    talk(&mut hall, &mut first, 0)?;
    let before = process::resident_bytes(&running.pids())?;
    drop((first, hall));
    let (mut all, mut hall) = Hall::open(&running.way, FIRST + viewers)?;
    talk(&mut hall, &mut all, 0)?;
    let after = process::resident_bytes(&running.pids())?;
    Ok(a_viewer(before, after, viewers))
}

fn idle<H: Handler>(handler: &mut H, swarm: &mut Swarm) -> Result<()> {
    let until = Instant::now() + IDLE;
    while Instant::now() < until {
        swarm.turn(handler, until)?;
    }
    Ok(())
}

fn a_viewer(before: u64, after: u64, viewers: usize) -> f64 {
    after.saturating_sub(before) as f64 / viewers as f64
}
