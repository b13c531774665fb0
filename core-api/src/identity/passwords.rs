//! Passwords: argon2id with 19 MiB, 2 passes, 1 lane (OWASP's first choice), off the
//! threads that serve requests, a bounded number at once, and a bounded number that wait
//! for their turn, so that a storm of sign-ins costs neither all memory nor all cores.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use shared::error::{ErrorCode, Refusal};
use tokio::sync::Semaphore;

use crate::config::Limits;
use crate::http::Result;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// The hash of no password, with the parameters above: what an unknown account is
/// compared with, so that it takes as long as a known one.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and verifies. Clones share the bound.
#[derive(Clone)]
pub struct Passwords {
    /// One for each that hashes or waits.
    places: Arc<Semaphore>,
    /// One for each that hashes.
    turns: Arc<Semaphore>,
    wait: Duration,
}

fn too_busy() -> Refusal {
    Refusal::from(ErrorCode::Overloaded).retry_after_ms(1_000)
}

fn argon2() -> anyhow::Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|error| anyhow::anyhow!("argon2 refuses its parameters: {error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl Passwords {
    /// At most `at_once` hashes, and `queue` requests that wait, each at most `wait`, for
    /// their turn.
    #[must_use]
    pub fn new(at_once: usize, queue: usize, wait: Duration) -> Self {
        let places = at_once.saturating_add(queue).min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            turns: Arc::new(Semaphore::new(at_once)),
            wait,
        }
    }

    /// As the settings have it.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self::new(limits.password_hashes, limits.password_queue, limits.password_wait)
    }

    /// The hash to store, in PHC format.
    ///
    /// # Errors
    /// `Overloaded` when too many wait, or no turn came in time.
    pub async fn hash(&self, password: String) -> Result<String> {
        self.in_turn(move || {
            let hash = argon2()?
                .hash_password(password.as_bytes())
                .map_err(|error| anyhow::anyhow!("argon2: {error}"))?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` is the one of `hash`; without a hash it is not, and takes as long.
    ///
    /// # Errors
    /// `Overloaded` when too many wait, or no turn came in time.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        self.in_turn(move || {
            let known = hash.is_some();
            let text = hash.as_deref().unwrap_or(NOBODY);
            let hash = PasswordHash::new(text).map_err(|error| anyhow::anyhow!("a stored hash: {error}"))?;
            let right = argon2()?.verify_password(password.as_bytes(), &hash).is_ok();
            Ok(known && right)
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> Result<T> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Err(too_busy().into());
        };
        let turn = tokio::time::timeout(self.wait, self.turns.clone().acquire_owned()).await;
        let Ok(turn) = turn else {
            return Err(too_busy().into());
        };
        let turn = turn.context("the turns of hashing are never closed")?;
        let done = tokio::task::spawn_blocking(move || {
            // Given back when the work ends, also when its request has gone away.
            let _held = (place, turn);
            work()
        });
        Ok(done.await.context("hashing a password")??)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_is_argon2id_with_the_parameters_we_chose() {
        let passwords = Passwords::new(1, 1, Duration::from_secs(60));
        let hash = passwords.hash("correct horse".into()).await.expect("hashed");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let verify = |password: &str, hash: Option<&String>| passwords.verify(password.into(), hash.cloned());
        assert!(verify("correct horse", Some(&hash)).await.expect("verified"));
        assert!(!verify("wrong horse", Some(&hash)).await.expect("verified"));
        assert!(!verify("correct horse", None).await.expect("verified"));
    }

    #[tokio::test]
    async fn who_gets_no_turn_is_told_to_come_back() {
        let passwords = Passwords::new(1, 1, Duration::ZERO);
        let _busy = passwords.turns.clone().acquire_owned().await.expect("open");
        let refused = passwords.hash("correct horse".into()).await.expect_err("no turn");
        assert_eq!(refused.code(), ErrorCode::Overloaded);
    }
    #[tokio::test]
    async fn so_many_wait_and_the_next_is_refused_at_once() {
        let passwords = Passwords::new(1, 2, Duration::from_secs(60));
        let busy = passwords.turns.clone().acquire_owned().await.expect("open");
        let _its_place = passwords.places.clone().acquire_owned().await.expect("open");
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let passwords = passwords.clone();
                tokio::spawn(async move { passwords.verify("correct horse".into(), None).await })
            })
            .collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = passwords.hash("correct horse".into()).await.expect_err("no place");
        assert_eq!(refused.code(), ErrorCode::Overloaded);
        assert!(refused.refusal().retry_after_ms.is_some());
        drop(busy);
        for answer in waiting {
            assert!(!answer.await.expect("ran").expect("got its turn"));
        }
        assert!(passwords.hash("correct horse".into()).await.is_ok());
    }
}
