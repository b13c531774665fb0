//! What both services must agree on for an act to be one act, whichever of them is asked:
//! the lock that stands for a person's key, and the fingerprint of its body. The rows are
//! each service's own to write, in the work's own transaction.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::ids::{RequestId, UserId};

/// How soon to ask again about a request that is under way.
pub const IN_FLIGHT_RETRY_MS: u64 = 200;

/// Leaving a sale's wait list, over REST and over the socket: the sale is its body, what
/// became of the place ([`crate::status::WaitStatus`], or null) its answer.
pub const UNWAIT: &str = "sale.unwait";

/// The advisory lock that stands for a person's key. Two that collide only wait for each
/// other's answer for nothing.
#[must_use]
pub fn lock_key(user: UserId, key: RequestId) -> i64 {
    let mut hash = Sha256::new();
    hash.update(b"idempotency");
    hash.update(user.0.as_bytes());
    hash.update(key.0.as_bytes());
    let digest = hash.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// What tells one act from another under the same key.
///
/// # Errors
/// For a body that JSON cannot hold, which is a defect.
pub fn body_hash(body: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    Ok(Sha256::digest(serde_json::to_vec(body)?).to_vec())
}
