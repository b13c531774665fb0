//! What an open room wants done, as data. Plain; no rule lives here.

use std::sync::Arc;
use std::time::Instant;

use shared::Timestamp;
use shared::error::Refusal;
use shared::ids::{MessageId, ProductId, RequestId, ReservationId, SaleId, UserId};
use shared::live::RoomReply;
use shared::protocol::{ChatAudience, LineUpCard, Muted, Private, Quote, Reservation, SaleCard};
use shared::rights::Rights;
use shared::status::SaleStatus;
use shared::words::WordFilter;
use tracing::Span;
use uuid::Uuid;

use crate::hook::Inspect;
use crate::room::Asker;
use crate::room::batch::Batch;
use crate::room::host_watch::HostStep;
use crate::room::mirror::Mirror;
use crate::room::powers::Powers;
use crate::room::state::ProductReading;
use crate::room::store::chat::Held;
use crate::room::store::host::HostAct;
use crate::room::store::said::{Earlier, Said};
use crate::types::ConnId;

/// One thing to do.
pub enum Effect {
    /// Send a tick to every worker that has viewers, after what was sent to it before.
    Broadcast(Arc<Batch>),
    /// Send the room as it is to a worker, and every [`Effect::Broadcast`] from here on.
    Attach {
        /// Which.
        worker: u16,
        /// The room.
        mirror: Box<Mirror>,
    },
    /// Answer connections.
    Reply(Vec<(ConnId, Private)>),
    /// Tell every worker that has viewers who may do what.
    Powers(Arc<Powers>),
    /// Close the sockets of whoever was banned, here and elsewhere.
    TurnOut,
    /// Tell a person, on all their connections in the room.
    Tell(UserId, Private),
    /// Answer a host's command.
    Answer(Asker, RoomReply),
    /// Carry a host's command out; [`super::Core::hosted`] takes what it came to. One at
    /// a time. With the span that it came in.
    CarryOut(Asker, HostAct, Span),
    /// Ask the moderation service; [`super::Core::inspected`] takes what it says.
    Inspect(Inspect),
    /// Hold a message; [`super::Core::held`] takes what it came to.
    Hold(Box<Held>),
    /// Do something about a host who is away, or back; [`super::Core::looked_after_host`]
    /// takes what it came to. One at a time.
    LookAfterHost(HostStep),
    /// The show is over and its last event is stored: count it. [`super::Core::summarised`]
    /// takes what it came to.
    Summarise,
    /// The show is over: send its viewers away for good.
    SendAway,
    /// Read something; [`super::Core::read`] takes it.
    Read(Read),
    /// Mark outbox rows delivered that have caused no event.
    Mark(Vec<Uuid>),
    /// Look for outbox rows at once.
    Look,
    /// Keep the time of a sale, whose earliest hold lapses then.
    Watch(SaleCard, Option<Timestamp>),
    /// Call [`super::Core::wake`] at this time.
    Wake(Instant),
    /// Call [`super::Core::sale_due`] for the sale at this time.
    WakeSale(SaleId, Instant),
}

/// What is to be read, and the outbox rows that are done with once it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// A product of the line-up.
    Product(ProductId, Vec<Uuid>),
    /// The line-up.
    LineUp(Vec<Uuid>),
    /// The show's cover.
    Cover(Vec<Uuid>),
    /// A sale's counters.
    Sale(SaleId, Vec<Uuid>),
    /// Who moderates the show.
    Moderators(Vec<Uuid>),
    /// Which words its shop does not want.
    Words(Vec<Uuid>),
    /// Which of these people belong to an audience.
    Members(ChatAudience, Vec<UserId>),
    /// The last message of these, which this person's message answers.
    Quote(UserId, MessageId, MessageId),
    /// What was answered to this person's message under this name.
    Said(UserId, RequestId),
    /// Names of what was said before this message.
    Earlier(MessageId),
    /// The mute of one person; with it, how many were made before.
    Mute(Uuid, UserId, u64),
    /// Holds of one person.
    Holds(Uuid, UserId, Vec<ReservationId>),
}

/// What was read, or why it could not be.
pub enum Reading {
    /// The product, if it is on sale.
    Product(ProductId, Vec<Uuid>, Result<ProductReading, Refusal>),
    /// The line-up's products that are on sale, in order.
    LineUp(Vec<Uuid>, Result<Vec<LineUpCard>, Refusal>),
    /// The cover's address; empty: there is none.
    Cover(Vec<Uuid>, Result<String, Refusal>),
    /// The sale, if it is still there.
    Sale(SaleId, Vec<Uuid>, Result<Option<FoundSale>, Refusal>),
    /// Who moderates the show, and what they may do.
    Moderators(Vec<Uuid>, Result<Vec<(UserId, Rights)>, Refusal>),
    /// The words, ready to be looked for.
    Words(Vec<Uuid>, Result<Arc<WordFilter>, Refusal>),
    /// Those of the people who do.
    Members(ChatAudience, Vec<UserId>, Result<Vec<UserId>, Refusal>),
    /// In short the message that this person's message answers, if there is one.
    Quote(UserId, MessageId, Result<Option<Quote>, Refusal>),
    /// The message that was said under the name, if there is one.
    Said(UserId, RequestId, Result<Option<Said>, Refusal>),
    /// The names, and from where there are more.
    Earlier(Result<Earlier, Refusal>),
    /// The mute, if there is one.
    Mute(Uuid, UserId, u64, Result<Option<Muted>, Refusal>),
    /// The holds.
    Holds(Uuid, UserId, Result<Vec<Reservation>, Refusal>),
}

/// A sale with its status and its earliest expiry.
pub type FoundSale = (SaleCard, SaleStatus, Option<Timestamp>);
