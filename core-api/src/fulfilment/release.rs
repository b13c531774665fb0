//! Releasing what was earned: from then on it may be paid out. A line's time is known once
//! nothing of it is left to be sent; when it has come, and no return or claim of the line and no
//! dispute of its order's payment is open, a job releases it.

use sqlx::PgPool;
use uuid::Uuid;

use super::store;
use crate::http::Result;
use crate::{batch, orders};

/// Releases what is due, of so many orders at most, and completes orders of which everything
/// has arrived and is released. On any number of processes at once: what one is at, the
/// others pass over. Returns how many lines.
///
/// # Errors
/// When the database fails.
pub async fn release(db: &PgPool, limit: u32) -> Result<u64> {
    match release_some(db, None, limit).await {
        Ok(released) => Ok(released),
        Err(error) => {
            let due = store::releasable(&mut *db.acquire().await?, limit.into()).await?;
            batch::one_by_one(error, due, |order| release_some(db, Some(order), 1)).await
        }
    }
}

async fn release_some(db: &PgPool, only: Option<Uuid>, limit: u32) -> Result<u64> {
    let mut tx = db.begin().await?;
    let due = store::lock_releasable(&mut tx, only, limit.into()).await?;
    if due.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = due.iter().map(|(id, _)| id.0).collect();
    let released = store::release(&mut tx, &ids).await?;
    for (id, status) in due {
        orders::follow_release(&mut tx, id, status).await?;
    }
    tx.commit().await?;
    Ok(released.len() as u64)
}
