//! A viewer with an account: says things, reacts, presses buy and gives holds back over
//! the socket. What is not answered when a connection is lost is asked again on the next
//! one, under the same request id and with the same body; and some of what was answered
//! is asked once more, which must bring the same answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use shared::ids::{ReservationId, SaleId};
use shared::protocol::{ClientCommand, ClientFrame, Format, NumberedFrame, Outcome, Position, Private, ServerFrame};
use shared::status::ReservationStatus;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::book::{Act, Done};
use super::hall::{Hall, Person, a_moment, act_of, is_passing};
use super::shopper::Held;
use crate::live::{self, Auth, LiveClient, LiveError};
use crate::socket::Socket;

/// What may be asked for at a time.
const PENDING: usize = 6;
/// Of what was answered, so much is asked again on the next connection.
const LATELY: usize = 3;
/// An answer that takes longer is not waited for on this connection any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// What was not answered yet is looked at so often.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The words of messages.
const WORDS: [&str; 8] = ["lovely", "blue", "mug", "how", "big", "wow", "tea", "please"];

#[derive(Clone, Debug)]
enum Wish {
    Say(String),
    Buy { sale: SaleId, quantity: u32 },
    Wait { sale: SaleId, quantity: u32 },
    Unwait(SaleId),
    Release(Held),
}

struct Pending {
    act: Act,
    wish: Wish,
    /// The command's id on this connection, once it is sent, and when.
    sent: Option<(u64, Instant)>,
    due: Instant,
}

/// See the module.
pub struct Viewer {
    hall: Arc<Hall>,
    person: Person,
    format: Format,
    rng: StdRng,
    holds: mpsc::Sender<Held>,
    at: Option<Position>,
    resume: Option<String>,
    pending: Vec<Pending>,
    lately: VecDeque<(Act, Wish)>,
    /// Reactions on this connection that are not answered yet.
    reacted: HashMap<u64, (&'static str, u32)>,
    last_id: u64,
    said: u64,
}

impl Viewer {
    /// Somebody whose choices follow from `seed`; what is to be paid for goes to `holds`.
    #[must_use]
    pub fn new(hall: Arc<Hall>, person: Person, seed: u64, format: Format, holds: mpsc::Sender<Held>) -> Self {
        Self {
            hall,
            person,
            format,
            rng: StdRng::seed_from_u64(seed),
            holds,
            at: None,
            resume: None,
            pending: Vec::new(),
            lately: VecDeque::new(),
            reacted: HashMap::new(),
            last_id: 1000,
            said: 0,
        }
    }

    /// Watches until the show closes and everything is answered.
    pub async fn run(mut self) {
        loop {
            match self.enter().await {
                Ok(socket) => self.watch(socket).await,
                Err(error) => tracing::debug!(error = format!("{error:#}"), "not in the room yet"),
            }
            if self.is_done() {
                return;
            }
            if self.hall.has_given_up() {
                let acts: Vec<_> = self.pending.iter().map(|pending| &pending.wish).collect();
                return self.hall.book.fault(format!("never answered: {acts:?}"));
            }
            tokio::time::sleep(a_moment()).await;
        }
    }

    fn is_done(&self) -> bool {
        self.hall.closing.is_cancelled() && self.pending.is_empty()
    }

    /// Connects and joins, where it was. What was not answered is due again.
    async fn enter(&mut self) -> anyhow::Result<Socket> {
        let ticket = self.person.account.client().await?.ticket(self.hall.stream).await?;
        let auth = match &self.resume {
            Some(token) if self.rng.random_ratio(1, 2) => Auth::Resume(token.clone()),
            Some(_) | None => Auth::Ticket(ticket.ticket),
        };
        let mut client = LiveClient::connect(&ticket.url, self.format, auth).await?;
        let joined = client.join(self.hall.stream, self.at).await?;
        if self.at.is_some() {
            self.hall.book.returns.fetch_add(1, Ordering::Relaxed);
            if !joined.resynced {
                self.hall.book.resumed.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (socket, hello, queued) = client.into_parts();
        self.resume = hello.resume;
        self.at = Some(joined.at);
        self.reacted.clear();
        let now = Instant::now();
        for pending in &mut self.pending {
            (pending.sent, pending.due) = (None, now);
        }
        for (act, wish) in self.lately.drain(..) {
            self.pending.push(Pending {
                act,
                wish,
                sent: None,
                due: now,
            });
        }
        for frame in queued {
            self.hear(frame)?;
        }
        Ok(socket)
    }

    /// Uses a connection until it ends.
    async fn watch(&mut self, mut socket: Socket) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut next = Instant::now();
        while !self.is_done() && !self.hall.has_given_up() {
            let step = tokio::select! {
                received = socket.receive() => match received {
                    Ok(bytes) => live::decode(self.format, &bytes).and_then(|frame| self.hear(frame)),
                    Err(error) => Err(error),
                },
                _ = look.tick() => {
                    if Instant::now() >= next && !self.hall.closing.is_cancelled() {
                        next = Instant::now() + Duration::from_millis(self.rng.random_range(5..60));
                        self.wish(&mut socket).await
                    } else {
                        self.send_due(&mut socket).await
                    }
                }
            };
            if let Err(error) = step {
                if matches!(error, LiveError::Gap { .. } | LiveError::Unreadable(_)) {
                    self.hall.book.fault(format!("a viewer: {error}"));
                }
                return;
            }
        }
        socket.close().await;
    }

    /// Does something, unless too much is under way.
    async fn wish(&mut self, socket: &mut Socket) -> Result<(), LiveError> {
        if self.pending.len() >= PENDING {
            return Ok(());
        }
        let wish = match self.rng.random_range(0..10) {
            0 | 1 => {
                return self.react(socket).await;
            }
            2..5 => match self.hall.sales().choose(&mut self.rng) {
                Some(sale) => {
                    let (sale, quantity) = (*sale, self.rng.random_range(1..3));
                    match self.rng.random_ratio(1, 3) && !self.has_to_do_with_a_line(sale) {
                        true => Wish::Wait { sale, quantity },
                        false => Wish::Buy { sale, quantity },
                    }
                }
                None => return Ok(()),
            },
            _ => {
                self.said += 1;
                let word = || WORDS[rand::rng().random_range(0..WORDS.len())];
                let (a, b) = (word(), word());
                // The number makes the text one of a kind.
                Wish::Say(format!("{a} {b} {} {}", self.person.account.user, self.said))
            }
        };
        self.want(wish);
        self.send_due(socket).await
    }

    /// Whether a place in this sale's line is being asked for or left: one at a time, so
    /// that the last word on it counts.
    fn has_to_do_with_a_line(&self, sale: SaleId) -> bool {
        let pending = self.pending.iter().map(|pending| &pending.wish);
        pending.into_iter().any(|wish| match wish {
            Wish::Wait { sale: of, .. } | Wish::Unwait(of) => *of == sale,
            _ => false,
        })
    }

    fn want(&mut self, wish: Wish) {
        self.pending.push(Pending {
            act: act_of(self.person.account.user),
            wish,
            sent: None,
            due: Instant::now(),
        });
    }

    async fn react(&mut self, socket: &mut Socket) -> Result<(), LiveError> {
        let (kind, count) = (self.hall.reaction(), self.rng.random_range(1..5));
        self.hall.book.react(kind, count);
        let react = ClientCommand::React {
            kind: kind.to_owned(),
            count,
        };
        let id = self.command(socket, None, react).await?;
        self.reacted.insert(id, (kind, count));
        Ok(())
    }

    async fn send_due(&mut self, socket: &mut Socket) -> Result<(), LiveError> {
        let now = Instant::now();
        for index in 0..self.pending.len() {
            let Pending { act, wish, sent, due } = &self.pending[index];
            if let Some((_, at)) = sent {
                if now.duration_since(*at) > PATIENCE {
                    return Err(LiveError::Deadline("an answer"));
                }
                continue;
            }
            if *due > now {
                continue;
            }
            let command = match wish.clone() {
                Wish::Say(text) => ClientCommand::Chat { text, reply_to: None },
                Wish::Buy { sale, quantity } => ClientCommand::Buy { sale, quantity },
                Wish::Wait { sale, quantity } => ClientCommand::Wait { sale, quantity },
                Wish::Unwait(sale) => ClientCommand::Unwait { sale },
                Wish::Release(held) => ClientCommand::Release {
                    reservation: held.reservation,
                },
            };
            let act = *act;
            let id = self.command(socket, Some(act), command).await?;
            self.pending[index].sent = Some((id, now));
        }
        Ok(())
    }

    async fn command(
        &mut self,
        socket: &mut Socket,
        act: Option<Act>,
        command: ClientCommand,
    ) -> Result<u64, LiveError> {
        self.last_id += 1;
        let frame = ClientFrame {
            id: self.last_id,
            request_id: act.map(|act| act.request),
            command,
        };
        socket.send(&frame).await?;
        Ok(self.last_id)
    }

    fn hear(&mut self, frame: ServerFrame) -> Result<(), LiveError> {
        match frame {
            ServerFrame::Numbered(frame) => self.numbered(frame),
            ServerFrame::Private(Private::Reply { id, outcome }) => {
                match self.reacted.remove(&id) {
                    Some((kind, count)) => self.hall.book.reacted(kind, count),
                    None => self.answered(id, &outcome),
                }
                Ok(())
            }
            // The turn has come.
            ServerFrame::Private(Private::Reservation(hold)) if hold.offered => {
                if hold.status == ReservationStatus::Held {
                    self.decide(hold.reservation, hold.sale);
                }
                Ok(())
            }
            ServerFrame::Private(Private::Error { id: Some(id), refusal }) => {
                self.reacted.remove(&id);
                if let Some(index) = self.index_of(id) {
                    if is_passing(refusal.code) {
                        let pending = &mut self.pending[index];
                        (pending.sent, pending.due) = (None, Instant::now() + a_moment());
                    } else {
                        let pending = self.pending.swap_remove(index);
                        self.hall.book.refuse(pending.act, refusal.code);
                    }
                }
                Ok(())
            }
            ServerFrame::Private(Private::Error { id: None, refusal }) => Err(LiveError::Refused(refusal)),
            ServerFrame::Ephemeral(_) | ServerFrame::Private(_) => Ok(()),
        }
    }

    fn numbered(&mut self, frame: NumberedFrame) -> Result<(), LiveError> {
        if let Some(at) = self.at {
            self.at = Some(live::follows(at, &frame)?);
        }
        self.hall.record.compare(self.format, frame);
        Ok(())
    }

    fn index_of(&self, id: u64) -> Option<usize> {
        let is_it = |pending: &Pending| pending.sent.is_some_and(|(sent, _)| sent == id);
        self.pending.iter().position(is_it)
    }

    fn answered(&mut self, id: u64, outcome: &Outcome) {
        let Some(index) = self.index_of(id) else { return };
        let Pending { act, wish, .. } = self.pending.swap_remove(index);
        let done = match (&wish, outcome) {
            (Wish::Say(text), Outcome::Said { message, epoch, seq }) => Done::Said {
                stream: self.hall.stream,
                message: *message,
                text: text.clone(),
                at: Position {
                    epoch: *epoch,
                    seq: *seq,
                },
            },
            (Wish::Unwait(sale), Outcome::Done) => Done::Left { sale: *sale },
            (Wish::Wait { .. }, Outcome::Waiting(place)) => Done::Waits {
                sale: place.sale,
                quantity: place.quantity,
            },
            (Wish::Buy { .. } | Wish::Wait { .. }, Outcome::Held(hold)) => Done::Held {
                reservation: hold.reservation,
                sale: hold.sale,
                quantity: hold.quantity,
            },
            (Wish::Release(held), Outcome::Done) => Done::Released {
                reservation: held.reservation,
            },
            (wish, outcome) => {
                return self.hall.book.fault(format!("{wish:?} was answered with {outcome:?}"));
            }
        };
        if self.hall.book.tell(act, done) {
            match (&wish, outcome) {
                (Wish::Buy { .. } | Wish::Wait { .. }, Outcome::Held(hold)) => {
                    self.decide(hold.reservation, hold.sale);
                }
                (Wish::Wait { sale, .. }, Outcome::Waiting(_)) if self.rng.random_ratio(1, 3) => {
                    self.want(Wish::Unwait(*sale));
                }
                _ => {}
            }
        }
        if self.lately.len() == LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back((act, wish));
    }

    /// What to do with new units: give them back, take them to the till, or nothing.
    fn decide(&mut self, reservation: ReservationId, sale: SaleId) {
        let held = Held { reservation, sale };
        match self.rng.random_range(0..4) {
            0 => self.want(Wish::Release(held)),
            // A till with a queue is passed by: they lapse, too.
            1 | 2 => drop(self.holds.try_send(held)),
            _ => {}
        }
    }
}
