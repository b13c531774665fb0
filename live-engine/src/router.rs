//! How anything reaches a worker or a room from another thread, without waiting.
//!
//! Messages in order go through a worker's bounded channel. Answers to commands and what
//! comes back from the database's threads must not be lost and need no order: they are
//! kept in mailboxes where newer replaces older, so their size follows the number of
//! rooms, sales and requests in flight, and never the time that a receiver takes.

mod load;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::Addr;
use dashmap::DashMap;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{SaleId, SellerId, StreamId, UserId};
use shared::live::{RoomNotice, RoomReply, RoomRequest};
use shared::protocol::{Private, Reservation, Waiting};
use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use crate::own::News;
use crate::room::Room;
use crate::room::batch::Batch;
use crate::room::mirror::Mirror;
use crate::room::powers::Powers;
use crate::room::reach::Workers;
use crate::types::{ConnId, HoldAnswer, Inspected, Notified, PersistReport, SaleProgress, Sink};
pub use load::Load;

/// Messages that may wait for one worker.
const WORKER_CAPACITY: usize = 8192;
/// Changed holds that may wait to be told to their owners, a worker. A join tells again.
const MAX_HOLDS_WAITING: usize = 65_536;
/// Notifications that may wait to be told, a worker. The person's list has them all.
pub const MAX_NEWS_WAITING: usize = 65_536;
/// Outbox rows that may wait for one room.
const MAX_NOTICES_WAITING: usize = 4096;

/// What a worker is sent.
pub enum ToWorker {
    /// To a room's home: this worker has viewers for it.
    Attach {
        /// The room.
        stream: StreamId,
        /// Who asks.
        worker: u16,
    },
    /// To a room's home: this worker has none any more.
    Detach {
        /// The room.
        stream: StreamId,
        /// Who has left.
        worker: u16,
    },
    /// To a room's home: a host's command from the bus.
    Request(Box<RoomRequest>, oneshot::Sender<RoomReply>),
    /// To a room's home: open it, whoever needs it.
    Open(StreamId),
    /// The room is open; batches follow.
    Attached(Box<Attached>),
    /// The room cannot be opened.
    Unavailable(StreamId, Refusal),
    /// Who may do what in a room, in this epoch.
    Powers(StreamId, i64, Arc<Powers>),
    /// A tick of a room.
    Batch(StreamId, Arc<Batch>),
    /// A message for all connections of one person in a room.
    Personal(StreamId, UserId, Private),
    /// The room is closed here; its viewers are to come back.
    Gone(StreamId, i64),
    /// The show of this epoch is over; its viewers are to go and not to come back.
    Over(StreamId, i64),
    /// Stop accepting, and pass on what rooms have not heard yet; answered when that is done.
    Refuse(oneshot::Sender<()>),
    /// Write what rooms still have to say, until then at most, and close them; answered when
    /// they are closed.
    CloseRooms(Instant, oneshot::Sender<()>),
    /// Send every viewer away and end the worker.
    Stop(Stop),
}

/// How viewers are sent away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop {
    /// Over how long they come back.
    pub window: Duration,
    /// Until when they may leave.
    pub by: Instant,
}

impl Stop {
    /// Nobody is waited for.
    #[must_use]
    pub fn at_once() -> Self {
        Self {
            window: Duration::ZERO,
            by: Instant::now(),
        }
    }
}

/// A room as it was when a worker joined it.
pub struct Attached {
    /// The room.
    pub stream: StreamId,
    /// Whose shop's.
    pub seller: SellerId,
    /// Where its commands go.
    pub room: Addr<Room>,
    /// Counts that room and shards share.
    pub load: Arc<Load>,
    /// Of whom there has been private news.
    pub news: Arc<News>,
    /// The room as it is.
    pub mirror: Mirror,
}

/// What waits for a room.
#[derive(Default)]
pub struct RoomPost {
    /// Everything up to here is committed.
    pub committed: Option<(i64, u64)>,
    /// Rows that the database refuses.
    pub rejected: Vec<(i64, u64)>,
    /// This epoch is over.
    pub fenced: Option<i64>,
    /// The newest counters of each sale.
    pub progress: HashMap<SaleId, SaleProgress>,
    /// What the moderation service has come to; as many as messages are being checked.
    pub inspected: Vec<Inspected>,
    /// Undelivered outbox rows; one may be there twice.
    pub notices: Vec<(Uuid, RoomNotice)>,
}

/// A mailbox: filled from any thread, emptied by its owner.
#[derive(Default)]
pub struct Mail<T> {
    inner: Mutex<T>,
    wake: Notify,
}

impl<T: Default> Mail<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut T)) {
        put(&mut self.lock());
        self.wake.notify_one();
    }

    /// Takes what is there.
    #[must_use]
    pub fn take(&self) -> T {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until something may be there. Safe to cancel.
    pub async fn arrived(&self) {
        self.wake.notified().await;
    }
}

/// What waits for a worker.
#[derive(Default)]
pub struct WorkerPost {
    /// Buyers' answers.
    pub answers: Vec<HoldAnswer>,
    /// Rooms' answers.
    pub replies: Vec<(ConnId, Private)>,
    /// Somebody was shut out: connections are to be looked through.
    pub revoked: bool,
    /// Holds that changed.
    pub holds: Vec<(StreamId, UserId, Reservation)>,
    /// The newest of each place in a wait list that changed.
    pub places: HashMap<(StreamId, UserId, SaleId), Waiting>,
    /// What people are to be told wherever they are.
    pub news: Vec<Arc<Notified>>,
}

/// An open room, from anywhere.
#[derive(Clone)]
pub struct RoomEntry {
    /// Its actor.
    pub room: Addr<Room>,
    /// Its mailbox.
    pub mail: Arc<Mail<RoomPost>>,
    /// Of whom there has been private news.
    pub news: Arc<News>,
}

struct WorkerEntry {
    messages: mpsc::Sender<ToWorker>,
    mail: Arc<Mail<WorkerPost>>,
}

/// What a worker receives from.
pub struct Inbox {
    /// In order.
    pub messages: mpsc::Receiver<ToWorker>,
    /// In no order.
    pub mail: Arc<Mail<WorkerPost>>,
}

/// See the module.
pub struct Router {
    workers: Box<[WorkerEntry]>,
    rooms: DashMap<StreamId, RoomEntry>,
}

impl Router {
    /// A router for `workers` workers, and what each of them receives from.
    #[must_use]
    pub fn new(workers: usize) -> (Arc<Self>, Vec<Inbox>) {
        let (entries, inboxes): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (sender, messages) = mpsc::channel(WORKER_CAPACITY);
                let mail = Arc::<Mail<WorkerPost>>::default();
                let entry = WorkerEntry {
                    messages: sender,
                    mail: mail.clone(),
                };
                (entry, Inbox { messages, mail })
            })
            .unzip();
        let router = Self {
            workers: entries.into(),
            rooms: DashMap::new(),
        };
        (Arc::new(router), inboxes)
    }

    /// How many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// How many rooms are open.
    #[must_use]
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// The worker on which a room lives.
    #[must_use]
    pub fn home(&self, stream: StreamId) -> u16 {
        // The last bytes of a UUIDv7 are random.
        let spread = stream.0.as_u128() as u64 % self.workers.len().max(1) as u64;
        u16::try_from(spread).unwrap_or(0)
    }

    /// Sends to a worker, or gives the message back when it has too many.
    ///
    /// # Errors
    /// The message.
    #[allow(clippy::result_large_err, reason = "the message goes back to its sender")]
    pub fn send(&self, worker: u16, message: ToWorker) -> Result<(), ToWorker> {
        let Some(entry) = self.workers.get(usize::from(worker)) else {
            return Ok(());
        };
        match entry.messages.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(message)) => Err(message),
            // The worker has ended, and nobody waits for this any more.
            Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
        }
    }

    /// Sends to a worker as soon as it has room for it.
    pub async fn send_when_possible(&self, worker: u16, message: ToWorker) {
        if let Some(entry) = self.workers.get(usize::from(worker)) {
            // An error means that the worker has ended.
            let _ = entry.messages.send(message).await;
        }
    }

    /// Notes that a room is open.
    pub fn opened(&self, stream: StreamId, entry: RoomEntry) {
        self.rooms.insert(stream, entry);
    }

    /// Notes that a room is closed.
    pub fn closed(&self, stream: StreamId, room: &Addr<Room>) {
        self.rooms.remove_if(&stream, |_, entry| entry.room == *room);
    }

    /// Every open room, in no order.
    #[must_use]
    pub fn open_rooms(&self) -> Vec<(StreamId, Addr<Room>)> {
        let rooms = self.rooms.iter();
        rooms.map(|entry| (*entry.key(), entry.room.clone())).collect()
    }

    /// Whether a room is open here.
    #[must_use]
    pub fn has(&self, stream: StreamId) -> bool {
        self.rooms.contains_key(&stream)
    }

    /// Asks a room, opening it if need be.
    ///
    /// # Errors
    /// The room's refusal, or `Overloaded` when its worker takes no more.
    pub async fn ask(&self, request: RoomRequest) -> RoomReply {
        let (reply, answer) = oneshot::channel();
        let home = self.home(request.stream);
        if self.send(home, ToWorker::Request(Box::new(request), reply)).is_err() {
            return Err(ErrorCode::Overloaded.into());
        }
        answer.await.unwrap_or_else(|_| Err(ErrorCode::RoomUnavailable.into()))
    }

    /// Answers commands. Never lost: each worker has at most as many waiting as it has
    /// passed commands on.
    pub fn replies(&self, replies: impl IntoIterator<Item = (ConnId, Private)>) {
        let mut per_worker: HashMap<u16, Vec<(ConnId, Private)>> = HashMap::new();
        for (conn, message) in replies {
            per_worker.entry(conn.worker).or_default().push((conn, message));
        }
        for (worker, replies) in per_worker {
            if let Some(entry) = self.workers.get(usize::from(worker)) {
                entry.mail.put(|post| post.replies.extend(replies));
            }
        }
    }

    fn post(&self, stream: StreamId, put: impl FnOnce(&mut RoomPost)) {
        if let Some(entry) = self.rooms.get(&stream) {
            entry.mail.put(put);
        }
    }
}

impl Workers for Router {
    type Message = ToWorker;

    fn count(&self) -> usize {
        self.workers()
    }

    fn send(&self, worker: u16, message: ToWorker) -> Result<(), ToWorker> {
        self.send(worker, message)
    }

    fn gone(stream: StreamId, epoch: i64) -> ToWorker {
        ToWorker::Gone(stream, epoch)
    }
}

impl Sink for Router {
    fn persisted(&self, report: PersistReport) {
        match report {
            PersistReport::Committed { stream, epoch, up_to } => self.post(stream, |post| {
                post.committed = post.committed.max(Some((epoch, up_to)));
            }),
            PersistReport::Fenced { stream, epoch } => self.post(stream, |post| {
                post.fenced = post.fenced.max(Some(epoch));
            }),
            PersistReport::Rejected { stream, epoch, seq } => {
                self.post(stream, |post| post.rejected.push((epoch, seq)));
            }
        }
    }

    fn hold_answers(&self, answers: Vec<HoldAnswer>) {
        let mut per_worker: HashMap<u16, Vec<HoldAnswer>> = HashMap::new();
        for answer in answers {
            per_worker.entry(answer.conn.worker).or_default().push(answer);
        }
        for (worker, answers) in per_worker {
            if let Some(entry) = self.workers.get(usize::from(worker)) {
                entry.mail.put(|post| post.answers.extend(answers));
            }
        }
    }

    fn sale_progress(&self, stream: StreamId, progress: SaleProgress) {
        self.post(stream, |post| match post.progress.get(&progress.sale) {
            Some(known) if known.version >= progress.version => {}
            Some(_) | None => {
                post.progress.insert(progress.sale, progress);
            }
        });
    }

    fn holds_changed(&self, stream: StreamId, holds: Vec<(UserId, Reservation)>) {
        if let Some(entry) = self.rooms.get(&stream) {
            entry.news.note(holds.iter().map(|(user, _)| *user), Instant::now());
        }
        for entry in &self.workers {
            entry.mail.put(|post| {
                let room = MAX_HOLDS_WAITING.saturating_sub(post.holds.len());
                let holds = holds.iter().take(room);
                post.holds
                    .extend(holds.map(|(user, hold)| (stream, *user, hold.clone())));
            });
        }
    }

    fn inspected(&self, stream: StreamId, inspected: Inspected) {
        self.post(stream, |post| post.inspected.push(inspected));
    }

    fn places_changed(&self, stream: StreamId, places: Vec<(UserId, Waiting)>) {
        if let Some(entry) = self.rooms.get(&stream) {
            entry.news.note(places.iter().map(|(user, _)| *user), Instant::now());
        }
        for entry in &self.workers {
            entry.mail.put(|post| {
                for (user, place) in &places {
                    let key = (stream, *user, place.sale);
                    if post.places.len() < MAX_HOLDS_WAITING || post.places.contains_key(&key) {
                        post.places.insert(key, place.clone());
                    }
                }
            });
        }
    }

    fn somebody_revoked(&self) {
        for entry in &self.workers {
            entry.mail.put(|post| post.revoked = true);
        }
    }

    fn notified(&self, news: Vec<Notified>) {
        let news: Vec<_> = news.into_iter().map(Arc::new).collect();
        for entry in &self.workers {
            entry.mail.put(|post| {
                let room = MAX_NEWS_WAITING.saturating_sub(post.news.len());
                post.news.extend(news.iter().take(room).cloned());
            });
        }
    }

    fn notices(&self, stream: StreamId, rows: Vec<(Uuid, RoomNotice)>) {
        // Rows come again until they are marked, so what does not fit is not lost.
        self.post(stream, |post| {
            let room = MAX_NOTICES_WAITING.saturating_sub(post.notices.len());
            post.notices.extend(rows.into_iter().take(room));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_has_one_home_among_the_workers() {
        let (router, _inboxes) = Router::new(3);
        for _ in 0..50 {
            let stream = StreamId::new();
            assert!(router.home(stream) < 3);
            assert_eq!(router.home(stream), router.home(stream));
        }
    }

    #[test]
    fn a_full_worker_gives_the_message_back() {
        let (router, _inboxes) = Router::new(1);
        let stream = StreamId::new();
        let attach = || ToWorker::Attach { stream, worker: 0 };
        for _ in 0..WORKER_CAPACITY {
            assert!(router.send(0, attach()).is_ok());
        }
        assert!(router.send(0, attach()).is_err());
    }
}
