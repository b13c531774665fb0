//! What shops have earned, line by line, and what of it they have, will have or wait for.
//! Reading alone: earnings are written by what brings or takes them, in `ledger`.

pub mod handlers;
pub mod model;
mod store;

use shared::ids::{PayoutId, SellerId};
use sqlx::PgPool;

use model::{Balance, Earning, EarningFilter};

use crate::http::{List, Page, Result};

/// What a shop has, by currency.
///
/// # Errors
/// When the database fails.
pub(crate) async fn balance(db: &PgPool, seller: SellerId, payout_minimum_minor: i64) -> Result<Balance> {
    let mut conn = db.acquire().await?;
    Ok(Balance {
        payout_hold: store::hold(&mut conn, seller).await?,
        payout_minimum_minor,
        balances: store::balances(&mut conn, seller).await?,
    })
}

/// What each line brought or took from a shop, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, seller: SellerId, filter: EarningFilter, page: &Page) -> Result<List<Earning>> {
    let rows = store::list(&mut *db.acquire().await?, seller, filter.state, page).await?;
    Ok(List::of(rows, page, |row| row.id.0))
}

/// What a payout was made of, newest first. Whose it is was asked before.
///
/// # Errors
/// When the database fails.
pub(crate) async fn of_payout(db: &PgPool, payout: PayoutId, page: &Page) -> Result<List<Earning>> {
    let rows = store::of_payout(&mut *db.acquire().await?, payout, page).await?;
    Ok(List::of(rows, page, |row| row.id.0))
}
