//! Sales, their holds and their lines.

use std::collections::{HashMap, HashSet};

use shared::ids::{SaleId, UserId};

use super::{Faults, Known, once, refused_left_nothing};
use crate::chaos::book::{Act, Done, Told};
use crate::chaos::store::{Hold, Place, Stored};

/// What was told of sales, holds and places is so, and nobody has any other.
pub(super) fn check(faults: &mut Faults, known: &Known, stored: &Stored) {
    sales(faults, known, stored);
    holds(faults, known, stored);
    places(faults, known, stored);
    leaving(faults, known, stored);
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
    // What came down the line was told to whoever was in the room; its place was acknowledged.
    let of_line = stored.holds.iter().filter(|row| row.origin == "line");
    let untold: HashSet<_> = of_line.map(|row| row.id).filter(|id| !ids.contains(id)).collect();
    let stored_ids = stored.holds.iter().map(|row| row.id);
    let stored_ids: Vec<_> = stored_ids.filter(|id| !untold.contains(id)).collect();
    faults.same("hold", &ids, &stored_ids);
    once(faults, "a hold", stored.holds.iter().map(|row| (row.user, row.request)));
    refused_left_nothing(faults, known, stored.holds.iter().map(|row| (row.user, row.request)));
}

/// Who was told of a place in line has it, or what it became; nobody else has one. What is
/// offered is a hold, and nothing else came down the line.
fn places(faults: &mut Faults, known: &Known, stored: &Stored) {
    let told: HashMap<Act, &Done> = known.told.iter().map(|told| (told.act, &told.done)).collect();
    let act = |row: &Place| Act {
        user: row.user,
        request: row.request,
    };
    let acts: HashSet<_> = stored.places.iter().map(act).collect();
    for row in &stored.places {
        let told = told.get(&act(row));
        let is_same = match told {
            Some(Done::Waits { sale, quantity } | Done::Held { sale, quantity, .. }) => {
                (*sale, Ok(*quantity)) == (row.sale, u32::try_from(row.quantity))
            }
            _ => false,
        };
        if !is_same {
            faults.add(format!("DOUBLED: {row:?} is stored, and {told:?} was told"));
        }
    }
    for (act, done) in &told {
        if matches!(done, Done::Waits { .. }) && !acts.contains(act) {
            faults.add(format!("LOST: {done:?} of {act:?} is not stored"));
        }
    }
    let offered = stored.places.iter().filter(|row| row.status == "offered");
    let offered: Vec<_> = offered.map(|row| row.id).collect();
    let of_line = stored.holds.iter().filter(|row| row.origin == "line");
    let of_line: Vec<_> = of_line.map(|row| row.id).collect();
    faults.same("offered hold", &offered, &of_line);
    once(
        faults,
        "a place",
        stored.places.iter().map(|row| (row.user, row.request)),
    );
    refused_left_nothing(faults, known, stored.places.iter().map(|row| (row.user, row.request)));
}

/// Nobody asks for a place and leaves one of the same sale at the same time, so the last
/// word of each person on a sale counts, and none is left that was not asked to be.
fn leaving(faults: &mut Faults, known: &Known, stored: &Stored) {
    let mut last: HashMap<(UserId, SaleId), &Told> = HashMap::new();
    let mut left: HashMap<(UserId, SaleId), usize> = HashMap::new();
    for told in &known.told {
        match &told.done {
            Done::Waits { sale, .. } => drop(last.insert((told.act.user, *sale), told)),
            Done::Left { sale } => {
                last.insert((told.act.user, *sale), told);
                *left.entry((told.act.user, *sale)).or_default() += 1;
            }
            _ => {}
        }
    }
    let mut gone: HashMap<(UserId, SaleId), usize> = HashMap::new();
    for row in &stored.places {
        let key = (row.user, row.sale);
        if row.status == "left" {
            *gone.entry(key).or_default() += 1;
        }
        let Some(told) = last.get(&key) else { continue };
        match &told.done {
            Done::Left { .. } if row.status == "waiting" => {
                faults.add(format!("LOST: {told:?}, and {row:?} still waits"));
            }
            Done::Waits { .. } if told.act.request == row.request && row.status == "left" => {
                faults.add(format!("LOST: {told:?}, and {row:?} was left by nobody"));
            }
            _ => {}
        }
    }
    for (key, gone) in gone {
        let left = left.get(&key).copied().unwrap_or(0);
        if gone > left {
            faults.add(format!(
                "DOUBLED: {gone} places of {key:?} were left, and {left} were asked to be"
            ));
        }
    }
}
