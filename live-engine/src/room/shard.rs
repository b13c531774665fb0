//! A room on one worker: the viewers that are connected here, and the room as this worker
//! knows it, its [`Mirror`].
//!
//! A shard decides nothing. It answers joins from its mirror, and when a tick has come it
//! goes round its viewers: it writes to one after the other what they lack, all in one
//! write, and lets others go first every half millisecond. A tick that comes meanwhile
//! changes nothing but how much those get whose turn is still to come, and who is last.

mod carry;
mod join;

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Addr;
use actix::prelude::SendError;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, StreamId, UserId};
use shared::protocol::{HostCommand, Millis, Position, Private};
use shared::token::Part;
use tokio::sync::oneshot;

use super::log::{Encoded, RoomLog};
use super::mirror::Mirror;
use super::powers::Powers;
use super::rounds::Rounds;
use super::state::Doors;
use super::tick::Tempo;
use super::{Detach, React, Room};
use crate::net::conn::Conn;
use crate::own::News;
use crate::router::{Attached, Load};

pub use carry::SHOW_OVER;
pub use join::Joining;

/// How long reactions are summed up before they go to the room.
const REACTIONS_EVERY: Duration = Duration::from_millis(100);
/// Reactions of a room's viewers here that are taken in that time: more than a crowd
/// presses, and less than a crowd of made-up guests could.
const MAX_REACTIONS: u64 = 5_000;
/// The room has moved or cannot be reached: come back and resume.
const MOVED: u16 = 4000;

enum Phase {
    /// The room has been asked; these wait for it.
    Opening(Vec<oneshot::Sender<Result<(), Refusal>>>),
    Open(Open),
    Closed(Refusal),
}

/// Where a shard's room is.
struct Open {
    room: Addr<Room>,
    load: Arc<Load>,
    news: Arc<News>,
    seller: SellerId,
}

/// See the module.
pub struct Shard {
    worker: u16,
    stream: StreamId,
    phase: RefCell<Phase>,
    /// There from when it is open, and still when it is closed: what has begun is finished.
    mirror: RefCell<Option<Mirror>>,
    members: RefCell<Vec<Rc<Conn>>>,
    /// How many of them may read compressed, in the order of `Format::ALL`.
    deflate: Cell<[u32; 2]>,
    /// The connections of each account, those that are joining included.
    people: RefCell<HashMap<UserId, Vec<Rc<Conn>>>>,
    /// Joins under way.
    joining: Cell<usize>,
    /// The newest tick that may be missed, and its number.
    passing: RefCell<Option<Arc<Encoded>>>,
    passed: Cell<u64>,
    rounds: RefCell<Rounds>,
    sweeping: Cell<bool>,
    reactions: RefCell<BTreeMap<&'static str, u64>>,
    empty_since: Cell<Option<Instant>>,
}

impl Shard {
    /// A shard whose room has been asked for.
    #[must_use]
    pub fn new(worker: u16, stream: StreamId) -> Rc<Self> {
        Rc::new(Self {
            worker,
            stream,
            phase: RefCell::new(Phase::Opening(Vec::new())),
            mirror: RefCell::default(),
            members: RefCell::default(),
            deflate: Cell::default(),
            people: RefCell::default(),
            joining: Cell::new(0),
            passing: RefCell::default(),
            passed: Cell::new(0),
            rounds: RefCell::new(Rounds::new(Tempo::default(), Instant::now())),
            sweeping: Cell::new(false),
            reactions: RefCell::default(),
            empty_since: Cell::new(Some(Instant::now())),
        })
    }

    /// The room's recent frames, once it was open.
    pub fn log(&self) -> Option<Ref<'_, RoomLog>> {
        Ref::filter_map(self.mirror.borrow(), |mirror| mirror.as_ref().map(Mirror::log)).ok()
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> StreamId {
        self.stream
    }

    /// The epoch, once it is open.
    #[must_use]
    pub fn epoch(&self) -> Option<i64> {
        self.with_mirror(|_, mirror| mirror.epoch()).ok()
    }

    /// Whether the room has not answered yet.
    #[must_use]
    pub fn is_opening(&self) -> bool {
        matches!(&*self.phase.borrow(), Phase::Opening(_))
    }

    /// Whether the room has ended without a word: one that ends while a worker takes no
    /// more cannot tell it.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.with(|open| !open.room.connected()).unwrap_or(false)
    }

    /// Waits until the room is there.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn ready(&self) -> Result<(), Refusal> {
        let opened = match &mut *self.phase.borrow_mut() {
            Phase::Open(_) => return Ok(()),
            Phase::Closed(refusal) => return Err(refusal.clone()),
            Phase::Opening(waiting) => {
                let (sender, opened) = oneshot::channel();
                waiting.push(sender);
                opened
            }
        };
        opened.await.unwrap_or_else(|_| Err(ErrorCode::RoomUnavailable.into()))
    }

    /// The room is there.
    pub fn attached(self: &Rc<Self>, attached: Attached) {
        if self.epoch() == Some(attached.mirror.epoch()) {
            // Asked for twice. In between the room may have spoken without this worker.
            if let Some(mirror) = &mut *self.mirror.borrow_mut() {
                mirror.catch_up(attached.mirror);
            }
            self.sweep();
            return;
        }
        self.mirror.replace(Some(attached.mirror));
        self.rounds.replace(Rounds::new(attached.load.tempo(), Instant::now()));
        let open = Phase::Open(Open {
            room: attached.room,
            load: attached.load,
            news: attached.news,
            seller: attached.seller,
        });
        if let Phase::Opening(waiting) = self.phase.replace(open) {
            for waiting in waiting {
                // Somebody who has given up needs no answer.
                let _ = waiting.send(Ok(()));
            }
        }
        self.count();
    }

    /// The room is not there any more: viewers are sent away to come back.
    pub fn close(&self, refusal: &Refusal) {
        let members = std::mem::take(&mut *self.members.borrow_mut());
        for conn in &members {
            self.left(conn);
        }
        // The room may go on elsewhere; a shard that is not open counts for nothing.
        let _ = self.with(|open| open.load.set_viewers(self.worker, 0));
        if let Phase::Opening(waiting) = self.phase.replace(Phase::Closed(refusal.clone())) {
            for waiting in waiting {
                // Somebody who has given up needs no answer.
                let _ = waiting.send(Err(refusal.clone()));
            }
        }
        self.people.borrow_mut().clear();
        for conn in members {
            conn.enter(None, None);
            conn.close(MOVED, "the room has moved");
        }
    }

    /// Does something with the open room.
    ///
    /// # Errors
    /// Why it is not there.
    fn with<T>(&self, act: impl FnOnce(&Open) -> T) -> Result<T, Refusal> {
        match &*self.phase.borrow() {
            Phase::Open(open) => Ok(act(open)),
            Phase::Closed(refusal) => Err(refusal.clone()),
            Phase::Opening(_) => Err(ErrorCode::RoomUnavailable.into()),
        }
    }

    /// Does something with the open room as it is known here.
    ///
    /// # Errors
    /// Why it is not there.
    fn with_mirror<T>(&self, act: impl FnOnce(&Open, &Mirror) -> T) -> Result<T, Refusal> {
        let mirror = self.mirror.borrow();
        let mirror = mirror.as_ref().ok_or(ErrorCode::RoomUnavailable);
        self.with(|open| Ok(act(open, mirror?)))?
    }

    /// The room's actor and whose show it is.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn room(&self) -> Result<(Addr<Room>, UserId), Refusal> {
        self.with_mirror(|open, mirror| (open.room.clone(), mirror.host()))
    }

    /// Whose shop's show it is, once it is open.
    #[must_use]
    pub fn seller(&self) -> Option<SellerId> {
        self.with(|open| open.seller).ok()
    }

    /// Whether somebody is the host or a moderator, as far as it is known here.
    #[must_use]
    pub fn runs_the_show(&self, user: UserId) -> bool {
        self.with_mirror(|_, mirror| mirror.powers().runs_the_show(user))
            .unwrap_or(false)
    }

    /// Whether a command is open to this person, as far as it is known here.
    ///
    /// # Errors
    /// `Forbidden`, or why the room is not there.
    pub fn permit(&self, user: UserId, command: &HostCommand, now: Millis) -> Result<(), Refusal> {
        self.with_mirror(|_, mirror| mirror.powers().permit(user, command, now))?
    }

    /// The room has said anew who may do what.
    pub fn empower(&self, epoch: i64, powers: Arc<Powers>) {
        if let Some(mirror) = self.mirror.borrow_mut().as_mut()
            && mirror.epoch() == epoch
        {
            mirror.empower(powers);
        }
    }

    /// Whether everything after `since` is at hand.
    #[must_use]
    pub fn has_all_after(&self, since: Position) -> bool {
        self.with_mirror(|_, mirror| mirror.has_all_after(since))
            .unwrap_or(false)
    }

    /// Whether somebody who comes back to this place has heard all private news of theirs.
    #[must_use]
    pub fn has_no_news_for(&self, user: UserId, since: Position) -> bool {
        self.with_mirror(|open, mirror| {
            let heard = mirror.log().made_at(since);
            heard.is_some_and(|heard| open.news.has_none_for(user, heard))
        })
        .unwrap_or(false)
    }

    /// Somebody of this room has asked for something that only they will hear of.
    pub fn note_news(&self, user: UserId) {
        // Without a room nothing comes of it.
        let _ = self.with(|open| open.news.note([user], Instant::now()));
    }

    /// Reactions, to be passed on with those of others. What was taken is counted: a room
    /// that takes no more for now is asked again.
    ///
    /// # Errors
    /// `RateLimited` when it is too much of all together.
    pub fn react(self: &Rc<Self>, kind: &'static str, count: u32) -> Result<(), Refusal> {
        let first = {
            let mut reactions = self.reactions.borrow_mut();
            if reactions.values().sum::<u64>() + u64::from(count) > MAX_REACTIONS {
                let retry_ms = REACTIONS_EVERY.as_millis() as u64;
                return Err(Refusal::from(ErrorCode::RateLimited).retry_after_ms(retry_ms));
            }
            let first = reactions.is_empty();
            *reactions.entry(kind).or_insert(0) += u64::from(count);
            first
        };
        if first {
            let shard = self.clone();
            actix_rt::spawn(async move {
                loop {
                    tokio::time::sleep(REACTIONS_EVERY).await;
                    if shard.pass_on_reactions() {
                        return;
                    }
                }
            });
        }
        Ok(())
    }

    /// Passes reactions on to the room; false when it takes no more for now, and they wait.
    pub fn pass_on_reactions(&self) -> bool {
        let counts = self.reactions.take();
        if counts.is_empty() {
            return true;
        }
        match self.with(|open| open.room.try_send(React(counts))) {
            Ok(Err(SendError::Full(React(counts)))) => {
                let mut waiting = self.reactions.borrow_mut();
                for (kind, count) in counts {
                    *waiting.entry(kind).or_insert(0) += count;
                }
                false
            }
            // A room that is gone counts nothing any more; its viewers are sent away.
            Ok(Ok(()) | Err(SendError::Closed(_))) | Err(_) => true,
        }
    }

    /// Tells a person something, on all their connections here.
    pub fn tell(&self, user: UserId, message: &Private) {
        let conns = self.people.borrow().get(&user).cloned();
        for conn in conns.into_iter().flatten() {
            conn.tell(message);
        }
    }

    /// Takes a viewer out.
    pub fn leave(&self, conn: &Rc<Conn>) {
        conn.enter(None, None);
        conn.release();
        self.forget(conn);
        let mut members = self.members.borrow_mut();
        let place = conn.member.replace(usize::MAX);
        if members.get(place).is_some_and(|member| Rc::ptr_eq(member, conn)) {
            members.swap_remove(place);
            self.left(conn);
            self.count_deflate(conn, |count| count.saturating_sub(1));
            if let Some(moved) = members.get(place) {
                moved.member.set(place);
            }
            self.rounds.borrow_mut().parted(members.len());
        }
        drop(members);
        self.count();
    }

    fn forget(&self, conn: &Rc<Conn>) {
        let Some(user) = conn.identity().and_then(|identity| identity.user()) else {
            return;
        };
        let mut people = self.people.borrow_mut();
        if let Some(conns) = people.get_mut(&user) {
            conns.retain(|other| !Rc::ptr_eq(other, conn));
            if conns.is_empty() {
                people.remove(&user);
            }
        }
    }

    /// The part in which a connection is in this room: as its host or not.
    fn is_host(&self, conn: &Conn) -> bool {
        let Some(who) = conn.identity() else { return false };
        let host = self.with_mirror(|_, mirror| mirror.host());
        who.part == Part::Host && host.is_ok_and(|host| who.user() == Some(host))
    }

    fn entered(&self, conn: &Conn) {
        let Some(who) = conn.identity() else { return };
        let host = self.is_host(conn).then_some(conn.id);
        // A shard that is not open counts nobody.
        let _ = self.with(|open| open.load.presence.enter(&who.viewer, host));
    }

    fn left(&self, conn: &Conn) {
        if let Some(who) = conn.identity() {
            // As above.
            let _ = self.with(|open| open.load.presence.leave(&who.viewer, conn.id));
        }
    }

    /// A connection that is here has another token: it may be the host's now.
    pub fn renewed(&self, conn: &Conn) {
        if self.is_host(conn) {
            let _ = self.with(|open| open.load.presence.host_here(conn.id));
        }
    }

    /// Whether somebody may come in now.
    ///
    /// # Errors
    /// As [`super::state::RoomState::admits`], or why the room is not there.
    pub fn admits(&self, conn: &Conn, doors: Doors, now: Millis) -> Result<(), Refusal> {
        let is_host = self.is_host(conn);
        self.with_mirror(|_, mirror| mirror.admits(is_host, doors, now))?
    }

    fn count_deflate(&self, conn: &Conn, change: impl Fn(u32) -> u32) {
        if conn.deflate.get() {
            let mut counts = self.deflate.get();
            let count = &mut counts[conn.format.get() as usize];
            *count = change(*count);
            self.deflate.set(counts);
            let wanted = counts.map(|count| count > 0);
            // A shard that is not open wants nothing.
            let _ = self.with(|open| open.load.set_deflate(self.worker, wanted));
        }
    }

    fn count(&self) {
        let viewers = self.members.borrow().len();
        if viewers == 0 && self.joining.get() == 0 {
            self.empty_since
                .set(Some(self.empty_since.get().unwrap_or_else(Instant::now)));
        } else {
            self.empty_since.set(None);
        }
        // A shard that is not open counts for nothing.
        let _ = self.with(|open| open.load.set_viewers(self.worker, viewers));
    }

    /// Tells the room that nobody has been here for `idle`; true when the shard may go.
    #[must_use]
    pub fn detach_if_idle(&self, idle: Duration) -> bool {
        if self.empty_since.get().is_none_or(|since| since.elapsed() < idle) {
            return false;
        }
        match self.with(|open| open.room.try_send(Detach { worker: self.worker })) {
            Ok(Ok(())) | Err(_) => true,
            // It is told next time. A room that has ended needs not be told.
            Ok(Err(SendError::Full(_))) => false,
            Ok(Err(SendError::Closed(_))) => true,
        }
    }
}
