//! A room: one actor on its home worker, opened on demand, that decides what happens and
//! numbers it. Its shards on the workers carry that to viewers.
//!
//! Here are its life (opening, serving, closing) and its messages. What an open room does
//! with them is decided in `core` (with `host` and `notices`, and `state` within), which
//! knows no actor and no clock; `live` carries it out. Everything is sent with
//! `try_send`: a full mailbox is a refusal that the sender passes on.

pub mod batch;
pub mod chat;
pub mod core;
pub mod doors;
mod host;
pub mod host_watch;
pub mod leases;
mod live;
pub mod log;
pub mod mirror;
mod newest;
mod notices;
mod open;
pub mod orphans;
mod pace;
pub mod powers;
pub mod presence;
pub mod reach;
mod reading;
pub mod rounds;
mod said;
pub mod shard;
pub mod state;
pub mod store;
pub mod text;
pub mod tick;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, Addr, AsyncContext as _, Context, Handler, Message,
    ResponseActFuture, WrapFuture as _,
};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, StreamId, UserId};
use shared::live::{RoomReply, RoomRequest};
use shared::protocol::{HostCommand, Private};
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

use crate::engine::Shared;
use crate::router::{Mail, RoomPost, ToWorker};
use crate::trace;
use crate::types::ConnId;
use core::Facts;
use live::Live;

/// Messages that may wait for a room; more are refused as `overloaded`.
const MAILBOX: usize = 4096;
/// Host's commands that may wait while a room opens.
const WAITING_HOSTS: usize = 64;
/// The coarse clock of a room.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long a room that is over still answers what was on its way to it.
const GRACE: Duration = Duration::from_secs(1);
/// A worker has viewers.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Attach {
    /// Which.
    pub worker: u16,
}

/// A worker has none any more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Detach {
    /// Which.
    pub worker: u16,
}

/// Somebody says something.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Say {
    /// Who waits for the answer.
    pub conn: ConnId,
    /// The command's id.
    pub id: u64,
    /// Who.
    pub user: UserId,
    /// The display name.
    pub name: String,
    /// The act.
    pub request_id: RequestId,
    /// What.
    pub text: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// The room's last number when the connection came in.
    pub since: u64,
}

/// What a worker's viewers reacted, by kind.
#[derive(Message)]
#[rtype(result = "()")]
pub struct React(pub BTreeMap<&'static str, u64>);

/// Who waits for the answer to a host's command.
pub enum Asker {
    /// A connection, under its command's id.
    Socket(ConnId, u64),
    /// Whoever asked over the bus.
    Bus(oneshot::Sender<RoomReply>),
}

/// The host commands.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Host {
    pub(crate) asker: Asker,
    user: UserId,
    request_id: RequestId,
    command: HostCommand,
    /// Where it came from.
    span: Span,
}

impl Host {
    /// A command that came over a socket, in whose span this is.
    #[must_use]
    pub fn from_socket(conn: ConnId, id: u64, user: UserId, request_id: RequestId, command: HostCommand) -> Self {
        Self {
            asker: Asker::Socket(conn, id),
            user,
            request_id,
            command,
            span: Span::current(),
        }
    }

    /// A command that came over the bus.
    #[must_use]
    pub fn from_bus(request: RoomRequest, reply: oneshot::Sender<RoomReply>) -> Self {
        Self {
            asker: Asker::Bus(reply),
            span: trace::request(&request, store::host::operation(&request.command)),
            user: request.user,
            request_id: request.request_id,
            command: request.command,
        }
    }
}

/// Something is in the room's mailbox for other threads. It stays there until the room takes
/// it in its own turn: what is committed must not be on its way while the room closes.
#[derive(Message)]
#[rtype(result = "()")]
struct Post;

/// An operator looks: the room in numbers.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Look(pub oneshot::Sender<Facts>);

/// Say what there is still to say, store it, and close.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Close {
    /// Until when the database may take the last events.
    pub by: Instant,
}

/// Why an open room closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Why {
    /// Nobody needs it: the lease is given back.
    Idle,
    /// Another node has it: viewers are sent away to come back.
    Fenced,
    /// The engine stops, and sends its viewers away itself. A lease is given back only
    /// when everything is stored: a successor would fence off the rest.
    Stopping { stored: bool },
}

enum Phase {
    Opening {
        workers: Vec<u16>,
        hosts: VecDeque<Host>,
    },
    Open(Box<Live>),
    /// Nothing new is taken; what is under way is finished.
    Closing(Box<Live>),
    Closed,
}

/// A room as its home worker knows it.
pub struct Opened {
    /// Its actor.
    pub room: Addr<Room>,
    open: Rc<Cell<bool>>,
}

impl Opened {
    /// Whether it is open, or about to be. One that is not is replaced.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.get() && self.room.connected()
    }
}

/// See the module.
pub struct Room {
    stream: StreamId,
    open: Rc<Cell<bool>>,
    shared: Arc<Shared>,
    mail: Arc<Mail<RoomPost>>,
    phase: Phase,
}

/// Starts a room's actor on this thread; it opens itself.
#[must_use]
pub fn open(shared: Arc<Shared>, stream: StreamId) -> Opened {
    let open = Rc::new(Cell::new(true));
    let is_open = open.clone();
    let room = Room::create(|ctx| {
        // Before anybody has the address: messages come before the actor runs.
        ctx.set_mailbox_capacity(MAILBOX);
        Room {
            stream,
            open: is_open,
            shared,
            mail: Arc::default(),
            phase: Phase::Opening {
                workers: Vec::new(),
                hosts: VecDeque::new(),
            },
        }
    });
    Opened { room, open }
}

impl Actor for Room {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let opening = open::open(self.shared.clone(), self.stream).instrument(trace::opening(self.stream));
        ctx.spawn(
            opening
                .into_actor(self)
                .map(|opened, room: &mut Self, ctx| match opened {
                    Ok(opened) => room.opened(opened, ctx),
                    Err(refusal) => room.give_up(&refusal, ctx),
                }),
        );
    }
}

impl Room {
    fn opened(&mut self, opened: open::Opened, ctx: &mut Context<Self>) {
        let Phase::Opening { workers, hosts } = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return;
        };
        let mut live = Box::new(Live::new(self.shared.clone(), opened, ctx.address(), self.mail.clone()));
        self.fetch_mail(ctx);
        live.begin(ctx);
        for worker in workers {
            live.attach(worker, ctx);
        }
        for host in hosts {
            live.host(host, ctx);
        }
        self.phase = Phase::Open(live);
        ctx.run_interval(SWEEP_EVERY, |room, ctx| {
            let over = match &mut room.phase {
                Phase::Open(live) => live.sweep(ctx),
                Phase::Closing(_) | Phase::Opening { .. } | Phase::Closed => false,
            };
            if over {
                room.finish(ctx, Why::Idle);
            }
        });
    }

    /// Brings what other threads leave for this room into its own mailbox.
    fn fetch_mail(&self, ctx: &mut Context<Self>) {
        let (mail, room) = (self.mail.clone(), ctx.address());
        let fetch = async move {
            loop {
                mail.arrived().await;
                // Waits while the mailbox is full; what arrives meanwhile is summed up.
                if room.send(Post).await.is_err() {
                    return;
                }
            }
        };
        ctx.spawn(fetch.into_actor(self));
    }

    /// The room cannot be opened.
    fn give_up(&mut self, refusal: &Refusal, ctx: &mut Context<Self>) {
        if let Phase::Opening { workers, hosts } = std::mem::replace(&mut self.phase, Phase::Closed) {
            for worker in workers {
                let report = ToWorker::Unavailable(self.stream, refusal.clone());
                if self.shared.router.send(worker, report).is_err() {
                    tracing::warn!(stream = %self.stream, worker, "a worker was not told that a room is not available");
                }
            }
            for host in hosts {
                answer(&self.shared, host.asker, Err(refusal.clone()));
            }
        }
        self.stop(ctx);
    }

    /// Closes an open room.
    fn finish(&mut self, ctx: &mut Context<Self>, why: Why) {
        if let Phase::Open(live) | Phase::Closing(live) = std::mem::replace(&mut self.phase, Phase::Closed) {
            live.end(why, ctx);
        }
        self.stop(ctx);
    }

    /// Lets the actor end, after what may be on its way to it has been answered.
    fn stop(&self, ctx: &mut Context<Self>) {
        self.open.set(false);
        ctx.run_later(GRACE, |_, ctx| ctx.stop());
    }

    fn live(&mut self) -> Option<&mut Live> {
        match &mut self.phase {
            Phase::Open(live) => Some(live),
            Phase::Opening { .. } | Phase::Closing(_) | Phase::Closed => None,
        }
    }
}

/// Answers a host's command.
fn answer(shared: &Shared, asker: Asker, result: RoomReply) {
    match asker {
        // An asker who has given up needs no answer.
        Asker::Bus(reply) => drop(reply.send(result)),
        Asker::Socket(conn, id) => {
            shared.router.replies([(conn, private(id, result))]);
        }
    }
}

/// An answer as its connection gets it.
pub(crate) fn private(id: u64, result: RoomReply) -> Private {
    match result {
        Ok(outcome) => Private::Reply { id, outcome },
        Err(refusal) => Private::Error { id: Some(id), refusal },
    }
}

impl Handler<Attach> for Room {
    type Result = ();

    fn handle(&mut self, message: Attach, ctx: &mut Context<Self>) {
        match &mut self.phase {
            Phase::Opening { workers, .. } => {
                if !workers.contains(&message.worker) {
                    workers.push(message.worker);
                }
            }
            Phase::Open(live) => live.attach(message.worker, ctx),
            // This one is over: the home worker opens another.
            Phase::Closing(_) | Phase::Closed => {
                let (stream, worker, router) = (self.stream, message.worker, &self.shared.router);
                // A home that takes no more lets joins run into their deadline.
                let _ = router.send(router.home(stream), ToWorker::Attach { stream, worker });
            }
        }
    }
}

impl Handler<Detach> for Room {
    type Result = ();

    fn handle(&mut self, message: Detach, _: &mut Context<Self>) {
        if let Some(live) = self.live() {
            live.detach(message.worker);
        }
    }
}

impl Handler<Say> for Room {
    type Result = ();

    fn handle(&mut self, message: Say, ctx: &mut Context<Self>) {
        let (conn, id) = (message.conn, message.id);
        match self.live() {
            Some(live) => live.say(message, ctx),
            None => answer(
                &self.shared,
                Asker::Socket(conn, id),
                Err(ErrorCode::RoomUnavailable.into()),
            ),
        }
    }
}

impl Handler<React> for Room {
    type Result = ();

    fn handle(&mut self, message: React, ctx: &mut Context<Self>) {
        if let Some(live) = self.live() {
            live.react(message.0, ctx);
        }
    }
}

impl Handler<Host> for Room {
    type Result = ();

    fn handle(&mut self, message: Host, ctx: &mut Context<Self>) {
        match &mut self.phase {
            Phase::Opening { hosts, .. } if hosts.len() < WAITING_HOSTS => hosts.push_back(message),
            Phase::Open(live) => live.host(message, ctx),
            Phase::Opening { .. } => answer(&self.shared, message.asker, Err(ErrorCode::Overloaded.into())),
            Phase::Closing(_) | Phase::Closed => {
                answer(&self.shared, message.asker, Err(ErrorCode::RoomUnavailable.into()));
            }
        }
    }
}

impl Handler<Post> for Room {
    type Result = ();

    fn handle(&mut self, _: Post, ctx: &mut Context<Self>) {
        let fenced = match &mut self.phase {
            Phase::Open(live) => live.post(self.mail.take(), ctx),
            Phase::Closing(live) => {
                live.settle(&self.mail.take(), ctx);
                false
            }
            Phase::Opening { .. } | Phase::Closed => false,
        };
        if fenced {
            tracing::warn!(stream = %self.stream, "the room belongs to another node now");
            self.finish(ctx, Why::Fenced);
        }
    }
}

impl Handler<Look> for Room {
    type Result = ();

    fn handle(&mut self, message: Look, _: &mut Context<Self>) {
        let facts = match &self.phase {
            Phase::Open(live) => live.facts(false),
            Phase::Closing(live) => live.facts(true),
            // The sender is dropped, which says it.
            Phase::Opening { .. } | Phase::Closed => return,
        };
        // Whoever asked may have given up.
        let _ = message.0.send(facts);
    }
}

impl Handler<Close> for Room {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, close: Close, ctx: &mut Context<Self>) -> Self::Result {
        let live = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Open(mut live) => {
                live.speak(ctx);
                Some(live)
            }
            Phase::Closing(live) => Some(live),
            opening @ Phase::Opening { .. } => {
                self.phase = opening;
                self.give_up(&ErrorCode::RoomUnavailable.into(), ctx);
                None
            }
            Phase::Closed => None,
        };
        let Some(live) = live else {
            return Box::pin(std::future::ready(()).into_actor(self));
        };
        self.phase = Phase::Closing(live);
        let (persister, mail) = (self.shared.persister.clone(), self.mail.clone());
        let by = close.by.into();
        let flush = async move { tokio::time::timeout_at(by, persister.flush()).await.is_ok() };
        Box::pin(flush.into_actor(self).map(move |stored, room, ctx| {
            if !stored {
                tracing::warn!(stream = %room.stream, "the database did not take the room's last events in time");
            }
            // What was committed meanwhile is acknowledged before the room is gone.
            if let Phase::Closing(live) = &mut room.phase {
                live.settle(&mail.take(), ctx);
            }
            room.finish(ctx, Why::Stopping { stored });
        }))
    }
}
