//! Serving one sale's lane: takes a batch, asks the database, answers, and goes on until
//! nobody waits. While the database is silent, those whose time is up are answered all
//! the same. What is asked and answered is decided in `lanes` and `batch`.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::SaleId;
use sqlx::PgConnection;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::batch::{Batch, Settled, Step, Tried};
use super::state::Ask;
use super::store::reserve;
use super::{ATTEMPT_DEADLINE, Inner};
use crate::db;
use crate::types::HoldAnswer;
use crate::{metrics, trace};

/// More people are not read: of a sale whose grants this engine has not seen from the
/// first on, and of which more have got something, nobody is refused from memory.
const MAX_KNOWN: usize = 20_000;
/// How long a lane waits to hear who has got something.
const KNOWN_SOON: Duration = Duration::from_millis(500);
/// How soon an empty queue is looked at again: whoever arrives now is due later.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Serves a sale until its queue is empty.
pub(super) async fn run(inner: Arc<Inner>, sale: SaleId) {
    loop {
        let taken = inner.lanes().take(sale, Instant::now());
        let Some((batch, refused)) = taken else { return };
        answer(&inner, refused);
        if batch.len() == 0 {
            continue;
        }
        metrics::hold_batch(batch.len());
        let span = trace::holds(sale, batch.len(), batch.first());
        serve(&inner, sale, batch).instrument(span).await;
        read_known(&inner, sale).await;
    }
}

fn answer(inner: &Inner, answers: Vec<HoldAnswer>) {
    if !answers.is_empty() {
        inner.sink.hold_answers(answers);
    }
}

/// Asks the database for a batch and answers everybody in it, each once.
async fn serve(inner: &Arc<Inner>, sale: SaleId, mut batch: Batch) {
    loop {
        let step = batch.next(Instant::now());
        if matches!(step, Step::Done) {
            break;
        }
        let until = batch.until();
        let work = async {
            match step {
                Step::Ask(asks) => Some(attempt(inner, sale, &asks, until).await),
                Step::Wait(until) => {
                    tokio::time::sleep_until(until).await;
                    None
                }
                Step::Done => None,
            }
        };
        tokio::pin!(work);
        let tried = loop {
            let queued = inner.lanes().due(sale);
            let due = batch.due().into_iter().chain(queued).min();
            let due = due.unwrap_or_else(|| Instant::now() + LOOK_AGAIN);
            tokio::select! {
                biased;
                tried = &mut work => break tried,
                () = tokio::time::sleep_until(due) => {
                    let now = Instant::now();
                    let mut late = batch.late(now);
                    late.extend(inner.lanes().expire(sale, now));
                    answer(inner, late);
                }
            }
        };
        if let Some(tried) = tried {
            batch.tried(tried, Instant::now());
        }
    }
    settle(inner, sale, batch.finish());
}

fn settle(inner: &Inner, sale: SaleId, settled: Settled) {
    // First, so that whoever sends the same again is met by a memory that knows of it.
    for granted in settled.granted {
        inner
            .lanes()
            .granted(sale, granted.users, granted.before, granted.entries);
    }
    if let Some((state, asked)) = &settled.state {
        inner.learn(state, *asked);
    }
    inner
        .lanes()
        .settled(sale, &settled.users, settled.is_unsure, Instant::now());
    answer(inner, settled.answers);
    if let Some((state, _)) = &settled.state {
        if !settled.holds.is_empty() {
            inner.sink.holds_changed(state.stream, settled.holds);
        }
        if !settled.places.is_empty() {
            inner.sink.places_changed(state.stream, settled.places);
        }
    }
}

/// One call. Nobody is left to hear of one that has no connection by `until`.
async fn attempt(inner: &Inner, sale: SaleId, asks: &[Ask], until: Instant) -> Tried {
    let failed = |error: &sqlx::Error, was_sent| Tried::Failed {
        failure: inner.health.failed("granting holds", error),
        was_sent,
    };
    let connecting = async {
        let turn = inner.calls.turn().await;
        Ok::<_, sqlx::Error>((turn, inner.pool.acquire().await?))
    };
    let (_turn, mut conn) = match tokio::time::timeout_at(until, connecting).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return failed(&error, false),
        Err(_) => return failed(&sqlx::Error::PoolTimedOut, false),
    };
    let asked = Instant::now();
    match tokio::time::timeout(ATTEMPT_DEADLINE, reserve::reserve(&mut conn, sale, asks)).await {
        Ok(Ok(granted)) => {
            inner.health.answered();
            metrics::holds_granted(asked.elapsed());
            Tried::Granted(granted, asked)
        }
        Ok(Err(error)) => failed(&error, true),
        Err(_) => {
            conn.close_on_drop();
            failed(&sqlx::Error::PoolTimedOut, true)
        }
    }
}

/// Sold out: reads who may be sending something again, so that all others can be refused
/// from memory. The lane waits for that a little; what takes longer is learnt later, and
/// never more than one at a time.
async fn read_known(inner: &Arc<Inner>, sale: SaleId) {
    let needed = inner.lanes().needs_known(sale, Instant::now());
    let Some(entries) = needed else {
        return;
    };
    // Nothing is free: everybody is asked about, as before.
    let (Some(reading), Some(turn)) = (inner.reading.turn_now(), inner.tending.turn_now()) else {
        return;
    };
    let desk = inner.clone();
    let reading = inner.spawner.spawn(async move {
        let _turns = (reading, turn);
        let work = async |conn: &mut PgConnection| reserve::known(conn, sale, MAX_KNOWN).await;
        match db::alone(&desk.pool, work).await {
            // None: too many.
            Ok(users) => desk.lanes().learn_known(sale, entries, users, Instant::now()),
            Err(error) => {
                desk.health.failed("reading who has got something", &error);
            }
        }
    });
    // An error means that it takes longer.
    let _ = tokio::time::timeout(KNOWN_SOON, reading).await;
}
