//! The coarse clock of a worker: once a second it pings who is due, ends what has missed
//! its deadline, and looks after shards, rooms and counters. It stands in for a timer a
//! connection.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use shared::protocol::Private;

use super::conn::{Conn, Ending};
use super::frame;
use super::turn::Moment;
use super::worker::{TOKEN_OVER, Worker};
use crate::config::Limits;
use crate::metrics::{self, Parting, Present};
use crate::types::Notified;

/// How often it ticks.
const EVERY: Duration = Duration::from_secs(1);
/// Connections looked at before others go first.
const CHUNK: usize = 1024;
/// How long a connection that was told to close may take to take its leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs for as long as the worker does.
pub async fn run(worker: Rc<Worker>) {
    let mut seconds = 0_u64;
    loop {
        tokio::time::sleep(EVERY).await;
        seconds += 1;
        let lagging = connections(&worker).await;
        worker.sweep_rooms();
        metrics::flush();
        let (rooms, shards) = worker.count_rooms();
        metrics::present(Present {
            connections: worker.count_conns(),
            lagging,
            rooms,
            shards,
        });
        if worker.index == 0 {
            let shared = &worker.shared;
            metrics::backlog(shared.backlog());
            if seconds.is_multiple_of(60) {
                shared.guards.tidy();
            }
        }
    }
}

/// How many of them take no more for now.
async fn connections(worker: &Rc<Worker>) -> usize {
    let limits = worker.shared.config.limits;
    let ping = frame::ping();
    let (mut from, mut lagging) = (0, 0);
    while let Some(chunk) = worker.conns_from(from, CHUNK) {
        from += CHUNK;
        worker.turn.begin();
        let (now, unix) = (worker.turn.now(), chrono::Utc::now().timestamp());
        for conn in chunk {
            lagging += usize::from(conn.lags());
            match conn.ending() {
                Ending::No if conn.identity().is_none() => stranger(&conn, &limits, now),
                Ending::No => viewer(&conn, &limits, now, unix, &ping),
                Ending::Closing if now.since(conn.since.get()) >= FAREWELL => conn.end(Parting::Lost),
                Ending::Closing | Ending::Over => {}
            }
        }
        tokio::task::yield_now().await;
    }
    lagging
}

/// Sends away whoever was shut out. Somebody of whom it is not known yet who they are is
/// asked when it is.
pub async fn turn_out(worker: &Rc<Worker>) {
    let mut from = 0;
    while let Some(chunk) = worker.conns_from(from, CHUNK) {
        from += CHUNK;
        worker.turn.begin();
        for conn in chunk.iter().filter(|conn| conn.ending() == Ending::No) {
            worker.require_good(conn);
        }
        tokio::task::yield_now().await;
    }
}

/// Tells people what they are to be told, on each of their connections.
pub async fn tell(worker: &Rc<Worker>, news: &[Arc<Notified>]) {
    let mut of_people: HashMap<UserId, Vec<Private>> = HashMap::new();
    for news in news {
        let message = Private::Notification(Box::new(news.notification.clone()));
        of_people.entry(news.user).or_default().push(message);
    }
    let mut from = 0;
    while let Some(chunk) = worker.conns_from(from, CHUNK) {
        from += CHUNK;
        worker.turn.begin();
        for conn in chunk.iter().filter(|conn| conn.ending() == Ending::No) {
            let user = conn.identity().and_then(|identity| identity.user());
            let messages = user.and_then(|user| of_people.get(&user));
            for message in messages.into_iter().flatten() {
                conn.tell(message);
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Somebody who has not said who they are, or of whom it is not known yet.
fn stranger(conn: &Conn, limits: &Limits, now: Moment) {
    let (is_request, is_busy) = {
        let input = conn.input.borrow();
        (input.is_request(), input.is_busy())
    };
    // What is asked of the database has its own deadline.
    if is_busy || now.since(conn.since.get()) < limits.handshake {
        return;
    }
    if is_request {
        conn.cut_off(Parting::Silent);
        return;
    }
    let refusal = Refusal::new(ErrorCode::TicketInvalid, "who is there? nobody said in time");
    conn.refuse(refusal, ErrorCode::TicketInvalid.close_code().unwrap_or(4503));
}

fn viewer(conn: &Conn, limits: &Limits, now: Moment, unix: i64, ping: &[u8]) {
    let is_late = |since: Option<Moment>, deadline| since.is_some_and(|since| now.since(since) >= deadline);
    if is_late(Some(conn.heard.get()), limits.ping_interval + limits.pong_deadline) {
        conn.cut_off(Parting::Silent);
    } else if conn.stalled() >= limits.stall {
        conn.cut_off(Parting::Stalled);
    } else if is_late(conn.begun.get(), limits.message) && !conn.input.borrow().is_busy() {
        let refusal = Refusal::new(ErrorCode::RequestTimeout, "the message took too long to arrive");
        conn.refuse(refusal, 1008);
    } else if conn.expires_at.get() <= unix {
        let refusal = Refusal::new(ErrorCode::TokenExpired, "come back with a fresh ticket");
        conn.refuse(refusal, TOKEN_OVER);
    } else if is_late(Some(conn.pinged.get()), limits.ping_interval) {
        conn.pinged.set(now);
        conn.send_raw(ping);
    }
}
