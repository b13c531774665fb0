//! How much all pictures may take together: accounts are free, so what each may have bounds
//! nothing. The sum is read again once a minute, and what this process keeps meanwhile is
//! added to it; what others keep in that minute is not, so the bound may be passed by what
//! comes in a minute.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::error::{ErrorCode, Refusal};
use sqlx::PgPool;
use tokio::time::Instant;

use super::store;
use crate::http::Result;

/// How long what was read counts.
const READ_EVERY: Duration = Duration::from_secs(60);
/// When somebody who is refused may try again.
const RETRY_MS: u64 = 3_600_000;

/// The bound, and what this process knows of it. Clones share that.
#[derive(Clone)]
pub(super) struct Room {
    most_bytes: i64,
    /// When it was read, and what is taken up.
    known: Arc<Mutex<Option<(Instant, i64)>>>,
}

impl Room {
    pub(super) fn new(most_bytes: u64) -> Self {
        Self {
            most_bytes: i64::try_from(most_bytes).unwrap_or(i64::MAX),
            known: Arc::default(),
        }
    }

    /// Takes so many bytes of it.
    ///
    /// # Errors
    /// `StorageUnavailable` when that is more than there is.
    pub(super) async fn take(&self, db: &PgPool, bytes: i64) -> Result<()> {
        if self.is_old() {
            let taken = store::total_bytes(&mut *db.acquire().await?).await?;
            *self.lock() = Some((Instant::now(), taken));
        }
        let mut known = self.lock();
        let taken = known.as_mut().map(|(_, taken)| taken);
        let Some(taken) = taken.filter(|taken| taken.saturating_add(bytes) <= self.most_bytes) else {
            tracing::error!(
                most_bytes = self.most_bytes,
                "the store of pictures is full: see media_total_gigabytes"
            );
            let full = Refusal::new(ErrorCode::StorageUnavailable, "There is no room for more pictures");
            return Err(full.retry_after_ms(RETRY_MS).into());
        };
        *taken += bytes;
        Ok(())
    }

    fn is_old(&self) -> bool {
        self.lock().is_none_or(|(read, _)| read.elapsed() >= READ_EVERY)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, i64)>> {
        // Two numbers that are written at once are sound after a panic, too.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
