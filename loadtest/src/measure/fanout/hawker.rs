//! Fan-out through Hawker: chat in a room, everything it does for a message included
//! (numbering, storing, acknowledging).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use shared::ids::RequestId;
use shared::protocol::{NumberedFrame, RoomEvent};

use super::{Audience, Meter, Outcome, Plan, TALKERS, drive, stamp_of};
use crate::measure::crowd::{Acts, Answer, Crowd, FIRST_ID};
use crate::measure::swarm::{Client, Handler, Swarm};
use crate::measure::world::{Engine, World};

/// How long it may take until everybody is in.
const FILL_DEADLINE: Duration = Duration::from_secs(120);

/// What the viewers' frames say. All get the same bytes: the first to read a frame reads
/// it whole and notes when each message was sent.
struct Listening {
    meter: Meter,
    /// The seq of the first of `stamps`.
    first: u64,
    /// When the message of each seq was sent; none for other events.
    stamps: Vec<Option<u64>>,
    acknowledged: u64,
}

impl Listening {
    fn learn(&mut self, frame: &[u8]) -> Result<()> {
        let frame: NumberedFrame = serde_json::from_slice(frame).context("a numbered frame that cannot be read")?;
        if self.stamps.is_empty() {
            self.first = frame.from;
        }
        let next = self.first + self.stamps.len() as u64;
        for (seq, event) in (frame.from..).zip(&frame.m) {
            if seq >= next {
                self.stamps.push(match event {
                    RoomEvent::Chat(chat) => stamp_of(chat.text.as_bytes()),
                    _ => None,
                });
            }
        }
        Ok(())
    }
}

impl Acts for Listening {
    fn numbered(&mut self, _: usize, from: u64, to: u64, frame: &[u8], at: Instant) -> Result<()> {
        if self.stamps.is_empty() || to >= self.first + self.stamps.len() as u64 {
            self.learn(frame)?;
        }
        let at = self.meter.stamp(at);
        let place = |seq: u64| usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let stamps = self
            .stamps
            .get(place(from)..=place(to))
            .context("an event that nobody knows")?;
        for stamp in stamps.iter().flatten() {
            self.meter.delivered(*stamp, at);
        }
        Ok(())
    }

    fn answered(&mut self, client: &mut Client, _: u64, answer: Answer<'_>, _: Instant) -> Result<()> {
        match answer {
            Answer::Done(b"said") => self.acknowledged += 1,
            other => bail!("seat {} was answered {other:?}", client.id),
        }
        Ok(())
    }
}

struct Room {
    crowd: Crowd<Listening>,
    viewers: usize,
    /// The head before the first message.
    start: u64,
}

impl Handler for Room {
    fn opened(&mut self, client: &mut Client) -> Result<()> {
        self.crowd.opened(client)
    }

    fn message(&mut self, client: &mut Client, payload: &[u8], at: Instant) -> Result<()> {
        self.crowd.message(client, payload, at)
    }

    fn closed(&mut self, client: &mut Client) -> Result<()> {
        self.crowd.closed(client)
    }
}

impl Audience for Room {
    fn say(&mut self, swarm: &mut Swarm, nth: u64, text: &str) -> Result<()> {
        let (id, request) = (FIRST_ID + nth, RequestId::new());
        let talker = usize::try_from(nth).unwrap_or(0) % TALKERS.min(self.viewers);
        let frame = format!(r#"{{"id":{id},"cmd":"chat","request_id":"{request}","text":"{text}"}}"#);
        Ok(swarm.client(talker).send(frame.as_bytes())?)
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.crowd.acts.meter
    }

    fn settled(&self, sent: u64) -> bool {
        self.crowd.acts.acknowledged == sent && self.crowd.have(self.start + sent) == self.viewers
    }
}

/// Measures one run on a fresh engine's room.
///
/// # Errors
/// When anybody misses anything, or a message is not acknowledged.
pub fn measure(world: &World, engine: &Engine, plan: &Plan) -> Result<Outcome> {
    let mut swarm = Swarm::new(engine.addr())?;
    let listening = Listening {
        meter: Meter::new()?,
        first: 0,
        stamps: Vec::new(),
        acknowledged: 0,
    };
    let mut crowd = Crowd::new(world, listening);
    crowd.fill(&mut swarm, world, plan.viewers, FILL_DEADLINE)?;
    let mut room = Room {
        start: crowd.head(),
        crowd,
        viewers: plan.viewers,
    };
    drive(&mut swarm, &mut room, plan, &engine.pids())
}
