//! Fan-out, measured the same way on every server: so many viewers in one room, so many
//! messages a second of 120 bytes, each with the time at which it was sent.
//!
//! Every viewer must get every message, in order and once, or the run fails. CPU time is
//! the server process's over the window; latency is from before the sending to after the
//! reading, for every message sent in the window and every viewer.

pub mod hawker;
pub mod plain;

use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;

use super::arrivals::{Arrivals, Schedule};
use super::process;
use super::swarm::{Handler, Swarm};

/// What people say, in bytes.
pub const TEXT_BYTES: usize = 120;
/// Digits of a time in a text.
const STAMP_DIGITS: usize = 20;
/// Connections that talk; they are viewers, too.
pub const TALKERS: usize = 20;
/// How long stragglers are waited for at the end.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);
/// Latencies above this are counted as this.
const LONGEST_US: u64 = 120_000_000;

/// How much load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plan {
    /// In the room.
    pub viewers: usize,
    /// Messages.
    pub per_second: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
    /// Before the window.
    pub warm_up: Duration,
    /// The window.
    pub window: Duration,
    /// Of the arrivals.
    pub seed: u64,
}

/// Deliveries and how long they took.
pub struct Meter {
    base: Instant,
    /// Stamps of the window.
    window: std::ops::Range<u64>,
    delivered: u64,
    latency_us: Histogram<u64>,
}

impl Meter {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never: the bounds are good.
    pub fn new() -> Result<Self> {
        Ok(Self {
            base: Instant::now(),
            window: 0..0,
            delivered: 0,
            latency_us: Histogram::new_with_bounds(1, LONGEST_US, 3)?,
        })
    }

    fn stamp(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX)
    }

    /// One delivery of a message that was sent at `stamp`, read at `at`.
    pub fn delivered(&mut self, stamp: u64, at: u64) {
        self.delivered += 1;
        if self.window.contains(&stamp) {
            self.latency_us.saturating_record(at.saturating_sub(stamp) / 1000);
        }
    }
}

/// Viewers who can talk and know when they have heard everything.
pub trait Audience: Handler {
    /// Says `text` as the `nth` message of all.
    ///
    /// # Errors
    /// When the talker's connection has failed.
    fn say(&mut self, swarm: &mut Swarm, nth: u64, text: &str) -> Result<()>;

    /// The measure.
    fn meter(&mut self) -> &mut Meter;

    /// Whether everybody has heard all `sent` messages.
    fn settled(&self, sent: u64) -> bool;
}

/// What a run found.
pub struct Outcome {
    /// Deliveries in the window.
    pub deliveries: u64,
    /// The window.
    pub window: Duration,
    /// The server's CPU time in it.
    pub cpu: Duration,
    /// The load's.
    pub load_cpu: Duration,
    /// From sending to reading, in µs.
    pub latency_us: Histogram<u64>,
}

impl Outcome {
    /// The server's CPU time for one delivery.
    #[must_use]
    pub fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.deliveries.max(1) as f64
    }

    /// A quantile of the latency.
    #[must_use]
    pub fn ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Carries a plan out against the server with the processes `server`.
///
/// # Errors
/// When a viewer misses anything, or the server dies.
pub fn drive<A: Audience>(swarm: &mut Swarm, audience: &mut A, plan: &Plan, server: &[u32]) -> Result<Outcome> {
    let own = [std::process::id()];
    let start = Instant::now();
    let (begin, end) = (start + plan.warm_up, start + plan.warm_up + plan.window);
    let meter = audience.meter();
    meter.window = meter.stamp(begin)..meter.stamp(end);
    meter.latency_us.reset();
    let mut schedule = Schedule::new(plan.arrivals, plan.per_second, plan.seed, start);
    let mut sent = 0;
    talk(swarm, audience, &mut schedule, &mut sent, begin)?;
    let before = (
        process::cpu(server)?,
        process::cpu(&own)?,
        audience.meter().delivered,
        Instant::now(),
    );
    talk(swarm, audience, &mut schedule, &mut sent, end)?;
    let after = (
        process::cpu(server)?,
        process::cpu(&own)?,
        audience.meter().delivered,
        Instant::now(),
    );
    swarm.wait(
        audience,
        "the last message at every viewer",
        SETTLE_DEADLINE,
        |audience| audience.settled(sent),
    )?;
    Ok(Outcome {
        deliveries: after.2 - before.2,
        window: after.3 - before.3,
        cpu: after.0 - before.0,
        load_cpu: after.1 - before.1,
        latency_us: audience.meter().latency_us.clone(),
    })
}

fn talk<A: Audience>(
    swarm: &mut Swarm,
    audience: &mut A,
    schedule: &mut Schedule,
    sent: &mut u64,
    until: Instant,
) -> Result<()> {
    loop {
        let now = Instant::now();
        if now >= until {
            return Ok(());
        }
        if schedule.next() <= now {
            let text = text(audience.meter().stamp(Instant::now()));
            audience.say(swarm, *sent, &text)?;
            *sent += 1;
            schedule.advance();
        } else {
            swarm.turn(audience, schedule.next().min(until))?;
        }
    }
}

/// A text of [`TEXT_BYTES`] that begins with the time at which it is sent.
fn text(stamp: u64) -> String {
    let rest = TEXT_BYTES - STAMP_DIGITS - 1;
    format!(
        "{stamp:0STAMP_DIGITS$} {:.<rest$}",
        "Is it dishwasher safe, and does it come in blue"
    )
}

/// The time at the beginning of a text.
fn stamp_of(text: &[u8]) -> Option<u64> {
    let digits = text.get(..STAMP_DIGITS)?;
    super::frames::number(digits)
        .filter(|(_, rest)| rest.is_empty())
        .map(|(stamp, _)| stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_carries_its_time_and_has_its_size() {
        for stamp in [0, 7, u64::MAX] {
            let text = text(stamp);
            assert_eq!(text.len(), TEXT_BYTES);
            assert_eq!(stamp_of(text.as_bytes()), Some(stamp));
        }
        assert_eq!(stamp_of(b"no"), None);
    }
}
