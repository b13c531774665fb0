//! Disputes: a buyer's bank calls a capture into question and takes the money, until somebody
//! has decided whose it is.
//!
//! Nobody here decides that: the provider tells, is asked, and its word is written down. While
//! a dispute is open nothing that its order has earned is released or paid out. A lost one is
//! taken back from those who had a part in it, as a refund of so much would be; what the bank
//! took beyond what the payment still had is the platform's loss.

pub mod handlers;
pub mod model;
mod news;
mod settle;
pub mod shares;
mod store;

use shared::error::ErrorCode;
use shared::ids::DisputeId;
use shared::money::Money;
use sqlx::PgPool;

use crate::http::{List, Page, Result};
use model::{Dispute, DisputeDetail, Filter};

pub use settle::{heed, reconcile};

/// Disputes, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, filter: Filter, page: &Page) -> Result<List<Dispute>> {
    let rows = store::list(&mut *db.acquire().await?, filter.status, page).await?;
    Ok(List::of(rows, page, |dispute| dispute.id.0))
}

/// A dispute with what it is about, as of one moment.
///
/// # Errors
/// `not_found`.
pub(crate) async fn get(db: &PgPool, id: DisputeId) -> Result<DisputeDetail> {
    let mut tx = db
        .begin_with("begin transaction isolation level repeatable read read only")
        .await?;
    let dispute = store::get(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    let (captured, refunded) = store::captured(&mut tx, dispute.payment_id).await?;
    let history = store::history(&mut tx, id).await?;
    let shops = store::shops(&mut tx, &dispute).await?;
    tx.commit().await?;
    let currency = dispute.amount.currency;
    Ok(DisputeDetail {
        captured: Money::new(captured, currency),
        refunded: Money::new(refunded, currency),
        history,
        shops,
        dispute,
    })
}
