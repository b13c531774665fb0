//! A batch on its way to the database: what is tried next, and what an attempt's outcome
//! means for the rooms. Pure; the attempts are the writer's.

use std::collections::BTreeMap;
use std::ops::Range;

use shared::ids::StreamId;

use super::Entry;
use crate::types::PersistReport;

/// See the module. A part that the database refuses is halved until the one bad row is
/// found and set aside; parts are settled from the oldest to the youngest, so that a
/// prefix is stored always.
pub struct Work {
    batch: Vec<Entry>,
    /// What is not settled yet, the oldest last.
    parts: Vec<Range<usize>>,
    /// Why the one row that comes next is refused.
    cause: Option<String>,
}

/// One transaction to try.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Whose rows to write, each only if its epoch still has its room.
    pub entries: &'a [Entry],
    /// With a cause, they are written among the rejects.
    pub cause: Option<&'a str>,
}

/// What an attempt came to, if it is not simply to be made again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tried {
    /// It is committed; these were the rooms' epochs.
    Stored(BTreeMap<StreamId, i64>),
    /// The database refuses something in it for good, and nothing is stored.
    Refused(String),
}

impl Work {
    /// Begins with a batch.
    #[must_use]
    pub fn new(batch: Vec<Entry>) -> Self {
        let all = 0..batch.len();
        let parts = if all.is_empty() { Vec::new() } else { Vec::from([all]) };
        Self {
            batch,
            parts,
            cause: None,
        }
    }

    /// Everything in the batch.
    #[must_use]
    pub fn batch(&self) -> &[Entry] {
        &self.batch
    }

    /// The attempt to make, until [`Self::tried`] is told of it; `None` when all is done.
    #[must_use]
    pub fn next(&self) -> Option<Attempt<'_>> {
        let part = self.parts.last()?;
        Some(Attempt {
            entries: &self.batch[part.clone()],
            cause: self.cause.as_deref(),
        })
    }

    /// Takes in what the attempt came to; what the rooms are to hear.
    #[must_use]
    pub fn tried(&mut self, outcome: Tried) -> Vec<PersistReport> {
        let Some(part) = self.parts.pop() else {
            return Vec::new();
        };
        let entries = &self.batch[part.clone()];
        match (outcome, self.cause.take()) {
            (Tried::Stored(epochs), None) => stored(entries, &epochs),
            (Tried::Stored(epochs), Some(_)) => {
                rejected(entries, |entry| epochs.get(&entry.stream) == Some(&entry.epoch))
            }
            (Tried::Refused(_), None) if entries.len() > 1 => {
                let middle = part.start + entries.len() / 2;
                self.parts.push(middle..part.end);
                self.parts.push(part.start..middle);
                Vec::new()
            }
            (Tried::Refused(cause), None) => {
                self.parts.push(part);
                self.cause = Some(cause);
                Vec::new()
            }
            // Not even as a reject: the log is the last place that can keep it.
            (Tried::Refused(error), Some(cause)) => {
                tracing::error!(%error, cause, ?entries, "an event cannot be kept in persist_rejects either");
                rejected(entries, |_| true)
            }
        }
    }
}

fn stored(entries: &[Entry], epochs: &BTreeMap<StreamId, i64>) -> Vec<PersistReport> {
    let mut rooms: BTreeMap<(StreamId, i64), u64> = BTreeMap::new();
    for entry in entries {
        let up_to = rooms.entry((entry.stream, entry.epoch)).or_default();
        *up_to = (*up_to).max(entry.seq);
    }
    let report = |((stream, epoch), up_to)| {
        if epochs.get(&stream) == Some(&epoch) {
            PersistReport::Committed { stream, epoch, up_to }
        } else {
            PersistReport::Fenced { stream, epoch }
        }
    };
    rooms.into_iter().map(report).collect()
}

fn rejected(entries: &[Entry], is_ours: impl Fn(&Entry) -> bool) -> Vec<PersistReport> {
    let report = |entry: &Entry| {
        let (stream, epoch, seq) = (entry.stream, entry.epoch, entry.seq);
        if is_ours(entry) {
            PersistReport::Rejected { stream, epoch, seq }
        } else {
            PersistReport::Fenced { stream, epoch }
        }
    };
    entries.iter().map(report).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use shared::protocol::RoomEvent;

    use super::*;
    use crate::persist::Row;

    fn batch(stream: StreamId, count: u64) -> Vec<Entry> {
        let entry = |seq| Entry {
            stream,
            epoch: 1,
            seq,
            at: chrono::DateTime::default(),
            row: Row::Event(RoomEvent::Unfeatured),
            outbox: Vec::new(),
        };
        (1..=count).map(entry).collect()
    }

    proptest! {
        #[test]
        fn whatever_is_refused_everything_is_settled_once_and_in_order(
            count in 1_u64..80, bad in prop::collection::btree_set(1_u64..80, 0..6)
        ) {
            let stream = StreamId::new();
            let mut work = Work::new(batch(stream, count));
            let bad: BTreeSet<u64> = bad.into_iter().filter(|seq| *seq <= count).collect();
            let (mut settled, mut rejects, mut attempts) = (0, BTreeSet::new(), 0_usize);
            while let Some(attempt) = work.next() {
                attempts += 1;
                prop_assert_eq!(attempt.entries.first().map(|entry| entry.seq), Some(settled + 1), "nothing is passed over");
                let has_bad = attempt.entries.iter().any(|entry| bad.contains(&entry.seq));
                let outcome = if has_bad && attempt.cause.is_none() {
                    Tried::Refused("bad".into())
                } else {
                    Tried::Stored(BTreeMap::from([(stream, 1)]))
                };
                for report in work.tried(outcome) {
                    match report {
                        PersistReport::Committed { up_to, .. } => {
                            prop_assert!(up_to > settled);
                            prop_assert!(!(settled + 1..=up_to).any(|seq| bad.contains(&seq)));
                            settled = up_to;
                        }
                        PersistReport::Rejected { seq, .. } => {
                            prop_assert_eq!(seq, settled + 1);
                            settled = seq;
                            rejects.insert(seq);
                        }
                        PersistReport::Fenced { .. } => prop_assert!(false, "nobody else has the room"),
                    }
                }
            }
            prop_assert_eq!(settled, count);
            prop_assert!(attempts <= 1 + bad.len() * 16, "{attempts} attempts");
            prop_assert_eq!(rejects, bad);
        }
    }

    #[test]
    fn a_room_that_has_moved_on_is_told_so_whatever_became_of_its_rows() {
        let stream = StreamId::new();
        let fenced = [PersistReport::Fenced { stream, epoch: 1 }];
        let moved = || Tried::Stored(BTreeMap::from([(stream, 2)]));
        let mut work = Work::new(batch(stream, 3));
        assert_eq!(work.tried(moved()), fenced);
        assert!(work.next().is_none());
        let mut work = Work::new(batch(stream, 1));
        assert_eq!(work.tried(Tried::Refused("bad".into())), []);
        assert_eq!(work.next().and_then(|attempt| attempt.cause), Some("bad"));
        assert_eq!(work.tried(moved()), fenced);
        assert!(work.next().is_none());
    }
}
