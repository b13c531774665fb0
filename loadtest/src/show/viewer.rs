//! One viewer: a socket and a task. It does what the director tells it, logs what it is
//! answered, and holds every numbered event against the one before it.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use rand::Rng;
use shared::error::ErrorCode;
use shared::ids::{RequestId, SaleId, StreamId, UserId};
use shared::protocol::{
    ClientCommand, ClientFrame, Ephemeral, EphemeralFrame, Format, Outcome, Position, Private, Reservation, ServerFrame,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cast::Account;
use super::record::{Batch, Heard, Record};
use super::tally::{Acknowledged, Granted, Tally};
use crate::live::{self, Auth, LiveClient, LiveError};
use crate::rest::Ticket;
use crate::socket::Socket;

/// How often a lost connection is made again before the viewer gives up.
const RETURNS: u32 = 6;
/// A connection lives as long as its token, 15 minutes; it is made anew before that.
const CONNECTION_AGE: Duration = Duration::from_secs(10 * 60);

/// What the director may ask of a viewer.
#[derive(Clone, Debug)]
pub enum Act {
    /// Say something.
    Say(String),
    /// React.
    React {
        /// The kind.
        kind: &'static str,
        /// How often.
        count: u32,
    },
    /// Press buy for one unit.
    Buy {
        /// The sale.
        sale: SaleId,
        /// Send it again under the same request id, and expect the same answer.
        again: bool,
    },
}

/// A hold that its buyer may pay for.
pub struct Grant {
    /// The buyer.
    pub account: Arc<Account>,
    /// The hold.
    pub hold: Reservation,
}

/// What all viewers of a show share.
pub struct Hall {
    /// Which show.
    pub stream: StreamId,
    /// What was heard.
    pub record: Record,
    /// What was answered.
    pub tally: Tally,
    /// The seq each viewer has reached, by index.
    pub reached: Vec<AtomicU64>,
    /// Commands that were asked for and not answered yet.
    pub open: AtomicI64,
    /// The show is over: a connection may end now.
    pub over: AtomicBool,
    /// Granted holds, for those who pay.
    pub grants: mpsc::Sender<Grant>,
}

struct Pending {
    act: Act,
    request_id: RequestId,
    sent: Instant,
    /// What the first answer was, when this asks again.
    first: Option<Reservation>,
}

impl Pending {
    fn frame(&self, id: u64) -> ClientFrame {
        let command = match &self.act {
            Act::Say(text) => ClientCommand::Chat {
                text: text.clone(),
                reply_to: None,
            },
            Act::React { kind, count } => ClientCommand::React {
                kind: (*kind).into(),
                count: *count,
            },
            Act::Buy { sale, .. } => ClientCommand::Buy {
                sale: *sale,
                quantity: 1,
            },
        };
        ClientFrame {
            id,
            request_id: Some(self.request_id),
            command,
        }
    }
}

/// What became of a viewer.
#[derive(Clone, Copy, Debug)]
pub struct Seat {
    /// Which viewer.
    pub index: usize,
    /// Where it joined.
    pub joined: Position,
    /// The last event it heard.
    pub reached: Position,
    /// Whether it heard every event between the two, once and in order.
    pub whole: bool,
}

/// A viewer in the room.
pub struct Viewer {
    index: usize,
    account: Option<Arc<Account>>,
    url: String,
    resume: Option<String>,
    socket: Socket,
    connected: Instant,
    at: Position,
    joined: Position,
    last_id: u64,
    pending: HashMap<u64, Pending>,
    hall: Arc<Hall>,
}

impl Viewer {
    /// Connects with a ticket and joins the room.
    pub async fn enter(
        hall: Arc<Hall>,
        index: usize,
        account: Option<Arc<Account>>,
        ticket: Ticket,
        format: Format,
    ) -> Result<Self> {
        let Ticket { ticket, url } = ticket;
        let mut client = LiveClient::connect(&url, format, Auth::Ticket(ticket)).await?;
        let joined = client.join(hall.stream, None).await?.at;
        let (socket, hello, queued) = client.into_parts();
        let mut viewer = Self {
            index,
            account,
            url,
            resume: hello.resume,
            socket,
            connected: Instant::now(),
            at: joined,
            joined,
            last_id: 1000,
            pending: HashMap::new(),
            hall,
        };
        viewer.arrive(joined);
        viewer.take_queued(queued).await?;
        Ok(viewer)
    }

    /// Watches until the curtain falls.
    pub async fn run(mut self, mut acts: mpsc::Receiver<Act>, curtain: CancellationToken) -> Seat {
        enum Step {
            Received(Result<bytes::Bytes, LiveError>),
            Act(Act),
            Renew,
        }
        // Not all at once, when their time comes.
        let age = CONNECTION_AGE + Duration::from_millis(rand::rng().random_range(0..60_000));
        let mut renewal = pin!(tokio::time::sleep_until(self.connected + age));
        let mut whole = true;
        loop {
            let step = tokio::select! {
                () = curtain.cancelled() => break,
                received = self.socket.receive() => Step::Received(received),
                Some(act) = acts.recv() => Step::Act(act),
                () = &mut renewal => Step::Renew,
            };
            let done = match step {
                Step::Received(Ok(payload)) => self.hear(&payload).await,
                Step::Received(Err(error)) => Err(error),
                Step::Act(act) => self.act(act, RequestId::new(), None).await,
                Step::Renew => Err(LiveError::Deadline("the renewal of the connection")),
            };
            let Err(error) = done else { continue };
            let lost = matches!(error, LiveError::Gap { .. } | LiveError::Unreadable(_));
            if lost {
                self.hall.tally.fault(format!("viewer {}: {error}", self.index));
            }
            whole &= !lost;
            if self.hall.over.load(Ordering::Relaxed) {
                break;
            }
            match self.come_back(&curtain).await {
                Ok(missed_nothing) => {
                    whole &= missed_nothing;
                    renewal.as_mut().reset(self.connected + age);
                }
                Err(_) if curtain.is_cancelled() => break,
                Err(last) => {
                    self.hall
                        .tally
                        .fault(format!("viewer {} lost its seat: {error}; then {last:#}", self.index));
                    whole = false;
                    break;
                }
            }
        }
        self.leave();
        self.socket.close().await;
        Seat {
            index: self.index,
            joined: self.joined,
            reached: self.at,
            whole,
        }
    }

    /// Whatever was not answered never will be.
    fn leave(&mut self) {
        let unanswered = self.pending.len();
        self.settle(unanswered);
        if unanswered > 0 && !self.hall.over.load(Ordering::Relaxed) {
            let line = format!("viewer {} left with {unanswered} commands unanswered", self.index);
            self.hall.tally.fault(line);
        }
    }

    fn settle(&self, commands: usize) {
        let commands = i64::try_from(commands).unwrap_or(i64::MAX);
        self.hall.open.fetch_sub(commands, Ordering::AcqRel);
    }

    fn arrive(&mut self, at: Position) {
        self.at = at;
        self.hall.reached[self.index].store(at.seq, Ordering::Release);
    }

    async fn take_queued(&mut self, queued: Vec<ServerFrame>) -> Result<(), LiveError> {
        for frame in queued {
            match frame {
                ServerFrame::Numbered(frame) => {
                    let batch = self.hall.record.compare(self.socket.format(), frame);
                    self.numbered(&batch)?;
                }
                ServerFrame::Private(message) => self.private(&message).await?,
                ServerFrame::Ephemeral(frame) => self.ephemeral(&frame),
            }
        }
        Ok(())
    }

    async fn hear(&mut self, payload: &bytes::Bytes) -> Result<(), LiveError> {
        match self.hall.record.read(self.socket.format(), payload)? {
            Heard::Numbered(batch) => self.numbered(&batch),
            Heard::Ephemeral(frame) => {
                self.ephemeral(&frame);
                Ok(())
            }
            Heard::Private(message) => self.private(&message).await,
        }
    }

    fn numbered(&mut self, batch: &Batch) -> Result<(), LiveError> {
        let next = live::follows(self.at, &batch.frame)?;
        let tally = &self.hall.tally;
        tally.events.fetch_add(batch.frame.m.len() as u64, Ordering::Relaxed);
        tally.delivered.fetch_add(batch.chats, Ordering::Relaxed);
        let now = Instant::now();
        tally.deliver(self.index, batch.sent.iter().map(|sent| now.duration_since(*sent)));
        self.arrive(next);
        Ok(())
    }

    fn ephemeral(&self, frame: &EphemeralFrame) {
        if self.index != 0 {
            return;
        }
        for message in &frame.m {
            if let Ephemeral::Reactions { counts } = message {
                let heard = &self.hall.tally.reactions_heard;
                heard.fetch_add(counts.values().sum(), Ordering::Relaxed);
            }
        }
    }

    async fn private(&mut self, message: &Private) -> Result<(), LiveError> {
        match message {
            Private::Reply { id, outcome } => {
                if let Some(pending) = self.pending.remove(id) {
                    self.succeeded(pending, outcome).await?;
                    self.settle(1);
                }
            }
            Private::Error { id: Some(id), refusal } => {
                if let Some(pending) = self.pending.remove(id) {
                    self.refused(&pending, refusal.code);
                    self.settle(1);
                }
            }
            Private::Error { id: None, refusal } => return Err(LiveError::Refused(refusal.clone())),
            Private::Hello(_)
            | Private::Snapshot(_)
            | Private::Resynced
            | Private::Standing(_)
            | Private::Reservation(_)
            | Private::Waiting(_)
            | Private::Review(_)
            | Private::Reviewed { .. }
            | Private::Reported(_)
            | Private::Order { .. }
            | Private::Notification(_)
            | Private::GoingAway { .. }
            | Private::Summary(_) => {}
        }
        Ok(())
    }

    fn user(&self) -> UserId {
        // Only accounts are asked to chat and buy.
        self.account
            .as_ref()
            .map_or(UserId(uuid::Uuid::nil()), |account| account.user)
    }

    async fn succeeded(&mut self, pending: Pending, outcome: &Outcome) -> Result<(), LiveError> {
        let tally = &self.hall.tally;
        let latency = pending.sent.elapsed();
        match (pending.act, outcome, pending.first) {
            (Act::Say(text), Outcome::Said { message, epoch, seq }, _) => {
                let acknowledged = Acknowledged {
                    user: self.user(),
                    request_id: pending.request_id,
                    text,
                    message: *message,
                    at: Position {
                        epoch: *epoch,
                        seq: *seq,
                    },
                };
                tally.acknowledge(acknowledged, latency);
            }
            (Act::React { count, .. }, Outcome::Done, _) => {
                tally.reactions_sent.fetch_add(u64::from(count), Ordering::Relaxed);
            }
            (Act::Buy { .. }, Outcome::Held(hold), Some(first)) => {
                if (first.reservation, first.sale, first.quantity) != (hold.reservation, hold.sale, hold.quantity) {
                    tally.fault(format!("a buy sent again was answered with {hold:?} after {first:?}"));
                }
            }
            (act @ Act::Buy { again, .. }, Outcome::Held(hold), None) => {
                let granted = Granted {
                    user: self.user(),
                    request_id: pending.request_id,
                    hold: hold.clone(),
                };
                tally.grant(granted, latency);
                if let Some(account) = self.account.clone() {
                    let grant = Grant {
                        account,
                        hold: hold.clone(),
                    };
                    // Closed only once the show is over.
                    let _ = self.hall.grants.send(grant).await;
                }
                if again {
                    self.hall.open.fetch_add(1, Ordering::AcqRel);
                    self.act(act, pending.request_id, Some(hold.clone())).await?;
                }
            }
            (act, outcome, _) => tally.fault(format!("{act:?} was answered with {outcome:?}")),
        }
        Ok(())
    }

    fn refused(&self, pending: &Pending, code: ErrorCode) {
        let tally = &self.hall.tally;
        match (&pending.act, &pending.first) {
            (Act::Say(_), _) => tally.refuse_chat(code),
            (Act::React { .. }, _) => {}
            (Act::Buy { .. }, None) => tally.refuse_buy(code, pending.sent.elapsed()),
            // A limit on commands is no answer to the buy.
            (Act::Buy { .. }, Some(_)) if matches!(code, ErrorCode::RateLimited | ErrorCode::Overloaded) => {}
            (Act::Buy { .. }, Some(first)) => {
                tally.fault(format!("a buy sent again was refused with {code} after {first:?}"));
            }
        }
    }

    /// Sends a command. It stays pending until it is answered, whatever happens to the
    /// connection: after a return it is sent again under the same request id.
    async fn act(&mut self, act: Act, request_id: RequestId, first: Option<Reservation>) -> Result<(), LiveError> {
        let tally = &self.hall.tally;
        match (&act, &first) {
            (Act::Say(text), _) => {
                self.hall.record.note_sent(text);
                tally.sent.fetch_add(1, Ordering::Relaxed);
            }
            (Act::Buy { .. }, None) => {
                tally.buys.fetch_add(1, Ordering::Relaxed);
            }
            (Act::Buy { .. }, Some(_)) => {
                tally.buys_again.fetch_add(1, Ordering::Relaxed);
            }
            (Act::React { .. }, _) => {}
        }
        let pending = Pending {
            act,
            request_id,
            sent: Instant::now(),
            first,
        };
        self.transmit(pending).await
    }

    async fn transmit(&mut self, pending: Pending) -> Result<(), LiveError> {
        self.last_id += 1;
        let frame = pending.frame(self.last_id);
        self.pending.insert(self.last_id, pending);
        self.socket.send(&frame).await
    }

    /// Makes a lost connection again, where it was. Returns whether nothing was missed.
    async fn come_back(&mut self, curtain: &CancellationToken) -> Result<bool> {
        self.hall.tally.resumed.fetch_add(1, Ordering::Relaxed);
        let token = self
            .resume
            .clone()
            .ok_or_else(|| anyhow::anyhow!("there is no resume token"))?;
        let mut pause_ms = 100;
        for _ in 1..RETURNS {
            match self.try_to_come_back(&token).await {
                Ok(missed_nothing) => return Ok(missed_nothing),
                Err(error) => tracing::debug!(viewer = self.index, %error, "not back yet"),
            }
            let pause = Duration::from_millis(pause_ms + rand::rng().random_range(0..100));
            tokio::select! {
                () = curtain.cancelled() => anyhow::bail!("the show is over"),
                () = tokio::time::sleep(pause) => pause_ms *= 2,
            }
        }
        self.try_to_come_back(&token).await
    }

    async fn try_to_come_back(&mut self, token: &str) -> Result<bool> {
        let auth = Auth::Resume(token.to_owned());
        let mut client = LiveClient::connect(&self.url, self.socket.format(), auth).await?;
        let joined = client.join(self.hall.stream, Some(self.at)).await?;
        let (socket, hello, queued) = client.into_parts();
        self.socket = socket;
        self.connected = Instant::now();
        self.resume = hello.resume.or(self.resume.take());
        if joined.resynced {
            let line = format!("viewer {} missed what came after {:?}", self.index, self.at);
            self.hall.tally.fault(line);
            self.arrive(joined.at);
        }
        self.take_queued(queued).await?;
        for (id, pending) in &self.pending {
            self.socket.send(&pending.frame(*id)).await?;
        }
        Ok(!joined.resynced)
    }
}

#[cfg(test)]
mod tests;
