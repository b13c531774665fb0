//! Holds what clients were told against what is stored. Pure: the tests break the data by
//! hand and see it noticed.
//!
//! Every act was asked for until it had an answer, so it holds both ways: what was
//! acknowledged is stored, as it was acknowledged, and what is stored was acknowledged
//! to somebody, once. What was refused for good has left nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;

use shared::ids::{RequestId, SaleId, UserId, VariantId};
use shared::protocol::{Position, RoomEvent};
use shared::status::{Machine as _, PaymentStatus};

use super::book::{Act, Done, Refused, Told};
use super::store::{Hold, Message, Stored};

/// What clients know.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What they were told, in order.
    pub told: Vec<Told>,
    /// What they were refused.
    pub refused: Vec<Refused>,
    /// The numbered events they heard.
    pub heard: Vec<(Position, RoomEvent)>,
    /// The reactions they sent, by kind.
    pub reactions: BTreeMap<String, u64>,
}

/// Every contradiction, in words; none: nothing was lost, doubled or changed.
#[must_use]
pub fn check(known: &Known, stored: &Stored) -> Vec<String> {
    let mut faults = Faults::default();
    messages(&mut faults, known, stored);
    events(&mut faults, known, stored);
    holds(&mut faults, known, stored);
    sales(&mut faults, known, stored);
    trade(&mut faults, known, stored);
    payments(&mut faults, known, stored);
    shop(&mut faults, known, stored);
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
        let Done::Said { message, text, at } = done else {
            continue;
        };
        ids.push(*message);
        let Some(row) = by_id.get(message) else { continue };
        let asked = Act {
            user: row.user,
            request: row.request,
        };
        if (asked, &row.text, position(row.epoch, row.seq)) != (*act, text, *at) {
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

/// What was heard is what is stored. Beyond the last number that is stored of an epoch,
/// a crash may have taken what nobody was told is safe.
fn events(faults: &mut Faults, known: &Known, stored: &Stored) {
    let messages: HashMap<_, &Message> = stored.messages.iter().map(|row| ((row.epoch, row.seq), row)).collect();
    let events: HashMap<_, _> = stored
        .events
        .iter()
        .map(|row| ((row.epoch, row.seq), &row.payload))
        .collect();
    let mut last: BTreeMap<i64, i64> = BTreeMap::new();
    for (epoch, seq) in messages.keys().chain(events.keys()) {
        let last = last.entry(*epoch).or_insert(0);
        *last = (*last).max(*seq);
    }
    for (at, event) in &known.heard {
        let seq = i64::try_from(at.seq).unwrap_or(i64::MAX);
        if seq > last.get(&at.epoch).copied().unwrap_or(0) {
            continue;
        }
        let same = match event {
            RoomEvent::Chat(message) => messages
                .get(&(at.epoch, seq))
                .is_some_and(|row| (row.id, row.user, &row.text) == (message.id, message.author.id, &message.text)),
            other => events
                .get(&(at.epoch, seq))
                .is_some_and(|payload| serde_json::to_value(other).is_ok_and(|sent| sent == **payload)),
        };
        if !same {
            faults.add(format!("{} at {at:?} is not stored as it was heard", event.kind()));
        }
    }
}

fn holds(faults: &mut Faults, known: &Known, stored: &Stored) {
    let by_id: HashMap<_, &Hold> = stored.holds.iter().map(|row| (row.id, row)).collect();
    let mut ids = Vec::new();
    for Told { act, done } in &known.told {
        match done {
            Done::Held {
                reservation,
                sale,
                quantity,
            } => {
                ids.push(*reservation);
                let Some(row) = by_id.get(reservation) else { continue };
                let asked = Act {
                    user: row.user,
                    request: row.request,
                };
                if (asked, row.sale, u32::try_from(row.quantity)) != (*act, *sale, Ok(*quantity)) {
                    faults.add(format!("{done:?} of {act:?} is stored as {row:?}"));
                }
            }
            Done::Released { reservation } => {
                let status = by_id.get(reservation).map(|row| row.status.as_str());
                if status != Some("released") {
                    faults.add(format!("LOST: the release of {reservation}: it is {status:?}"));
                }
            }
            _ => {}
        }
    }
    let stored_ids: Vec<_> = stored.holds.iter().map(|row| row.id).collect();
    faults.same("hold", &ids, &stored_ids);
    once(faults, "a hold", stored.holds.iter().map(|row| (row.user, row.request)));
    refused_left_nothing(faults, known, stored.holds.iter().map(|row| (row.user, row.request)));
}

fn sales(faults: &mut Faults, known: &Known, stored: &Stored) {
    let by_id: HashMap<SaleId, _> = stored.sales.iter().map(|row| (row.id, row)).collect();
    let mut ids = Vec::new();
    for Told { done, .. } in &known.told {
        match done {
            Done::Opened { sale, quantity } => {
                ids.push(*sale);
                let units = by_id.get(sale).map(|row| u32::try_from(row.quantity));
                if units.is_some_and(|units| units != Ok(*quantity)) {
                    faults.add(format!("sale {sale} of {quantity} units is stored with {units:?}"));
                }
            }
            Done::Closed { sale } => {
                let status = by_id.get(sale).map(|row| row.status.as_str());
                if status != Some("closed") {
                    faults.add(format!("LOST: the close of sale {sale}: it is {status:?}"));
                }
            }
            _ => {}
        }
    }
    let stored_ids: Vec<_> = stored.sales.iter().map(|row| row.id).collect();
    faults.same("sale", &ids, &stored_ids);
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
        let is_final = matches!(
            status,
            PaymentStatus::Captured | PaymentStatus::Failed | PaymentStatus::Cancelled
        );
        if is_final && row.status != status.as_str() {
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

/// The host did one thing after the other, so the last word counts.
fn shop(faults: &mut Faults, known: &Known, stored: &Stored) {
    let mut featured = None;
    let mut prices: BTreeMap<VariantId, i64> = BTreeMap::new();
    let mut adjusted: BTreeMap<VariantId, (i64, i64)> = BTreeMap::new();
    for Told { done, .. } in &known.told {
        match done {
            Done::Featured { product } => featured = Some(*product),
            Done::Priced { variant, price_minor } => {
                prices.insert(*variant, *price_minor);
            }
            Done::Adjusted { variant, delta } => {
                let (sum, count) = adjusted.entry(*variant).or_default();
                *sum += i64::from(*delta);
                *count += 1;
            }
            _ => {}
        }
    }
    if featured.is_some_and(|featured| featured != stored.featured) {
        faults.add(format!("{featured:?} was shown last and {:?} is", stored.featured));
    }
    for (variant, price) in prices {
        let found = stored
            .prices
            .iter()
            .find(|(id, _)| *id == variant)
            .map(|(_, price)| *price);
        if found != Some(price) {
            faults.add(format!("LOST: the price {price} of {variant}: it is {found:?}"));
        }
    }
    let stored: BTreeMap<_, _> = stored
        .adjustments
        .iter()
        .map(|(id, sum, count)| (*id, (*sum, *count)))
        .collect();
    if stored != adjusted {
        faults.add(format!("stock was adjusted by {adjusted:?}, stored is {stored:?}"));
    }
}

/// A crash may lose a tick of reactions; it may not invent any.
fn reactions(faults: &mut Faults, known: &Known, stored: &Stored) {
    for (kind, count) in &stored.reactions {
        let sent = known.reactions.get(kind).copied().unwrap_or(0);
        if u64::try_from(*count).is_ok_and(|count| count > sent) {
            faults.add(format!("{sent} reactions {kind:?} were sent and {count} are stored"));
        }
    }
}

#[cfg(test)]
mod tests;
