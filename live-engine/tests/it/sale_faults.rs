//! Flash-buy when things go wrong: nobody waits for ever, nobody gets a unit twice.

use crate::desk::{TERMS, Terms, users, world, world_at};
use crate::ears::refused;
use crate::proxy::{Line, Proxy};
use live_engine::types::HoldAnswer;
use shared::error::ErrorCode;
use shared::ids::{RequestId, UserId};
use shared::status::SaleStatus;
use std::collections::HashSet;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_silent_database_keeps_nobody_waiting_and_a_resend_learns_the_truth() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(base, &proxy.url, Terms { quantity: 100, ..TERMS }).await;
    let buyers = users(&world.base.pool, 40).await;
    world.buy(buyers[0], RequestId::new(), 1).await.expect("granted");
    // One call is on its way and waits for a lock when the line goes silent.
    let lock = world.lock_sale().await;
    let mut sent = vec![world.request(buyers[1], RequestId::new(), 1)];
    world.desk.reserve(sent[0]).expect("queued");
    world.somebody_waits_for_a_lock().await;
    proxy.set(Line::Silent);
    let began = Instant::now();
    for buyer in &buyers[2..] {
        let request = world.request(*buyer, RequestId::new(), 1);
        world.desk.reserve(request).expect("queued");
        sent.push(request);
    }
    for _ in &sent {
        let answer = world.ears.answers.next().await;
        let expected = if answer.id == sent[0].id {
            ErrorCode::DatabaseUnavailable
        } else {
            ErrorCode::Overloaded
        };
        assert_eq!(
            refused(&answer.result),
            Some(expected),
            "what was not tried is said to be so"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    lock.rollback().await.expect("unlocked");
    proxy.set(Line::Open);
    let mut holds = HashSet::new();
    for request in &sent {
        holds.insert(
            world
                .buy(request.user, request.request_id, 1)
                .await
                .expect("granted")
                .reservation,
        );
    }
    assert_eq!(holds.len(), sent.len());
    assert_eq!(world.counters().await.0, (100, 40, 0, 0), "nobody has two");
    // Whoever was told that the outcome is open is told when it turns out well.
    let (_, owner, hold) = world.ears.holds.next().await;
    assert_eq!(owner, buyers[1]);
    assert!(holds.contains(&hold.reservation));
    world.verify().await;
}

#[tokio::test]
async fn a_grant_whose_answer_is_lost_is_granted_once() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(
        base,
        &proxy.url,
        Terms {
            quantity: 100,
            per_buyer: 100,
            ..TERMS
        },
    )
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    for n in 1..=5 {
        let request_id = RequestId::new();
        // The statement names the request; by then it is prepared and goes out as bytes.
        proxy.set(Line::LosesAnswerTo(request_id.0.as_bytes().to_vec()));
        world
            .buy(buyer, request_id, 1)
            .await
            .expect("asked again within its time");
        proxy.until(Line::Open).await;
        assert_eq!(world.counters().await.0, (100, n, 0, 0));
    }
    world.verify().await;
}

#[tokio::test]
async fn a_database_that_comes_back_in_time_is_no_refusal() {
    let base = testkit::database().await;
    let proxy = Proxy::before(&base.url).await;
    let mut world = world_at(
        base,
        &proxy.url,
        Terms {
            quantity: 100,
            per_buyer: 100,
            ..TERMS
        },
    )
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    for _ in 0..10 {
        let request = world.request(buyer, RequestId::new(), 1);
        world.desk.reserve(request).expect("queued");
        proxy.set(Line::Cut);
        proxy.set(Line::Open);
        world.answer(request.id).await.expect("tried again within its time");
    }
    assert_eq!(world.counters().await.0, (100, 10, 0, 0));
    world.verify().await;
}

#[tokio::test]
async fn one_impossible_request_does_not_spoil_the_batch() {
    let mut world = world(Terms { quantity: 100, ..TERMS }).await;
    let mut buyers = users(&world.base.pool, 30).await;
    let nobody = UserId::new();
    buyers.insert(11, nobody);
    let mut nobodys = 0;
    for buyer in buyers {
        let request = world.request(buyer, RequestId::new(), 1);
        world.desk.reserve(request).expect("queued");
        if buyer == nobody {
            nobodys = request.id;
        }
    }
    for _ in 0..31 {
        let HoldAnswer { id, result, .. } = world.ears.answers.next().await;
        let expected = (id == nobodys).then_some(ErrorCode::Internal);
        assert_eq!(refused(&result), expected, "request {id}");
    }
    assert_eq!(world.counters().await.0, (100, 30, 0, 0));
}

#[tokio::test]
async fn a_sale_that_nobody_tends_is_swept_all_the_same() {
    let mut world = world(Terms {
        quantity: 5,
        hold_seconds: 1,
        ends_in_seconds: 1,
        ..TERMS
    })
    .await;
    let buyer = users(&world.base.pool, 1).await[0];
    world.buy(buyer, RequestId::new(), 1).await.expect("granted");
    world
        .progress(|progress| progress.status == SaleStatus::Closed && progress.next_expiry.is_none())
        .await;
    assert_eq!(world.counters().await, ((5, 0, 0, 5), 0));
    world.verify().await;
}
