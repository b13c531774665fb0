//! One sale's lane: takes a batch, asks the database, answers, and goes on until nobody
//! waits. While the database is silent, those whose time is up are answered all the same.

use std::sync::Arc;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{SaleId, UserId};
use shared::protocol::{Outcome, Reservation};
use tokio::time::Instant;

use super::state::Ask;
use super::store::SaleState;
use super::store::reserve::{self, Granted};
use super::{ATTEMPT_DEADLINE, Inner, MAX_BATCH, Pending};
use crate::db::Failure;

/// The pause before a batch is tried again.
const PAUSE: Duration = Duration::from_millis(50);
/// Sales in which more people have got something are never answered from memory.
const MAX_KNOWN: usize = 20_000;

/// What became of a batch.
struct Settled {
    answers: Vec<Result<Outcome, Refusal>>,
    changed: Vec<(UserId, Reservation)>,
    state: Option<SaleState>,
    /// When the database was asked.
    asked: Instant,
    /// A call may have been carried out, or may yet be, without our hearing of it.
    unsure: bool,
}

/// Why a batch has no outcome.
struct Unsettled {
    failure: Failure,
    /// It was sent at least once.
    sent: bool,
}

/// The answer of one who cannot wait any longer for a call that is on its way.
pub(super) fn outcome_unknown() -> Refusal {
    Refusal::new(
        ErrorCode::DatabaseUnavailable,
        "no answer in time, it may have worked all the same: send the same request again to learn the outcome",
    )
    .retry_after_ms(1000)
}

/// The answer of one whose turn has not come in time.
fn not_tried() -> Refusal {
    Refusal::new(ErrorCode::Overloaded, "not tried in time: send the request again").retry_after_ms(1000)
}

/// Serves a sale until its queue is empty.
pub(super) async fn run(inner: Arc<Inner>, sale: SaleId) {
    while let Some(batch) = take(&inner, sale) {
        if batch.is_empty() {
            continue;
        }
        metrics::histogram!("engine_hold_batch_size").record(batch.len() as f64);
        serve(&inner, sale, batch).await;
        read_known(&inner, sale).await;
    }
}

/// The next batch, without those whom memory answers; `None` ends the lane's task.
fn take(inner: &Inner, sale: SaleId) -> Option<Vec<Pending>> {
    let now = Instant::now();
    let (mut batch, mut refused) = (Vec::new(), Vec::new());
    {
        let mut guard = inner.lanes();
        let lanes = &mut *guard;
        let lane = lanes.by_sale.get_mut(&sale)?;
        if lane.queue.is_empty() {
            lane.running = false;
            return None;
        }
        let mut taken = 0;
        while batch.len() < MAX_BATCH {
            let Some(pending) = lane.queue.pop_front() else {
                break;
            };
            taken += 1;
            if let Some(refusal) = lane.refuses(pending.ask.user, pending.ask.waits, now) {
                lane.answered(pending.ask.user);
                refused.push(pending.answer(Err(refusal)));
            } else {
                batch.push(pending);
            }
        }
        lanes.waiting -= taken;
    }
    if !refused.is_empty() {
        inner.sink.hold_answers(refused);
    }
    Some(batch)
}

/// Asks the database for a batch and answers everybody in it, each once.
async fn serve(inner: &Arc<Inner>, sale: SaleId, batch: Vec<Pending>) {
    let asks: Vec<Ask> = batch.iter().map(|pending| pending.ask).collect();
    let until = batch.last().map_or_else(Instant::now, |last| last.deadline);
    let settling = settle(inner, sale, &asks, until);
    tokio::pin!(settling);
    // They came in order, so their deadlines are in order too.
    let mut told = 0;
    let mut settled = loop {
        let next = batch.get(told).map(|pending| pending.deadline);
        let next = next.into_iter().chain(first_deadline(inner, sale)).min();
        tokio::select! {
            biased;
            settled = &mut settling => break settled,
            () = sleep_until(next) => {
                let now = Instant::now();
                let late = batch[told..].iter().take_while(|pending| pending.deadline <= now);
                let mut answers: Vec<_> = late.map(|pending| pending.answer(Err(outcome_unknown()))).collect();
                told += answers.len();
                answers.extend(expire_queue(inner, sale, now));
                if !answers.is_empty() {
                    inner.sink.hold_answers(answers);
                }
            }
        }
    };
    // First, so that whoever sends the same again is met by a memory that knows of it.
    remember(inner, sale, &batch, &settled);
    let (mut holds, mut places) = (std::mem::take(&mut settled.changed), Vec::new());
    let mut answers = Vec::with_capacity(batch.len() - told);
    for (i, (pending, result)) in batch.iter().zip(settled.answers.drain(..)).enumerate() {
        match result {
            result if i >= told => answers.push(pending.answer(result)),
            // Told that the outcome was open: now it is known, and good.
            Ok(Outcome::Held(hold)) => holds.push((pending.ask.user, hold)),
            Ok(Outcome::Waiting(place)) => places.push((pending.ask.user, place)),
            Ok(_) | Err(_) => {}
        }
    }
    if !answers.is_empty() {
        inner.sink.hold_answers(answers);
    }
    if let Some(state) = &settled.state {
        if !holds.is_empty() {
            inner.sink.holds_changed(state.stream, holds);
        }
        if !places.is_empty() {
            inner.sink.places_changed(state.stream, places);
        }
    }
}

/// Takes in what a batch brought, and that its asks are dealt with.
fn remember(inner: &Inner, sale: SaleId, batch: &[Pending], settled: &Settled) {
    if let Some(state) = &settled.state {
        inner.learn(state, settled.asked);
    }
    let mut lanes = inner.lanes();
    let Some(lane) = lanes.by_sale.get_mut(&sale) else {
        return;
    };
    if settled.unsure {
        lane.memory.distrust(Instant::now() + ATTEMPT_DEADLINE);
    }
    for pending in batch {
        lane.answered(pending.ask.user);
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// When the first of the queue must be answered. Whoever arrives later is due later, so
/// an empty queue is looked at again soon enough.
fn first_deadline(inner: &Inner, sale: SaleId) -> Option<Instant> {
    let lanes = inner.lanes();
    let first = lanes.by_sale.get(&sale).and_then(|lane| lane.queue.front());
    Some(first.map_or_else(|| Instant::now() + Duration::from_secs(1), |pending| pending.deadline))
}

/// Takes those out of the queue whose time is up.
fn expire_queue(inner: &Inner, sale: SaleId, now: Instant) -> Vec<crate::types::HoldAnswer> {
    let mut guard = inner.lanes();
    let lanes = &mut *guard;
    let mut answers = Vec::new();
    if let Some(lane) = lanes.by_sale.get_mut(&sale) {
        while lane.queue.front().is_some_and(|pending| pending.deadline <= now) {
            if let Some(late) = lane.queue.pop_front() {
                lane.answered(late.ask.user);
                answers.push(late.answer(Err(not_tried())));
            }
        }
    }
    lanes.waiting -= answers.len();
    answers
}

/// Asks until the database has answered, or `until` is over. Asking again is harmless:
/// every ask goes under its request id.
async fn settle(inner: &Inner, sale: SaleId, asks: &[Ask], until: Instant) -> Settled {
    match persist(inner, sale, asks, until).await {
        Ok((granted, asked)) => settled(granted, asked),
        Err(unsettled) if unsettled.failure == Failure::Data && asks.len() > 1 => {
            one_by_one(inner, sale, asks, until).await
        }
        Err(unsettled) => Settled {
            answers: vec![Err(unsettled.refusal()); asks.len()],
            unsure: unsettled.sent,
            ..Settled::nothing()
        },
    }
}

/// The database refuses something in the batch: only the one who sent it shall suffer.
async fn one_by_one(inner: &Inner, sale: SaleId, asks: &[Ask], until: Instant) -> Settled {
    let mut all = Settled::nothing();
    for ask in asks {
        match persist(inner, sale, std::slice::from_ref(ask), until).await {
            Ok((granted, asked)) => {
                let one = settled(granted, asked);
                all.answers.extend(one.answers);
                all.changed.extend(one.changed);
                all.asked = asked;
                all.state = one.state.or(all.state);
            }
            Err(unsettled) => {
                all.unsure |= unsettled.sent;
                all.answers.push(Err(unsettled.refusal()));
            }
        }
    }
    all
}

fn settled(granted: Granted, asked: Instant) -> Settled {
    Settled {
        answers: granted.answers,
        changed: granted.changed,
        state: granted.state,
        asked,
        unsure: false,
    }
}

impl Settled {
    fn nothing() -> Self {
        Self {
            answers: Vec::new(),
            changed: Vec::new(),
            state: None,
            asked: Instant::now(),
            unsure: false,
        }
    }
}

impl Unsettled {
    fn refusal(&self) -> Refusal {
        match self.failure {
            // The connection may have gone after the commit.
            Failure::Away if self.sent => outcome_unknown(),
            Failure::Away => ErrorCode::DatabaseUnavailable.into(),
            // The statement was rolled back.
            Failure::Busy => not_tried(),
            Failure::Data | Failure::Fault => ErrorCode::Internal.into(),
        }
    }
}

/// One call, again and again while the database is away or busy and time is left.
async fn persist(inner: &Inner, sale: SaleId, asks: &[Ask], until: Instant) -> Result<(Granted, Instant), Unsettled> {
    let mut sent = false;
    loop {
        let error = match attempt(inner, sale, asks, until, &mut sent).await {
            Ok(granted) => return Ok(granted),
            Err(error) => error,
        };
        let failure = inner.health.failed("granting holds", &error);
        let passing = matches!(failure, Failure::Away | Failure::Busy);
        if !passing || Instant::now() + PAUSE >= until {
            return Err(Unsettled { failure, sent });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// One call. Nobody is left to hear of one that has no connection by `until`.
async fn attempt(
    inner: &Inner,
    sale: SaleId,
    asks: &[Ask],
    until: Instant,
    sent: &mut bool,
) -> Result<(Granted, Instant), sqlx::Error> {
    let connecting = async {
        // Never closed, so it is always got.
        let permit = inner.calls.acquire().await;
        Ok::<_, sqlx::Error>((permit, inner.pool.acquire().await?))
    };
    let Ok(connected) = tokio::time::timeout_at(until, connecting).await else {
        return Err(sqlx::Error::PoolTimedOut);
    };
    let (_permit, mut conn) = connected?;
    let asked = Instant::now();
    *sent = true;
    match tokio::time::timeout(ATTEMPT_DEADLINE, reserve::reserve(&mut conn, sale, asks)).await {
        Ok(Ok(granted)) => {
            inner.health.answered();
            Ok((granted, asked))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            conn.close_on_drop();
            Err(sqlx::Error::PoolTimedOut)
        }
    }
}

/// Sold out: reads who may be sending something again, so that all others can be refused
/// from memory.
async fn read_known(inner: &Inner, sale: SaleId) {
    let needed = inner
        .lanes()
        .by_sale
        .get(&sale)
        .and_then(|lane| lane.memory.needs_known());
    let Some(version) = needed else {
        return;
    };
    let work = async {
        let mut conn = inner.pool.acquire().await?;
        reserve::known(&mut conn, sale, MAX_KNOWN).await
    };
    match tokio::time::timeout(Duration::from_millis(500), work).await {
        Ok(Ok(Some(users))) => {
            if let Some(lane) = inner.lanes().by_sale.get_mut(&sale) {
                lane.memory.learn_known(version, users);
            }
        }
        // Too many, or no answer: everybody is asked about, as before.
        Ok(Ok(None)) | Err(_) => {}
        Ok(Err(error)) => {
            inner.health.failed("reading who has got something", &error);
        }
    }
}
