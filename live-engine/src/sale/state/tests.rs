//! The rules one by one, and what stays true whatever is asked in whatever order.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const SELLER: u128 = 99;

fn user(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

fn sale(quantity: u32, per_buyer: u32) -> Sale {
    Sale::open(Terms {
        quantity,
        per_buyer,
        hold_ms: 50,
        opens_at: 10,
        ends_at: 1_000,
        seller: user(SELLER),
    })
}

fn ask(n: u128, buyer: u128, quantity: u32) -> Ask {
    Ask {
        reservation: ReservationId(Uuid::from_u128(n)),
        user: user(buyer),
        request: RequestId(Uuid::from_u128(n)),
        quantity,
        waits: false,
    }
}

fn wait(n: u128, buyer: u128, quantity: u32) -> Ask {
    Ask {
        waits: true,
        ..ask(n, buyer, quantity)
    }
}

fn id(n: u128) -> ReservationId {
    ReservationId(Uuid::from_u128(n))
}

fn act(sale: &mut Sale, command: &Command, now: Millis) -> Result<usize, ErrorCode> {
    let events = sale.decide(command, now)?;
    for event in &events {
        sale.evolve(event);
    }
    Ok(events.len())
}

fn reserve(sale: &mut Sale, ask: Ask, now: Millis) -> Result<usize, ErrorCode> {
    for event in sale.lapse(now) {
        sale.evolve(&event);
    }
    act(sale, &Command::Reserve(ask), now)
}

#[test]
fn the_last_unit_goes_to_the_first_claim() {
    let mut sale = sale(1, 1);
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
    assert_eq!(reserve(&mut sale, ask(2, 2, 1), 20), Err(ErrorCode::SoldOut));
    assert_eq!(
        reserve(&mut sale, ask(1, 1, 1), 20),
        Ok(0),
        "a resend is answered and takes nothing"
    );
    assert_eq!(
        reserve(&mut sale, ask(3, 2, 1), 70),
        Ok(1),
        "a lapsed hold is sold again"
    );
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 70), Ok(0), "whatever became of it");
}

#[test]
fn refusals_name_the_reason() {
    let mut sale = sale(3, 2);
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 9), Err(ErrorCode::SaleNotOpen));
    assert_eq!(reserve(&mut sale, ask(1, SELLER, 1), 10), Err(ErrorCode::OwnShop));
    assert_eq!(
        reserve(&mut sale, ask(1, 1, 3), 10),
        Err(ErrorCode::PurchaseLimitReached)
    );
    assert_eq!(reserve(&mut sale, ask(1, 1, 2), 10), Ok(1));
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 10), Err(ErrorCode::RequestIdReused));
    assert_eq!(reserve(&mut sale, ask(2, 2, 2), 10), Err(ErrorCode::NotEnoughLeft));
    assert_eq!(reserve(&mut sale, ask(3, 2, 1), 1_000), Err(ErrorCode::SaleClosed));
}

#[test]
fn a_hold_being_paid_does_not_lapse() {
    let mut sale = sale(1, 1);
    let hold = ReservationId(Uuid::from_u128(1));
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
    assert_eq!(act(&mut sale, &Command::StartPaying(vec![hold]), 69), Ok(2));
    assert_eq!(reserve(&mut sale, ask(2, 2, 1), 500), Err(ErrorCode::SoldOut));
    assert_eq!(act(&mut sale, &Command::PaymentFailed(vec![hold]), 500), Ok(1));
    assert_eq!(reserve(&mut sale, ask(3, 2, 1), 500), Ok(1));
}

#[test]
fn a_payment_prolongs_a_hold_once() {
    let mut sale = sale(1, 1);
    let holds = || vec![id(1)];
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
    assert_eq!(act(&mut sale, &Command::StartPaying(holds()), 69), Ok(2));
    assert_eq!(sale.holds[&id(1)].expires_at, 69 + 50);
    assert_eq!(act(&mut sale, &Command::PaymentFailed(holds()), 80), Ok(1));
    assert_eq!(sale.holds[&id(1)].status, ReservationStatus::Held, "time is left");
    assert_eq!(act(&mut sale, &Command::StartPaying(holds()), 118), Ok(1), "not again");
    assert_eq!(act(&mut sale, &Command::PaymentFailed(holds()), 119), Ok(1));
    assert_eq!(sale.holds[&id(1)].status, ReservationStatus::Released);
}

#[test]
fn what_comes_free_goes_to_the_first_in_line_whom_it_is_enough_for() {
    let mut sale = sale(2, 2);
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
    assert_eq!(reserve(&mut sale, ask(2, 2, 1), 20), Ok(1));
    assert_eq!(reserve(&mut sale, wait(3, 3, 2), 20), Ok(1));
    assert_eq!(reserve(&mut sale, wait(4, 4, 1), 20), Ok(1));
    assert_eq!(reserve(&mut sale, wait(5, 4, 1), 20), Err(ErrorCode::AlreadyWaiting));
    assert_eq!((sale.position(id(3)), sale.position(id(4))), (Some(1), Some(2)));
    assert_eq!(act(&mut sale, &Command::Release(id(1), user(1)), 30), Ok(2));
    assert_eq!(
        sale.holds[&id(4)].expires_at,
        30 + 50,
        "a hold of their own, under the place's id"
    );
    assert_eq!(sale.position(id(3)), Some(1), "who wants more keeps the place");
    assert_eq!(reserve(&mut sale, wait(4, 4, 1), 30), Ok(0), "a resend is answered");
    for event in sale.lapse(80) {
        sale.evolve(&event);
    }
    assert_eq!(sale.holds[&id(3)].status, ReservationStatus::Held);
    assert_eq!(sale.waiting().count(), 0);
}

#[test]
fn nobody_buys_past_the_line_and_what_it_cannot_use_is_for_all() {
    let mut sale = sale(3, 3);
    assert_eq!(reserve(&mut sale, ask(1, 1, 2), 20), Ok(1));
    assert_eq!(reserve(&mut sale, wait(2, 2, 3), 20), Ok(1));
    assert_eq!(
        reserve(&mut sale, ask(3, 3, 1), 20),
        Ok(1),
        "one unit is no use to who wants three"
    );
    assert_eq!(reserve(&mut sale, wait(4, 4, 1), 20), Ok(1));
    assert_eq!(act(&mut sale, &Command::Release(id(3), user(3)), 30), Ok(2));
    assert_eq!(reserve(&mut sale, ask(5, 5, 1), 30), Err(ErrorCode::SoldOut));
}

#[test]
fn what_is_waited_for_counts_against_the_limit() {
    let mut sale = sale(1, 2);
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
    assert_eq!(
        reserve(&mut sale, wait(2, 1, 2), 20),
        Err(ErrorCode::PurchaseLimitReached)
    );
    assert_eq!(reserve(&mut sale, wait(3, 1, 1), 20), Ok(1));
    assert_eq!(
        reserve(&mut sale, ask(4, 1, 1), 20),
        Err(ErrorCode::PurchaseLimitReached)
    );
    assert_eq!(act(&mut sale, &Command::Unwait(user(1)), 20), Ok(1));
    assert_eq!(reserve(&mut sale, ask(5, 1, 1), 20), Err(ErrorCode::SoldOut));
    assert_eq!(
        reserve(&mut sale, wait(6, 2, 2), 20),
        Err(ErrorCode::NotEnoughLeft),
        "never that many"
    );
}

#[test]
fn a_sale_of_which_everything_is_sold_is_over() {
    let mut sale = sale(2, 1);
    assert_eq!(reserve(&mut sale, ask(1, 1, 1), 20), Ok(1));
    assert_eq!(reserve(&mut sale, ask(2, 2, 1), 20), Ok(1));
    assert_eq!(reserve(&mut sale, wait(3, 3, 1), 20), Ok(1));
    for hold in [id(1), id(2)] {
        assert_eq!(sale.status, SaleStatus::Open);
        act(&mut sale, &Command::StartPaying(vec![hold]), 21).expect("held");
        act(&mut sale, &Command::Convert(vec![hold]), 22).expect("paid");
    }
    assert_eq!((sale.status, sale.returned), (SaleStatus::Closed, 0));
    assert_eq!(sale.line[0].status, WaitStatus::Ended);
}

#[derive(Clone, Debug)]
struct Step {
    command: Command,
    bar: Option<u128>,
    later: Millis,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let hold = || (1_u128..30).prop_map(id);
    let holds = || prop::collection::btree_set(hold(), 1..3).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let command = prop_oneof![
        8 => (1_u128..30, 1_u128..6, 1_u32..4, any::<bool>())
            .prop_map(|(n, buyer, q, waits)| Command::Reserve(Ask { waits, ..ask(n, buyer, q) })),
        2 => (hold(), 1_u128..6).prop_map(|(id, buyer)| Command::Release(id, user(buyer))),
        1 => (1_u128..6).prop_map(|buyer| Command::Unwait(user(buyer))),
        2 => holds().prop_map(Command::StartPaying),
        2 => holds().prop_map(Command::Convert),
        1 => holds().prop_map(Command::PaymentFailed),
        2 => Just(Command::Sweep),
        1 => Just(Command::Close),
    ];
    let bar = prop::option::weighted(0.02, 1_u128..6);
    prop::collection::vec(
        (command, bar, 0_i64..20).prop_map(|(command, bar, later)| Step { command, bar, later }),
        1..80,
    )
}

/// Applies events one by one and looks whom each passes over.
fn apply_in_turn(sale: &mut Sale, events: &[Event]) -> Result<(), TestCaseError> {
    for event in events {
        let would_have_fitted =
            |place: &&Place, left: u32| place.quantity <= left && !sale.barred.contains(&place.user);
        match event {
            Event::Granted(..) => {
                let passed_over = sale.waiting().find(|place| would_have_fitted(place, sale.remaining()));
                prop_assert_eq!(passed_over, None, "somebody bought past the line");
            }
            Event::Offered(id, _) => {
                let first = sale.waiting().find(|place| would_have_fitted(place, sale.remaining()));
                prop_assert_eq!(first.map(|place| place.id), Some(*id), "offered out of turn");
            }
            _ => {}
        }
        sale.evolve(event);
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_is_promised_twice_and_no_unit_vanishes(steps in steps(), quantity in 1_u32..12, per_buyer in 1_u32..5) {
        let mut sale = sale(quantity, per_buyer);
        let mut now = 10;
        for Step { command, bar, later } in steps {
            now += later;
            sale.barred.extend(bar.map(user));
            if let Command::Reserve(ask) = &command {
                // An id stands for one hold or place, as in the database.
                let taken = sale.holds.contains_key(&ask.reservation) || sale.line.iter().any(|p| p.id == ask.reservation);
                if taken && !sale.requests.contains_key(&(ask.user, ask.request)) {
                    continue;
                }
                let lapsed = sale.lapse(now);
                apply_in_turn(&mut sale, &lapsed)?;
            }
            if let Ok(events) = sale.decide(&command, now) {
                apply_in_turn(&mut sale, &events)?;
            }
            prop_assert!(sale.held + sale.sold + sale.returned <= quantity);
            if sale.status == SaleStatus::Closed {
                prop_assert_eq!(sale.held + sale.sold + sale.returned, quantity);
                prop_assert_eq!(sale.waiting().count(), 0);
            }
            prop_assert!(sale.sold < quantity || sale.status == SaleStatus::Closed);
            let sum = |wanted: &[ReservationStatus]| -> u32 {
                sale.holds.values().filter(|h| wanted.contains(&h.status)).map(|h| h.quantity).sum()
            };
            prop_assert_eq!(sum(&[ReservationStatus::Held, ReservationStatus::Paying]), sale.held);
            prop_assert_eq!(sum(&[ReservationStatus::Converted]), sale.sold);
            let fits = |place: &Place| place.quantity <= sale.remaining() && !sale.barred.contains(&place.user);
            prop_assert!(!sale.waiting().any(fits) || now >= sale.terms.ends_at, "units lie about while somebody waits");
            for buyer in 1..6 {
                prop_assert!(sale.units_of(user(buyer)) <= per_buyer);
                prop_assert!(sale.waiting().filter(|place| place.user == user(buyer)).count() <= 1);
            }
        }
    }

    #[test]
    fn nobody_is_overtaken(asks in prop::collection::vec(1_u32..4, 1..40), quantity in 1_u32..30) {
        let mut sale = sale(quantity, 10);
        let mut least_refused = u32::MAX;
        for (n, wanted) in asks.into_iter().enumerate() {
            let n = n as u128 + 1_000;
            match reserve(&mut sale, ask(n, n, wanted), 20) {
                Ok(_) => prop_assert!(wanted < least_refused, "granted what an earlier buyer was refused"),
                Err(_) => least_refused = least_refused.min(wanted),
            }
        }
    }
}
