//! A client of the live protocol for tests and shows: commands with their answers, and
//! everything else that comes in the order it came.
//!
//! Nothing is dropped in silence: a frame that a caller was not waiting for stays
//! queued, numbered events that do not follow each other are an error, and so is
//! waiting longer than [`DEADLINE`].

use std::collections::VecDeque;

use anyhow::{Context, Result, bail};
use shared::error::Refusal;
use shared::ids::{RequestId, StreamId};
use shared::protocol::{
    ClientCommand, ClientFrame, Format, Hello, NumberedFrame, Outcome, Position, Private, RoomEvent, ServerFrame,
    Snapshot,
};
use tokio::time::Instant;

pub use crate::socket::{ABNORMAL_CLOSE, Auth, Closed, DEADLINE, LiveError};
use crate::socket::{Socket, deadline};

/// How many frames may wait to be asked for.
const QUEUE_CAPACITY: usize = 1_000_000;

/// Where a join has led.
#[derive(Clone, PartialEq, Debug)]
pub struct Joined {
    /// Numbered events go on after this.
    pub at: Position,
    /// The room as it was there; absent when missed events are replayed instead.
    pub snapshot: Option<Snapshot>,
    /// The server said that what was missed cannot be replayed.
    pub resynced: bool,
}

/// A connection with its queue.
pub struct LiveClient {
    socket: Socket,
    hello: Hello,
    queue: VecDeque<ServerFrame>,
    position: Option<Position>,
    last_id: u64,
}

impl LiveClient {
    /// Connects to `url` (`ws://host:port/ws`) and reads `hello`.
    ///
    /// # Errors
    /// A [`LiveError`]: `Upgrade`, `Refused`, `Closed`, `Deadline`, `Transport`.
    pub async fn connect(url: &str, format: Format, auth: Auth) -> Result<Self> {
        Self::connect_with(url, format, auth, &[]).await
    }

    /// Connects with further request headers, such as an `Origin`.
    ///
    /// # Errors
    /// As [`LiveClient::connect`].
    pub async fn connect_with(url: &str, format: Format, auth: Auth, headers: &[(&str, &str)]) -> Result<Self> {
        let mut socket = Socket::open(url, format, &auth, headers).await?;
        let mut hello = read_hello(&mut socket).await?;
        if let Auth::Resume(token) = auth {
            let command = ClientCommand::Resume { token };
            socket.send(&frame(0, None, command)).await?;
            hello = read_hello(&mut socket).await?;
        }
        Ok(Self {
            socket,
            hello,
            queue: VecDeque::new(),
            position: None,
            last_id: 0,
        })
    }

    /// The greeting.
    #[must_use]
    pub const fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The position of the last numbered event or snapshot received.
    #[must_use]
    pub const fn position(&self) -> Option<Position> {
        self.position
    }

    /// How the connection ended, once the server has closed it.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        self.socket.closed().map(|closed| closed.code)
    }

    /// Sends a command and returns its id; the answer comes among the frames.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send(&mut self, command: ClientCommand, request_id: Option<RequestId>) -> Result<u64> {
        self.last_id += 1;
        self.socket.send(&frame(self.last_id, request_id, command)).await?;
        Ok(self.last_id)
    }

    /// Sends bytes as they are, for tests that speak badly on purpose.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send_raw(&mut self, bytes: Vec<u8>) -> Result<()> {
        Ok(self.socket.send_raw(bytes).await?)
    }

    /// Sends a command under a fresh request id and waits for its answer. Frames met on
    /// the way stay queued.
    ///
    /// # Errors
    /// When the connection has ended or no answer came.
    pub async fn call(&mut self, command: ClientCommand) -> Result<Result<Outcome, Refusal>> {
        self.call_as(command, RequestId::new()).await
    }

    /// Sends a command under `request_id` and waits for its answer.
    ///
    /// # Errors
    /// As [`LiveClient::call`].
    pub async fn call_as(&mut self, command: ClientCommand, request_id: RequestId) -> Result<Result<Outcome, Refusal>> {
        let id = self.send(command, Some(request_id)).await?;
        self.answer(id).await
    }

    /// Waits for the answer to the command with this id.
    ///
    /// # Errors
    /// When the connection has ended or no answer came.
    pub async fn answer(&mut self, id: u64) -> Result<Result<Outcome, Refusal>> {
        self.private(|message| match message {
            Private::Reply { id: to, outcome } if *to == id => Some(Ok(outcome.clone())),
            Private::Error { id: Some(to), refusal } if *to == id => Some(Err(refusal.clone())),
            _ => None,
        })
        .await
        .with_context(|| format!("the answer to command {id}"))
    }

    /// The next frame.
    ///
    /// # Errors
    /// When the connection has ended or none came.
    pub async fn next(&mut self) -> Result<ServerFrame> {
        match self.queue.pop_front() {
            Some(frame) => Ok(frame),
            None => Ok(self.read(Instant::now() + DEADLINE).await?),
        }
    }

    /// What has come and was not asked for yet, oldest first, without waiting.
    pub fn drain(&mut self) -> Vec<ServerFrame> {
        self.queue.drain(..).collect()
    }

    /// Waits for the first numbered event that `pick` wants, and takes it; all others
    /// stay queued.
    ///
    /// # Errors
    /// When the connection has ended or none came.
    pub async fn event<T>(&mut self, mut pick: impl FnMut(&RoomEvent) -> Option<T>) -> Result<T> {
        self.find("an event", |frame| {
            let ServerFrame::Numbered(batch) = frame else {
                return None;
            };
            let (index, found) = batch
                .m
                .iter()
                .enumerate()
                .find_map(|(index, event)| pick(event).map(|found| (index, found)))?;
            Some((found, without(batch, index)))
        })
        .await
    }

    /// Waits for the first private message that `pick` wants, and takes it.
    ///
    /// # Errors
    /// When the connection has ended or none came.
    pub async fn private<T>(&mut self, mut pick: impl FnMut(&Private) -> Option<T>) -> Result<T> {
        self.find("a private message", |frame| match frame {
            ServerFrame::Private(message) => pick(message).map(|found| (found, Vec::new())),
            ServerFrame::Numbered(_) | ServerFrame::Ephemeral(_) => None,
        })
        .await
    }

    /// Waits for the first ephemeral message that `pick` wants, and takes its frame.
    ///
    /// # Errors
    /// When the connection has ended or none came.
    pub async fn ephemeral<T>(&mut self, mut pick: impl FnMut(&shared::protocol::Ephemeral) -> Option<T>) -> Result<T> {
        self.find("an ephemeral message", |frame| match frame {
            ServerFrame::Ephemeral(batch) => batch.m.iter().find_map(&mut pick).map(|found| (found, Vec::new())),
            ServerFrame::Numbered(_) | ServerFrame::Private(_) => None,
        })
        .await
    }

    /// Enters the room, at `since` or with a snapshot.
    ///
    /// # Errors
    /// [`LiveError::Refused`] when the room refuses; else as [`LiveClient::call`].
    pub async fn join(&mut self, stream: StreamId, since: Option<Position>) -> Result<Joined> {
        if since.is_some() {
            self.position = since;
        }
        let at = match self.call(ClientCommand::Join { stream, since }).await? {
            Ok(Outcome::Joined(at)) => at,
            Ok(other) => bail!("a join was answered with {other:?}"),
            Err(refusal) => return Err(LiveError::Refused(refusal).into()),
        };
        // Replayed events go on from where the client was; anything else is a resync.
        if since == Some(at) {
            return Ok(Joined {
                at,
                snapshot: None,
                resynced: false,
            });
        }
        if since.is_some() {
            self.private(|message| matches!(message, Private::Resynced).then_some(()))
                .await
                .context("resynced")?;
        }
        let snapshot = self
            .private(|message| match message {
                Private::Snapshot(snapshot) => Some((**snapshot).clone()),
                _ => None,
            })
            .await
            .context("the snapshot")?;
        Ok(Joined {
            at,
            resynced: since.is_some(),
            snapshot: Some(snapshot),
        })
    }

    /// Waits until the server closes the connection, and returns how. Frames that come
    /// before stay queued.
    ///
    /// # Errors
    /// When it does not.
    pub async fn closed(&mut self) -> Result<Closed> {
        let by = Instant::now() + DEADLINE;
        loop {
            match self.read(by).await {
                Ok(frame) => self.queue_up(frame)?,
                Err(LiveError::Closed(closed)) => return Ok(closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The connection, the greeting, and what has come and was not asked for.
    #[must_use]
    pub fn into_parts(self) -> (Socket, Hello, Vec<ServerFrame>) {
        (self.socket, self.hello, self.queue.into())
    }

    /// Says goodbye and drops the connection.
    pub async fn close(self) {
        self.socket.close().await;
    }

    /// Searches the queue, then what comes, for the first frame that `take` wants. It
    /// returns what was found and what is left of the frame.
    async fn find<T>(
        &mut self,
        what: &'static str,
        mut take: impl FnMut(&ServerFrame) -> Option<(T, Vec<ServerFrame>)>,
    ) -> Result<T> {
        let by = Instant::now() + DEADLINE;
        let mut index = 0;
        loop {
            while index < self.queue.len() {
                if let Some((found, rest)) = take(&self.queue[index]) {
                    self.queue.remove(index);
                    for frame in rest.into_iter().rev() {
                        self.queue.insert(index, frame);
                    }
                    return Ok(found);
                }
                index += 1;
            }
            match self.read(by).await {
                Ok(frame) => self.queue_up(frame)?,
                Err(LiveError::Deadline(_)) => {
                    let queued: Vec<_> = self.queue.iter().take(20).collect();
                    return Err(LiveError::Deadline(what)).context(format!("queued: {queued:?}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn queue_up(&mut self, frame: ServerFrame) -> Result<()> {
        if self.queue.len() >= QUEUE_CAPACITY {
            bail!("{QUEUE_CAPACITY} frames came that nobody asked for");
        }
        self.queue.push_back(frame);
        Ok(())
    }

    async fn read(&mut self, by: Instant) -> Result<ServerFrame, LiveError> {
        let bytes = tokio::time::timeout_at(by, self.socket.receive())
            .await
            .map_err(|_| LiveError::Deadline("a frame"))??;
        let frame = decode(self.socket.format(), &bytes)?;
        self.follow(&frame)?;
        Ok(frame)
    }

    /// Keeps the position, and refuses numbered events that do not follow it.
    fn follow(&mut self, frame: &ServerFrame) -> Result<(), LiveError> {
        match frame {
            ServerFrame::Numbered(batch) => {
                let at = self.position.unwrap_or(Position {
                    epoch: batch.epoch,
                    seq: batch.from.saturating_sub(1),
                });
                self.position = Some(follows(at, batch)?);
            }
            ServerFrame::Private(Private::Snapshot(snapshot)) => self.position = Some(snapshot.at),
            ServerFrame::Private(Private::Reply {
                outcome: Outcome::Joined(at),
                ..
            }) => self.position = Some(*at),
            ServerFrame::Ephemeral(_) | ServerFrame::Private(_) => {}
        }
        Ok(())
    }
}

/// The position after `batch`, if it follows `at` without a gap.
///
/// # Errors
/// `Gap`.
pub fn follows(at: Position, batch: &NumberedFrame) -> Result<Position, LiveError> {
    let counted = (batch.to + 1).checked_sub(batch.from) == u64::try_from(batch.m.len()).ok();
    if batch.epoch != at.epoch || batch.from != at.seq + 1 || !counted || batch.m.is_empty() {
        return Err(LiveError::Gap {
            at,
            epoch: batch.epoch,
            from: batch.from,
            to: batch.to,
            events: batch.m.len(),
        });
    }
    Ok(Position {
        epoch: batch.epoch,
        seq: batch.to,
    })
}

/// Reads a server's frame.
///
/// # Errors
/// `Unreadable`, with the frame's beginning.
pub fn decode(format: Format, bytes: &[u8]) -> Result<ServerFrame, LiveError> {
    format.decode(bytes).map_err(|error| {
        let text: String = String::from_utf8_lossy(bytes).chars().take(300).collect();
        LiveError::Unreadable(format!("{error}: {text}"))
    })
}

/// What a batch is without its event at `index`: the part before, the part after.
fn without(batch: &NumberedFrame, index: usize) -> Vec<ServerFrame> {
    let part = |from: usize, to: usize| {
        let events = batch.m.get(from..to).unwrap_or_default().to_vec();
        let first = batch.from + from as u64;
        (!events.is_empty()).then(|| {
            ServerFrame::Numbered(NumberedFrame {
                epoch: batch.epoch,
                from: first,
                to: first + (events.len() as u64) - 1,
                now: batch.now,
                m: events,
            })
        })
    };
    part(0, index)
        .into_iter()
        .chain(part(index + 1, batch.m.len()))
        .collect()
}

fn frame(id: u64, request_id: Option<RequestId>, command: ClientCommand) -> ClientFrame {
    ClientFrame {
        id,
        request_id,
        command,
    }
}

async fn read_hello(socket: &mut Socket) -> Result<Hello, LiveError> {
    let bytes = deadline("hello", socket.receive()).await??;
    match decode(socket.format(), &bytes)? {
        ServerFrame::Private(Private::Hello(hello)) => Ok(hello),
        ServerFrame::Private(Private::Error { refusal, .. }) => Err(LiveError::Refused(refusal)),
        other => Err(LiveError::Unreadable(format!("in the place of hello: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(from: u64, titles: &[&str]) -> NumberedFrame {
        let m: Vec<_> = titles
            .iter()
            .map(|title| RoomEvent::Purchase {
                buyer: None,
                name: None,
                title: (*title).into(),
                quantity: 1,
            })
            .collect();
        NumberedFrame {
            epoch: 1,
            from,
            to: from + m.len() as u64 - 1,
            now: 0,
            m,
        }
    }

    #[test]
    fn a_batch_follows_only_the_one_before_it() {
        let at = Position { epoch: 1, seq: 4 };
        let next = follows(at, &batch(5, &["a", "b"])).expect("follows");
        assert_eq!(next, Position { epoch: 1, seq: 6 });
        assert!(follows(at, &batch(4, &["a"])).is_err(), "a repeat");
        assert!(follows(at, &batch(6, &["a"])).is_err(), "a gap");
        let miscounted = NumberedFrame {
            to: 6,
            ..batch(5, &["a"])
        };
        assert!(follows(at, &miscounted).is_err(), "fewer events than numbers");
        let elsewhere = NumberedFrame {
            epoch: 2,
            ..batch(5, &["a"])
        };
        assert!(follows(at, &elsewhere).is_err(), "another epoch");
    }

    #[test]
    fn taking_an_event_leaves_the_others_with_their_numbers() {
        let rest = without(&batch(5, &["a", "b", "c"]), 1);
        let expected = [batch(5, &["a"]), batch(7, &["c"])].map(ServerFrame::Numbered);
        assert_eq!(rest, expected);
        assert!(without(&batch(5, &["a"]), 0).is_empty());
    }
}
