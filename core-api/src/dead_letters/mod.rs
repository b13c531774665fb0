//! Dead letters: what follows from committed work and came to nothing however often it was
//! tried, letters and what providers told. They stand in nobody's way and wait for an admin,
//! who has one tried anew or discards it. What they say is never shown.

pub mod handlers;
pub mod model;
mod store;

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, UserId};
use sqlx::PgPool;
use uuid::Uuid;

use crate::http::{List, Page, Result};
use crate::idempotency::{self, Answer};
use crate::{audit, mail};
use model::{DeadLetter, DeadLetterFilter, DeadLetterKind};

/// The dead letters, the youngest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, filter: DeadLetterFilter, page: &Page) -> Result<List<DeadLetter>> {
    let rows = store::list(&mut *db.acquire().await?, filter.kind, page).await?;
    Ok(List::of(rows, page, |letter| letter.id))
}

/// Has one tried anew: it is due at once, and as often as if it were new. Tells what it was.
///
/// # Errors
/// `NotFound`; `WrongState` when it is not dead.
pub(crate) async fn retry(
    (db, mailer): (&PgPool, &mail::Mailer),
    admin: UserId,
    id: Uuid,
    key: RequestId,
) -> Result<Answer<DeadLetter>> {
    let answer = idempotency::once(db, admin, key, "dead_letter.retry", &id, 200, async |conn| {
        let dead = find(conn, id).await?;
        store::revive(conn, dead.kind, id).await?;
        let detail = json!({"before": dead, "after": {"attempts": 0, "dead_at": null}});
        audit::record(conn, admin, "dead_letter.retried", id, detail).await?;
        Ok(dead)
    })
    .await?;
    if answer.body.kind == DeadLetterKind::Outbox {
        mailer.nudge();
    }
    Ok(answer)
}

/// Discards one for good, and says why. Tells what it was.
///
/// # Errors
/// As [`retry`].
pub(crate) async fn discard(
    db: &PgPool,
    admin: UserId,
    id: Uuid,
    key: RequestId,
    reason: &str,
) -> Result<Answer<DeadLetter>> {
    let act = (id, reason);
    idempotency::once(db, admin, key, "dead_letter.discard", &act, 200, async |conn| {
        let dead = find(conn, id).await?;
        match dead.kind {
            // What it says is gone with it.
            DeadLetterKind::Outbox => store::forget(conn, id).await?,
            // It stays known, so that it is not taken anew when its provider sends it again.
            DeadLetterKind::Webhook => store::settle(conn, id).await?,
        }
        let detail = json!({"before": dead, "after": null, "reason": reason});
        audit::record(conn, admin, "dead_letter.discarded", id, detail).await?;
        Ok(dead)
    })
    .await
}

/// The one with this id, locked.
async fn find(conn: &mut sqlx::PgConnection, id: Uuid) -> Result<DeadLetter> {
    if !store::lock(conn, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    let dead = store::get(conn, id).await?;
    Ok(dead.ok_or_else(|| Refusal::new(ErrorCode::WrongState, "It is not dead"))?)
}

/// Tells the metrics how many there are of each kind.
///
/// # Errors
/// When the database fails.
pub async fn measure(db: &PgPool) -> Result<()> {
    let counts = store::count(&mut *db.acquire().await?).await?;
    for (kind, count) in [
        (DeadLetterKind::Outbox, counts.outbox),
        (DeadLetterKind::Webhook, counts.webhook),
    ] {
        // Far below what a float holds exactly.
        #[allow(clippy::cast_precision_loss, reason = "a count of rows")]
        metrics::gauge!("dead_letters", "kind" => kind.as_str()).set(count as f64);
    }
    Ok(())
}
