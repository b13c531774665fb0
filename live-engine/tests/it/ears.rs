//! A sink that keeps what it is told, for tests of the engine's database side without
//! rooms and sockets.

use std::sync::Arc;
use std::time::Duration;

use live_engine::types::{ConnId, HoldAnswer, Inspected, Notified, PersistReport, SaleProgress, Sink};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{StreamId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{Reservation, Waiting};
use tokio::sync::mpsc;
use uuid::Uuid;

/// How long a test waits for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);
const CAPACITY: usize = 100_000;

/// What of one kind has been told, in order.
pub struct Ear<T>(mpsc::Receiver<T>);

impl<T: std::fmt::Debug> Ear<T> {
    /// The next thing told.
    pub async fn next(&mut self) -> T {
        let next = tokio::time::timeout(DEADLINE, self.0.recv()).await;
        next.expect("told before the deadline").expect("the mouth lives")
    }

    /// The next thing told of which `pick` makes something; others are passed over.
    pub async fn until<R>(&mut self, mut pick: impl FnMut(&T) -> Option<R>) -> R {
        loop {
            let told = self.next().await;
            if let Some(picked) = pick(&told) {
                return picked;
            }
        }
    }

    /// What was told already.
    pub fn so_far(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

/// One ear for each thing that a sink is told.
pub struct Ears {
    pub persisted: Ear<PersistReport>,
    pub answers: Ear<HoldAnswer>,
    pub progress: Ear<(StreamId, SaleProgress)>,
    pub holds: Ear<(StreamId, UserId, Reservation)>,
    pub places: Ear<(StreamId, UserId, Waiting)>,
    pub notices: Ear<(StreamId, Uuid, RoomNotice)>,
}

struct Mouth {
    persisted: mpsc::Sender<PersistReport>,
    answers: mpsc::Sender<HoldAnswer>,
    progress: mpsc::Sender<(StreamId, SaleProgress)>,
    holds: mpsc::Sender<(StreamId, UserId, Reservation)>,
    places: mpsc::Sender<(StreamId, UserId, Waiting)>,
    notices: mpsc::Sender<(StreamId, Uuid, RoomNotice)>,
}

/// A sink, and the ears that hear it.
pub fn listen() -> (Arc<dyn Sink>, Ears) {
    let (persisted, persisted_ear) = mpsc::channel(CAPACITY);
    let (answers, answers_ear) = mpsc::channel(CAPACITY);
    let (progress, progress_ear) = mpsc::channel(CAPACITY);
    let (holds, holds_ear) = mpsc::channel(CAPACITY);
    let (places, places_ear) = mpsc::channel(CAPACITY);
    let (notices, notices_ear) = mpsc::channel(CAPACITY);
    let mouth = Mouth {
        persisted,
        answers,
        progress,
        holds,
        places,
        notices,
    };
    let ears = Ears {
        persisted: Ear(persisted_ear),
        answers: Ear(answers_ear),
        progress: Ear(progress_ear),
        holds: Ear(holds_ear),
        places: Ear(places_ear),
        notices: Ear(notices_ear),
    };
    (Arc::new(mouth), ears)
}

/// Never blocks, like every sink; a test that has stopped listening has ended.
fn tell<T>(ear: &mpsc::Sender<T>, told: T) {
    if let Err(mpsc::error::TrySendError::Full(_)) = ear.try_send(told) {
        panic!("an ear is full");
    }
}

impl Sink for Mouth {
    fn persisted(&self, report: PersistReport) {
        tell(&self.persisted, report);
    }

    fn hold_answers(&self, answers: Vec<HoldAnswer>) {
        for answer in answers {
            tell(&self.answers, answer);
        }
    }

    fn sale_progress(&self, stream: StreamId, progress: SaleProgress) {
        tell(&self.progress, (stream, progress));
    }

    fn holds_changed(&self, stream: StreamId, holds: Vec<(UserId, Reservation)>) {
        for (user, hold) in holds {
            tell(&self.holds, (stream, user, hold));
        }
    }

    // Nobody is asked here.
    fn inspected(&self, _: StreamId, _: Inspected) {}

    fn places_changed(&self, stream: StreamId, places: Vec<(UserId, Waiting)>) {
        for (user, place) in places {
            tell(&self.places, (stream, user, place));
        }
    }

    fn somebody_revoked(&self) {}

    fn notified(&self, _: Vec<Notified>) {}

    fn notices(&self, stream: StreamId, rows: Vec<(Uuid, RoomNotice)>) {
        for (id, notice) in rows {
            tell(&self.notices, (stream, id, notice));
        }
    }
}

/// A connection for the `n`-th asker.
pub fn conn(n: u32) -> ConnId {
    ConnId {
        worker: 0,
        slot: n,
        generation: 1,
    }
}

/// The code of an answer that is a refusal.
pub fn refused<T>(result: &Result<T, Refusal>) -> Option<ErrorCode> {
    result.as_ref().err().map(|refusal| refusal.code)
}
