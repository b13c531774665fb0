//! The wait list from the desk's side: who is in line, whose turn it is, and that a
//! request sent again is answered the same.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use shared::error::ErrorCode;
use shared::ids::{RequestId, UserId};
use shared::protocol::{Outcome, Reservation, Waiting};
use shared::status::{ReservationStatus, SaleStatus, WaitStatus};

use crate::desk::{TERMS, Terms, World, held, open, users, world};
use crate::ears::refused;

/// The next hold that the line brings somebody.
async fn offered(world: &mut World) -> (UserId, Reservation) {
    world
        .ears
        .holds
        .until(|(_, user, hold)| hold.offered.then(|| (*user, hold.clone())))
        .await
}

#[tokio::test]
async fn a_unit_that_is_given_up_goes_to_the_first_in_line_and_never_past_them() {
    let mut world = world(Terms {
        hold_seconds: 60,
        ..TERMS
    })
    .await;
    let people = users(&world.base.pool, 4).await;
    let first = world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    let places = [world.in_line(people[1], 1).await, world.in_line(people[2], 1).await];
    assert_eq!(places.map(|place| place.position), [1, 2]);
    world.release(people[0], first.reservation).await.expect("given up");
    let past = world.buy(people[3], RequestId::new(), 1).await;
    assert_eq!(refused(&past), Some(ErrorCode::SoldOut));
    let (owner, hold) = offered(&mut world).await;
    assert_eq!(
        (owner, hold.status, hold.quantity),
        (people[1], ReservationStatus::Held, 1)
    );
    assert!(hold.expires_at > first.expires_at, "with its own full time");
    assert_eq!(world.counters().await.0, (1, 1, 0, 0));
    world.release(people[1], hold.reservation).await.expect("given up");
    assert_eq!(offered(&mut world).await.0, people[2]);
    world.verify().await;
}

#[tokio::test]
async fn a_unit_whose_hold_lapses_goes_to_the_line_at_once() {
    let mut world = world(Terms {
        hold_seconds: 1,
        ..TERMS
    })
    .await;
    let people = users(&world.base.pool, 3).await;
    world.watch();
    world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    world.in_line(people[1], 1).await;
    world.in_line(people[2], 1).await;
    let mut told = Vec::new();
    while told.len() < 5 {
        let (_, user, hold) = world.ears.holds.next().await;
        told.push((user, hold.status));
    }
    let (held, expired) = (ReservationStatus::Held, ReservationStatus::Expired);
    let [a, b, c] = [people[0], people[1], people[2]];
    assert_eq!(told[4], (c, expired), "nobody is left who would want it");
    told[..2].sort_unstable_by_key(|(user, _)| *user != a);
    told[2..4].sort_unstable_by_key(|(user, _)| *user != b);
    assert_eq!(told[..4], [(a, expired), (b, held), (b, expired), (c, held)]);
    world.progress(|progress| progress.remaining == 1).await;
    let versions = "select count(distinct sale_version) from reservations";
    let versions: i64 = sqlx::query_scalar(versions)
        .fetch_one(&world.base.pool)
        .await
        .expect("read");
    assert_eq!(versions, 3);
    world.verify().await;
}

#[tokio::test]
async fn a_wait_sent_again_is_answered_with_what_became_of_it() {
    let mut world = world(Terms { per_buyer: 3, ..TERMS }).await;
    let people = users(&world.base.pool, 2).await;
    let first = world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    let act = RequestId::new();
    let waiting = world.wait(people[1], act, 1).await;
    let place = Waiting {
        sale: world.sale,
        quantity: 1,
        status: WaitStatus::Waiting,
        position: 1,
    };
    assert_eq!(waiting, Ok(Outcome::Waiting(place.clone())));
    assert_eq!(world.wait(people[1], act, 1).await, waiting);
    let other = world.wait(people[1], act, 2).await;
    assert_eq!(refused(&other), Some(ErrorCode::RequestIdReused), "another quantity");
    let other = world.buy(people[1], act, 1).await;
    assert_eq!(refused(&other), Some(ErrorCode::RequestIdReused), "another command");
    let second = world.wait(people[1], RequestId::new(), 1).await;
    assert_eq!(refused(&second), Some(ErrorCode::AlreadyWaiting), "one place a person");
    world.release(people[0], first.reservation).await.expect("given up");
    let (_, hold) = offered(&mut world).await;
    assert_eq!(world.wait(people[1], act, 1).await, Ok(Outcome::Held(hold.clone())));
    world.release(people[1], hold.reservation).await.expect("given up");
    let again = world.wait(people[1], act, 1).await.map(held).expect("answered");
    assert_eq!(again.status, ReservationStatus::Released, "as it is now");
    assert_eq!(world.counters().await.0, (1, 0, 0, 0));
    world.verify().await;
}

#[tokio::test]
async fn who_waits_where_there_are_units_gets_them() {
    let mut world = world(Terms { quantity: 2, ..TERMS }).await;
    let people = users(&world.base.pool, 3).await;
    for person in &people[..2] {
        let hold = world
            .wait(*person, RequestId::new(), 1)
            .await
            .map(held)
            .expect("granted");
        assert!(!hold.offered);
    }
    assert_eq!(world.in_line(people[2], 1).await.position, 1);
}

#[tokio::test]
async fn a_place_that_was_left_is_not_left_twice() {
    let mut world = world(TERMS).await;
    let people = users(&world.base.pool, 3).await;
    let nothing = world.unwait(people[1], RequestId::new()).await;
    assert_eq!(refused(&nothing), Some(ErrorCode::NotFound), "nothing to leave");
    let hold = world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    world.in_line(people[1], 1).await;
    world.in_line(people[2], 1).await;
    let leave = RequestId::new();
    assert_eq!(world.unwait(people[1], leave).await, Ok(Outcome::Done));
    assert_eq!(
        world.in_line(people[1], 1).await.position,
        2,
        "behind the other one now"
    );
    assert_eq!(world.unwait(people[1], leave).await, Ok(Outcome::Done));
    world.release(people[0], hold.reservation).await.expect("given up");
    assert_eq!(offered(&mut world).await.0, people[2]);
    let gone = world.unwait(people[2], RequestId::new()).await;
    assert_eq!(
        refused(&gone),
        Some(ErrorCode::WrongState),
        "there is a hold to give up now"
    );
    assert_eq!(world.unwait(people[1], RequestId::new()).await, Ok(Outcome::Done));
    world.verify().await;
}

#[tokio::test]
async fn what_an_unwait_came_to_is_its_answer_and_it_takes_no_newer_place() {
    let mut world = world(TERMS).await;
    let people = users(&world.base.pool, 2).await;
    world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    let [never, left, late] = [(); 3].map(|()| RequestId::new());
    let refusal = world.unwait(people[1], never).await;
    assert_eq!(refused(&refusal), Some(ErrorCode::NotFound), "never in line");
    world.in_line(people[1], 1).await;
    assert_eq!(world.unwait(people[1], left).await, Ok(Outcome::Done));
    assert_eq!(world.unwait(people[1], late).await, Ok(Outcome::Done), "left before");
    world.in_line(people[1], 1).await;
    // All of them come again, whatever they came to.
    let again = world.unwait(people[1], never).await;
    assert_eq!(refused(&again), Some(ErrorCode::NotFound));
    for act in [left, late] {
        assert_eq!(world.unwait(people[1], act).await, Ok(Outcome::Done));
    }
    let waiting: i32 = sqlx::query_scalar("select waiting from flash_sales where id = $1")
        .bind(world.sale.0)
        .fetch_one(&world.base.pool)
        .await
        .expect("read");
    assert_eq!(waiting, 1, "the place that was got since is still there");
    // An act's name stands for it alone, of another sale too, and for no hold.
    world.sale = open(&world.base.pool, &world.shop, TERMS).await;
    let other = world.unwait(people[1], left).await;
    assert_eq!(refused(&other), Some(ErrorCode::RequestIdReused));
    let other = world.buy(people[1], left, 1).await;
    assert_eq!(refused(&other), Some(ErrorCode::RequestIdReused));
    world.verify().await;
}

#[tokio::test]
async fn the_end_of_a_sale_is_the_end_of_its_line() {
    let mut world = world(Terms {
        ends_in_seconds: 2,
        ..TERMS
    })
    .await;
    let people = users(&world.base.pool, 2).await;
    world.watch();
    world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    let act = RequestId::new();
    world.wait(people[1], act, 1).await.expect("in line");
    let (_, user, ended) = world
        .ears
        .places
        .until(|place| (place.2.status == WaitStatus::Ended).then(|| place.clone()))
        .await;
    assert_eq!((user, ended.position), (people[1], 0));
    let Ok(Outcome::Waiting(place)) = world.wait(people[1], act, 1).await else {
        panic!("a resend is answered")
    };
    assert_eq!(place.status, WaitStatus::Ended);
    world.verify().await;
}

#[tokio::test]
async fn a_sale_of_which_everything_is_sold_is_over() {
    let mut world = world(Terms { quantity: 2, ..TERMS }).await;
    let people = users(&world.base.pool, 3).await;
    let mut holds = Vec::new();
    for person in &people[..2] {
        holds.push(
            world
                .buy(*person, RequestId::new(), 1)
                .await
                .expect("granted")
                .reservation
                .0,
        );
    }
    world.in_line(people[2], 1).await;
    for statement in [
        "select flash_holds_start_paying($1)::text",
        "select flash_holds_convert($1)::text",
    ] {
        let pay = sqlx::query(statement).bind(&holds).execute(&world.base.pool);
        pay.await.expect("paid");
    }
    world.watch();
    world.progress(|progress| progress.status == SaleStatus::Closed).await;
    let late = world.buy(people[2], RequestId::new(), 1).await;
    assert_eq!(refused(&late), Some(ErrorCode::SaleClosed));
    let (_, _, ended) = world.ears.places.next().await;
    assert_eq!(ended.status, WaitStatus::Ended);
    assert_eq!(world.counters().await, ((2, 0, 2, 0), 0));
}

#[tokio::test]
async fn those_in_line_hear_how_it_moves_and_not_too_often() {
    let mut world = world(Terms { quantity: 30, ..TERMS }).await;
    let people = users(&world.base.pool, 60).await;
    world.watch();
    let mut holds = Vec::new();
    for person in &people[..30] {
        holds.push((*person, world.buy(*person, RequestId::new(), 1).await.expect("granted")));
    }
    for (n, person) in (1..).zip(&people[30..]) {
        assert_eq!(world.in_line(*person, 1).await.position, n);
    }
    let last = *people.last().expect("somebody");
    let began = Instant::now();
    for (person, hold) in holds {
        world.release(person, hold.reservation).await.expect("given up");
    }
    while offered(&mut world).await.0 != last {}
    let told = world.ears.places.so_far();
    let heard: Vec<_> = told.iter().filter(|(_, user, _)| *user == last).collect();
    assert!(heard.iter().all(|(.., place)| place.position <= 30));
    let rounds = began.elapsed().as_secs() / 2 + 2;
    assert!(
        heard.len() as u64 <= rounds,
        "{} messages in {:?}",
        heard.len(),
        began.elapsed()
    );
    assert_eq!(world.counters().await.0, (30, 30, 0, 0));
    world.verify().await;
}

#[tokio::test]
async fn a_resend_of_a_hold_that_is_gone_is_answered_even_when_memory_says_sold_out() {
    let mut world = world(TERMS).await;
    let people = users(&world.base.pool, 100).await;
    let act = RequestId::new();
    let hold = world.buy(people[0], act, 1).await.expect("granted");
    world.release(people[0], hold.reservation).await.expect("given up");
    world.buy(people[1], RequestId::new(), 1).await.expect("free again");
    let began = Instant::now();
    let mut strangers = people[2..].iter().cycle();
    loop {
        let stranger = *strangers.next().expect("a cycle");
        let request = world.request(stranger, RequestId::new(), 1);
        match world.desk.reserve(request) {
            Ok(()) => drop(world.answer(request.id).await),
            Err(refusal) => break assert_eq!(refusal.code, ErrorCode::SoldOut),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "never remembered");
    }
    let again = world.buy(people[0], act, 1).await.expect("the first answer");
    assert_eq!(
        (again.reservation, again.status),
        (hold.reservation, ReservationStatus::Released)
    );
}

#[tokio::test]
async fn before_it_opens_a_crowd_is_told_when_and_costs_nothing() {
    let mut world = world(TERMS).await;
    let later = "update flash_sales set opens_at = clock_timestamp() + interval '3 s' where id = $1";
    sqlx::query(later)
        .bind(world.sale.0)
        .execute(&world.base.pool)
        .await
        .expect("moved");
    let people = users(&world.base.pool, 30).await;
    let early = world.buy(people[0], RequestId::new(), 1).await.expect_err("too early");
    assert_eq!(early.code, ErrorCode::SaleNotOpen);
    let wait = early.retry_after_ms.expect("the time to wait");
    assert!((1..=3_001).contains(&wait), "{wait}");
    // From memory, for those who would wait too.
    let lock = world.lock_sale().await;
    for person in &people {
        for waits in [false, true] {
            let request = world.request(*person, RequestId::new(), 1);
            let refusal = world.desk.reserve(live_engine::sale::HoldRequest { waits, ..request });
            assert_eq!(refused(&refusal), Some(ErrorCode::SaleNotOpen));
        }
    }
    lock.rollback().await.expect("unlocked");
    tokio::time::sleep(Duration::from_millis(wait)).await;
    world
        .buy(people[0], RequestId::new(), 1)
        .await
        .expect("open, after as long as was said");
}

#[tokio::test]
async fn asks_that_get_no_connection_in_time_are_never_sent() {
    let mut world = world(Terms { quantity: 9, ..TERMS }).await;
    let people = users(&world.base.pool, 3).await;
    let (pool, mut all) = (world.db.pool(), Vec::new());
    for _ in 0..pool.options().get_max_connections() {
        all.push(pool.acquire().await.expect("a connection"));
    }
    let began = Instant::now();
    for person in &people {
        let request = world.request(*person, RequestId::new(), 1);
        world.desk.reserve(request).expect("queued");
    }
    let mut codes = HashSet::new();
    for _ in &people {
        codes.insert(refused(&world.ears.answers.next().await.result));
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(codes.iter().all(Option::is_some), "{codes:?}");
    drop(all);
    world.buy(people[0], RequestId::new(), 1).await.expect("granted");
    assert_eq!(world.counters().await.0, (9, 1, 0, 0), "what was given up was given up");
}
