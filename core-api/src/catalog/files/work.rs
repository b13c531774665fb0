//! The job that applies imports, a batch of lines a transaction. The import's row is
//! locked meanwhile, so that of several processes one works on it at a time, and each goes
//! on from the place that is committed.

use actix_web::web::Bytes;
use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::ImportId;
use shared::outbox;
use shared::status::SellerStatus;
use sqlx::{Connection as _, PgConnection, PgPool};

use super::apply::{self, Names};
use super::lines::{self, Line};
use super::model::{Outcome, ReportLine};
use super::store;
use crate::http::{Error, Result, Shopkeeper};

/// Lines of one transaction: few enough that nobody who buys waits long for a variant that
/// it changes.
pub const BATCH_LINES: usize = 50;

/// Works on imports that are waiting, the oldest first, for at most so many batches.
/// Returns how many lines are done with.
///
/// # Errors
/// When the database fails; what is committed stays, and the next call goes on from there.
pub async fn import_some(db: &PgPool, bus: &SharedBus, batches: u32) -> Result<u64> {
    let (mut done, mut left, mut last) = (0, batches, None);
    while left > 0 {
        let Some(mut import) = store::next(&mut *db.acquire().await?, last).await? else {
            break;
        };
        last = Some(import.id);
        let shop = Shopkeeper {
            user: import.user,
            seller: import.seller,
            currency: store::currency(&import.currency)?,
        };
        let file = Bytes::from(import.file.take().unwrap_or_default());
        match some_of(db, bus, &shop, import.id, file, &mut left).await {
            Ok(lines) => done += lines,
            // It is tried again; others do not wait behind it.
            Err(error) => tracing::error!(import = %import.id, ?error, "an import does not go on"),
        }
    }
    Ok(done)
}

/// Batches of one import, `left` at most; how many lines they had.
async fn some_of(
    db: &PgPool,
    bus: &SharedBus,
    shop: &Shopkeeper,
    import: ImportId,
    file: Bytes,
    left: &mut u32,
) -> Result<u64> {
    // It was a table when it was taken.
    let lines = lines::read_aside(file, shop.currency).await?;
    let mut done = 0;
    while *left > 0 {
        *left -= 1;
        let batch = batch(db, shop, import, &lines).await?;
        if batch == 0 {
            break;
        }
        done += batch;
        outbox::hint(bus.as_ref()).await;
    }
    Ok(done)
}

/// One batch; how many lines it had. None: the import is done, or another process works
/// on it.
async fn batch(db: &PgPool, shop: &Shopkeeper, id: ImportId, lines: &[Line]) -> Result<u64> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let Some((place, status)) = store::claim(&mut tx, id).await? else {
        return Ok(0);
    };
    let place = usize::try_from(place).unwrap_or(usize::MAX).min(lines.len());
    let batch = &lines[place..lines.len().min(place + BATCH_LINES)];
    let good = batch.iter().filter(|line| line.says.is_ok());
    let skus: Vec<String> = good.map(|line| line.sku.clone()).collect();
    let keys = batch.iter().filter_map(|line| line.says.as_ref().ok());
    let keys: Vec<String> = keys.map(|says| says.key.clone()).collect();
    store::lock_named(&mut tx, shop.seller, &skus, &keys).await?;
    let names = Names::read(&mut tx, shop.seller).await?;
    let mut report = Vec::with_capacity(batch.len());
    for line in batch {
        let outcome = match (&line.says, status) {
            (Err(refusal), _) => Err(refusal.clone()),
            (Ok(_), SellerStatus::Pending | SellerStatus::Rejected | SellerStatus::Suspended) => {
                Err(Refusal::new(ErrorCode::Forbidden, format!("The shop is {status}")))
            }
            (Ok(says), SellerStatus::Approved) => one(&mut tx, shop, &names, line, says).await?,
        };
        report.push(reported(line, &outcome));
    }
    store::settle(&mut tx, id, &report).await?;
    tx.commit().await?;
    Ok(report.len().try_into().unwrap_or(u64::MAX))
}

/// One line, whole or not at all.
///
/// # Errors
/// When the database is in trouble: the batch is not done then.
async fn one(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    names: &Names,
    line: &Line,
    says: &lines::Says,
) -> Result<std::result::Result<Outcome, Refusal>> {
    let mut whole = tx.begin().await?;
    match apply::apply(&mut whole, shop, names, &line.sku, says).await {
        Ok(outcome) => {
            whole.commit().await?;
            Ok(Ok(outcome))
        }
        Err(error) => {
            whole.rollback().await?;
            match error {
                Error::Refused(refusal)
                    if !matches!(refusal.code, ErrorCode::DatabaseUnavailable | ErrorCode::Overloaded) =>
                {
                    Ok(Err(refusal))
                }
                Error::Refused(_) => Err(error),
                Error::Fault(cause) => {
                    // It would fail again: the import goes on without it, and we look why.
                    tracing::error!(
                        error = format!("{cause:#}"),
                        line = line.number,
                        "a line cannot be applied"
                    );
                    Ok(Err(ErrorCode::Internal.into()))
                }
            }
        }
    }
}

fn reported(line: &Line, outcome: &std::result::Result<Outcome, Refusal>) -> ReportLine {
    let refusal = outcome.as_ref().err();
    ReportLine {
        line: line.number,
        sku: line.sku.clone(),
        outcome: outcome.as_ref().copied().unwrap_or(Outcome::Refused),
        code: refusal.map(|refusal| refusal.code.to_string()),
        field: refusal
            .and_then(|refusal| refusal.field.clone())
            .map(std::borrow::Cow::into_owned),
        detail: refusal.map(|refusal| refusal.detail.clone().into_owned()),
    }
}
