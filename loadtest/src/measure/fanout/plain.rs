//! Fan-out through a server that passes texts on as they are: the peers, and the bare
//! loop of one send for each viewer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::{Audience, Meter, Outcome, Plan, STAMP_DIGITS, TALKERS, TEXT_BYTES, drive, stamp_of};
use crate::measure::frames::number;
use crate::measure::swarm::{Client, Handler, Swarm};

const FILL_DEADLINE: Duration = Duration::from_secs(120);
/// Digits of a talker's number and of a message's.
const TALKER_DIGITS: usize = 2;
const NUMBER_DIGITS: usize = 8;

/// How a server is spoken to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where viewers connect.
    pub watch: &'static str,
    /// Where talkers connect; viewers talk themselves when there is no such place.
    pub talk: Option<&'static str>,
}

/// See the module.
pub struct Hall {
    meter: Meter,
    viewers: usize,
    /// The connection of the first talker.
    first_talker: usize,
    talkers: usize,
    opened: usize,
    /// The next number that each viewer expects of each talker.
    expected: Vec<u32>,
    received: Vec<u64>,
}

impl Hall {
    /// Connects everybody.
    ///
    /// # Errors
    /// When not all are connected in time.
    pub fn open(way: &Way, viewers: usize) -> Result<(Swarm, Self)> {
        let mut swarm = Swarm::new(way.addr)?;
        let talkers = TALKERS.min(viewers);
        let mut hall = Self {
            meter: Meter::new()?,
            viewers,
            first_talker: if way.talk.is_some() { viewers } else { 0 },
            talkers,
            opened: 0,
            expected: vec![0; viewers * talkers],
            received: vec![0; viewers],
        };
        let opened = |hall: &Self| hall.opened;
        swarm.connect_all(&mut hall, viewers, None, FILL_DEADLINE, opened, |_| {
            Ok(way.watch.to_owned())
        })?;
        if let Some(path) = way.talk {
            swarm.connect_all(&mut hall, talkers, None, FILL_DEADLINE, opened, |_| Ok(path.to_owned()))?;
        }
        Ok((swarm, hall))
    }
}

impl Handler for Hall {
    fn opened(&mut self, _: &mut Client) -> Result<()> {
        self.opened += 1;
        Ok(())
    }

    fn message(&mut self, client: &mut Client, payload: &[u8], at: Instant) -> Result<()> {
        if client.id >= self.viewers {
            // A talker's answer from a server that gives one.
            return Ok(());
        }
        let (talker, nth, stamp) = read(payload).context("a message that nobody sent")?;
        let slot = client.id * self.talkers + talker;
        let expected = self.expected.get_mut(slot).context("a talker that there is not")?;
        if *expected != nth {
            bail!(
                "viewer {} expected {expected} of talker {talker} and got {nth}",
                client.id
            );
        }
        *expected += 1;
        self.received[client.id] += 1;
        let at = self.meter.stamp(at);
        self.meter.delivered(stamp, at);
        Ok(())
    }

    fn closed(&mut self, client: &mut Client) -> Result<()> {
        bail!("connection {} was closed with {:?}", client.id, client.close_code())
    }
}

impl Audience for Hall {
    fn say(&mut self, swarm: &mut Swarm, nth: u64, text: &str) -> Result<()> {
        let talkers = self.talkers as u64;
        let (talker, number) = (nth % talkers, nth / talkers);
        let stamp = &text[..STAMP_DIGITS];
        let head = format!("{stamp} {talker:0TALKER_DIGITS$} {number:0NUMBER_DIGITS$} ");
        let message = format!("{head}{}", &text[head.len()..]);
        debug_assert_eq!(message.len(), TEXT_BYTES);
        let client = self.first_talker + usize::try_from(talker).unwrap_or(0);
        Ok(swarm.client(client).send(message.as_bytes())?)
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }

    fn settled(&self, sent: u64) -> bool {
        self.received.iter().all(|received| *received == sent)
    }
}

/// Talker, number and time of a message.
fn read(message: &[u8]) -> Option<(usize, u32, u64)> {
    let stamp = stamp_of(message)?;
    let (talker, rest) = number(message.get(STAMP_DIGITS + 1..)?)?;
    let (nth, _) = number(rest.get(1..)?)?;
    Some((usize::try_from(talker).ok()?, u32::try_from(nth).ok()?, stamp))
}

/// Measures one run.
///
/// # Errors
/// When anybody misses anything.
pub fn measure(way: &Way, plan: &Plan, server: &[u32]) -> Result<Outcome> {
    let (mut swarm, mut hall) = Hall::open(way, plan.viewers)?;
    drive(&mut swarm, &mut hall, plan, server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_who_sent_which_and_when() {
        let head = format!(
            "{:0STAMP_DIGITS$} {:0TALKER_DIGITS$} {:0NUMBER_DIGITS$} ...",
            77, 5, 123
        );
        assert_eq!(read(head.as_bytes()), Some((5, 123, 77)));
        assert_eq!(read(b"queued messages: 1"), None);
    }
}
