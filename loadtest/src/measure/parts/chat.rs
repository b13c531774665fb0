//! Chat on its way to Postgres: rows a second from a room, acknowledged, beside COPY of
//! the same rows; and how long an acknowledgement takes at a thousand messages a second.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use shared::ids::RequestId;

use super::Bench;
use crate::measure::arrivals::{Arrivals, Schedule};
use crate::measure::crowd::{Acts, Answer, Crowd, FIRST_ID};
use crate::measure::figures::Part;
use crate::measure::process::{self, Cores};
use crate::measure::swarm::{Client, Swarm};
use crate::measure::world::{Engine, Setup, World, store};

/// Talkers, and messages on their way for each, when as much as possible is said.
const TALKERS: usize = 16;
const AT_ONCE: usize = 512;
/// In the room when a thousand a second are said.
const VIEWERS: usize = 100;
const PER_SECOND: f64 = 1000.0;
const LOG_BYTES: &str = "67108864";
const DEADLINE: Duration = Duration::from_secs(60);

/// People who talk and count what is acknowledged.
pub(super) struct Talkers {
    /// Whether an acknowledgement is followed by the next message.
    again: bool,
    /// When each message was sent, by its number.
    sent: Vec<Instant>,
    /// Request ids of what was acknowledged.
    pub(super) acknowledged: Vec<uuid::Uuid>,
    requests: Vec<RequestId>,
    pub(super) refused: u64,
    latency_us: Histogram<u64>,
}

impl Talkers {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            again: false,
            sent: Vec::new(),
            acknowledged: Vec::new(),
            requests: Vec::new(),
            refused: 0,
            latency_us: Histogram::new_with_bounds(1, 600_000_000, 3)?,
        })
    }

    /// Says something of 120 bytes.
    pub(super) fn say(&mut self, client: &mut Client) -> Result<()> {
        let (nth, request) = (self.sent.len(), RequestId::new());
        let id = FIRST_ID + nth as u64;
        let frame = format!(r#"{{"id":{id},"cmd":"chat","request_id":"{request}","text":"{nth:.<120}"}}"#);
        self.sent.push(Instant::now());
        self.requests.push(request);
        Ok(client.send(frame.as_bytes())?)
    }

    /// Whether every message was answered.
    pub(super) fn settled(&self) -> bool {
        self.acknowledged.len() as u64 + self.refused == self.sent.len() as u64
    }

    pub(super) const fn sent(&self) -> usize {
        self.sent.len()
    }
}

impl Acts for Talkers {
    fn answered(&mut self, client: &mut Client, id: u64, answer: Answer<'_>, at: Instant) -> Result<()> {
        let nth = usize::try_from(id - FIRST_ID)?;
        match answer {
            Answer::Done(b"said") => {
                self.acknowledged.push(self.requests[nth].0);
                let took = at.saturating_duration_since(self.sent[nth]).as_micros();
                self.latency_us
                    .saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
            }
            Answer::Refused(b"overloaded" | b"slow_mode") => self.refused += 1,
            other => bail!("seat {} was answered {other:?}", client.id),
        }
        if self.again { self.say(client) } else { Ok(()) }
    }
}

/// Measures both, each over `seconds`.
///
/// # Errors
/// When what was acknowledged is not stored.
pub fn measure(bench: &Bench, seconds: u64) -> Result<Part> {
    let world = World::make(bench.engine.clone(), Cores::All, VIEWERS, false)?;
    let conditions = format!(
        "messages of 120 B, {seconds} s each: {TALKERS} people with {AT_ONCE} messages on their way each; then \
         {PER_SECOND} messages/s at random times from 20 of {VIEWERS} viewers; engine with 2 workers, load and \
         Postgres (durable) on all cores; load average {:.1}",
        process::load_average()
    );
    let mut part = Part::new("chat", conditions);
    let setup = Setup {
        // So much is said that the usual log would hold a tenth of a second of it.
        settings: vec![("limit_room_log_bytes".into(), LOG_BYTES.into())],
        ..Setup::all_cores()
    };
    let engine = world.engine(&setup)?;
    let rate = as_much_as_possible(&world, &engine, seconds, &mut part)?;
    engine.stop()?;
    let copied = world.run(store::copy_said(world.pool(), world.stream))?;
    let copy = copied.rows as f64 / copied.took.as_secs_f64();
    part.figure("COPY of the same rows", copy, "rows/s");
    // A fresh engine: its room has said nothing yet.
    let engine = world.engine(&Setup::all_cores())?;
    let latency = a_thousand_a_second(&world, &engine, seconds)?;
    engine.stop()?;
    world.verify()?;
    world.end();
    let ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    part.figure("acknowledgement p50", ms(0.5), "ms")
        .figure("acknowledgement p99", ms(0.99), "ms");
    part.at_least("rows beside COPY", rate / copy, 0.5);
    part.at_most("acknowledgement p99 in ms", ms(0.99), 50.0);
    Ok(part)
}

fn as_much_as_possible(world: &World, engine: &Engine, seconds: u64, part: &mut Part) -> Result<f64> {
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(world, Talkers::new()?);
    crowd.fill(&mut swarm, world, TALKERS, DEADLINE)?;
    crowd.acts.again = true;
    for talker in 0..TALKERS {
        for _ in 0..AT_ONCE {
            crowd.acts.say(swarm.client(talker))?;
        }
    }
    let (pids, own) = (engine.pids(), [std::process::id()]);
    let cpu = || {
        Ok::<_, anyhow::Error>([
            process::cpu(&pids)?,
            process::cpu(&world.postgres())?,
            process::cpu(&own)?,
        ])
    };
    run_for(&mut swarm, &mut crowd, Duration::from_secs(1))?;
    let (start, before, said) = (Instant::now(), cpu()?, crowd.acts.acknowledged.len());
    run_for(&mut swarm, &mut crowd, Duration::from_secs(seconds))?;
    let (took, after, said) = (
        start.elapsed().as_secs_f64(),
        cpu()?,
        crowd.acts.acknowledged.len() - said,
    );
    crowd.acts.again = false;
    swarm.wait(&mut crowd, "the last acknowledgement", DEADLINE, |crowd| {
        crowd.acts.settled()
    })?;
    check(world, &crowd.acts)?;
    let rate = said as f64 / took;
    part.figure("acknowledged", rate, "rows/s");
    for (name, (before, after)) in ["engine", "Postgres", "load"]
        .into_iter()
        .zip(before.into_iter().zip(after))
    {
        part.figure(
            format!("cores used by {name}"),
            (after - before).as_secs_f64() / took,
            "",
        );
    }
    Ok(rate)
}

fn a_thousand_a_second(world: &World, engine: &Engine, seconds: u64) -> Result<Histogram<u64>> {
    let mut swarm = Swarm::new(engine.addr())?;
    let mut crowd = Crowd::new(world, Talkers::new()?);
    crowd.fill(&mut swarm, world, VIEWERS, DEADLINE)?;
    let time = Duration::from_secs(seconds);
    talk(&mut swarm, &mut crowd, PER_SECOND, time, |_| Ok(()))?;
    swarm.wait(&mut crowd, "the last acknowledgement", DEADLINE, |crowd| {
        crowd.acts.settled()
    })?;
    if crowd.acts.refused > 0 {
        bail!("{} messages were refused", crowd.acts.refused);
    }
    check(world, &crowd.acts)?;
    Ok(crowd.acts.latency_us)
}

/// Talks at a rate for a time; `look` is called about every millisecond.
pub(super) fn talk(
    swarm: &mut Swarm,
    crowd: &mut Crowd<Talkers>,
    per_second: f64,
    time: Duration,
    mut look: impl FnMut(&mut Crowd<Talkers>) -> Result<()>,
) -> Result<()> {
    let start = Instant::now();
    let mut schedule = Schedule::new(Arrivals::Random, per_second, 1, start);
    loop {
        let now = Instant::now();
        if now >= start + time {
            return Ok(());
        }
        if schedule.next() <= now {
            let talker = crowd.acts.sent() % 20;
            crowd.acts.say(swarm.client(talker))?;
            schedule.advance();
        } else {
            swarm.turn(crowd, schedule.next().min(start + time))?;
            look(crowd)?;
        }
    }
}

/// Holds what was acknowledged against what is stored.
pub(super) fn check(world: &World, talkers: &Talkers) -> Result<()> {
    let stored: std::collections::HashSet<_> = world
        .run(store::said(world.pool(), world.stream))?
        .into_iter()
        .collect();
    let lost = talkers
        .acknowledged
        .iter()
        .filter(|request| !stored.contains(request))
        .count();
    if lost > 0 {
        bail!(
            "{lost} of {} acknowledged messages are not stored",
            talkers.acknowledged.len()
        );
    }
    Ok(())
}

pub(super) fn run_for(swarm: &mut Swarm, crowd: &mut Crowd<Talkers>, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        swarm.turn(crowd, until)?;
    }
    Ok(())
}
