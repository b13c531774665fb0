//! What providers tell us without being asked. A message is believed by its signature, kept
//! once by its own name, and answered at once; a job works it off. It may come twice, late,
//! and after what came of it: so working one off brings us to the state that it reports,
//! whatever was before, and doing it twice is no error. Of what a payment provider tells only
//! what it is about is kept: how that stands, the provider is asked. One that comes to nothing
//! for three days is dead until an admin has it tried anew or discards it.

pub mod handlers;
pub mod model;
pub mod signature;
mod store;

use std::time::Duration;

use actix_web::http::header::HeaderMap;
use anyhow::Context as _;
use serde::Serialize;
use shared::config::Secret;
use shared::error::{ErrorCode, Refusal};
use sqlx::PgPool;

use crate::commerce::Commerce;
use crate::faults::{self, Step};
use crate::fulfilment::carrier;
use crate::http::{Error, Result};
use crate::payments::event::{About, Unbelieved};
use crate::payments::provider::Provider as _;
use crate::payments::{TestProvider, Till};
use crate::{disputes, payments, payouts, refunds};
pub use model::Outcome;
use model::{ATTEMPTS_MAX, CARRIER, backoff};
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
    checked.map_err(|why| unsigned(SIGNATURE, why).into())
}

fn unsigned(header: &'static str, why: Unsigned) -> Refusal {
    let detail = match why {
        Unsigned::Unreadable => "send `t=<Unix time>,v1=<hex>`",
        Unsigned::Stale => "it was signed too long ago, or in the future",
        Unsigned::Forged => "it is not of this body, time and secret",
    };
    Refusal::new(ErrorCode::SignatureInvalid, detail).at(header)
}

/// Believes a message of a payment provider's and keeps it, once.
///
/// # Errors
/// `not_found` unless it is ours and has a secret; `signature_invalid`, `malformed`.
pub async fn receive(till: &Till, provider: &str, headers: &HeaderMap, body: &[u8]) -> Result<()> {
    let sender = till.provider_of(provider).map_err(|_| ErrorCode::NotFound)?;
    let event = sender.event(headers, body).map_err(|why| match why {
        Unbelieved::NobodyListens => ErrorCode::NotFound.into(),
        Unbelieved::Unsigned { header, why } => unsigned(header, why),
        Unbelieved::Unreadable => Refusal::new(ErrorCode::Malformed, "it is no event"),
    })?;
    keep(&till.db, provider, &event.id, &event.kind, &event.about).await
}

/// Keeps a message that is believed, once.
///
/// # Errors
/// When the database fails.
pub async fn keep(
    db: &PgPool,
    provider: &str,
    event: &str,
    kind: &str,
    message: &(impl Serialize + Sync),
) -> Result<()> {
    let payload = serde_json::to_value(message).context("a message is JSON")?;
    let mut conn = db.acquire().await?;
    let keeping = store::insert(&mut conn, provider, event, kind, &payload);
    let is_new = faults::around(Step::WebhookKeep, keeping).await?;
    count(if is_new { "kept" } else { "known" });
    Ok(())
}

/// Has the built-in test provider's time pass, and hands what it has to tell to ourselves, as
/// if it had come over the network. Returns how many events.
///
/// # Errors
/// When a database fails; what was not taken is sent again.
pub async fn send_own(till: &Till, limit: u32) -> Result<u64> {
    let Some(provider) = &till.built_in else {
        return Ok(0);
    };
    provider.pass_time(limit).await.context("the test provider's time")?;
    let events = provider.outgoing(limit).await.context("the test provider's events")?;
    let count = events.len() as u64;
    for event in events {
        receive(till, provider.name(), &event.headers, &event.body).await?;
        provider.sent(event.id).await.context("the test provider's events")?;
    }
    Ok(count)
}

/// Works off messages that are due, `limit` at most, on any number of processes at once.
/// Returns how many were taken.
///
/// # Errors
/// When the database fails; what was taken comes up again when its lease is over.
pub async fn work(till: &Till, settings: &Commerce, limit: u32) -> Result<u64> {
    let taken = store::take(&mut *till.db.acquire().await?, limit.into(), LEASE.as_secs_f64()).await?;
    let count = taken.len() as u64;
    for due in taken {
        let outcome = handle(till, settings, &due).await;
        record(&till.db, &due, outcome).await?;
    }
    Ok(count)
}

async fn handle(till: &Till, settings: &Commerce, due: &store::Due) -> Result<Outcome> {
    let payload = due.payload.clone();
    if due.provider == CARRIER {
        let event = serde_json::from_value(payload).context("reading a carrier's report")?;
        return carrier::report(&till.db, &till.bus, settings, &event, due.received_at).await;
    }
    if till.provider_of(&due.provider).is_err() {
        return Ok(Outcome::Later("no such provider is known here"));
    }
    match serde_json::from_value(payload).context("reading what an event is about")? {
        About::Payment(id) => payments::heed(till, id).await,
        About::Refund(id) => refunds::heed(till, id).await,
        About::Payout(id) => payouts::settle::heed(till, id).await,
        About::Dispute { reference } => disputes::heed(till, &due.provider, &reference).await,
        About::Nothing => Ok(Outcome::Ignored),
    }
}

async fn record(db: &PgPool, due: &store::Due, outcome: Result<Outcome>) -> Result<()> {
    let attempts_left = ATTEMPTS_MAX - due.attempts;
    let (why, attempts_left) = match outcome {
        Ok(Outcome::Done | Outcome::Ignored) => (None, 0),
        Ok(Outcome::Later(why)) => (Some(why.to_owned()), attempts_left),
        Ok(Outcome::Never(why)) => (Some(why.to_owned()), 0),
        Err(Error::Refused(refusal)) => (Some(refusal.code.to_string()), attempts_left),
        // What a fault says may quote what it is about: it is for the log alone.
        Err(error @ Error::Fault(_)) => {
            tracing::warn!(message = %due.id, provider = due.provider, kind = due.kind, %error, "a webhook was not worked off");
            (Some(error.code().to_string()), attempts_left)
        }
    };
    let mut conn = db.acquire().await?;
    match why {
        None => {
            count("done");
            faults::around(Step::WebhookFinish, store::finish(&mut conn, due.id)).await?;
        }
        Some(why) if attempts_left > 0 => {
            count("delayed");
            tracing::debug!(message = %due.id, provider = due.provider, kind = due.kind, why, "a webhook rests");
            store::postpone(&mut conn, due.id, backoff(due.attempts).as_secs_f64(), &why).await?;
        }
        Some(why) => {
            count("given_up");
            tracing::warn!(message = %due.id, provider = due.provider, kind = due.kind, why, "a webhook is given up");
            store::bury(&mut conn, due.id, &why).await?;
        }
    }
    Ok(())
}

fn count(outcome: &'static str) {
    metrics::counter!("webhooks_total", "outcome" => outcome).increment(1);
}

/// Deletes messages that were worked off 30 days ago, and the test provider's events that were
/// sent a day ago. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn prune(db: &PgPool, limit: u32) -> Result<u64> {
    let mut conn = db.acquire().await?;
    let received = store::delete_old(&mut conn, limit.into()).await?;
    let sent = TestProvider::forget_sent(&mut conn, limit).await?;
    Ok(received.max(sent))
}
