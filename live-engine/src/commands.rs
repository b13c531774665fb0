//! What a viewer's frame asks for, checked and passed on: to the shard, the room or the
//! sale desk. Every command is answered once, by a `reply` or an `error` with its id.
//!
//! Only what has to ask the database is awaited, and only by the connection that asked.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, ReservationId, SaleId, SellerId, StreamId, UserId};
use shared::protocol::{
    Addressed, ClientCommand, ClientFrame, HostCommand, MAX_CHAT_CHARS, MAX_REACTION_COUNT, MAX_REPORT_NOTE_CHARS,
    Outcome, Position, Private, REACTION_KINDS, ReportReason,
};
use shared::status::OrderStatus;
use shared::token::{Part, Viewer};
use tracing::{Instrument as _, Span};

use crate::auth::{self, Identity};
use crate::db::Purpose;
use crate::limits::Act;
use crate::metrics;
use crate::net::conn::Conn;
use crate::net::worker::Worker;
use crate::revoked;
use crate::room::doors::ShowTimes;
use crate::room::shard::{SHOW_OVER, Shard};
use crate::room::store::people;
use crate::room::store::report::{self, Report};
use crate::room::{Host, Say, powers, text};
use crate::sale::{HoldRequest, ReleaseRequest, UnwaitRequest};
use crate::trace;
use crate::types::Own;

/// How long a join may wait for its room to open.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);
/// The pauses before own holds and orders are read again for who came back.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// What a command came to for now.
enum Done {
    /// It is answered with this.
    Now(Outcome),
    /// Whoever works on it answers.
    Later,
}

type Result = std::result::Result<Done, Refusal>;

/// Carries out one command of a connection, which has counted it, under a span of its own.
pub async fn handle(worker: &Rc<Worker>, conn: &Rc<Conn>, frame: ClientFrame) {
    let kind = kind(&frame.command);
    let stream = match &frame.command {
        ClientCommand::Join { stream, .. } => Some(*stream),
        _ => conn.shard().map(|shard| shard.stream()),
    };
    let span = match &frame.command {
        // Many, and they ask no database.
        ClientCommand::React { .. } => Span::none(),
        _ => trace::command(conn.id, frame.id, kind, frame.request_id, stream),
    };
    carry_out(worker, conn, frame, kind).instrument(span).await;
}

async fn carry_out(worker: &Rc<Worker>, conn: &Rc<Conn>, frame: ClientFrame, kind: &'static str) {
    let id = frame.id;
    let result = match conn.identity() {
        None => Err(ErrorCode::Unauthenticated.into()),
        Some(who) => {
            let command = Command {
                worker,
                conn,
                who: &who,
                id,
                request_id: frame.request_id,
            };
            command.run(frame.command).await
        }
    };
    metrics::command(kind, result.is_err());
    if result.as_ref().is_err_and(is_too_much) {
        metrics::shed_command();
    }
    match result {
        Ok(Done::Now(outcome)) => conn.answer(id, Ok(outcome)),
        Ok(Done::Later) => {}
        Err(refusal) => {
            let over = refusal.code == ErrorCode::ShowOver;
            conn.answer(id, Err(refusal));
            if over {
                conn.close(SHOW_OVER, ErrorCode::ShowOver.title());
            }
        }
    }
}

/// Whether a command was refused because there are too many.
fn is_too_much(refusal: &Refusal) -> bool {
    matches!(refusal.code, ErrorCode::RateLimited | ErrorCode::Overloaded)
}

struct Command<'a> {
    worker: &'a Rc<Worker>,
    conn: &'a Rc<Conn>,
    who: &'a Identity,
    id: u64,
    request_id: Option<RequestId>,
}

impl Command<'_> {
    async fn run(&self, command: ClientCommand) -> Result {
        match command.address() {
            Addressed::Host(command) => self.host(command),
            Addressed::Viewer(command) => match command {
                ClientCommand::Join { stream, since } => Box::pin(self.join(stream, since)).await,
                ClientCommand::Renew { token } => Box::pin(self.renew(&token)).await,
                ClientCommand::Leave => self.leave(),
                ClientCommand::Chat { text, reply_to } => self.chat(text, reply_to),
                ClientCommand::Report { message, reason, note } => Box::pin(self.report(message, reason, note)).await,
                ClientCommand::React { kind, count } => self.react(&kind, count),
                ClientCommand::Buy { sale, quantity } => self.buy(sale, quantity, false),
                ClientCommand::Wait { sale, quantity } => self.buy(sale, quantity, true),
                ClientCommand::Unwait { sale } => self.unwait(sale),
                ClientCommand::Release { reservation } => self.release(reservation),
                ClientCommand::Resume { .. } => Err(Refusal::new(ErrorCode::Conflict, "who is there is known already")),
                ClientCommand::Start
                | ClientCommand::End
                | ClientCommand::Feature(_)
                | ClientCommand::Unfeature
                | ClientCommand::Reorder(_)
                | ClientCommand::SaleOpen(_)
                | ClientCommand::SaleClose { .. }
                | ClientCommand::DeleteMessage { .. }
                | ClientCommand::SlowMode { .. }
                | ClientCommand::ChatMode { .. }
                | ClientCommand::ApproveMessage { .. }
                | ClientCommand::RejectMessage { .. }
                | ClientCommand::Mute(_)
                | ClientCommand::Timeout(_)
                | ClientCommand::Unmute { .. }
                | ClientCommand::Ban(_)
                | ClientCommand::Unban(_)
                | ClientCommand::PinMessage { .. }
                | ClientCommand::UnpinMessage
                | ClientCommand::Announce { .. } => Err(ErrorCode::UnknownCommand.into()),
            },
        }
    }

    async fn join(&self, stream: StreamId, since: Option<Position>) -> Result {
        if self.conn.shard().is_some() {
            return Err(ErrorCode::AlreadyJoined.into());
        }
        if self.who.stream.is_some_and(|own| own != stream) {
            return Err(Refusal::new(ErrorCode::Forbidden, "the ticket is for another stream").at("stream"));
        }
        self.worker.shared.guards.join(&self.conn.joins)?;
        if self.who.stream.is_none() && !self.worker.is_open(stream) {
            // A ticket was given out for its show; an access token may name any, and a room
            // is more than a row to open.
            may_open(self.worker, self.who, stream).await?;
        }
        let shard = self.worker.shard(stream);
        let joining = shard.expect(self.conn);
        let opened = tokio::time::timeout(OPEN_DEADLINE, shard.ready()).await;
        opened.unwrap_or_else(|_| Err(ErrorCode::RoomUnavailable.into()))?;
        shard.admits(self.conn, self.worker.shared.config.show.doors, now_ms())?;
        if let (None, Some(user), Some(seller)) = (self.who.stream, self.who.user(), shard.seller()) {
            // A ticket was looked up when it was spent; an access token opens any room.
            not_banned(self.worker, seller, user).await?;
        }
        let replayed = since.is_some_and(|since| shard.has_all_after(since));
        let own = match self.who.user() {
            // What is replayed waits for no query, so that everybody can come back at once.
            Some(user) if !replayed => self.worker.shared.owns.of(user, stream).await?,
            Some(_) | None => Own::default(),
        };
        // In the turn of the admission: whoever is banned from now on is found in the room.
        let revoked = &self.worker.shared.revoked;
        revoked.check(self.who, shard.seller(), now_ms())?;
        let has_snapshot = joining.admit(self.id, since, own, now_ms())?;
        if let Some(user) = self.who.user()
            && !has_snapshot
            // Looked up after the join: what comes from now on is told in any case.
            && !since.is_some_and(|since| shard.has_no_news_for(user, since))
        {
            let telling = tell_own(self.worker.clone(), self.conn.clone(), shard, user);
            actix_rt::spawn(telling.in_current_span());
        }
        Ok(Done::Later)
    }

    fn leave(&self) -> Result {
        self.shard()?;
        self.worker.leave(self.conn);
        Ok(Done::Now(Outcome::Done))
    }

    fn chat(&self, text: String, reply_to: Option<MessageId>) -> Result {
        let shard = self.shard()?;
        let request_id = self.act()?;
        let Viewer::User { id: user, name } = &self.who.viewer else {
            return Err(Refusal::new(
                ErrorCode::Unauthenticated,
                "guests may watch and react; sign in to chat",
            ));
        };
        // A room has one thread for all its authors: what cannot be said is stopped here.
        text::fits(&text, MAX_CHAT_CHARS)?;
        self.worker.shared.guards.act(Act::Chat, user.0)?;
        let (room, _) = shard.room()?;
        let say = Say {
            conn: self.conn.id,
            id: self.id,
            user: *user,
            name: name.clone(),
            request_id,
            text,
            reply_to,
            since: self.conn.joined.get().seq,
        };
        room.try_send(say).map_err(|_| ErrorCode::Overloaded)?;
        Ok(Done::Later)
    }

    async fn report(&self, message: MessageId, reason: ReportReason, note: String) -> Result {
        let shard = self.shard()?;
        let request_id = self.act()?;
        let guest = || Refusal::new(ErrorCode::Unauthenticated, "sign in to report a message");
        let user = self.who.user().ok_or_else(guest)?;
        let shared = &self.worker.shared;
        shared.guards.act(Act::Report, user.0)?;
        let report = Report {
            stream: shard.stream(),
            user,
            request_id,
            message,
            reason,
            note: match note.trim() {
                "" => String::new(),
                note => text::normalise(note, MAX_REPORT_NOTE_CHARS).map_err(|refusal| refusal.at("note"))?,
            },
        };
        let outcome = shared
            .db
            .call(Purpose::Person, Some(user.0), async move |pool: sqlx::PgPool| {
                report::carry_out(&pool, &report).await
            })
            .await?;
        // Moderators who are here hear of it now.
        shared.feed.look();
        Ok(Done::Now(outcome))
    }

    fn react(&self, kind: &str, count: u32) -> Result {
        let shard = self.shard()?;
        let Some(kind) = REACTION_KINDS.into_iter().find(|known| *known == kind) else {
            return Err(Refusal::new(ErrorCode::InvalidBody, "there is no such reaction").at("kind"));
        };
        let Some(counted) = NonZeroU32::new(count).filter(|_| count <= MAX_REACTION_COUNT) else {
            let detail = format!("count must be from 1 to {MAX_REACTION_COUNT}");
            return Err(Refusal::new(ErrorCode::InvalidBody, detail).at("count"));
        };
        if self.worker.refusing.is_cancelled() {
            // The room may have counted for the last time.
            return Err(ErrorCode::RoomUnavailable.into());
        }
        self.worker.shared.guards.act(Act::React, self.who.person())?;
        self.conn.seat.borrow().react(counted)?;
        shard.react(kind, count)?;
        Ok(Done::Now(Outcome::Done))
    }

    fn buy(&self, sale: SaleId, quantity: u32, waits: bool) -> Result {
        let shard = self.shard()?;
        let (user, request_id) = (self.buyer()?, self.act()?);
        self.worker.shared.guards.act(Act::Buy, user.0)?;
        shard.note_news(user);
        self.worker.shared.desk.reserve(HoldRequest {
            conn: self.conn.id,
            id: self.id,
            stream: shard.stream(),
            sale,
            user,
            request_id,
            quantity,
            waits,
        })?;
        Ok(Done::Later)
    }

    fn unwait(&self, sale: SaleId) -> Result {
        let shard = self.shard()?;
        let (user, request_id) = (self.buyer()?, self.act()?);
        self.worker.shared.guards.act(Act::Buy, user.0)?;
        shard.note_news(user);
        self.worker.shared.desk.unwait(UnwaitRequest {
            conn: self.conn.id,
            id: self.id,
            user,
            sale,
            request_id,
        })?;
        Ok(Done::Later)
    }

    fn release(&self, reservation: ReservationId) -> Result {
        let shard = self.shard()?;
        let user = self.buyer()?;
        self.act()?;
        self.worker.shared.guards.act(Act::Buy, user.0)?;
        shard.note_news(user);
        self.worker.shared.desk.release(ReleaseRequest {
            conn: self.conn.id,
            id: self.id,
            user,
            reservation,
        })?;
        Ok(Done::Later)
    }

    async fn renew(&self, token: &str) -> Result {
        let proven = auth::renew(&self.worker.shared, self.who, token).await?;
        let outcome = Outcome::Renewed {
            expires_at: proven.expires_at.saturating_mul(1000),
        };
        let hello = auth::hello(&self.worker.shared, Some(&proven), now_ms());
        self.conn.identify(proven.identity, proven.expires_at);
        if self.worker.require_good(self.conn) {
            if let Some(shard) = self.conn.shard() {
                shard.renewed(self.conn);
            }
            self.conn.answer(self.id, Ok(outcome));
            // Carries the new way back.
            self.conn.send(&Private::Hello(hello));
        }
        Ok(Done::Later)
    }

    fn host(&self, command: HostCommand) -> Result {
        let shard = self.shard()?;
        let request_id = self.act()?;
        let (room, host) = shard.room()?;
        // A moderator comes as a viewer, the host as the host. Who has which right, the
        // room knows.
        let as_who = |user: &UserId| *user != host || self.who.part == Part::Host || command.is_open_to_authors();
        let user = self.who.user().filter(as_who);
        let user = user.ok_or_else(|| powers::lacking(command.right()))?;
        // The room checks by what it knows itself; this keeps from it what is hopeless.
        shard.permit(user, &command, now_ms())?;
        if command.is_open_to_authors() && !shard.runs_the_show(user) {
            self.worker.shared.guards.act(Act::Delete, user.0)?;
        }
        let host = Host::from_socket(self.conn.id, self.id, user, request_id, command);
        room.try_send(host).map_err(|_| ErrorCode::Overloaded)?;
        Ok(Done::Later)
    }

    fn shard(&self) -> std::result::Result<Rc<Shard>, Refusal> {
        self.conn.shard().ok_or_else(|| ErrorCode::NotJoined.into())
    }

    fn buyer(&self) -> std::result::Result<UserId, Refusal> {
        let guest = || Refusal::new(ErrorCode::Unauthenticated, "guests may watch and react; sign in to buy");
        self.who.user().ok_or_else(guest)
    }

    /// The name of the act, which commands that change something need.
    fn act(&self) -> std::result::Result<RequestId, Refusal> {
        let missing = || Refusal::new(ErrorCode::IdempotencyKeyMissing, "the command needs a request_id");
        self.request_id.ok_or_else(|| missing().at("request_id"))
    }
}

/// Whether there is anything to open a show's room for.
async fn may_open(worker: &Worker, who: &Identity, stream: StreamId) -> std::result::Result<(), Refusal> {
    let read = async move |pool: sqlx::PgPool| {
        let mut conn = pool.acquire().await?;
        Ok(people::door(&mut conn, stream).await?)
    };
    let show = worker
        .shared
        .db
        .call(Purpose::Person, Some(who.person()), read)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    let times = ShowTimes {
        status: show.status,
        scheduled_at: show.scheduled_at.timestamp_millis(),
        ended_at: show.ended_at.map(|at| at.timestamp_millis()),
    };
    let is_host = who.part == Part::Host && who.user() == Some(show.host);
    worker.shared.config.show.doors.admit(&times, is_host, now_ms())
}

/// Whether a shop lets somebody into its shows.
async fn not_banned(worker: &Worker, seller: SellerId, user: UserId) -> std::result::Result<(), Refusal> {
    let read = async move |pool: sqlx::PgPool| {
        let mut conn = pool.acquire().await?;
        Ok(people::ban(&mut conn, seller, user).await?)
    };
    match worker.shared.db.call(Purpose::Person, Some(user.0), read).await? {
        None => Ok(()),
        Some(ban) => Err(revoked::banned(&ban.reason, ban.left_ms)),
    }
}

/// Tells who came back without a snapshot what it would have said of their own: private
/// news is not numbered, so what came while they were away cannot be replayed.
async fn tell_own(worker: Rc<Worker>, conn: Rc<Conn>, shard: Rc<Shard>, user: UserId) {
    let joined = conn.joined.get();
    // Who has left and come back is told by the task of that join, and not by both.
    let is_here = || conn.joined.get() == joined && conn.shard().is_some_and(|own| Rc::ptr_eq(&own, &shard));
    let mut pause = FIRST_PAUSE;
    while is_here() {
        // What changes while it is read is told after it.
        conn.hold_back();
        let read = worker.shared.owns.of(user, shard.stream()).await;
        if !is_here() {
            return;
        }
        if let Ok(own) = &read {
            let holds = own.reservations.iter().cloned().map(Private::Reservation);
            let places = own.waiting.iter().cloned().map(Private::Waiting);
            let orders = own.orders.iter().map(|order| Private::Order {
                order: *order,
                status: OrderStatus::PendingPayment,
            });
            conn.send_all(&holds.chain(places).chain(orders).collect::<Vec<_>>());
        }
        conn.release();
        if read.is_ok() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What a command is counted as.
pub const fn kind(command: &ClientCommand) -> &'static str {
    match command {
        ClientCommand::Resume { .. } => "resume",
        ClientCommand::Join { .. } => "join",
        ClientCommand::Leave => "leave",
        ClientCommand::Chat { .. } => "chat",
        ClientCommand::React { .. } => "react",
        ClientCommand::Buy { .. } => "buy",
        ClientCommand::Release { .. } => "release",
        ClientCommand::Wait { .. } => "wait",
        ClientCommand::Unwait { .. } => "unwait",
        ClientCommand::Renew { .. } => "renew",
        ClientCommand::Start => "start",
        ClientCommand::End => "end",
        ClientCommand::Feature(_) => "feature",
        ClientCommand::Unfeature => "unfeature",
        ClientCommand::Reorder(_) => "reorder",
        ClientCommand::SaleOpen(_) => "sale_open",
        ClientCommand::SaleClose { .. } => "sale_close",
        ClientCommand::DeleteMessage { .. } => "delete_message",
        ClientCommand::Report { .. } => "report",
        ClientCommand::SlowMode { .. } => "slow_mode",
        ClientCommand::ChatMode { .. } => "chat_mode",
        ClientCommand::ApproveMessage { .. } => "approve_message",
        ClientCommand::RejectMessage { .. } => "reject_message",
        ClientCommand::Mute(_) => "mute",
        ClientCommand::Timeout(_) => "timeout",
        ClientCommand::Unmute { .. } => "unmute",
        ClientCommand::Ban(_) => "ban",
        ClientCommand::Unban(_) => "unban",
        ClientCommand::PinMessage { .. } => "pin_message",
        ClientCommand::UnpinMessage => "unpin_message",
        ClientCommand::Announce { .. } => "announce",
    }
}

fn now_ms() -> shared::protocol::Millis {
    chrono::Utc::now().timestamp_millis()
}
