//! Spans: where the work that a log line tells of came from, from the socket to the SQL.
//! A command has its connection and its request id; what a room does for it has the room;
//! what goes to the database together with others has the first of those who asked.
//!
//! All are errors by level, so that they are there wherever an error may be logged,
//! whatever else is filtered out. There is one for a command, a batch and a transaction,
//! and none for a delivery or a reaction: those ask no database.

use std::fmt;

use shared::ids::{RequestId, SaleId, StreamId};
use shared::live::RoomRequest;
use tracing::field::display;
use tracing::{Span, error_span};

use crate::persist::{ChatAct, Entry, Row};
use crate::types::ConnId;

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.worker, self.slot, self.generation)
    }
}

/// A connection that says who it is.
pub fn connection(conn: ConnId) -> Span {
    error_span!("connection", %conn)
}

/// A command of a connection, in the room that it has joined or wants to.
pub fn command(
    conn: ConnId,
    id: u64,
    kind: &'static str,
    request_id: Option<RequestId>,
    stream: Option<StreamId>,
) -> Span {
    let (request_id, stream) = (request_id.map(display), stream.map(display));
    error_span!("command", %conn, id, kind, request_id, stream)
}

/// A command that came over the bus, for a request to core-api.
pub fn request(request: &RoomRequest, kind: &'static str) -> Span {
    let (request_id, stream) = (display(request.request_id), display(request.stream));
    let http_request = request.http_request.map(display);
    error_span!("command", http_request, kind, request_id, stream)
}

/// What a room does, for whoever is around it.
pub fn room(stream: StreamId, epoch: i64) -> Span {
    error_span!("room", %stream, epoch)
}

/// A room is opened.
pub fn opening(stream: StreamId) -> Span {
    error_span!("opening", %stream)
}

/// One transaction.
pub fn transaction(of: &'static str) -> Span {
    error_span!("transaction", of)
}

/// Events on their way to be stored. What is told of them is true of the first, and of
/// all when there is one.
pub fn batch(number: u64, entries: &[Entry]) -> Span {
    let (first, act) = (entries.first(), first_act(entries));
    error_span!(
        "batch",
        batch = number,
        rows = entries.len(),
        stream = first.map(|entry| display(entry.stream)),
        epoch = first.map(|entry| entry.epoch),
        seq = first.map(|entry| entry.seq),
        conn = act.map(|act| display(act.conn)),
        request_id = act.map(|act| display(act.request_id)),
    )
}

fn first_act(entries: &[Entry]) -> Option<ChatAct> {
    entries.iter().find_map(|entry| match entry.row {
        Row::Chat { act, .. } => act,
        Row::Event(_) => None,
    })
}

/// The first of the buyers in a batch.
#[derive(Clone, Copy, Debug)]
pub struct FirstBuyer {
    /// Who waits for the answer.
    pub conn: ConnId,
    /// The act.
    pub request_id: RequestId,
    /// The room it came from.
    pub stream: StreamId,
}

/// Buyers of a sale on their way to the database.
pub fn holds(sale: SaleId, buyers: usize, first: Option<FirstBuyer>) -> Span {
    error_span!(
        "holds",
        %sale,
        buyers,
        stream = first.map(|first| display(first.stream)),
        conn = first.map(|first| display(first.conn)),
        request_id = first.map(|first| display(first.request_id)),
    )
}
