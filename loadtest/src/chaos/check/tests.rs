//! A sound world, then one thing broken in it at a time.

use serde_json::json;
use shared::error::ErrorCode;
use shared::ids::{CheckoutId, MessageId, OrderId, PaymentId, ProductId, ReservationId};
use shared::protocol::{Author, ChatMessage};

use super::super::store::{Checkout, Event, Order, Payment, Sale};
use super::*;

fn act() -> Act {
    Act {
        user: UserId::new(),
        request: RequestId::new(),
    }
}

fn told(act: Act, done: Done) -> Told {
    Told { act, done }
}

/// A message that was said, heard and stored.
fn say(known: &mut Known, stored: &mut Stored, seq: u64, text: &str) {
    let (act, message) = (act(), MessageId::new());
    let at = Position { epoch: 3, seq };
    let done = Done::Said {
        message,
        text: text.into(),
        at,
    };
    known.told.push(told(act, done));
    let heard = ChatMessage {
        id: message,
        author: Author {
            id: act.user,
            name: "Visitor".into(),
            host: false,
            moderator: false,
        },
        text: text.into(),
        reply_to: None,
        quote: None,
        at: 0,
    };
    known.heard.push((at, RoomEvent::Chat(heard)));
    stored.messages.push(Message {
        epoch: 3,
        seq: i64::try_from(seq).expect("a small number"),
        id: message,
        user: act.user,
        request: act.request,
        text: text.into(),
    });
}

/// A hold that was granted and stored.
fn hold(known: &mut Known, stored: &mut Stored, status: &str) -> (Act, ReservationId) {
    let (act, reservation, sale) = (act(), ReservationId::new(), stored.sales[0].id);
    let done = Done::Held {
        reservation,
        sale,
        quantity: 2,
    };
    known.told.push(told(act, done));
    stored.holds.push(Hold {
        id: reservation,
        sale,
        user: act.user,
        request: act.request,
        quantity: 2,
        status: status.into(),
    });
    (act, reservation)
}

/// An order from its checkout to its payment.
fn order(known: &mut Known, stored: &mut Stored) {
    let (act, checkout, order, payment) = (act(), CheckoutId::new(), OrderId::new(), PaymentId::new());
    let total_minor = 4_200;
    for done in [
        Done::CheckedOut { checkout, total_minor },
        Done::Ordered {
            order,
            checkout,
            total_minor,
        },
        Done::Paid {
            payment,
            order,
            amount_minor: total_minor,
            status: PaymentStatus::Captured,
        },
    ] {
        let request = RequestId::new();
        known.told.push(told(Act { request, ..act }, done));
    }
    stored.checkouts.push(Checkout {
        id: checkout,
        status: "placed".into(),
        total_minor,
    });
    stored.orders.push(Order {
        id: order,
        checkout,
        user: act.user,
        status: "paid".into(),
        total_minor,
    });
    stored.payments.push(Payment {
        id: payment,
        order,
        status: "captured".into(),
        amount_minor: total_minor,
    });
}

/// A world in which nothing is lost, doubled or changed.
fn sound() -> (Known, Stored) {
    let (mut known, mut stored) = (Known::default(), Stored::default());
    let (sale, variant, product) = (SaleId::new(), VariantId::new(), ProductId::new());
    known.told.push(told(act(), Done::Opened { sale, quantity: 9 }));
    known.told.push(told(act(), Done::Closed { sale }));
    stored.sales.push(Sale {
        id: sale,
        quantity: 9,
        status: "closed".into(),
    });
    say(&mut known, &mut stored, 1, "hello");
    say(&mut known, &mut stored, 2, "is it dishwasher safe");
    let (giver, given_up) = hold(&mut known, &mut stored, "released");
    let request = RequestId::new();
    let released = Done::Released { reservation: given_up };
    known.told.push(told(Act { request, ..giver }, released));
    hold(&mut known, &mut stored, "expired");
    order(&mut known, &mut stored);
    known.told.push(told(
        act(),
        Done::Priced {
            variant,
            price_minor: 900,
        },
    ));
    known.told.push(told(
        act(),
        Done::Priced {
            variant,
            price_minor: 800,
        },
    ));
    stored.prices.push((variant, 800));
    known.told.push(told(act(), Done::Adjusted { variant, delta: 3 }));
    known.told.push(told(act(), Done::Adjusted { variant, delta: -1 }));
    stored.adjustments.push((variant, 2, 2));
    known.told.push(told(act(), Done::Featured { product: None }));
    let shown = Done::Featured { product: Some(product) };
    known.told.push(told(act(), shown));
    stored.featured = Some(product);
    let closed = RoomEvent::SaleClosed { sale };
    known.heard.push((Position { epoch: 3, seq: 3 }, closed.clone()));
    stored.events.push(Event {
        epoch: 3,
        seq: 3,
        payload: serde_json::to_value(&closed).expect("an event is JSON"),
    });
    known.refused.push(Refused {
        act: act(),
        code: ErrorCode::SoldOut,
    });
    known.reactions.insert("heart".into(), 5);
    stored.reactions.push(("heart".into(), 4));
    (known, stored)
}

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
        known.heard.retain(|(at, _)| at.seq != 2);
    });
    one_fault("LOST: hold", |_, stored| drop(stored.holds.pop()));
    one_fault("LOST: the release", |_, stored| stored.holds[0].status = "held".into());
    one_fault("LOST: checkout", |_, stored| drop(stored.checkouts.pop()));
    one_fault("LOST: payment", |_, stored| drop(stored.payments.pop()));
    one_fault("LOST: Paid", |_, stored| stored.payments[0].status = "failed".into());
    one_fault("LOST: the close", |_, stored| stored.sales[0].status = "open".into());
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
        known.heard.push((Position { epoch: 3, seq: 4 }, event.clone()));
        known.heard.push((Position { epoch: 4, seq: 1 }, event));
    });
    assert_eq!(beyond, Vec::<String>::new());
    one_fault("not stored as it was heard", |known, _| {
        let event = known.heard[0].1.clone();
        known.heard.push((Position { epoch: 3, seq: 3 }, event));
    });
}

#[test]
fn reactions_may_be_lost_and_not_invented() {
    one_fault("reactions", |_, stored| stored.reactions[0].1 = 6);
}
