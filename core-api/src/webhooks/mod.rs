//! What providers tell us without being asked. A message is believed by its signature, kept
//! once by its own name, and answered at once; a job works it off. It may come twice, late,
//! and after what came of it: so working one off brings us to the state that it reports,
//! whatever was before, and doing it twice is no error.

pub mod handlers;
pub mod model;
pub mod signature;
mod store;

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;
use shared::bus::SharedBus;
use shared::config::Secret;
use shared::error::{ErrorCode, Refusal};
use sqlx::PgPool;

use crate::commerce::Commerce;
use crate::fulfilment::carrier;
use crate::http::Result;
pub use model::Outcome;
use model::{ATTEMPTS_MAX, Provider, backoff};
use signature::Unsigned;

/// The header that signs a message.
pub const SIGNATURE: &str = "Hawker-Signature";
/// How long whoever took a message has for it; then another may.
const LEASE: Duration = Duration::from_secs(60);

/// Believes a message or not.
///
/// # Errors
/// `not_found` without a secret: then nobody is listened to. `signature_invalid`.
pub fn believe(secret: Option<&Secret>, header: Option<&str>, body: &[u8]) -> Result<()> {
    let secret = secret.ok_or(ErrorCode::NotFound)?;
    let now = chrono::Utc::now().timestamp();
    let checked = signature::verify(secret.expose().as_bytes(), header.unwrap_or_default(), body, now);
    checked.map_err(|why| {
        let detail = match why {
            Unsigned::Unreadable => "send `t=<Unix time>,v1=<hex>`",
            Unsigned::Stale => "it was signed too long ago, or in the future",
            Unsigned::Forged => "it is not of this body, time and secret",
        };
        Refusal::new(ErrorCode::SignatureInvalid, detail).at(SIGNATURE).into()
    })
}

/// Keeps a message that is believed, once.
///
/// # Errors
/// When the database fails.
pub async fn keep(
    db: &PgPool,
    provider: Provider,
    event: &str,
    kind: &str,
    message: &(impl Serialize + Sync),
) -> Result<()> {
    let payload = serde_json::to_value(message).context("a message is JSON")?;
    let mut conn = db.acquire().await?;
    let is_new = store::insert(&mut conn, provider.as_str(), event, kind, &payload).await?;
    count(if is_new { "kept" } else { "known" });
    Ok(())
}

/// Works off messages that are due, `limit` at most, on any number of processes at once.
/// Returns how many were taken.
///
/// # Errors
/// When the database fails; what was taken comes up again when its lease is over.
pub async fn work(db: &PgPool, bus: &SharedBus, settings: &Commerce, limit: u32) -> Result<u64> {
    let taken = store::take(&mut *db.acquire().await?, limit.into(), LEASE.as_secs_f64()).await?;
    let count = taken.len() as u64;
    for due in taken {
        let outcome = handle(db, bus, settings, &due).await;
        record(db, &due, outcome).await?;
    }
    Ok(count)
}

async fn handle(db: &PgPool, bus: &SharedBus, settings: &Commerce, due: &store::Due) -> Result<Outcome> {
    match Provider::from_name(&due.provider) {
        Some(Provider::Carrier) => {
            let event = serde_json::from_value(due.payload.clone()).context("reading a carrier's report")?;
            carrier::report(db, bus, settings, &event).await
        }
        None => Ok(Outcome::Later("no such provider is known here")),
    }
}

async fn record(db: &PgPool, due: &store::Due, outcome: Result<Outcome>) -> Result<()> {
    let why = match outcome {
        Ok(Outcome::Done | Outcome::Ignored) => None,
        Ok(Outcome::Later(why)) => Some(why.to_owned()),
        Err(error) => Some(error.to_string()),
    };
    let mut conn = db.acquire().await?;
    match why {
        None => {
            count("done");
            store::finish(&mut conn, due.id, None).await?;
        }
        Some(why) if due.attempts < ATTEMPTS_MAX => {
            count("delayed");
            tracing::debug!(message = %due.id, provider = due.provider, kind = due.kind, why, "a webhook rests");
            store::postpone(&mut conn, due.id, backoff(due.attempts).as_secs_f64(), &why).await?;
        }
        Some(why) => {
            count("given_up");
            tracing::warn!(message = %due.id, provider = due.provider, kind = due.kind, why, "a webhook is given up");
            store::finish(&mut conn, due.id, Some(&why)).await?;
        }
    }
    Ok(())
}

fn count(outcome: &'static str) {
    metrics::counter!("webhooks_total", "outcome" => outcome).increment(1);
}

/// Deletes messages that were worked off 30 days ago. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune(db: &PgPool, limit: u32) -> Result<u64> {
    Ok(store::delete_old(&mut *db.acquire().await?, limit.into()).await?)
}
