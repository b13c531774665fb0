//! The swarm as viewers of a Hawker room: they say who they are, join, and check that
//! nothing numbered is missing, doubled or out of order. What else they do is for the
//! part of the measurement to say.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use shared::protocol::{Format, Position};

use super::frames::{Head, head, number};
use super::swarm::{Client, Handler, Swarm};
use super::world::World;

/// The ids of the first commands; a part's own come after these.
const RESUME_ID: u64 = 0;
const JOIN_ID: u64 = 1;
/// From here on ids are a part's own.
pub const FIRST_ID: u64 = 2;

/// How a command was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// With a reply: the field `result`.
    Done(&'a [u8]),
    /// With an error: the field `code`.
    Refused(&'a [u8]),
}

/// What viewers do beyond watching.
pub trait Acts {
    /// A viewer has joined.
    ///
    /// # Errors
    /// What ends the run.
    fn joined(&mut self, client: &mut Client, at: Instant) -> Result<()> {
        let _ = (client, at);
        Ok(())
    }

    /// Numbered events `from` to `to` have come in `frame`.
    ///
    /// # Errors
    /// What ends the run.
    fn numbered(&mut self, seat: usize, from: u64, to: u64, frame: &[u8], at: Instant) -> Result<()> {
        let _ = (seat, from, to, frame, at);
        Ok(())
    }

    /// A command of the part's own was answered.
    ///
    /// # Errors
    /// What ends the run.
    fn answered(&mut self, client: &mut Client, id: u64, answer: Answer<'_>, at: Instant) -> Result<()> {
        let _ = (client, id, answer, at);
        Ok(())
    }
}

/// Only watches.
pub struct Watching;

impl Acts for Watching {}

/// One viewer.
#[derive(Clone, Default, Debug)]
struct Seat {
    /// Comes with this instead of a ticket.
    resume: Option<String>,
    at: Option<Position>,
    is_in: bool,
}

/// See the module. A seat's number is its connection's.
pub struct Crowd<A> {
    stream: String,
    seats: Vec<Seat>,
    /// The world's seat of the first of them.
    first: usize,
    joined: usize,
    resynced: usize,
    keeps_resume: bool,
    /// What they do.
    pub acts: A,
}

impl<A: Acts> Crowd<A> {
    /// Nobody yet, for the world's one show.
    #[must_use]
    pub fn new(world: &World, acts: A) -> Self {
        Self {
            stream: world.stream.to_string(),
            seats: Vec::new(),
            first: 0,
            joined: 0,
            resynced: 0,
            keeps_resume: false,
            acts,
        }
    }

    /// Remembers each viewer's way back.
    #[must_use]
    pub const fn keeping_resume(mut self) -> Self {
        self.keeps_resume = true;
        self
    }

    /// Gives them the world's accounts from that of `first` on.
    #[must_use]
    pub const fn from_seat(mut self, first: usize) -> Self {
        self.first = first;
        self
    }

    /// How many are in the room.
    #[must_use]
    pub const fn joined(&self) -> usize {
        self.joined
    }

    /// How many had to begin anew instead of going on where they were.
    #[must_use]
    pub const fn resynced(&self) -> usize {
        self.resynced
    }

    /// How many are in the room and have everything up to `seq`.
    #[must_use]
    pub fn have(&self, seq: u64) -> usize {
        let has = |seat: &&Seat| seat.is_in && seat.at.is_some_and(|at| at.seq >= seq);
        self.seats.iter().filter(has).count()
    }

    /// The highest seq that anybody has.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.seats
            .iter()
            .filter_map(|seat| Some(seat.at?.seq))
            .max()
            .unwrap_or(0)
    }

    /// Seats `count` viewers in the room, with tickets.
    ///
    /// # Errors
    /// When not all are in by `deadline`.
    pub fn fill(&mut self, swarm: &mut Swarm, world: &World, count: usize, deadline: Duration) -> Result<()> {
        let protocol = Some(Format::Json.subprotocol());
        self.seats.resize_with(swarm.len() + count, Seat::default);
        let first = self.first;
        let joined = |crowd: &Self| crowd.joined;
        swarm.connect_all(self, count, protocol, deadline, joined, |seat| world.path(first + seat))
    }

    /// Cuts everybody's connection, as a lost network would.
    pub fn cut_all(&mut self, swarm: &mut Swarm) {
        for (seat, state) in self.seats.iter_mut().enumerate() {
            swarm.client(seat).cut();
            state.is_in = false;
        }
        self.joined = 0;
    }

    /// Begins to come back to a seat that was cut, to where it was.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn come_back(&mut self, swarm: &mut Swarm, seat: usize) -> Result<()> {
        if self.seats[seat].resume.is_none() {
            bail!("seat {seat} has no way back");
        }
        swarm.reconnect(seat, "/ws", Some(Format::Json.subprotocol()))
    }

    fn say_who(&self, client: &mut Client) -> Result<()> {
        if let Some(token) = &self.seats[client.id].resume {
            let frame = format!(r#"{{"id":{RESUME_ID},"cmd":"resume","token":"{token}"}}"#);
            client.send(frame.as_bytes())?;
        }
        Ok(())
    }

    fn hello(&mut self, client: &mut Client, frame: &[u8]) -> Result<()> {
        let Some(token) = field(frame, b"\"resume\":\"") else {
            // The first one of a connection that has not said who it is.
            return Ok(());
        };
        let seat = &mut self.seats[client.id];
        if self.keeps_resume {
            seat.resume = Some(String::from_utf8_lossy(token).into_owned());
        }
        let since = seat.at.map_or_else(String::new, |at| {
            format!(r#","since":{{"epoch":{},"seq":{}}}"#, at.epoch, at.seq)
        });
        let join = format!(r#"{{"id":{JOIN_ID},"cmd":"join","stream":"{}"{since}}}"#, self.stream);
        client.send(join.as_bytes())?;
        Ok(())
    }

    fn in_the_room(&mut self, client: &mut Client, frame: &[u8], at: Instant) -> Result<()> {
        let position = position(frame).context("a reply to a join without a position")?;
        let seat = &mut self.seats[client.id];
        seat.at = Some(position);
        seat.is_in = true;
        self.joined += 1;
        self.acts.joined(client, at)
    }

    fn numbered(&mut self, seat: usize, epoch: i64, from: u64, to: u64) -> Result<()> {
        let state = &mut self.seats[seat];
        match &mut state.at {
            Some(at) if at.epoch == epoch && at.seq + 1 == from && to >= from => {
                at.seq = to;
                Ok(())
            }
            at => bail!("seat {seat} is at {at:?}, and then came {from} to {to} of epoch {epoch}"),
        }
    }
}

impl<A: Acts> Handler for Crowd<A> {
    fn opened(&mut self, client: &mut Client) -> Result<()> {
        self.say_who(client)
    }

    fn message(&mut self, client: &mut Client, frame: &[u8], at: Instant) -> Result<()> {
        match head(frame) {
            Head::Numbered { epoch, from, to } => {
                self.numbered(client.id, epoch, from, to)?;
                self.acts.numbered(client.id, from, to, frame, at)
            }
            Head::Ephemeral => Ok(()),
            Head::Reply { id: JOIN_ID, .. } => self.in_the_room(client, frame, at),
            Head::Reply { id, result } => self.acts.answered(client, id, Answer::Done(result), at),
            Head::Error { id: Some(id), code } if id >= FIRST_ID => {
                self.acts.answered(client, id, Answer::Refused(code), at)
            }
            Head::Private { kind: b"hello" } => self.hello(client, frame),
            Head::Private { kind: b"resynced" } => {
                self.resynced += 1;
                Ok(())
            }
            Head::Private { .. } => Ok(()),
            Head::Error { .. } | Head::Unknown => {
                bail!("seat {}: {}", client.id, String::from_utf8_lossy(frame))
            }
        }
    }

    fn closed(&mut self, client: &mut Client) -> Result<()> {
        bail!("seat {} was closed with code {:?}", client.id, client.close_code())
    }
}

/// The text behind `name` up to the next quotation mark.
fn field<'a>(frame: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let start = frame.windows(name.len()).position(|window| window == name)? + name.len();
    let length = frame[start..].iter().position(|byte| *byte == b'"')?;
    Some(&frame[start..start + length])
}

/// The `epoch` and `seq` of a reply.
fn position(frame: &[u8]) -> Option<Position> {
    let after = |name: &[u8]| {
        let start = frame.windows(name.len()).position(|window| window == name)? + name.len();
        number(&frame[start..]).map(|(value, _)| value)
    };
    Some(Position {
        epoch: i64::try_from(after(b"\"epoch\":")?).ok()?,
        seq: after(b"\"seq\":")?,
    })
}
