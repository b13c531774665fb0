//! What the bus over Redis goes through: Redis killed, emptied, cut off, frozen.

use bytes::Bytes;
use shared::bus::{BusError, Delivery, SharedBus, Subscription};

use super::{DEADLINE, Ends, echo, end, next, next_message, until};

/// Both ends hear and answer each other.
async fn works(ends: &Ends) {
    echo(&ends.b, "check").await;
    let mut subscription = ends.b.subscribe("check").await.unwrap();
    let message = Bytes::from_static(b"hello");
    ends.a.publish("check", message.clone()).await.unwrap();
    assert_eq!(next_message(&mut subscription).await, message);
    assert_eq!(ends.a.request("check", message.clone(), DEADLINE).await, Ok(message));
}

/// A message arrives, or it is said that it may be missing and it arrives when it is sent
/// again: on a slow machine a connection may be given up and made anew at any time.
async fn arrives(ends: &Ends, topic: &str, subscription: &mut Subscription, message: Bytes) {
    loop {
        ends.a.publish(topic, message.clone()).await.unwrap();
        loop {
            match next(subscription).await {
                Delivery::Missed => break,
                Delivery::Message(heard) if heard == message => return,
                // One that was sent twice because it might have been missing.
                Delivery::Message(_) => {}
            }
        }
    }
}

/// The same on topic `t`, where nobody says anything else.
async fn arrives_alone(bus: &SharedBus, subscription: &mut Subscription, message: &'static [u8]) {
    loop {
        bus.publish("t", Bytes::from_static(message)).await.unwrap();
        if let Delivery::Message(heard) = next(subscription).await {
            assert_eq!(heard, message);
            return;
        }
    }
}

#[tokio::test]
async fn what_may_have_been_missed_while_redis_was_away_is_said() {
    let mut ends = Ends::over_redis().await;
    let mut before = ends.b.subscribe("t").await.unwrap();
    echo(&ends.b, "t").await;
    ends.redis().kill();
    until("it is noticed", async || !ends.a.is_up() && !ends.b.is_up()).await;
    assert_eq!(ends.a.publish("t", Bytes::new()).await, Err(BusError::Unreachable));
    let refused = ends.a.request("t", Bytes::new(), DEADLINE).await;
    assert_eq!(refused, Err(BusError::Unreachable));
    let mut meanwhile = ends.b.subscribe("u").await.unwrap();
    ends.redis().restart().await;
    assert_eq!(next(&mut before).await, Delivery::Missed);
    assert_eq!(next(&mut meanwhile).await, Delivery::Missed);
    until("the other end is back too", async || ends.a.is_up()).await;
    for (topic, subscription) in [("t", &mut before), ("u", &mut meanwhile)] {
        let message = Bytes::from_static(b"after");
        arrives(&ends, topic, subscription, message).await;
    }
    let asked = ends.a.request("t", Bytes::from_static(b"there?"), DEADLINE).await;
    assert_eq!(asked, Ok(Bytes::from_static(b"there?")));
}

#[tokio::test]
async fn a_redis_that_is_emptied_loses_nothing_of_the_bus() {
    let mut ends = Ends::over_redis().await;
    let mut subscription = ends.b.subscribe("t").await.unwrap();
    echo(&ends.b, "t").await;
    for n in 0..20_u8 {
        ends.redis().flush().await;
        let message = Bytes::from(vec![n]);
        arrives(&ends, "t", &mut subscription, message.clone()).await;
        assert_eq!(ends.a.request("t", message.clone(), DEADLINE).await, Ok(message));
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again_and_the_cut_is_said() {
    let mut ends = Ends::over_redis().await;
    let mut subscription = ends.b.subscribe("t").await.unwrap();
    for _ in 0..3 {
        ends.redis().disconnect_all().await;
        assert_eq!(next(&mut subscription).await, Delivery::Missed);
        until("both are back", async || ends.a.is_up() && ends.b.is_up()).await;
    }
    works(&ends).await;
}

#[tokio::test]
async fn a_redis_that_says_nothing_is_given_up_until_it_speaks_again() {
    let mut ends = Ends::over_redis().await;
    let mut subscription = ends.b.subscribe("t").await.unwrap();
    ends.redis().freeze();
    until("it is noticed", async || !ends.a.is_up() && !ends.b.is_up()).await;
    assert_eq!(ends.a.publish("t", Bytes::new()).await, Err(BusError::Unreachable));
    ends.redis().thaw();
    assert_eq!(next(&mut subscription).await, Delivery::Missed);
    until("both are back", async || ends.a.is_up() && ends.b.is_up()).await;
    works(&ends).await;
}

#[tokio::test]
async fn namespaces_share_a_redis_without_hearing_each_other() {
    let mut ends = Ends::over_redis().await;
    let stranger = end(ends.redis(), "stranger").await;
    let mut ours = ends.b.subscribe("t").await.unwrap();
    let mut theirs = stranger.subscribe("t").await.unwrap();
    echo(&stranger, "t").await;
    assert_eq!(
        ends.a.request("t", Bytes::new(), DEADLINE).await,
        Err(BusError::NoServer)
    );
    // Whoever heard the other's message heard it before the next of their own.
    for _ in 0..2 {
        arrives_alone(&stranger, &mut theirs, b"theirs").await;
        arrives_alone(&ends.a, &mut ours, b"ours").await;
    }
}

#[tokio::test]
async fn a_process_that_ends_serves_no_more() {
    let mut ends = Ends::over_redis().await;
    echo(&ends.b, "t").await;
    let third = end(ends.redis(), "test").await;
    let _requests = third.serve("t").await.unwrap();
    drop(third);
    until("its place is given up", async || {
        ends.redis().subscribed_channels().await == 3
    })
    .await;
    for _ in 0..10 {
        assert_eq!(ends.a.request("t", Bytes::new(), DEADLINE).await, Ok(Bytes::new()));
    }
}
