//! A world in which nothing is lost, doubled or changed.

use shared::error::ErrorCode;
use shared::ids::{CheckoutId, MessageId, OrderId, PaymentId, ProductId, ReservationId, SaleId, VariantId};
use shared::protocol::{Author, ChatMessage};
use shared::status::PaymentStatus;

use super::super::*;
use crate::chaos::store::{Checkout, Event, Hold, Order, Payment, Sale};

pub fn act() -> Act {
    Act {
        user: UserId::new(),
        request: RequestId::new(),
    }
}

pub fn told(act: Act, done: Done) -> Told {
    Told { act, done }
}

/// A message that was said, heard and stored.
pub fn say(known: &mut Known, stored: &mut Stored, seq: u64, text: &str) {
    let (act, message) = (act(), MessageId::new());
    let at = Position { epoch: 3, seq };
    let done = Done::Said {
        stream: known.stream,
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
        stream: known.stream,
        epoch: 3,
        seq: i64::try_from(seq).expect("a small number"),
        id: message,
        user: act.user,
        request: act.request,
        text: text.into(),
    });
}

/// Something that the room told as what comes next, heard and stored.
pub fn tells(known: &mut Known, stored: &mut Stored, event: RoomEvent) {
    let seq = 1 + stored.messages.len() + stored.events.len();
    stored.events.push(Event {
        stream: known.stream,
        epoch: 3,
        seq: i64::try_from(seq).expect("a small number"),
        payload: kept(&event).expect("an event is JSON"),
    });
    let at = Position {
        epoch: 3,
        seq: seq as u64,
    };
    known.heard.push((at, event));
}

/// A hold that was granted and stored.
pub fn hold(known: &mut Known, stored: &mut Stored, status: &str) -> (Act, ReservationId) {
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
        origin: "buy".into(),
    });
    (act, reservation)
}

/// An order from its checkout to its payment.
pub fn order(known: &mut Known, stored: &mut Stored) {
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
pub fn sound() -> (Known, Stored) {
    let mut known = Known {
        stream: StreamId::new(),
        told: Vec::new(),
        refused: Vec::new(),
        heard: Vec::new(),
        reactions: BTreeMap::new(),
    };
    let mut stored = Stored {
        epoch: 3,
        shows: vec![(known.stream, "live".into())],
        ..Stored::default()
    };
    let (sale, variant, product) = (SaleId::new(), VariantId::new(), ProductId::new());
    known.told.push(told(act(), Done::Opened { sale, quantity: 9 }));
    known.told.push(told(act(), Done::Closed { sale }));
    stored.sales.push(Sale {
        id: sale,
        quantity: 9,
        status: "closed".into(),
    });
    tells(&mut known, &mut stored, RoomEvent::SaleClosed { sale });
    say(&mut known, &mut stored, 2, "hello");
    say(&mut known, &mut stored, 3, "is it dishwasher safe");
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
    known.refused.push(Refused {
        act: act(),
        code: ErrorCode::SoldOut,
    });
    for (kind, stored_count) in [("heart", 3), (AFTER_ALL_KILLS, 4)] {
        let reactions = Reactions { sent: 5, taken: 4 };
        known.reactions.insert(kind.into(), reactions);
        stored.reactions.push((kind.into(), stored_count));
    }
    (known, stored)
}
