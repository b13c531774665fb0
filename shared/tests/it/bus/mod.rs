//! One suite for both implementations of the bus, and what only the one over Redis can
//! go through. Two ends stand for two processes: over Redis each has its connection.

mod outage;
mod suite;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::bus::{Delivery, MemoryBus, RedisBus, RedisConfig, SharedBus, Subscription};
use shared::config::Secret;
use testkit::Redis;

/// How long anything may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Two ends of one bus.
struct Ends {
    a: SharedBus,
    b: SharedBus,
    redis: Option<Redis>,
}

impl Ends {
    fn in_memory() -> Self {
        let bus = MemoryBus::shared();
        Self {
            a: bus.clone(),
            b: bus,
            redis: None,
        }
    }

    async fn over_redis() -> Self {
        let redis = Redis::start().await;
        Self {
            a: end(&redis, "test").await,
            b: end(&redis, "test").await,
            redis: Some(redis),
        }
    }

    fn redis(&mut self) -> &mut Redis {
        self.redis.as_mut().unwrap()
    }
}

/// One end of a bus on this Redis.
async fn end(redis: &Redis, namespace: &str) -> SharedBus {
    let config = RedisConfig::new(&Secret::new(redis.url()), namespace.to_owned()).unwrap();
    let bus = RedisBus::start(config).unwrap();
    assert!(bus.reached(DEADLINE).await);
    Arc::new(bus)
}

/// What comes next, in time.
async fn next(subscription: &mut Subscription) -> Delivery {
    let delivery = tokio::time::timeout(DEADLINE, subscription.next()).await;
    delivery.expect("something comes in time").expect("the bus is there")
}

/// The next message, whatever may have been missed before it.
async fn next_message(subscription: &mut Subscription) -> Bytes {
    loop {
        if let Delivery::Message(message) = next(subscription).await {
            return message;
        }
    }
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, waiting).await.is_ok(),
        "not in time: {what}"
    );
}

/// Answers every request to `topic` with the request itself, until the test ends.
async fn echo(bus: &SharedBus, topic: &str) {
    let mut requests = bus.serve(topic).await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let message = request.message.clone();
            request.reply(message);
        }
    });
}
