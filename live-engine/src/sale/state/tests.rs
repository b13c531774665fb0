//! The rules one by one; what stays true whatever is asked is in `properties`.

mod properties;

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
