//! Giving up a hold or a place in line: one transaction each, by hand and seldom.

use std::future::Future;
use std::sync::Arc;

use shared::error::Refusal;
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::protocol::Outcome;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::store;
use super::{Inner, batch, state};
use crate::db::{self, CALL_DEADLINE, Failure};
use crate::types::{ConnId, HoldAnswer};

/// A viewer's `release`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReleaseRequest {
    /// Who waits for the answer.
    pub conn: ConnId,
    /// The command's id.
    pub id: u64,
    /// Whose hold.
    pub user: UserId,
    /// The hold. Its id is the act's name too: releasing twice is releasing once.
    pub reservation: ReservationId,
}

/// A viewer's `unwait`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnwaitRequest {
    /// Who waits for the answer.
    pub conn: ConnId,
    /// The command's id.
    pub id: u64,
    /// Whose place.
    pub user: UserId,
    /// The sale.
    pub sale: SaleId,
    /// The name of the act.
    pub request_id: RequestId,
}

/// See [`super::SaleDesk::release`].
pub(super) fn release(inner: &Arc<Inner>, request: ReleaseRequest) -> Result<(), Refusal> {
    let desk = inner.clone();
    let work = async move {
        let asked = Instant::now();
        let released = db::alone(&desk.pool, async |conn| {
            store::release(conn, request.reservation, request.user).await
        });
        let released = match released.await? {
            Ok(released) => released,
            Err(code) => return Ok(Err(code.into())),
        };
        if let Some(state) = &released.state {
            desk.learn(state, asked);
            if !released.offered.is_empty() {
                desk.sink.holds_changed(state.stream, released.offered);
            }
        }
        Ok(Ok(()))
    };
    answer_later(inner, (request.conn, request.id, request.user), work)
}

/// See [`super::SaleDesk::unwait`].
pub(super) fn unwait(inner: &Arc<Inner>, request: UnwaitRequest) -> Result<(), Refusal> {
    let desk = inner.clone();
    let work = async move {
        let asked = Instant::now();
        let left = db::alone(&desk.pool, async |conn| {
            store::line::unwait(conn, request.sale, request.user, request.request_id).await
        });
        let (status, state) = match left.await {
            Ok(left) => left,
            Err(db::Error::Refused(refusal)) => return Ok(Err(refusal)),
            Err(db::Error::Sql(error)) => return Err(error),
            Err(db::Error::Json(error)) => return Err(sqlx::Error::Decode(error.into())),
        };
        if let Some(state) = &state {
            // Those behind have moved up.
            desk.learn(state, asked);
        }
        Ok(state::after_unwait(status).map_err(Refusal::from))
    };
    answer_later(inner, (request.conn, request.id, request.user), work)
}

/// Does `work` on the database's threads and answers whoever asked for it within two
/// seconds. The work goes on to its end in its place, whoever has been answered.
fn answer_later(
    inner: &Arc<Inner>,
    who: (ConnId, u64, UserId),
    work: impl Future<Output = Result<Result<(), Refusal>, sqlx::Error>> + Send + 'static,
) -> Result<(), Refusal> {
    let (conn, id, user) = who;
    let queued = inner.tending.queue(Some(user.0))?;
    let desk = inner.clone();
    let working = async move {
        let due = Instant::now() + CALL_DEADLINE;
        let answer = |result| desk.sink.hold_answers(vec![HoldAnswer { conn, id, result }]);
        let Ok(_turn) = tokio::time::timeout_at(due, queued.turn()).await else {
            return answer(Err(batch::not_tried()));
        };
        tokio::pin!(work);
        let done = match tokio::time::timeout_at(due, &mut work).await {
            Ok(done) => Some(done),
            Err(_) => {
                answer(Err(batch::outcome_unknown()));
                // Who was told that the outcome is open hears of it with what it changed.
                drop(work.await);
                None
            }
        };
        match done {
            Some(Ok(done)) => {
                desk.health.answered();
                answer(done.map(|()| Outcome::Done));
            }
            Some(Err(error)) => answer(Err(match desk.health.failed("giving up a hold or a place", &error) {
                Failure::Away => batch::outcome_unknown(),
                failure => failure.code().into(),
            })),
            None => {}
        }
    };
    inner.spawner.spawn(working.in_current_span());
    Ok(())
}
