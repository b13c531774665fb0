//! The shop and its shows: what is shown, who may not chat, and which shows are on air.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared::ids::{StreamId, VariantId};
use shared::protocol::RoomEvent;

use super::{Faults, Known};
use crate::chaos::book::{Done, Told};
use crate::chaos::store::{Event, Stored};

/// The last word on everything is what the rows say, and what the room has told.
pub(super) fn check(faults: &mut Faults, known: &Known, stored: &Stored) {
    shop(faults, known, stored);
    order(faults, known, stored);
    shows(faults, known, stored);
    last_words(faults, known, stored);
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

/// Moderation: the last word on each message and person counts.
fn order(faults: &mut Faults, known: &Known, stored: &Stored) {
    let (mut max_chars, mut pinned) = (None, None);
    let (mut muted, mut banned) = (BTreeMap::new(), BTreeMap::new());
    for Told { done, .. } in &known.told {
        match done {
            Done::Ruled { max_chars: chars } => max_chars = Some(*chars),
            Done::Pinned { message } => pinned = Some(*message),
            Done::Deleted { message } => {
                if pinned == Some(Some(*message)) {
                    pinned = Some(None);
                }
                if !stored.deleted.contains(message) {
                    faults.add(format!("LOST: message {message} was deleted and is not"));
                }
            }
            Done::Muted { user, is_muted } => drop(muted.insert(*user, *is_muted)),
            Done::Banned { user, is_banned } => drop(banned.insert(*user, *is_banned)),
            _ => {}
        }
    }
    if max_chars.is_some_and(|told| i32::try_from(told) != Ok(stored.max_chars)) {
        faults.add(format!(
            "LOST: the chat's rule {max_chars:?}: it is {}",
            stored.max_chars
        ));
    }
    if pinned.is_some_and(|told| told != stored.pinned) {
        faults.add(format!("LOST: {pinned:?} was pinned last, and {:?} is", stored.pinned));
    }
    for (what, told, stored) in [("mute", muted, &stored.muted), ("ban", banned, &stored.banned)] {
        for (user, is_on) in told.iter().filter(|(user, is_on)| stored.contains(user) != **is_on) {
            faults.add(format!("LOST: the {what} of {user} was {is_on} last, and is not"));
        }
    }
}

/// Each show has one who starts and ends it, one after the other.
fn shows(faults: &mut Faults, known: &Known, stored: &Stored) {
    let mut told: HashMap<StreamId, &str> = HashMap::from([(known.stream, "live")]);
    for Told { done, .. } in &known.told {
        match done {
            Done::Started { stream } => drop(told.insert(*stream, "live")),
            Done::Ended { stream } => drop(told.insert(*stream, "ended")),
            _ => {}
        }
    }
    let is: HashMap<_, _> = stored.shows.iter().map(|(id, status)| (*id, status.as_str())).collect();
    for (stream, told) in &told {
        if is.get(stream) != Some(told) {
            faults.add(format!(
                "LOST: show {stream} was {told} last: it is {:?}",
                is.get(stream)
            ));
        }
    }
    for (stream, status) in is.iter().filter(|(stream, _)| !told.contains_key(stream)) {
        if *status != "scheduled" {
            faults.add(format!("DOUBLED: show {stream} is {status} and nobody was told of it"));
        }
    }
}

/// What the last owner of the room has told is what the rows say: no command is undone by
/// one that came before it.
fn last_words(faults: &mut Faults, known: &Known, stored: &Stored) {
    let open: HashSet<_> = stored
        .sales
        .iter()
        .filter(|row| row.status == "open")
        .map(|row| row.id)
        .collect();
    let (mut featured, mut max_chars, mut pinned) = (None, None, None);
    let of_owner = |row: &&Event| row.stream == known.stream && row.epoch == stored.epoch;
    for row in stored.events.iter().filter(of_owner) {
        if row.payload["type"] == "pinned" {
            pinned = serde_json::from_value(row.payload["message"].clone()).ok().map(Some);
        }
        match serde_json::from_value(row.payload.clone()) {
            Ok(RoomEvent::Featured { product }) => featured = Some(Some(product.id)),
            Ok(RoomEvent::Unfeatured) => featured = Some(None),
            Ok(RoomEvent::ChatRules(rules)) => max_chars = Some(rules.max_chars),
            Ok(RoomEvent::Unpinned) => pinned = Some(None),
            Ok(RoomEvent::MessageDeleted { message, .. }) if pinned == Some(Some(message)) => pinned = Some(None),
            Ok(RoomEvent::SaleClosed { sale }) if open.contains(&sale) => {
                faults.add(format!("the room told of the end of sale {sale}, and it is open"));
            }
            _ => {}
        }
    }
    if featured.is_some_and(|told| told != stored.featured) {
        faults.add(format!(
            "the room showed {featured:?} last, and the show {:?}",
            stored.featured
        ));
    }
    if max_chars.is_some_and(|told| i32::try_from(told) != Ok(stored.max_chars)) {
        faults.add(format!(
            "the room's rule was {max_chars:?} last, and the show's {}",
            stored.max_chars
        ));
    }
    if pinned.is_some_and(|told| told != stored.pinned) {
        faults.add(format!(
            "the room pinned {pinned:?} last, and the show {:?}",
            stored.pinned
        ));
    }
}
