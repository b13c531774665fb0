//! A room as one worker knows it: a copy of its state that is exact at the head of its
//! recent frames. What a shard decides is decided here: what a viewer who joins is told
//! and from where on they follow, and whether a tick follows what is here.
//!
//! Pure: no IO and no clock.

use std::sync::Arc;

use shared::error::Refusal;
use shared::ids::UserId;
use shared::protocol::{Millis, Outcome, Position, Private, Standing};

use super::batch::Batch;
use super::log::RoomLog;
use super::powers::Powers;
use super::state::{Doors, RoomState, Watching};
use crate::types::Own;

/// See the module.
pub struct Mirror {
    state: RoomState,
    powers: Arc<Powers>,
    log: RoomLog,
    /// Who is in the room, as last counted.
    watching: Watching,
}

/// What became of a tick.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Its events are in the log now.
    Numbered,
    /// It holds only what may be missed.
    Passing,
    /// It is of another epoch, and nothing was taken.
    Foreign,
    /// It does not follow what is here, and nothing was taken: something was missed.
    Gap,
}

/// How a viewer comes in.
#[derive(Clone, PartialEq, Debug)]
pub struct Welcome {
    /// What they are told before anything else.
    pub answer: Vec<Private>,
    /// The first tick that they get.
    pub place: u64,
    /// Whether the answer has a snapshot, or everything that was missed follows.
    pub has_snapshot: bool,
}

impl Mirror {
    /// A room as it is: its state at the head of `log`.
    #[must_use]
    pub const fn new(state: RoomState, powers: Arc<Powers>, log: RoomLog, watching: Watching) -> Self {
        Self {
            state,
            powers,
            log,
            watching,
        }
    }

    /// The recent frames.
    #[must_use]
    pub const fn log(&self) -> &RoomLog {
        &self.log
    }

    /// The room's epoch.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.log.head().epoch
    }

    /// Whose show it is.
    #[must_use]
    pub const fn host(&self) -> UserId {
        self.state.host()
    }

    /// The room at the head of the frames.
    #[must_use]
    pub const fn state(&self) -> &RoomState {
        &self.state
    }

    /// Who may do what, as the room said last.
    #[must_use]
    pub fn powers(&self) -> &Powers {
        &self.powers
    }

    /// The room has said so anew.
    pub fn empower(&mut self, powers: Arc<Powers>) {
        self.powers = powers;
    }

    /// Whether somebody may come in now.
    ///
    /// # Errors
    /// As [`RoomState::admits`].
    pub fn admits(&self, is_host: bool, doors: Doors, now: Millis) -> Result<(), Refusal> {
        self.state.admits(is_host, doors, now)
    }

    /// Whether everything after `since` is at hand.
    #[must_use]
    pub fn has_all_after(&self, since: Position) -> bool {
        self.log.after(since).is_some()
    }

    /// Takes the same room in as it is later; an earlier one changes nothing. Viewers keep
    /// their places: ticks are numbered through the whole epoch.
    pub fn catch_up(&mut self, later: Self) {
        let (here, there) = (self.log.head(), later.log.head());
        if here.epoch == there.epoch && here.seq < there.seq {
            *self = later;
        }
    }

    /// Takes a tick of the room in.
    #[must_use]
    pub fn take(&mut self, batch: &Batch) -> Taken {
        if batch.epoch != self.epoch() {
            return Taken::Foreign;
        }
        self.watching = batch.watching;
        if batch.events.is_empty() {
            return Taken::Passing;
        }
        if !self.log.push(batch.encoded.clone()) {
            return Taken::Gap;
        }
        for (event, at) in &*batch.events {
            self.state.evolve(event, *at);
        }
        Taken::Numbered
    }

    /// Welcomes a viewer whose join has this id: at `since` if everything after it is at
    /// hand, otherwise at the head with a snapshot, in which `own` business is
    /// shown. Numbered events go on from exactly there. An account is told its standing
    /// either way, in the snapshot or, if it is not nothing, beside what was missed.
    #[must_use]
    pub fn welcome(&self, id: u64, since: Option<Position>, user: Option<UserId>, own: Own, now: Millis) -> Welcome {
        let standing = user.map(|user| self.powers.standing(user, now)).unwrap_or_default();
        let joined = |at| Private::Reply {
            id,
            outcome: Outcome::Joined(at),
        };
        if let Some((since, place)) = since.and_then(|since| Some((since, self.log.after(since)?))) {
            let mut answer = vec![joined(since)];
            if standing != Standing::default() {
                answer.push(Private::Standing(standing));
            }
            return Welcome {
                answer,
                place,
                has_snapshot: false,
            };
        }
        let head = self.log.head();
        // Whoever is welcomed is there.
        let watching = Watching {
            viewers: self.watching.viewers.max(1),
            people: self.watching.people.max(1),
        };
        let snapshot = self.state.snapshot(head, now, watching, own, standing);
        let resynced = since.map(|_| Private::Resynced);
        let answer = [joined(head)].into_iter().chain(resynced);
        Welcome {
            answer: answer.chain([Private::Snapshot(Box::new(snapshot))]).collect(),
            place: self.log.next(),
            has_snapshot: true,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::{Duration, Instant};

    use shared::ids::StreamId;
    use shared::protocol::{ChatRules, RoomEvent, StreamCard};
    use shared::status::StreamStatus;

    use super::*;
    use crate::room::log::LogLimits;
    use crate::room::state::Beginning;

    /// A room in which nothing has happened.
    pub(crate) fn mirror(epoch: i64) -> Mirror {
        let stream = StreamCard {
            id: StreamId::new(),
            title: "A show".into(),
            shop: "A shop".into(),
            cover_url: String::new(),
            status: StreamStatus::Live,
            scheduled_at: 0,
            started_at: None,
            ended_at: None,
            host_away: None,
        };
        let state = RoomState::new(Beginning {
            stream,
            host: UserId::new(),
            featured: None,
            sales: vec![],
            line_up: vec![],
            rules: ChatRules::default(),
            chat: vec![],
            pinned: None,
        });
        let limits = LogLimits {
            bytes: 1024,
            age: Duration::from_secs(60),
        };
        let powers = Arc::new(Powers::new(UserId::new(), vec![], vec![]));
        Mirror::new(state, powers, RoomLog::new(epoch, 0, limits), Watching::default())
    }

    fn batch(epoch: i64, from: u64, events: usize) -> Batch {
        let events = vec![(RoomEvent::Unfeatured, 1); events];
        Batch::encode(epoch, from, events, vec![], Watching::default(), 1, Instant::now()).expect("encodes")
    }

    #[test]
    fn only_what_follows_is_taken() {
        let mut mirror = mirror(2);
        assert_eq!(mirror.take(&batch(1, 1, 1)), Taken::Foreign);
        assert_eq!(mirror.take(&batch(2, 1, 2)), Taken::Numbered);
        assert_eq!(mirror.take(&batch(2, 4, 1)), Taken::Gap);
        assert_eq!(mirror.take(&batch(2, 1, 1)), Taken::Gap);
        assert_eq!(mirror.take(&batch(2, 3, 0)), Taken::Passing);
        assert_eq!(mirror.log().head(), Position { epoch: 2, seq: 2 });
    }

    #[test]
    fn a_room_that_was_asked_for_twice_is_taken_as_it_is_later() {
        let [mut early, mut late] = [mirror(2), mirror(2)];
        for from in 1..=3 {
            assert_eq!(late.take(&batch(2, from, 1)), Taken::Numbered);
        }
        assert_eq!(early.take(&batch(2, 1, 1)), Taken::Numbered);
        let place = early.log().next();
        early.catch_up(late);
        let variant = crate::room::log::Variant::plain(shared::protocol::Format::Json);
        let read = early.log().read(place, variant, None, |_| ());
        assert!(
            matches!(read, crate::room::log::Read::Run { end, .. } if end == place + 2),
            "{read:?}"
        );
        assert_eq!(early.take(&batch(2, 4, 1)), Taken::Numbered);
        early.catch_up(mirror(2));
        assert_eq!(early.log().head(), Position { epoch: 2, seq: 4 });
    }

    #[test]
    fn who_comes_back_goes_on_exactly_there_or_is_told() {
        let mut mirror = mirror(2);
        for from in 1..=3 {
            assert_eq!(mirror.take(&batch(2, from, 1)), Taken::Numbered);
        }
        let welcome = |epoch, seq| mirror.welcome(7, Some(Position { epoch, seq }), None, Own::default(), 9);
        let replayed = welcome(2, 1);
        assert_eq!(
            (replayed.place, replayed.has_snapshot, replayed.answer.len()),
            (1, false, 1)
        );
        for (epoch, seq) in [(1, 1), (2, 4)] {
            let welcome = welcome(epoch, seq);
            assert_eq!((welcome.place, welcome.has_snapshot), (3, true));
            assert!(matches!(
                welcome.answer[..],
                [_, Private::Resynced, Private::Snapshot(_)]
            ));
        }
        let first = mirror.welcome(7, None, None, Own::default(), 9);
        assert!(matches!(
            first.answer[..],
            [Private::Reply { .. }, Private::Snapshot(_)]
        ));
    }
}
