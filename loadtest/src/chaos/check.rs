//! Holds what clients were told against what is stored. Pure: the tests break the data by
//! hand and see it noticed.
//!
//! Every act was asked for until it had an answer, so it holds both ways: what was
//! acknowledged is stored, as it was acknowledged, and what is stored was acknowledged
//! to somebody, once. What was refused for good has left nothing.

mod sale;
mod show;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use serde_json::{Value, json};
use shared::ids::{RequestId, StreamId, UserId};
use shared::protocol::{Position, RoomEvent};
use shared::status::Machine as _;

use super::book::{Act, Done, Reactions, Refused, Told, is_final};
use super::store::{Message, Stored};

/// The kind of reaction that is sent after the last kill, and never before: nothing takes
/// these away.
pub const AFTER_ALL_KILLS: &str = "clap";

/// What clients know.
#[derive(Clone, Debug)]
pub struct Known {
    /// The show that everybody is in.
    pub stream: StreamId,
    /// What they were told, in order.
    pub told: Vec<Told>,
    /// What they were refused.
    pub refused: Vec<Refused>,
    /// The numbered events of that show they heard.
    pub heard: Vec<(Position, RoomEvent)>,
    /// Their reactions, by kind.
    pub reactions: BTreeMap<String, Reactions>,
}

/// Every contradiction, in words; none: nothing was lost, doubled or changed.
#[must_use]
pub fn check(known: &Known, stored: &Stored) -> Vec<String> {
    let mut faults = Faults::default();
    messages(&mut faults, known, stored);
    numbers(&mut faults, stored);
    events(&mut faults, known, stored);
    sale::check(&mut faults, known, stored);
    show::check(&mut faults, known, stored);
    trade(&mut faults, known, stored);
    payments(&mut faults, known, stored);
    reactions(&mut faults, known, stored);
    faults.0
}

#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: String) {
        self.0.push(fault);
    }

    /// The two sides have the same things, each once.
    fn same<T: Copy + Eq + Hash + Ord + Debug>(&mut self, what: &str, told: &[T], stored: &[T]) {
        for (side, ids) in [("told", told), ("stored", stored)] {
            let mut seen = HashSet::new();
            for id in ids.iter().filter(|id| !seen.insert(**id)) {
                self.add(format!("{what} {id:?} was {side} more than once"));
            }
        }
        let (told, stored): (HashSet<T>, HashSet<T>) =
            (told.iter().copied().collect(), stored.iter().copied().collect());
        for id in sorted(told.difference(&stored)) {
            self.add(format!("LOST: {what} {id:?} was acknowledged and is not stored"));
        }
        for id in sorted(stored.difference(&told)) {
            self.add(format!("DOUBLED: {what} {id:?} is stored and nobody was told of it"));
        }
    }
}

fn sorted<'a, T: Copy + Ord + 'a>(ids: impl Iterator<Item = &'a T>) -> Vec<T> {
    let mut ids: Vec<T> = ids.copied().collect();
    ids.sort_unstable();
    ids
}

fn position(epoch: i64, seq: i64) -> Position {
    Position {
        epoch,
        seq: u64::try_from(seq).unwrap_or(0),
    }
}

fn messages(faults: &mut Faults, known: &Known, stored: &Stored) {
    let by_id: HashMap<_, &Message> = stored.messages.iter().map(|row| (row.id, row)).collect();
    let mut ids = Vec::new();
    for Told { act, done } in &known.told {
        let Done::Said {
            stream,
            message,
            text,
            at,
        } = done
        else {
            continue;
        };
        ids.push(*message);
        let Some(row) = by_id.get(message) else { continue };
        let asked = Act {
            user: row.user,
            request: row.request,
        };
        if (asked, row.stream, &row.text, position(row.epoch, row.seq)) != (*act, *stream, text, *at) {
            faults.add(format!("{done:?} of {act:?} is stored as {row:?}"));
        }
    }
    let stored_ids: Vec<_> = stored.messages.iter().map(|row| row.id).collect();
    faults.same("message", &ids, &stored_ids);
    let acts = stored.messages.iter().map(|row| (row.user, row.request));
    once(faults, "a message", acts);
    refused_left_nothing(faults, known, stored.messages.iter().map(|row| (row.user, row.request)));
}

/// One act has one row.
fn once(faults: &mut Faults, what: &str, acts: impl Iterator<Item = (UserId, RequestId)>) {
    let mut seen = HashSet::new();
    for act in acts {
        if !seen.insert(act) {
            faults.add(format!("DOUBLED: {what} is stored twice for {act:?}"));
        }
    }
}

fn refused_left_nothing(faults: &mut Faults, known: &Known, acts: impl Iterator<Item = (UserId, RequestId)>) {
    let stored: HashSet<_> = acts.collect();
    for Refused { act, code } in &known.refused {
        if stored.contains(&(act.user, act.request)) {
            faults.add(format!("{act:?} was refused with {code} and carried out"));
        }
    }
}

/// An event as it is kept: of a pinned message only which one it is.
fn kept(event: &RoomEvent) -> serde_json::Result<Value> {
    match event {
        RoomEvent::Pinned { message } => Ok(json!({ "type": event.kind(), "message": message.id })),
        other => serde_json::to_value(other),
    }
}

/// The numbers that are stored of an epoch are 1, 2, 3, … up to the last, each once.
fn numbers(faults: &mut Faults, stored: &Stored) {
    let mut epochs: BTreeMap<(StreamId, i64), BTreeSet<i64>> = BTreeMap::new();
    let messages = stored.messages.iter().map(|row| (row.stream, row.epoch, row.seq));
    let events = stored.events.iter().map(|row| (row.stream, row.epoch, row.seq));
    for (stream, epoch, seq) in messages.chain(events) {
        if !epochs.entry((stream, epoch)).or_default().insert(seq) {
            faults.add(format!(
                "DOUBLED: number {seq} of epoch {epoch} of {stream} is stored twice"
            ));
        }
    }
    for ((stream, epoch), numbers) in epochs {
        let missing = (1..).zip(&numbers).find(|(expected, seq)| *expected != **seq);
        if let Some((missing, _)) = missing {
            faults.add(format!(
                "LOST: number {missing} of epoch {epoch} of {stream}, and later ones are stored"
            ));
        }
    }
}

/// What was heard is what is stored. Of an epoch that was broken off, a crash may have
/// taken what lies beyond the last number that is stored, which nobody was told is safe
/// (what was acknowledged is looked for by itself); the one that goes on has stored all.
fn events(faults: &mut Faults, known: &Known, stored: &Stored) {
    let messages = stored.messages.iter().filter(|row| row.stream == known.stream);
    let messages: HashMap<_, &Message> = messages.map(|row| ((row.epoch, row.seq), row)).collect();
    let events = stored.events.iter().filter(|row| row.stream == known.stream);
    let events: HashMap<_, _> = events.map(|row| ((row.epoch, row.seq), &row.payload)).collect();
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    for (epoch, seq) in messages.keys().chain(events.keys()) {
        let last = last.entry(*epoch).or_insert(0);
        *last = (*last).max(*seq);
    }
    let mut said = HashMap::new();
    for (at, event) in &known.heard {
        let seq = i64::try_from(at.seq).unwrap_or(i64::MAX);
        if at.epoch < stored.epoch && seq > last.get(&at.epoch).copied().unwrap_or(0) {
            continue;
        }
        let same = match event {
            RoomEvent::Chat(message) => {
                if let Some(first) = said.insert(message.id, *at) {
                    faults.add(format!(
                        "DOUBLED: message {} was heard at {first:?} and at {at:?}",
                        message.id
                    ));
                }
                messages
                    .get(&(at.epoch, seq))
                    .is_some_and(|row| (row.id, row.user, &row.text) == (message.id, message.author.id, &message.text))
            }
            other => events
                .get(&(at.epoch, seq))
                .is_some_and(|payload| kept(other).is_ok_and(|sent| sent == **payload)),
        };
        if !same {
            faults.add(format!("{} at {at:?} is not stored as it was heard", event.kind()));
        }
    }
}

fn trade(faults: &mut Faults, known: &Known, stored: &Stored) {
    let checkouts: HashMap<_, _> = stored.checkouts.iter().map(|row| (row.id, row)).collect();
    let orders: HashMap<_, _> = stored.orders.iter().map(|row| (row.id, row)).collect();
    let (mut checkout_ids, mut order_ids) = (Vec::new(), Vec::new());
    for Told { act, done } in &known.told {
        match done {
            Done::CheckedOut { checkout, total_minor } => {
                checkout_ids.push(*checkout);
                // One that was not placed may have been repriced when its hold lapsed.
                if let Some(row) = checkouts.get(checkout)
                    && row.status == "placed"
                    && row.total_minor != *total_minor
                {
                    faults.add(format!("{done:?} is stored as {row:?}"));
                }
            }
            Done::Ordered {
                order,
                checkout,
                total_minor,
            } => {
                order_ids.push(*order);
                let Some(row) = orders.get(order) else { continue };
                if (row.user, row.checkout, row.total_minor) != (act.user, *checkout, *total_minor) {
                    faults.add(format!("{done:?} of {act:?} is stored as {row:?}"));
                }
            }
            _ => {}
        }
    }
    let stored_ids: Vec<_> = stored.checkouts.iter().map(|row| row.id).collect();
    faults.same("checkout", &checkout_ids, &stored_ids);
    let stored_ids: Vec<_> = stored.orders.iter().map(|row| row.id).collect();
    faults.same("order", &order_ids, &stored_ids);
}

fn payments(faults: &mut Faults, known: &Known, stored: &Stored) {
    let by_id: HashMap<_, _> = stored.payments.iter().map(|row| (row.id, row)).collect();
    let orders: HashMap<_, _> = stored.orders.iter().map(|row| (row.id, row)).collect();
    let mut ids = Vec::new();
    for Told { done, .. } in &known.told {
        let Done::Paid {
            payment,
            order,
            amount_minor,
            status,
        } = done
        else {
            continue;
        };
        ids.push(*payment);
        let Some(row) = by_id.get(payment) else { continue };
        if (row.order, row.amount_minor) != (*order, *amount_minor) {
            faults.add(format!("{done:?} is stored as {row:?}"));
        }
        // A final answer stays what it was; any other may have become final since.
        if is_final(*status) && row.status != status.as_str() {
            faults.add(format!("LOST: {done:?} is stored as {row:?}"));
        }
        let order = orders.get(order).map(|row| row.status.as_str());
        if row.status == "captured" && order != Some("paid") {
            faults.add(format!("{done:?} was captured and its order is {order:?}"));
        }
    }
    let stored_ids: Vec<_> = stored.payments.iter().map(|row| row.id).collect();
    faults.same("payment", &ids, &stored_ids);
}

/// A crash may lose a tick of reactions; it may not invent any, and without a crash none
/// that was taken is lost.
fn reactions(faults: &mut Faults, known: &Known, stored: &Stored) {
    let counts: BTreeMap<_, _> = stored.reactions.iter().map(|(kind, count)| (kind, *count)).collect();
    for (kind, known) in &known.reactions {
        let count = counts.get(kind).copied().unwrap_or(0);
        let count = u64::try_from(count).unwrap_or(0);
        if count > known.sent {
            faults.add(format!(
                "{} reactions {kind:?} were sent and {count} are stored",
                known.sent
            ));
        }
        if kind == AFTER_ALL_KILLS && count < known.taken {
            faults.add(format!(
                "LOST: {} reactions {kind:?} were taken and {count} are stored",
                known.taken
            ));
        }
    }
    for (kind, _) in stored
        .reactions
        .iter()
        .filter(|(kind, _)| !known.reactions.contains_key(kind))
    {
        faults.add(format!("DOUBLED: reactions {kind:?} are stored and nobody sent any"));
    }
}

#[cfg(test)]
mod tests;
