//! Between the nodes and the database: questions that take their time, arrive or do not,
//! and whose answers are late or lost; and the shells of what asks them in the
//! background: the persister's writer, the feed, and the renewal of leases.

use std::collections::HashSet;
use std::collections::btree_map::Entry;
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, SaleId, UserId};
use shared::live::RoomNotice;
use shared::protocol::Waiting;
use shared::status::WaitStatus;
use tokio::time::Instant;
use uuid::Uuid;

use super::desk::Give;
use super::node::{FIRST_PAUSE_US, Room};
use super::shelf::Changed;
use super::world::{At, Task, World, trace};
use crate::persist::sums::Sum;
use crate::persist::work::{Tried, Work};
use crate::room::core::{Read, Reading};
use crate::room::store::chat::Held;
use crate::room::store::host::{HostAct, HostDone};
use crate::room::store::load::LoadedRoom;
use crate::sale::store::SaleState;
use crate::sale::store::reserve::Granted;
use crate::types::{ConnId, PersistReport};

/// How long anybody who waits for an answer is kept waiting.
const CALL_DEADLINE_US: u64 = 2_000_000;
/// How long one transaction of the persister may take.
const STORE_DEADLINE_US: u64 = 15_000_000;
const LONGEST_PAUSE_US: u64 = 1_000_000;
const REACTIONS_EVERY_US: u64 = 1_000_000;

/// A question to the database.
pub struct Call {
    pub from: At,
    ask: Ask,
    /// Nobody waits for the answer any more.
    is_lost: bool,
}

/// What is asked.
pub enum Ask {
    Open,
    Host(u64, HostAct),
    Hold(u64, Box<Held>),
    Read(u64, Read),
    /// A viewer's own holds, for a join.
    Own(usize, u32, u64),
    Persist(Vec<crate::persist::Entry>, bool),
    Reactions(i64, Vec<Sum>),
    Look(Vec<(Uuid, i64)>),
    /// With the time at which it is asked.
    Reserve(SaleId, Vec<crate::sale::state::Ask>, Instant),
    Known(SaleId, i64),
    Sweep(SaleId, Instant),
    GiveUp(ConnId, u64, UserId, Give, Instant),
    /// Who is in line, once the sale had this version; who was when it ended.
    Places(SaleId, i64),
    Ended(SaleId),
    /// Which sales nobody sweeps.
    Overdue,
    Renew(i64),
}

/// What became of a hold or a place that was given up.
pub enum GivenUp {
    Hold(Result<(Changed, Option<SaleState>), ErrorCode>),
    Place(Option<WaitStatus>, Option<SaleState>),
}

/// What is answered; `Away` when there was none in time, `Unreached` when it was not even
/// asked, `Busy` when it was given up by the database.
pub enum Reply {
    Away,
    Unreached,
    Busy,
    Opened(i64, Box<LoadedRoom>),
    Elsewhere(u64),
    Hosted(Result<HostDone, Refusal>),
    Held(Result<MessageId, Refusal>),
    Read(Reading),
    Done,
    Stored(Tried),
    Rows(Vec<(Uuid, RoomNotice)>),
    /// None: the database refuses something in it.
    Granted(Option<Granted>),
    Known(HashSet<UserId>),
    Swept(Option<(Changed, SaleState, Duration)>),
    GivenUp(GivenUp),
    Places(Vec<(UserId, Waiting)>),
    Overdue(Vec<SaleId>, Option<Duration>),
    Renewed(bool),
}

impl World {
    /// Asks the database.
    pub fn ask(&mut self, node: usize, ask: Ask) {
        let from = self.at(node);
        let deadline = match &ask {
            Ask::Persist(..) => STORE_DEADLINE_US,
            Ask::Reserve(..) | Ask::Sweep(..) | Ask::Places(..) | Ask::Ended(_) => self.climate.sale_deadline_us,
            Ask::Known(..) => 500_000,
            _ => CALL_DEADLINE_US,
        };
        let (way, back) = (self.chance.within(100, 2500), self.chance.within(50, 800));
        let is_away = self.away_until_us > self.us() || self.nodes[node].cut_until_us > self.us();
        let mut call = Box::new(Call {
            from,
            ask,
            is_lost: true,
        });
        if is_away {
            // Refused at once, or nothing is heard at all.
            let (wait, reply) = if self.chance.percent(60) {
                (back, Reply::Unreached)
            } else {
                (deadline, Reply::Away)
            };
            self.after(wait, Task::Answer(call, reply));
            return;
        }
        if self.is_troubled() && matches!(call.ask, Ask::Reserve(..)) && self.chance.percent(self.climate.lost / 2) {
            // Rolled back: a lock was not to be had.
            self.after(way + back, Task::Answer(call, Reply::Busy));
            return;
        }
        let (lost, late) = (self.climate.lost, self.climate.late);
        let trouble = self.is_troubled();
        if trouble && self.chance.percent(lost) {
            // It is done, or it is not; whoever asked does not know.
            let lost_after = way + back + if self.chance.percent(50) { 0 } else { deadline };
            let again = Task::Answer(clone(&call), Reply::Away);
            if self.chance.percent(70) {
                self.after(way, Task::Execute(call));
            }
            self.after(lost_after, again);
        } else if trouble && self.chance.percent(late) {
            // A lock, a slow disk: past the deadline perhaps.
            let way = self.chance.within(way, deadline * 5 / 4);
            if way >= deadline {
                if let Ask::Reserve(_, asks, _) = &call.ask {
                    self.came_late.extend(asks.iter().map(|ask| ask.request));
                }
                self.after(deadline, Task::Answer(clone(&call), Reply::Away));
            } else {
                call.is_lost = false;
            }
            self.after(way, Task::Execute(call));
        } else {
            call.is_lost = false;
            self.after(way, Task::Execute(call));
        }
    }

    /// A question has reached the database.
    pub fn execute(&mut self, call: Box<Call>) {
        let (us, ms) = (self.us(), self.db_ms());
        let life = call.from.1;
        let reply = match &call.ask {
            Ask::Open => match self.db.acquire(life, us, ms) {
                Ok((epoch, rows)) => Reply::Opened(epoch, rows),
                Err(until_us) => Reply::Elsewhere(until_us),
            },
            Ask::Host(_, act) => Reply::Hosted(self.db.carry_out(act, ms)),
            Ask::Hold(_, held) => Reply::Held(self.db.hold(held)),
            Ask::Read(_, read) => Reply::Read(self.db.read(read.clone())),
            Ask::Own(..) => Reply::Done,
            Ask::Persist(entries, is_reject) => Reply::Stored(self.db.persist(entries, *is_reject)),
            Ask::Reactions(number, sums) => {
                self.db.add_reactions(life, *number, sums);
                Reply::Done
            }
            Ask::Look(marks) => {
                for (row, epoch) in marks {
                    self.db.mark(&[*row], *epoch);
                }
                Reply::Rows(self.db.undelivered())
            }
            Ask::Reserve(sale, asks, _) => Reply::Granted(self.db.shelf.reserve(self.db.stream, *sale, asks, ms)),
            Ask::Known(sale, _) => Reply::Known(self.db.shelf.known(*sale)),
            Ask::Sweep(sale, _) => Reply::Swept(self.db.shelf.sweep(self.db.stream, *sale, ms)),
            Ask::GiveUp(_, _, user, give, _) => Reply::GivenUp(self.db.give_up(*user, *give, ms)),
            Ask::Places(sale, _) => Reply::Places(self.db.shelf.places(*sale, WaitStatus::Waiting)),
            Ask::Overdue => {
                let (late, next) = self.db.shelf.overdue(ms);
                Reply::Overdue(late, next)
            }
            Ask::Ended(sale) => Reply::Places(self.db.shelf.places(*sale, WaitStatus::Ended)),
            Ask::Renew(epoch) => Reply::Renewed(self.db.renew(life, *epoch, us)),
        };
        if !call.is_lost {
            // What was read may be old when it arrives.
            let is_late = self.is_troubled() && self.chance.percent(self.climate.late);
            let back = self.chance.within(50, if is_late { 400_000 } else { 800 });
            self.after(back, Task::Answer(call, reply));
        }
    }

    /// An answer has come, or none in time.
    pub fn answer(&mut self, call: Call, reply: Reply) {
        let node = call.from.0;
        match (call.ask, reply) {
            (Ask::Open, Reply::Opened(epoch, rows)) => self.room_opens(node, epoch, *rows),
            (Ask::Open, Reply::Elsewhere(until_us)) => self.room_is_elsewhere(node, until_us),
            (Ask::Open, _) => self.room_gives_up(node, &ErrorCode::DatabaseUnavailable.into()),
            (Ask::Host(owner, _), reply) => self.hosted(node, owner, reply),
            (Ask::Hold(owner, held), reply) => {
                let result = match reply {
                    Reply::Held(result) => result,
                    _ => Err(ErrorCode::DatabaseUnavailable.into()),
                };
                self.with_core(node, Some(owner), |core, now| core.held(*held, result, now));
            }
            (Ask::Read(owner, read), reply) => {
                let reading = match reply {
                    Reply::Read(reading) => reading,
                    _ => unread(read),
                };
                self.with_core(node, Some(owner), |core, now| core.read(reading, now));
            }
            (Ask::Own(worker, slot, id), reply) => {
                self.own_read(node, worker, slot, id, matches!(reply, Reply::Done));
            }
            (Ask::Persist(..), Reply::Stored(tried)) => self.tried(node, tried),
            (Ask::Persist(..), _) => self.pause_storing(node),
            (Ask::Reactions(..), reply) => {
                self.nodes[node].is_storing = false;
                if matches!(reply, Reply::Done) {
                    self.nodes[node].sums.stored();
                }
                self.persist(node);
            }
            (ask @ (Ask::Reserve(..) | Ask::Known(..)), reply) => self.lane_answered(node, ask, reply),
            (Ask::Sweep(sale, asked), reply) => self.swept(node, sale, asked, reply),
            (ask @ Ask::GiveUp(..), reply) => self.given_up(node, &ask, reply),
            (Ask::Places(sale, version), reply) => self.line_read(node, sale, version, reply),
            (Ask::Ended(_), Reply::Places(ended)) => self.places_changed(node, &ended),
            (Ask::Ended(_), _) => {}
            (Ask::Overdue, reply) => self.strays_found(node, reply),
            (Ask::Look(marks), reply) => self.looked(node, marks, reply),
            (Ask::Renew(epoch), Reply::Renewed(is_ours)) => {
                if !is_ours {
                    self.post(node, |post| post.fenced = post.fenced.max(Some(epoch)));
                }
            }
            (Ask::Renew(_), _) => {}
        }
    }

    fn hosted(&mut self, node: usize, owner: u64, reply: Reply) {
        let result = match reply {
            Reply::Hosted(result) => result,
            _ => Err(ErrorCode::DatabaseUnavailable.into()),
        };
        let asker = self.nodes[node].owner(Some(owner)).and_then(|owner| owner.asker.take());
        if let Some(asker) = asker {
            self.with_core(node, Some(owner), |core, now| core.hosted(asker, result, now));
        }
    }

    /// The persister does what comes next, if it waits for nothing.
    pub fn persist(&mut self, node: usize) {
        let us = self.us();
        let here = &mut self.nodes[node];
        here.persist_called = false;
        if here.is_storing {
            return;
        }
        if here.work.is_none() {
            let batch = here.queue.take();
            here.work = (!batch.is_empty()).then(|| Work::new(batch));
        }
        let attempt = here.work.as_ref().and_then(Work::next);
        if let Some(attempt) = attempt {
            let ask = Ask::Persist(attempt.entries.to_vec(), attempt.cause.is_some());
            here.is_storing = true;
            self.ask(node, ask);
            return;
        }
        if here.reactions_due_us <= us {
            if here.sums.next().is_none() {
                let (sums, flushes) = here.queue.take_reactions();
                here.sums.take(sums, flushes);
                here.reactions_due_us = us + REACTIONS_EVERY_US;
            }
            if let Some((number, sums)) = here.sums.next() {
                let ask = Ask::Reactions(number, sums.to_vec());
                here.is_storing = true;
                here.reactions_due_us = us + REACTIONS_EVERY_US;
                self.ask(node, ask);
            }
        }
    }

    fn tried(&mut self, node: usize, tried: Tried) {
        let here = &mut self.nodes[node];
        here.is_storing = false;
        here.pause_us = FIRST_PAUSE_US;
        let Some(work) = &mut here.work else { return };
        let reports = work.tried(tried);
        if work.next().is_none() {
            here.queue.settle(work.batch());
            here.work = None;
        }
        for report in reports {
            trace!(self, "node {node} hears {report:?}");
            self.post(node, |post| match report {
                PersistReport::Committed { epoch, up_to, .. } => {
                    post.committed = post.committed.max(Some((epoch, up_to)));
                }
                PersistReport::Fenced { epoch, .. } => post.fenced = post.fenced.max(Some(epoch)),
                PersistReport::Rejected { epoch, seq, .. } => post.rejected.push((epoch, seq)),
            });
        }
        self.persist(node);
    }

    fn pause_storing(&mut self, node: usize) {
        let at = self.at(node);
        let here = &mut self.nodes[node];
        here.is_storing = false;
        let pause = here.pause_us;
        here.pause_us = (pause * 2).min(LONGEST_PAUSE_US);
        self.after(pause, Task::Persist(at));
    }

    /// The feed looks for outbox rows of the room, if it is here.
    pub fn look(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        if here.feed.is_looking || (here.feed.marks.is_empty() && !matches!(here.room, Room::Open(_))) {
            return;
        }
        here.feed.is_looking = true;
        let marks = std::mem::take(&mut here.feed.marks);
        self.ask(node, Ask::Look(marks));
    }

    fn looked(&mut self, node: usize, marks: Vec<(Uuid, i64)>, reply: Reply) {
        let us = self.us();
        let feed = &mut self.nodes[node].feed;
        feed.is_looking = false;
        let Reply::Rows(rows) = reply else {
            feed.marks.extend(marks);
            return;
        };
        feed.handed.retain(|_, at| us < *at + 1_000_000);
        let mut notices = Vec::new();
        for (row, notice) in rows {
            if let Entry::Vacant(entry) = feed.handed.entry(row) {
                entry.insert(us);
                notices.push((row, notice));
            }
        }
        if !notices.is_empty() {
            self.post(node, |post| post.notices.extend(notices));
        }
    }

    pub fn renew(&mut self, node: usize) {
        let at = self.at(node);
        self.after(2_000_000, Task::Renew(at));
        let epoch = self.nodes[node].owner(None).map(|owner| owner.epoch);
        if let Some(epoch) = epoch {
            self.ask(node, Ask::Renew(epoch));
        }
    }
}

/// The same question once more, for who only learns that there is no answer.
fn clone(call: &Call) -> Box<Call> {
    let ask = match &call.ask {
        Ask::Open => Ask::Open,
        Ask::Host(owner, act) => Ask::Host(*owner, act.clone()),
        Ask::Hold(owner, held) => Ask::Hold(*owner, held.clone()),
        Ask::Read(owner, read) => Ask::Read(*owner, read.clone()),
        Ask::Own(worker, slot, id) => Ask::Own(*worker, *slot, *id),
        Ask::Persist(entries, is_reject) => Ask::Persist(entries.clone(), *is_reject),
        Ask::Reactions(number, sums) => Ask::Reactions(*number, sums.clone()),
        Ask::Look(marks) => Ask::Look(marks.clone()),
        Ask::Reserve(sale, asks, asked) => Ask::Reserve(*sale, asks.clone(), *asked),
        Ask::Known(sale, version) => Ask::Known(*sale, *version),
        Ask::Sweep(sale, asked) => Ask::Sweep(*sale, *asked),
        Ask::GiveUp(conn, id, user, give, asked) => Ask::GiveUp(*conn, *id, *user, *give, *asked),
        Ask::Places(sale, version) => Ask::Places(*sale, *version),
        Ask::Ended(sale) => Ask::Ended(*sale),
        Ask::Overdue => Ask::Overdue,
        Ask::Renew(epoch) => Ask::Renew(*epoch),
    };
    Box::new(Call {
        from: call.from,
        ask,
        is_lost: true,
    })
}

/// The same reading, of a database that did not answer.
fn unread(read: Read) -> Reading {
    let away = || Refusal::from(ErrorCode::DatabaseUnavailable);
    match read {
        Read::Product(product, rows) => Reading::Product(product, rows, Err(away())),
        Read::LineUp(rows) => Reading::LineUp(rows, Err(away())),
        Read::Cover(rows) => Reading::Cover(rows, Err(away())),
        Read::Sale(sale, rows) => Reading::Sale(sale, rows, Err(away())),
        Read::Moderators(rows) => Reading::Moderators(rows, Err(away())),
        Read::Mute(row, user, made) => Reading::Mute(row, user, made, Err(away())),
        Read::Words(rows) => Reading::Words(rows, Err(away())),
        Read::Members(audience, users) => Reading::Members(audience, users, Err(away())),
        Read::Quote(user, message, _) => Reading::Quote(user, message, Err(away())),
        Read::Said(user, request) => Reading::Said(user, request, Err(away())),
        Read::Earlier(_) => Reading::Earlier(Err(away())),
        Read::Holds(row, user, _) => Reading::Holds(row, user, Err(away())),
    }
}
