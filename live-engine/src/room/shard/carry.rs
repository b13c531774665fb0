//! Carrying what the room says to a shard's viewers: a tick is taken, and the shard goes
//! round until everybody has it.
//!
//! Whose turn it is and when is decided in [`crate::room::rounds`]; here is what a turn does,
//! and the task that takes them.

use std::rc::Rc;
use std::time::{Duration, Instant};

use shared::error::ErrorCode;

use super::Shard;
use crate::metrics;
use crate::room::batch::Batch;
use crate::room::log::Passing;
use crate::room::mirror::Taken;

/// How long a sweep goes on before it lets others go first.
const SWEEP_SLICE: Duration = Duration::from_micros(500);
/// After how many viewers a sweep looks at the clock.
const CLOCK_EVERY: usize = 16;
/// The show is over: there is nothing to come back to.
pub const SHOW_OVER: u16 = 4502;

impl Shard {
    /// Takes a tick of the room. False: it does not follow what is here.
    pub fn take(self: &Rc<Self>, batch: &Batch) -> bool {
        if self.with(|_| ()).is_err() {
            return true;
        }
        let taken = self.mirror.borrow_mut().as_mut().map(|mirror| mirror.take(batch));
        match taken {
            Some(Taken::Gap) => return false,
            Some(Taken::Foreign) | None => return true,
            Some(Taken::Passing | Taken::Numbered) => {}
        }
        if batch.encoded.has_ephemeral() {
            self.passed.set(self.passed.get() + 1);
            *self.passing.borrow_mut() = Some(batch.encoded.clone());
        }
        metrics::delivered(batch.events.len() as u64 * self.members.borrow().len() as u64);
        self.sweep();
        true
    }

    /// Everybody may lack something: goes round the viewers until nobody does.
    pub(super) fn sweep(self: &Rc<Self>) {
        let members = self.members.borrow().len();
        self.rounds.borrow_mut().news(members, Instant::now());
        if self.sweeping.replace(true) {
            return;
        }
        let shard = self.clone();
        actix_rt::spawn(async move {
            while !shard.rounds.borrow().at_rest() {
                let members = shard.members.borrow().len();
                let rest = shard.rounds.borrow_mut().rest(members, Instant::now());
                match rest {
                    Some(rest) => tokio::time::sleep(rest).await,
                    None => {
                        shard.sweep_slice();
                        tokio::task::yield_now().await;
                    }
                }
            }
            shard.sweeping.set(false);
            shard.passing.replace(None);
            if let Some(log) = shard.log() {
                log.forget_runs();
            }
        });
    }

    /// Visits viewers for a slice of time.
    fn sweep_slice(&self) {
        let begun = Instant::now();
        let (members, passing) = (self.members.borrow(), self.passing.borrow());
        let passing = passing.as_deref().map(|tick| Passing {
            number: self.passed.get(),
            tick,
        });
        let (mut visits, mut writes) = (0_usize, 0);
        while let Some(place) = self.next_place(members.len()) {
            if let Some(conn) = members.get(place) {
                writes += usize::from(conn.pump(passing));
            }
            visits += 1;
            if visits.is_multiple_of(CLOCK_EVERY) && begun.elapsed() >= SWEEP_SLICE {
                break;
            }
        }
        let now = Instant::now();
        let round = self.rounds.borrow_mut().worked(writes, now - begun, members.len(), now);
        if let Some(round) = round {
            metrics::round(round);
            // What counts is the sweep's own time: a busy worker does not make a slow room.
            let _ = self.with(|open| open.load.set_sweep(self.worker, round.sweep));
        }
    }

    fn next_place(&self, members: usize) -> Option<usize> {
        self.rounds.borrow_mut().visit(members)
    }

    /// The show is over: everybody is sent away for good, in slices like a sweep.
    pub fn farewell(self: &Rc<Self>) {
        let members = self.members.borrow().clone();
        actix_rt::spawn(async move {
            for some in members.chunks(CLOCK_EVERY) {
                for conn in some {
                    conn.refuse(ErrorCode::ShowOver.into(), SHOW_OVER);
                }
                tokio::task::yield_now().await;
            }
        });
    }
}
