//! Flash-buy from the desk's side: what is granted is committed, nobody gets too much,
//! and everybody is answered.

use crate::desk::{TERMS, Terms, held, users, world};
use crate::ears::refused;
use live_engine::sale::HoldRequest;
use live_engine::types::HoldAnswer;
use shared::error::ErrorCode;
use shared::ids::{RequestId, SaleId, UserId};
use shared::protocol::{Outcome, Reservation};
use shared::status::{ReservationStatus, SaleStatus};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

#[tokio::test]
async fn five_hundred_buyers_on_fifty_units_get_exactly_fifty() {
    let mut world = world(Terms {
        quantity: 50,
        per_buyer: 2,
        ..TERMS
    })
    .await;
    let buyers = users(&world.base.pool, 500).await;
    let mut first: HashMap<u64, HoldRequest> = HashMap::new();
    for (n, buyer) in buyers.iter().cycle().take(1500).enumerate() {
        let request = world.request(*buyer, RequestId::new(), 1 + u32::from(n % 7 == 0));
        if world.desk.reserve(request).is_ok() {
            first.insert(request.id, request);
        }
    }
    let mut granted: HashMap<u64, Reservation> = HashMap::new();
    for _ in 0..first.len() {
        let HoldAnswer { id, result, .. } = world.ears.answers.next().await;
        match result {
            Ok(outcome) => assert!(granted.insert(id, held(outcome)).is_none(), "answered twice"),
            Err(refusal) => assert!(
                matches!(
                    refusal.code,
                    ErrorCode::SoldOut | ErrorCode::NotEnoughLeft | ErrorCode::PurchaseLimitReached
                ),
                "{refusal}"
            ),
        }
    }
    assert_eq!(granted.values().map(|hold| hold.quantity).sum::<u32>(), 50);
    let mut units: HashMap<UserId, u32> = HashMap::new();
    for (id, hold) in &granted {
        *units.entry(first[id].user).or_default() += hold.quantity;
    }
    assert!(units.values().all(|units| *units <= 2), "above the limit per buyer");
    let (counters, _) = world.counters().await;
    assert_eq!(counters, (50, 50, 0, 0));
    // Whoever sends the same request again hears what they heard, winner or not.
    for (id, request) in &first {
        let again = world.buy(request.user, request.request_id, request.quantity).await;
        match granted.get(id) {
            Some(hold) => assert_eq!(again.as_ref(), Ok(hold)),
            None => assert!(again.is_err()),
        }
    }
    let last = world
        .ears
        .progress
        .so_far()
        .into_iter()
        .map(|(_, progress)| progress)
        .collect::<Vec<_>>();
    assert!(last.is_sorted_by_key(|progress| progress.version));
    assert_eq!(
        last.last().map(|progress| (progress.remaining, progress.status)),
        Some((0, SaleStatus::Open))
    );
    world.verify().await;
}

#[tokio::test]
async fn many_wishes_of_one_buyer_at_once_stay_within_the_limit() {
    let mut world = world(Terms {
        quantity: 1000,
        per_buyer: 3,
        ..TERMS
    })
    .await;
    let buyers = users(&world.base.pool, 20).await;
    for _ in 0..10 {
        for buyer in &buyers {
            let request = world.request(*buyer, RequestId::new(), 1);
            world.desk.reserve(request).expect("queued");
        }
    }
    let mut codes: HashMap<Option<ErrorCode>, usize> = HashMap::new();
    for _ in 0..200 {
        *codes
            .entry(refused(&world.ears.answers.next().await.result))
            .or_default() += 1;
    }
    assert_eq!(
        codes,
        HashMap::from([(None, 60), (Some(ErrorCode::PurchaseLimitReached), 140)])
    );
    world.verify().await;
}

#[tokio::test]
async fn one_request_sent_twice_at_once_is_one_hold() {
    let mut world = world(Terms {
        quantity: 10,
        per_buyer: 5,
        ..TERMS
    })
    .await;
    let (buyer, request_id) = (users(&world.base.pool, 1).await[0], RequestId::new());
    let mut holds = HashSet::new();
    for _ in 0..20 {
        let request = world.request(buyer, request_id, 2);
        world.desk.reserve(request).expect("queued");
    }
    for _ in 0..20 {
        holds.insert(held(world.ears.answers.next().await.result.expect("granted")).reservation);
    }
    assert_eq!(holds.len(), 1);
    let other = world.buy(buyer, request_id, 1).await;
    assert_eq!(refused(&other), Some(ErrorCode::RequestIdReused));
    assert_eq!(world.counters().await.0, (10, 2, 0, 0));
}

#[tokio::test]
async fn an_expired_hold_is_told_to_its_owner_and_sold_again() {
    let mut world = world(Terms {
        hold_seconds: 2,
        ..TERMS
    })
    .await;
    let buyers = users(&world.base.pool, 2).await;
    world.watch();
    let hold = world.buy(buyers[0], RequestId::new(), 1).await.expect("granted");
    let refusal = world.buy(buyers[1], RequestId::new(), 1).await;
    assert_eq!(refused(&refusal), Some(ErrorCode::SoldOut));
    let (_, owner, lapsed) = world.ears.holds.next().await;
    assert_eq!(owner, buyers[0]);
    assert_eq!(
        lapsed,
        Reservation {
            status: ReservationStatus::Expired,
            ..hold
        }
    );
    world.progress(|progress| progress.remaining == 1).await;
    // No memory of the empty shelf outlives the expiry.
    world.buy(buyers[1], RequestId::new(), 1).await.expect("sold again");
    world.verify().await;
}

#[tokio::test]
async fn being_sold_out_costs_the_database_nothing() {
    let mut world = world(TERMS).await;
    let buyers = users(&world.base.pool, 300).await;
    let (winner, won) = (buyers[0], RequestId::new());
    let hold = world.buy(winner, won, 1).await.expect("granted");
    // Until memory answers: the holders are read after the answer that says sold out.
    let began = Instant::now();
    let mut next = buyers[1..].iter().cycle();
    loop {
        let request = world.request(*next.next().expect("a cycle"), RequestId::new(), 1);
        match world.desk.reserve(request) {
            Ok(()) => assert_eq!(refused(&world.answer(request.id).await), Some(ErrorCode::SoldOut)),
            Err(refusal) => break assert_eq!(refusal.code, ErrorCode::SoldOut),
        }
        assert!(began.elapsed() < Duration::from_secs(10), "never remembered");
    }
    // A resend of the one who has the unit is answered truly, even now.
    assert_eq!(world.buy(winner, won, 1).await, Ok(hold));
    let remembered = Instant::now();
    world.db.pool().close().await;
    for buyer in &buyers[1..] {
        let request = world.request(*buyer, RequestId::new(), 1);
        let refusal = world
            .desk
            .reserve(request)
            .expect_err("from memory, without a database");
        assert_eq!(refusal.code, ErrorCode::SoldOut);
    }
    assert!(
        remembered.elapsed() < Duration::from_secs(1),
        "the machine is too slow for this test"
    );
}

#[tokio::test]
async fn the_end_of_a_sale_gives_the_shop_back_what_is_neither_sold_nor_held() {
    let mut world = world(Terms {
        quantity: 10,
        per_buyer: 5,
        hold_seconds: 4,
        ends_in_seconds: 1,
    })
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    world.watch();
    world.buy(buyer, RequestId::new(), 3).await.expect("granted");
    assert_eq!(world.counters().await, ((10, 3, 0, 0), 10));
    let closed = world.progress(|progress| progress.status == SaleStatus::Closed).await;
    assert_eq!(closed.remaining, 0);
    assert_eq!(world.counters().await, ((10, 3, 0, 7), 3));
    world.verify().await;
    let late = world.buy(buyer, RequestId::new(), 1).await;
    assert_eq!(refused(&late), Some(ErrorCode::SaleClosed));
    let (_, _, lapsed) = world.ears.holds.next().await;
    assert_eq!(lapsed.status, ReservationStatus::Expired);
    assert_eq!(world.counters().await, ((10, 0, 0, 10), 0));
    let told: i64 = sqlx::query_scalar("select count(*) from outbox where topic = 'product_changed'")
        .fetch_one(&world.base.pool)
        .await
        .expect("read");
    assert_eq!(told, 2, "rooms hear of units that are free again, twice");
    world.verify().await;
}

#[tokio::test]
async fn a_hold_given_up_is_free_at_once() {
    let mut world = world(TERMS).await;
    let buyers = users(&world.base.pool, 2).await;
    let hold = world.buy(buyers[0], RequestId::new(), 1).await.expect("granted");
    let stranger = world.release(buyers[1], hold.reservation).await;
    assert_eq!(
        refused(&stranger),
        Some(ErrorCode::NotFound),
        "somebody else's hold is not there"
    );
    let released = world.release(buyers[0], hold.reservation).await;
    assert_eq!(released, Ok(Outcome::Done));
    world.progress(|progress| progress.remaining == 1).await;
    world.buy(buyers[1], RequestId::new(), 1).await.expect("free again");
    assert_eq!(
        world.release(buyers[0], hold.reservation).await,
        Ok(Outcome::Done),
        "twice is once"
    );
    assert_eq!(world.counters().await.0, (1, 1, 0, 0));
    world.verify().await;
}

#[tokio::test]
async fn the_desk_refuses_what_cannot_be() {
    let mut world = world(TERMS).await;
    let buyer = users(&world.base.pool, 1).await[0];
    for quantity in [0, 1001] {
        let refusal = world.buy(buyer, RequestId::new(), quantity).await;
        assert_eq!(refused(&refusal), Some(ErrorCode::InvalidBody));
    }
    let own = world.buy(world.shop.owner, RequestId::new(), 1).await;
    assert_eq!(refused(&own), Some(ErrorCode::OwnShop));
    let request = HoldRequest {
        sale: SaleId::new(),
        ..world.request(buyer, RequestId::new(), 1)
    };
    world.desk.reserve(request).expect("queued");
    assert_eq!(refused(&world.answer(request.id).await), Some(ErrorCode::NotFound));
}

#[tokio::test]
async fn a_suspended_shop_sells_nothing_more_and_what_is_held_stays() {
    let mut world = world(Terms { quantity: 5, ..TERMS }).await;
    let buyers = users(&world.base.pool, 2).await;
    let act = RequestId::new();
    let hold = world.buy(buyers[0], act, 1).await.expect("granted");
    sqlx::query("update sellers set status = 'suspended' where id = $1")
        .bind(world.shop.seller.0)
        .execute(&world.base.pool)
        .await
        .expect("suspended");
    let late = world.buy(buyers[1], RequestId::new(), 1).await;
    assert_eq!(refused(&late), Some(ErrorCode::SaleClosed));
    assert_eq!(
        world.buy(buyers[0], act, 1).await,
        Ok(hold),
        "a resend gets its first answer"
    );
    assert_eq!(world.counters().await.0, (5, 1, 0, 0));
}
