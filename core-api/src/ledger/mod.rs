//! The books: double entry over what was captured, and what each shop earned by it.
//!
//! Append-only, and written in the transaction that records the capture; nothing here
//! begins or commits one. The database refuses a transaction whose entries do not sum
//! to zero.

pub mod model;
mod store;

use shared::ids::PaymentId;
use shared::money::Money;
use sqlx::PgConnection;

use crate::http::Result;
use model::{Account, Earning};

/// Books a capture: an earning for each item and the entries that balance it.
///
/// # Errors
/// A fault when the entries do not come to exactly `captured`.
pub async fn post_capture(
    conn: &mut PgConnection,
    payment: PaymentId,
    captured: Money,
    earnings: &[Earning],
) -> Result<()> {
    let entries = model::entries_for_capture(earnings).map_err(anyhow::Error::from)?;
    let debit = entries
        .iter()
        .find(|entry| entry.account == Account::ProviderClearing)
        .map(|entry| entry.amount);
    if debit != Some(captured) {
        return Err(anyhow::anyhow!("payment {payment} captured {captured}, its items come to {debit:?}").into());
    }
    record_earnings(conn, earnings).await?;
    store::open_accounts(conn, &entries).await?;
    store::insert_entries(conn, payment, &entries).await?;
    Ok(())
}

/// Records what an order's items earned, for one that cost nothing too.
///
/// # Errors
/// When the database fails.
pub async fn record_earnings(conn: &mut PgConnection, earnings: &[Earning]) -> Result<()> {
    store::insert_earnings(conn, earnings).await?;
    Ok(())
}
