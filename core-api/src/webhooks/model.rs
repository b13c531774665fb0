//! Who sends us webhooks, and the body of the answer.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::config::{Secret, Settings};
use utoipa::ToSchema;

/// Shortest secret, in bytes: what a provider makes up is longer.
const SECRET_MIN_BYTES: usize = 16;
/// How long to wait after the first time that something came to nothing; each one after it
/// doubles that.
const RETRY_FIRST: Duration = Duration::from_secs(30);
/// And at most.
const RETRY_MAX: Duration = Duration::from_secs(6 * 3_600);
/// How often something is tried at most: for about three days.
pub const ATTEMPTS_MAX: i32 = 20;

/// What is signed with which secret. A provider without one is not listened to.
#[derive(Clone, Debug, Default)]
pub struct WebhookConfig {
    /// The carrier's.
    pub carrier: Option<Secret>,
    /// The built-in test provider's, which sends nothing without one.
    pub test: Option<Secret>,
}

impl WebhookConfig {
    /// Reads the settings; what is wrong is left in `settings`.
    pub fn read(settings: &mut Settings) -> Self {
        Self {
            carrier: secret(settings, "carrier_webhook_secret"),
            test: secret(settings, "test_webhook_secret"),
        }
    }
}

fn secret(settings: &mut Settings, key: &str) -> Option<Secret> {
    let secret: Option<Secret> = settings.optional(key);
    if secret
        .as_ref()
        .is_some_and(|secret| secret.expose().len() < SECRET_MIN_BYTES)
    {
        settings.fault(key, &format!("must be at least {SECRET_MIN_BYTES} bytes"));
    }
    secret
}

/// The carrier's name in the inbox. A payment provider has its own there.
pub const CARRIER: &str = "carrier";

/// What came of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// What it says is so.
    Done,
    /// Nothing follows from it.
    Ignored,
    /// It cannot be taken yet, and why.
    Later(&'static str),
    /// It will never be taken, and why.
    Never(&'static str),
}

/// That a message was taken; it is worked off later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"received": true}))]
pub struct Received {
    /// Always.
    pub received: bool,
}

/// How long to wait after so many attempts.
#[must_use]
pub fn backoff(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(16);
    (RETRY_FIRST * 2_u32.pow(doublings)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_tried_for_about_three_days() {
        let seconds: Vec<u64> = [1, 2, 3, 10, 11, 1_000].map(|n| backoff(n).as_secs()).to_vec();
        assert_eq!(seconds, [30, 60, 120, 15_360, 21_600, 21_600]);
        let all: Duration = (1..ATTEMPTS_MAX).map(backoff).sum();
        assert!((60..80).contains(&(all.as_secs() / 3_600)), "{all:?}");
    }
}
