//! The books as admins read them: accounts with their balances, and what was booked, with its
//! entries. Reading alone; nothing is written but by `ledger`.

pub mod handlers;
pub mod model;
mod store;

use sqlx::PgPool;

use model::{AccountFilter, LedgerAccount, LedgerTransaction, TransactionFilter};

use crate::http::rules::named;
use crate::http::{List, Page, Result};

/// Accounts with their balances, the youngest first.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) async fn accounts(db: &PgPool, filter: &AccountFilter, page: &Page) -> Result<List<LedgerAccount>> {
    named("kind", filter.kind.as_deref())?;
    let rows = store::accounts(&mut *db.acquire().await?, filter, page).await?;
    Ok(List::of(rows, page, |account| account.id))
}

/// What was booked, newest first, with its entries.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) async fn transactions(
    db: &PgPool,
    filter: &TransactionFilter,
    page: &Page,
) -> Result<List<LedgerTransaction>> {
    named("kind", filter.kind.as_deref())?;
    let mut conn = db.acquire().await?;
    let heads = store::transactions(&mut conn, filter, page).await?;
    let mut list = List::of(heads, page, |transaction| transaction.id);
    let ids: Vec<_> = list.items.iter().map(|transaction| transaction.id).collect();
    let mut entries = store::entries(&mut conn, &ids).await?;
    for transaction in &mut list.items {
        transaction.entries = entries.remove(&transaction.id).unwrap_or_default();
    }
    Ok(list)
}
