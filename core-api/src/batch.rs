//! Work that is done in batches, one transaction each, of which one bad row must not keep the
//! others: what a batch could not do is done row by row. Begins no transaction itself.

use uuid::Uuid;

use crate::http::{Error, Result};

/// Goes through `due` one by one, after all of it at once has come to `error`. Returns how
/// many could be done; those that could not are logged, and are due again.
///
/// # Errors
/// None; but whoever lists what is due fails where the database is away.
pub async fn one_by_one<F>(error: Error, due: Vec<Uuid>, step: impl Fn(Uuid) -> F) -> Result<u64>
where
    F: Future<Output = Result<u64>>,
{
    tracing::warn!(%error, rows = due.len(), "a batch has failed, and is gone through one by one");
    let mut done = 0;
    for id in due {
        match step(id).await {
            Ok(more) => done += more,
            Err(error) => tracing::error!(row = %id, %error, "a row fails whenever it is its turn"),
        }
    }
    Ok(done)
}
