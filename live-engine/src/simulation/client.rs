//! A client that keeps the protocol to the letter, and holds the server to it: whatever
//! it is told is compared with what it was told before, with what others heard, and with
//! what the database has.

use std::collections::BTreeMap;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, ReservationId, SaleId, UserId};
use shared::protocol::{
    EphemeralFrame, Format, HostCommand, NumberedFrame, Outcome, Position, Private, RoomEvent, ServerFrame, Snapshot,
};

use crate::net::deflate::Inflater;
use crate::room::log::Variant;
use crate::room::state::{Beginning, RoomState};

/// What a client once did, for it to be done again and answered the same.
#[derive(Clone, Debug)]
pub struct Act {
    pub request: RequestId,
    pub what: What,
    /// The first answer that stands for good.
    pub outcome: Option<Outcome>,
    /// Something else was sent under its name once: an owner that does not know yet that
    /// it was replaced may have taken that for the first.
    pub is_blurred: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub enum What {
    Say(String),
    Host(HostCommand),
    /// So many units of a sale, at once or in line.
    Buy(SaleId, u32, bool),
    Release(ReservationId),
    Unwait(SaleId),
}

/// Where a client is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub node: usize,
    pub life: u64,
    pub worker: usize,
    pub slot: u32,
    pub generation: u32,
}

/// A command that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub act: usize,
    /// It was sent with another text than the first time.
    pub altered: bool,
}

/// See the module.
pub struct Client {
    pub user: UserId,
    pub is_host: bool,
    pub variant: Variant,
    /// Bytes that it takes at a time, and how long it then waits, in microseconds.
    pub bite: usize,
    pub rest_us: u64,
    pub place: Option<Place>,
    pub acts: Vec<Act>,
    pub waiting: BTreeMap<u64, Waiting>,
    pub last_id: u64,
    pub position: Option<Position>,
    /// The room as it believes it to be.
    pub view: Option<RoomState>,
    join: Join,
    unread: Vec<u8>,
    inflater: Inflater,
    /// Where it tries next.
    pub next_node: usize,
    /// It is about to read, or rests until then.
    pub is_reading: bool,
    /// Times that it came back and got exactly what it had missed, and that it was told
    /// that it cannot.
    pub replays: u64,
    pub resyncs: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Join {
    No,
    /// Sent, with this id and `since`.
    Asked(u64, Option<Position>),
    /// Answered; the word `resynced` comes next, then the snapshot.
    Resyncing(Position),
    Snapshot(Position),
    In,
}

/// What reading the line brought.
#[derive(Clone, PartialEq, Debug)]
pub enum Heard {
    Numbered(i64, u64, RoomEvent),
    Said(u64, Outcome),
    Refused(u64, Refusal),
    /// The join was refused.
    Unavailable,
    /// The server closes.
    Closed,
}

impl Client {
    pub fn new(user: UserId, is_host: bool, variant: Variant) -> Self {
        Self {
            user,
            is_host,
            variant,
            bite: usize::MAX,
            rest_us: 500,
            place: None,
            acts: Vec::new(),
            waiting: BTreeMap::new(),
            last_id: 0,
            position: None,
            view: None,
            join: Join::No,
            unread: Vec::new(),
            inflater: Inflater::default(),
            next_node: 0,
            is_reading: false,
            replays: 0,
            resyncs: 0,
        }
    }

    pub fn is_in(&self) -> bool {
        self.join == Join::In
    }

    /// Connects: from here on nothing of the last connection comes any more.
    pub fn connect(&mut self, place: Place) -> (u64, Option<Position>) {
        self.place = Some(place);
        self.is_reading = false;
        self.unread.clear();
        self.last_id += 1;
        self.join = Join::Asked(self.last_id, self.position);
        (self.last_id, self.position)
    }

    /// The connection is over; what waited for an answer is unanswered.
    pub fn disconnect(&mut self) {
        self.place = None;
        self.join = Join::No;
        self.waiting.clear();
    }

    /// Reads what has come.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        self.unread.extend_from_slice(bytes);
        let mut heard = Vec::new();
        while let Some((opcode, payload, len)) = frame(&self.unread) {
            let wanted = match self.variant.format {
                Format::Json => 1,
                Format::MsgPack => 2,
            };
            match opcode {
                8 => heard.push(Heard::Closed),
                9 => {}
                opcode => {
                    assert_eq!(opcode & 0x0f, wanted, "a frame of the other format");
                    let is_deflated = opcode & RSV1 != 0;
                    assert!(
                        self.variant.deflate || !is_deflated,
                        "compressed, which nobody asked for"
                    );
                    let frame: ServerFrame = if is_deflated {
                        let inflated = self.inflater.inflate(payload, 1 << 17).expect("compressed by us");
                        self.variant.format.decode(inflated)
                    } else {
                        self.variant.format.decode(payload)
                    }
                    .expect("a frame of ours");
                    self.unread.drain(..len);
                    self.take(frame, &mut heard);
                    continue;
                }
            }
            self.unread.drain(..len);
        }
        heard
    }

    fn take(&mut self, frame: ServerFrame, heard: &mut Vec<Heard>) {
        match frame {
            ServerFrame::Numbered(frame) => self.numbered(frame, heard),
            ServerFrame::Ephemeral(EphemeralFrame { m, .. }) => {
                assert!(self.is_in(), "what may be missed came before the room: {m:?}");
            }
            ServerFrame::Private(message) => self.private(message, heard),
        }
    }

    fn numbered(&mut self, frame: NumberedFrame, heard: &mut Vec<Heard>) {
        assert!(self.is_in(), "events came before the join's answer");
        let at = self.position.expect("joined");
        assert_eq!(
            (frame.epoch, frame.from),
            (at.epoch, at.seq + 1),
            "events do not follow the last ones"
        );
        assert_eq!(frame.to + 1 - frame.from, frame.m.len() as u64);
        for (seq, event) in (frame.from..).zip(frame.m) {
            if let Some(view) = &mut self.view {
                view.evolve(&event, frame.now);
            }
            heard.push(Heard::Numbered(frame.epoch, seq, event));
        }
        self.position = Some(Position {
            epoch: frame.epoch,
            seq: frame.to,
        });
    }

    fn private(&mut self, message: Private, heard: &mut Vec<Heard>) {
        match (message, self.join) {
            (
                Private::Reply {
                    id,
                    outcome: Outcome::Joined(at),
                },
                Join::Asked(asked, since),
            ) => {
                assert_eq!(id, asked, "the answer to another join");
                self.join = match since {
                    Some(since) if since == at => {
                        self.replays += 1;
                        Join::In
                    }
                    Some(_) => Join::Resyncing(at),
                    None => Join::Snapshot(at),
                };
            }
            (Private::Resynced, Join::Resyncing(at)) => {
                self.resyncs += 1;
                self.join = Join::Snapshot(at);
            }
            (Private::Snapshot(snapshot), Join::Snapshot(at)) => {
                assert_eq!(snapshot.at, at, "a snapshot of another place");
                self.position = Some(at);
                self.view = Some(self.room_of(*snapshot));
                self.join = Join::In;
            }
            (Private::Reply { id, outcome }, _) => heard.push(Heard::Said(id, outcome)),
            (Private::Error { id: Some(id), refusal }, join) => {
                if matches!(join, Join::Asked(asked, _) if asked == id) {
                    heard.push(Heard::Unavailable);
                } else {
                    heard.push(Heard::Refused(id, refusal));
                }
            }
            (Private::Reservation(_) | Private::Waiting(_) | Private::Order { .. } | Private::Review(_), Join::In) => {}
            (other, join) => panic!("{other:?} while {join:?}"),
        }
    }

    fn room_of(&self, snapshot: Snapshot) -> RoomState {
        RoomState::new(Beginning {
            stream: snapshot.stream,
            host: UserId(uuid::Uuid::nil()),
            featured: snapshot.featured,
            sales: snapshot.sales,
            line_up: snapshot.line_up,
            rules: snapshot.rules,
            chat: snapshot.chat,
            pinned: snapshot.pinned,
        })
    }

    /// What a command was answered, for good or for now.
    pub fn answered(&mut self, id: u64, result: Result<Outcome, Refusal>) -> Option<(Act, Result<Outcome, Refusal>)> {
        let waiting = self.waiting.remove(&id)?;
        let act = &mut self.acts[waiting.act];
        match &result {
            Ok(outcome) => {
                assert!(
                    !waiting.altered,
                    "another text under the same name was answered with {outcome:?}"
                );
                match &act.outcome {
                    // What has become of the hold since is news, and the hold is the same.
                    Some(Outcome::Held(first)) => assert!(
                        matches!(outcome, Outcome::Held(hold) if hold.reservation == first.reservation),
                        "a resend is answered otherwise: {outcome:?} after {first:?}"
                    ),
                    // A place has its hold's id, which it does not tell: the database knows.
                    Some(Outcome::Waiting(first)) => assert!(
                        matches!(outcome, Outcome::Waiting(place) if place.quantity == first.quantity)
                            || matches!(outcome, Outcome::Held(hold) if hold.quantity == first.quantity),
                        "a resend is answered otherwise: {outcome:?} after {first:?}"
                    ),
                    Some(first) => assert_eq!(outcome, first, "a resend is answered otherwise"),
                    None => act.outcome = Some(outcome.clone()),
                }
            }
            Err(refusal) => check_refusal(refusal, act),
        }
        Some((act.clone(), result))
    }
}

/// Whether a refusal has a reason.
fn check_refusal(refusal: &Refusal, act: &Act) {
    let is_bad = match &act.what {
        What::Say(text) => text == super::database::REFUSED,
        What::Buy(_, quantity, _) => *quantity == super::shelf::REFUSED_QUANTITY,
        _ => false,
    };
    let expected = match refusal.code {
        ErrorCode::Overloaded
        | ErrorCode::RoomUnavailable
        | ErrorCode::NotJoined
        | ErrorCode::RequestInFlight
        | ErrorCode::MessageRefused
        | ErrorCode::RateLimited
        | ErrorCode::DatabaseUnavailable => true,
        ErrorCode::RequestIdReused => act.is_blurred,
        ErrorCode::Internal => is_bad,
        // What was got once is not refused any more.
        ErrorCode::SoldOut
        | ErrorCode::NotEnoughLeft
        | ErrorCode::PurchaseLimitReached
        | ErrorCode::AlreadyWaiting
        | ErrorCode::SaleNotOpen
        | ErrorCode::SaleClosed
        | ErrorCode::OwnShop => matches!(act.what, What::Buy(..)) && act.outcome.is_none(),
        // What was given up once is given up.
        ErrorCode::HoldExpired | ErrorCode::PaymentInProgress | ErrorCode::AlreadyPaid => {
            matches!(act.what, What::Release(_)) && act.outcome.is_none()
        }
        // One that found nothing to leave leaves no trace, and may find a later place.
        ErrorCode::WrongState => matches!(act.what, What::Unwait(_)),
        ErrorCode::NotFound => matches!(act.what, What::Host(_) | What::Unwait(_)),
        ErrorCode::Forbidden => matches!(act.what, What::Host(_)),
        _ => false,
    };
    assert!(expected, "{refusal:?} for {act:?}");
    assert!(
        act.outcome.is_none() || !matches!(refusal.code, ErrorCode::Internal),
        "what is done cannot be refused: {act:?}"
    );
}

/// The bit of a frame whose message is compressed (RFC 7692, 6.1).
const RSV1: u8 = 0x40;

/// The first whole frame: opcode and [`RSV1`], payload, and length with its header (RFC
/// 6455, 5.2).
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(first & 0xb0, 0x80, "whole frames without other extensions");
    assert_eq!(second & 0x80, 0, "a server does not mask");
    let (len, header) = match second {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        len => (u64::from(len), 2),
    };
    let end = header + usize::try_from(len).ok()?;
    Some((first & 0x4f, bytes.get(header..end)?, end))
}
