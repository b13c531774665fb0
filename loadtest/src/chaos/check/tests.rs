//! A sound world, then one thing broken in it at a time.

mod world;

use serde_json::json;
use shared::ids::{MessageId, OrderId, PaymentId, ReservationId};
use shared::protocol::ChatRules;

use super::super::store::{Event, Hold, Order, Payment, Place};
use super::*;
use world::{act, sound, tells, told};

/// Breaks one thing, and says what the checker says.
fn broken(damage: impl FnOnce(&mut Known, &mut Stored)) -> Vec<String> {
    let (mut known, mut stored) = sound();
    damage(&mut known, &mut stored);
    check(&known, &stored)
}

/// Exactly one fault, which says this.
fn one_fault(words: &str, damage: impl FnOnce(&mut Known, &mut Stored)) {
    let faults = broken(damage);
    assert!(faults.len() == 1 && faults[0].contains(words), "{words}: {faults:#?}");
}

#[test]
fn a_sound_world_has_no_fault() {
    assert_eq!(broken(|_, _| {}), Vec::<String>::new());
}

#[test]
fn a_lost_acknowledgement_is_noticed() {
    one_fault("LOST: message", |known, stored| {
        stored.messages.pop();
        known.heard.retain(|(at, _)| at.seq != 3);
    });
    one_fault("LOST: hold", |_, stored| drop(stored.holds.pop()));
    one_fault("LOST: the release", |_, stored| stored.holds[0].status = "held".into());
    one_fault("LOST: checkout", |_, stored| drop(stored.checkouts.pop()));
    one_fault("LOST: payment", |_, stored| drop(stored.payments.pop()));
    one_fault("LOST: Paid", |_, stored| stored.payments[0].status = "failed".into());
    let faults = broken(|_, stored| stored.sales[0].status = "open".into());
    assert!(
        faults.iter().any(|fault| fault.contains("LOST: the close")),
        "{faults:#?}"
    );
    one_fault("LOST: the price", |_, stored| stored.prices[0].1 = 900);
    one_fault("stock was adjusted", |_, stored| {
        stored.adjustments[0] = (stored.adjustments[0].0, 3, 1);
    });
    one_fault("was shown last", |_, stored| stored.featured = None);
    let faults = broken(|_, stored| drop(stored.orders.pop()));
    assert!(faults.iter().any(|fault| fault.contains("LOST: order")), "{faults:#?}");
}

#[test]
fn what_is_there_twice_is_noticed() {
    one_fault("DOUBLED: hold", |_, stored| {
        let (id, request) = (ReservationId::new(), RequestId::new());
        let double = Hold {
            id,
            request,
            ..stored.holds[1].clone()
        };
        stored.holds.push(double);
    });
    let faults = broken(|_, stored| {
        let id = ReservationId::new();
        let double = Hold {
            id,
            ..stored.holds[1].clone()
        };
        stored.holds.push(double);
    });
    assert!(
        faults.iter().any(|fault| fault.contains("stored twice for")),
        "{faults:#?}"
    );
    one_fault("DOUBLED: message", |_, stored| {
        let (id, request) = (MessageId::new(), RequestId::new());
        let double = Message {
            id,
            request,
            seq: 4,
            ..stored.messages[0].clone()
        };
        stored.messages.push(double);
    });
    one_fault("DOUBLED: order", |_, stored| {
        let id = OrderId::new();
        let double = Order {
            id,
            ..stored.orders[0].clone()
        };
        stored.orders.push(double);
    });
    one_fault("DOUBLED: payment", |_, stored| {
        let id = PaymentId::new();
        let double = Payment {
            id,
            status: "failed".into(),
            ..stored.payments[0].clone()
        };
        stored.payments.push(double);
    });
    one_fault("hold", |known, _| {
        let again = known.told.iter().find(|told| matches!(told.done, Done::Held { .. }));
        let again = told(act(), again.expect("one").done.clone());
        known.told.retain(|told| !matches!(told.done, Done::Released { .. }));
        known.told.push(Told {
            act: known.told.iter().find(|told| told.done == again.done).expect("one").act,
            ..again
        });
    });
}

#[test]
fn what_is_stored_otherwise_is_noticed() {
    let faults = broken(|_, stored| stored.messages[0].text = "hallo".into());
    assert_eq!(faults.len(), 2, "as it was told, and as it was heard: {faults:#?}");
    let faults = broken(|_, stored| stored.messages[1].seq = 7);
    assert!(faults.iter().any(|fault| fault.contains("is stored as")), "{faults:#?}");
    one_fault("is stored as", |_, stored| {
        stored.messages[0].request = RequestId::new();
    });
    one_fault("is stored as", |_, stored| stored.holds[0].quantity = 1);
    one_fault("is stored with", |_, stored| stored.sales[0].quantity = 10);
    one_fault("is stored as", |_, stored| stored.orders[0].total_minor += 1);
    one_fault("is stored as", |_, stored| stored.payments[0].amount_minor -= 1);
    one_fault("its order is", |_, stored| {
        stored.orders[0].status = "pending_payment".into();
    });
    one_fault("not stored as it was heard", |_, stored| {
        stored.events[0].payload = json!({ "type": "other" });
    });
}

#[test]
fn what_was_refused_has_left_nothing() {
    let faults = broken(|known, stored| {
        known.refused[0].act = Act {
            user: stored.holds[1].user,
            request: stored.holds[1].request,
        }
    });
    assert!(
        faults.iter().any(|fault| fault.contains("refused with sold_out")),
        "{faults:#?}"
    );
}

#[test]
fn a_crash_may_take_what_was_heard_and_not_acknowledged() {
    let beyond = broken(|known, _| {
        let event = known.heard[0].1.clone();
        known.heard.push((Position { epoch: 2, seq: 4 }, event));
    });
    assert_eq!(beyond, Vec::<String>::new());
    // The last epoch goes on: what was heard of it is stored when the run is over.
    for at in [Position { epoch: 3, seq: 4 }, Position { epoch: 4, seq: 1 }] {
        one_fault("not stored as it was heard", |known, _| {
            let event = known.heard[0].1.clone();
            known.heard.push((at, event));
        });
    }
    one_fault("not stored as it was heard", |known, _| {
        let event = known.heard[0].1.clone();
        known.heard.push((Position { epoch: 3, seq: 3 }, event));
    });
}

#[test]
fn a_room_that_says_otherwise_than_its_rows_is_noticed() {
    one_fault("showed Some(None) last", |known, stored| {
        tells(known, stored, RoomEvent::Unfeatured);
    });
    one_fault("pinned", |known, stored| {
        stored.pinned = Some(MessageId::new());
        tells(known, stored, RoomEvent::Unpinned);
    });
    one_fault("rule", |known, stored| {
        tells(known, stored, RoomEvent::ChatRules(ChatRules::default()));
    });
    one_fault("and it is open", |known, stored| {
        known.told.retain(|told| !matches!(told.done, Done::Closed { .. }));
        stored.sales[0].status = "open".into();
    });
}

#[test]
fn a_place_in_line_is_kept_and_becomes_one_hold() {
    let wait = |known: &mut Known, stored: &mut Stored| {
        let (act, sale) = (act(), stored.sales[0].id);
        known.told.push(told(act, Done::Waits { sale, quantity: 1 }));
        let id = ReservationId::new();
        stored.places.push(Place {
            id,
            user: act.user,
            request: act.request,
            sale,
            quantity: 1,
            status: "offered".into(),
        });
        let offered = Hold {
            id,
            user: act.user,
            request: act.request,
            quantity: 1,
            origin: "line".into(),
            ..stored.holds[0].clone()
        };
        stored.holds.push(offered);
    };
    assert_eq!(broken(wait), Vec::<String>::new());
    one_fault("LOST: Waits", |known, stored| {
        wait(known, stored);
        stored.places.clear();
        stored.holds.pop();
    });
    one_fault("DOUBLED: Place", |known, stored| {
        wait(known, stored);
        known.told.pop();
    });
    one_fault("LOST: offered hold", |known, stored| {
        wait(known, stored);
        stored.holds.pop();
    });
    one_fault("DOUBLED: offered hold", |known, stored| {
        wait(known, stored);
        stored.places[0].status = "ended".into();
    });
}

/// A place that was asked for, left, and asked for again.
fn come_and_go(known: &mut Known, stored: &mut Stored) -> UserId {
    let (first, second, sale) = (act(), RequestId::new(), stored.sales[0].id);
    let waits = Done::Waits { sale, quantity: 1 };
    let again = Act {
        request: second,
        ..first
    };
    let leaves = Act {
        request: RequestId::new(),
        ..first
    };
    known.told.push(told(first, waits.clone()));
    known.told.push(told(leaves, Done::Left { sale }));
    known.told.push(told(again, waits));
    for (act, status) in [(first, "left"), (again, "waiting")] {
        stored.places.push(Place {
            id: ReservationId::new(),
            user: act.user,
            request: act.request,
            sale,
            quantity: 1,
            status: status.into(),
        });
    }
    first.user
}

#[test]
fn a_place_is_left_when_it_was_asked_to_be_and_not_otherwise() {
    assert_eq!(
        broken(|known, stored| {
            come_and_go(known, stored);
        }),
        Vec::<String>::new()
    );
    one_fault("still waits", |known, stored| {
        let user = come_and_go(known, stored);
        let (request, sale) = (RequestId::new(), stored.sales[0].id);
        known.told.push(told(Act { user, request }, Done::Left { sale }));
    });
    // As by an `unwait` that comes again.
    let faults = broken(|known, stored| {
        come_and_go(known, stored);
        stored.places[1].status = "left".into();
    });
    assert!(
        faults.iter().any(|fault| fault.contains("left by nobody")),
        "{faults:#?}"
    );
    assert!(faults.iter().any(|fault| fault.contains("1 were asked")), "{faults:#?}");
}

#[test]
fn numbers_without_a_gap_are_asked_for_of_every_show() {
    one_fault("LOST: number 2 of epoch 7", |_, stored| {
        let other = Event {
            stream: StreamId::new(),
            epoch: 7,
            seq: 1,
            payload: json!({}),
        };
        let gap = Event {
            seq: 3,
            ..other.clone()
        };
        stored.events.extend([other, gap]);
    });
    let faults = broken(|_, stored| stored.messages[1].seq = 2);
    assert!(faults.iter().any(|fault| fault.contains("stored twice")), "{faults:#?}");
}

#[test]
fn what_is_heard_twice_is_noticed() {
    let faults = broken(|known, stored| {
        let chat = known.heard.last().expect("a message").1.clone();
        tells(known, stored, chat);
    });
    assert!(faults.iter().any(|fault| fault.contains("was heard at")), "{faults:#?}");
}

#[test]
fn shows_begin_and_end_as_they_were_told_to() {
    let stream = StreamId::new();
    for (words, done, status) in [
        ("was live last", Done::Started { stream }, "scheduled"),
        ("was ended last", Done::Ended { stream }, "live"),
    ] {
        one_fault(words, |known, stored| {
            known.told.push(told(act(), done));
            stored.shows.push((stream, status.into()));
        });
    }
    one_fault("nobody was told", |_, stored| {
        stored.shows.push((stream, "ended".into()));
    });
    one_fault("was live last", |_, stored| stored.shows[0].1 = "ended".into());
}

#[test]
fn a_lost_act_of_moderation_is_noticed() {
    let (user, message) = (UserId::new(), MessageId::new());
    for (words, done) in [
        ("LOST: the mute", Done::Muted { user, is_muted: true }),
        ("LOST: the ban", Done::Banned { user, is_banned: true }),
        ("was deleted", Done::Deleted { message }),
        ("was pinned last", Done::Pinned { message: Some(message) }),
        ("LOST: the chat's rule", Done::Ruled { max_chars: 400 }),
    ] {
        one_fault(words, |known, _| known.told.push(told(act(), done)));
    }
}

#[test]
fn reactions_may_be_lost_and_not_invented() {
    one_fault("were sent", |_, stored| stored.reactions[0].1 = 6);
    one_fault("nobody sent any", |_, stored| stored.reactions.push(("wow".into(), 1)));
    // After the last kill nothing may be lost any more.
    one_fault("LOST: 4 reactions", |_, stored| stored.reactions[1].1 = 3);
}
