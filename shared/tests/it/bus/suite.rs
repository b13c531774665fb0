//! What holds for every bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use shared::bus::{BusError, Delivery, MAX_MESSAGE_BYTES, REQUEST_CAPACITY, SUBSCRIPTION_CAPACITY};

use super::{DEADLINE, Ends, echo, next, until};

/// Each test runs over both implementations.
macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Ends::in_memory()).await;
            })*
        }
        mod over_redis {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Ends::over_redis().await).await;
            })*
        }
    };
}

suite!(
    every_subscriber_hears_what_is_published_in_order,
    a_slow_subscriber_is_told_that_it_missed_something,
    a_request_is_answered_by_the_server_of_its_topic,
    of_several_servers_one_gets_each_request,
    every_asker_gets_its_own_answer,
    an_answer_that_does_not_come_times_out,
    an_answer_that_comes_late_is_nobody_elses,
    a_server_with_too_much_to_do_says_so,
    what_is_too_long_is_refused,
    a_server_that_is_gone_is_asked_no_more,
);

async fn every_subscriber_hears_what_is_published_in_order(ends: Ends) {
    let mut here = ends.a.subscribe("t").await.unwrap();
    let mut also_here = ends.a.subscribe("t").await.unwrap();
    let mut there = ends.b.subscribe("t").await.unwrap();
    for n in 0..100_u8 {
        ends.a.publish("t", Bytes::from(vec![n])).await.unwrap();
        ends.a
            .publish("other", Bytes::from_static(b"not for them"))
            .await
            .unwrap();
    }
    for subscription in [&mut here, &mut also_here, &mut there] {
        for n in 0..100_u8 {
            assert_eq!(next(subscription).await, Delivery::Message(Bytes::from(vec![n])));
        }
    }
}

async fn a_slow_subscriber_is_told_that_it_missed_something(ends: Ends) {
    let mut slow = ends.b.subscribe("t").await.unwrap();
    let mut quick = ends.b.subscribe("t").await.unwrap();
    let last = Bytes::from_static(b"last");
    let reading = tokio::spawn({
        let last = last.clone();
        async move { while super::next_message(&mut quick).await != last {} }
    });
    for _ in 0..SUBSCRIPTION_CAPACITY + 5 {
        ends.a.publish("t", Bytes::new()).await.unwrap();
    }
    ends.a.publish("t", last).await.unwrap();
    reading.await.unwrap();
    assert_eq!(next(&mut slow).await, Delivery::Missed);
    assert_eq!(next(&mut slow).await, Delivery::Message(Bytes::new()));
}

async fn a_request_is_answered_by_the_server_of_its_topic(ends: Ends) {
    assert_eq!(
        ends.a.request("t", Bytes::new(), DEADLINE).await,
        Err(BusError::NoServer)
    );
    echo(&ends.b, "t").await;
    echo(&ends.b, "elsewhere").await;
    for message in [Bytes::from_static(b"ping"), Bytes::new()] {
        assert_eq!(ends.a.request("t", message.clone(), DEADLINE).await, Ok(message));
    }
    assert_eq!(
        ends.a.request("u", Bytes::new(), DEADLINE).await,
        Err(BusError::NoServer)
    );
}

async fn of_several_servers_one_gets_each_request(ends: Ends) {
    let mut counts = Vec::new();
    for bus in [&ends.a, &ends.a, &ends.b] {
        let mut requests = bus.serve("t").await.unwrap();
        let count = Arc::new(AtomicU32::new(0));
        counts.push(count.clone());
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                count.fetch_add(1, Ordering::SeqCst);
                request.reply(Bytes::new());
            }
        });
    }
    for _ in 0..60 {
        ends.b.request("t", Bytes::new(), DEADLINE).await.unwrap();
    }
    let counts: Vec<u32> = counts.iter().map(|count| count.load(Ordering::SeqCst)).collect();
    assert_eq!(counts.iter().sum::<u32>(), 60, "{counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

async fn every_asker_gets_its_own_answer(ends: Ends) {
    echo(&ends.b, "t").await;
    let asking = (0..300_u32).map(|n| {
        let bus = if n % 2 == 0 { &ends.a } else { &ends.b };
        let message = Bytes::from(n.to_be_bytes().to_vec());
        async move { assert_eq!(bus.request("t", message.clone(), DEADLINE).await, Ok(message)) }
    });
    join_all(asking).await;
}

async fn an_answer_that_does_not_come_times_out(ends: Ends) {
    let mut requests = ends.b.serve("t").await.unwrap();
    let wait = Duration::from_millis(50);
    assert_eq!(ends.a.request("t", Bytes::new(), wait).await, Err(BusError::Timeout));
    let dropped = tokio::spawn(async move {
        drop(requests.next().await);
        drop(requests.next().await);
        requests
    });
    assert_eq!(ends.a.request("t", Bytes::new(), wait).await, Err(BusError::Timeout));
    dropped.await.unwrap();
}

async fn an_answer_that_comes_late_is_nobody_elses(ends: Ends) {
    let mut requests = ends.b.serve("t").await.unwrap();
    let wait = Duration::from_millis(50);
    let first = ends.a.request("t", Bytes::from_static(b"first"), wait).await;
    assert_eq!(first, Err(BusError::Timeout));
    let second = tokio::spawn({
        let bus = ends.a.clone();
        async move { bus.request("t", Bytes::from_static(b"second"), DEADLINE).await }
    });
    let (late, asked) = (requests.next().await.unwrap(), requests.next().await.unwrap());
    late.reply(Bytes::from_static(b"to the first"));
    asked.reply(Bytes::from_static(b"to the second"));
    assert_eq!(second.await.unwrap(), Ok(Bytes::from_static(b"to the second")));
}

async fn a_server_with_too_much_to_do_says_so(ends: Ends) {
    let _requests = ends.b.serve("t").await.unwrap();
    let asking = (0..=REQUEST_CAPACITY).map(|_| ends.a.request("t", Bytes::new(), DEADLINE));
    let mut asking: FuturesUnordered<_> = asking.collect();
    // All others wait for their answers.
    assert_eq!(asking.next().await, Some(Err(BusError::Overloaded)));
}

async fn what_is_too_long_is_refused(ends: Ends) {
    echo(&ends.b, "t").await;
    let longest = Bytes::from(vec![0; MAX_MESSAGE_BYTES]);
    assert_eq!(
        ends.a.request("t", longest.clone(), DEADLINE).await,
        Ok(longest.clone())
    );
    let mut subscription = ends.b.subscribe("t").await.unwrap();
    let too_long = Bytes::from(vec![0; MAX_MESSAGE_BYTES + 1]);
    let refused = ends.a.request("t", too_long.clone(), DEADLINE).await;
    assert_eq!(refused, Err(BusError::TooLarge));
    assert_eq!(ends.a.publish("t", too_long).await, Err(BusError::TooLarge));
    ends.a.publish("t", longest.clone()).await.unwrap();
    assert_eq!(next(&mut subscription).await, Delivery::Message(longest));
}

async fn a_server_that_is_gone_is_asked_no_more(ends: Ends) {
    let requests = ends.b.serve("t").await.unwrap();
    let subscription = ends.b.subscribe("t").await.unwrap();
    drop((requests, subscription));
    assert_eq!(
        ends.a.request("t", Bytes::new(), DEADLINE).await,
        Err(BusError::NoServer)
    );
    ends.a.publish("t", Bytes::new()).await.unwrap();
    if let Some(redis) = &ends.redis {
        // What is left is where each end gets its answers.
        until("nobody is subscribed", async || redis.subscribed_channels().await == 2).await;
    }
    echo(&ends.b, "t").await;
    let again = ends.a.request("t", Bytes::from_static(b"again"), DEADLINE).await;
    assert_eq!(again, Ok(Bytes::from_static(b"again")));
}
