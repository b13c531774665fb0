//! What the service does while the way to the live engine is away.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use shared::bus::{RedisBus, RedisConfig, SharedBus};
use shared::config::Secret;
use testkit::Redis;

use crate::harness::App;

async fn over(redis: &Redis) -> SharedBus {
    let config = RedisConfig::new(&Secret::new(redis.url()), "test".into()).expect("an address");
    let bus = RedisBus::start(config).expect("a thread");
    assert!(bus.reached(Duration::from_secs(20)).await);
    Arc::new(bus)
}

async fn says(app: &App, status: &str, bus: &str) {
    let waiting = async {
        loop {
            let readiness: Value = app.get("/readyz").send().await.ok();
            if readiness["status"] == status && readiness["bus"] == bus {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(said.is_ok(), "it did not say {status} and {bus} in time");
}

#[tokio::test]
async fn without_its_bus_the_service_answers_and_says_so() {
    let mut redis = Redis::start().await;
    let app = App::start_on(over(&redis).await, |_| {}).await;
    says(&app, "ok", "up").await;
    for _ in 0..2 {
        redis.kill();
        says(&app, "degraded", "away").await;
        assert_eq!(app.get("/products").send().await.status, 200);
        redis.restart().await;
        says(&app, "ok", "up").await;
    }
}
