//! Coming into a room on this worker: from the moment at which somebody is expected, what
//! is for them alone is kept for them; they are let in, in one turn, or leave no trace.

use std::rc::Rc;

use shared::error::{ErrorCode, Refusal};
use shared::protocol::{Millis, Position};

use super::Shard;
use crate::net::conn::{Conn, Ending, Joined};
use crate::types::Own;

impl Shard {
    /// Begins a join: from now on what is for this person alone is kept for them.
    pub fn expect(self: &Rc<Self>, conn: &Rc<Conn>) -> Joining {
        self.joining.set(self.joining.get() + 1);
        self.empty_since.set(None);
        conn.hold_back();
        if let Some(user) = conn.identity().and_then(|identity| identity.user()) {
            self.people.borrow_mut().entry(user).or_default().push(conn.clone());
        }
        Joining {
            shard: self.clone(),
            conn: conn.clone(),
            joined: false,
        }
    }
}

/// A join under way; dropped without [`Joining::admit`] it leaves nothing behind.
pub struct Joining {
    shard: Rc<Shard>,
    conn: Rc<Conn>,
    joined: bool,
}

impl Joining {
    /// Lets the viewer in, in one turn: answered from the shard's own copy at its head,
    /// or at `since` if everything after it is at hand, and numbered events go on from
    /// exactly there. Without a `since` that serves, `own` business is shown
    /// with the snapshot. Whether there was a snapshot.
    ///
    /// # Errors
    /// Why the room is not there, or `RoomUnavailable` to a connection that has begun to
    /// end meanwhile: nobody would take it out again.
    pub fn admit(mut self, id: u64, since: Option<Position>, own: Own, now: Millis) -> Result<bool, Refusal> {
        let (shard, conn) = (self.shard.clone(), self.conn.clone());
        if conn.ending() != Ending::No {
            return Err(ErrorCode::RoomUnavailable.into());
        }
        let user = conn.identity().and_then(|identity| identity.user());
        let (welcome, seq) = shard.with_mirror(|_, mirror| {
            let welcome = mirror.welcome(id, since, user, own, now);
            (welcome, mirror.log().head().seq)
        })?;
        let count = conn.joined.get().count.wrapping_add(1);
        conn.joined.set(Joined { count, seq });
        self.joined = true;
        shard.entered(&conn);
        {
            let mut members = shard.members.borrow_mut();
            conn.member.set(members.len());
            members.push(conn.clone());
            shard.count_deflate(&conn, |count| count + 1);
        }
        shard.rounds.borrow_mut().joined();
        conn.enter(Some(shard.clone()), None);
        conn.send_all(&welcome.answer);
        conn.enter(Some(shard.clone()), Some(welcome.place));
        conn.release();
        conn.pump(None);
        drop(self);
        shard.count();
        Ok(welcome.has_snapshot)
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.shard.joining.set(self.shard.joining.get().saturating_sub(1));
        if !self.joined {
            self.shard.forget(&self.conn);
            self.conn.release();
            self.shard.count();
        }
    }
}
