//! The books: double entry over all money that moves, and what each shop earned by it.
//!
//! Append-only, and written in the transaction of what they record; nothing here begins
//! or commits one. The database refuses a transaction whose entries do not sum to zero,
//! and a second one of the same kind and subject.

pub mod model;
pub mod parts;
mod store;

use shared::ids::{OrderId, PaymentId, SellerId};
use shared::money::{Currency, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::Result;
use model::{Account, Earning, EarningKind, Kind, Share, Transaction, Way};
use parts::Terms;

/// Step: books `transaction`. One without entries is not booked.
///
/// # Errors
/// When the database fails, or refuses: it was booked before.
pub async fn post(conn: &mut PgConnection, transaction: &Transaction) -> Result<()> {
    if transaction.entries.is_empty() {
        return Ok(());
    }
    store::open_accounts(conn, transaction).await?;
    store::insert(conn, transaction).await?;
    Ok(())
}

/// Step: locks what the platform owes these shops: the last lock of all. What is taken
/// back from a shop and what is paid out to it come one after the other.
///
/// # Errors
/// When the database fails.
pub async fn lock_sellers(conn: &mut PgConnection, sellers: &[Uuid], currency: Currency) -> Result<()> {
    Ok(store::lock_sellers(conn, sellers, currency).await?)
}

/// Step: records what `shares` bring their shops or take from them, because of `source`.
///
/// # Errors
/// When the database fails, or refuses: it was recorded before.
pub async fn earn(
    conn: &mut PgConnection,
    kind: EarningKind,
    source: Uuid,
    currency: Currency,
    shares: &[Share],
    terms: Terms,
) -> Result<()> {
    let earnings: Vec<_> = shares.iter().map(|s| Earning::of(s, terms, kind.way())).collect();
    store::insert_earnings(conn, kind, source, currency, &earnings).await?;
    Ok(())
}

/// Step: books that an order was paid by `payment`: an earning for each line, and the
/// entries that balance it.
///
/// # Errors
/// A fault when the lines do not come to exactly `captured`.
pub async fn post_capture(
    conn: &mut PgConnection,
    payment: PaymentId,
    order: OrderId,
    captured: Money,
    shares: &[Share],
    terms: Terms,
) -> Result<()> {
    post_sale(conn, payment.0, order, captured, shares, terms).await
}

/// Step: books an order that cost its buyer nothing. What the platform has paid towards
/// it is owed to the shops all the same.
///
/// # Errors
/// A fault when the lines come to anything that was to be paid.
pub async fn post_gift(
    conn: &mut PgConnection,
    order: OrderId,
    currency: Currency,
    shares: &[Share],
    terms: Terms,
) -> Result<()> {
    post_sale(conn, order.0, order, Money::zero(currency), shares, terms).await
}

/// Step: gives up what a shop owes: an earning of no line, and the entries that balance it.
///
/// # Errors
/// When the database fails.
pub async fn write_off(conn: &mut PgConnection, id: Uuid, seller: SellerId, amount: Money) -> Result<()> {
    let Money { minor, currency } = amount;
    store::insert_write_off(conn, id, seller, amount).await?;
    let accounts = (Account::SellerPayable(seller), Account::WriteOffs);
    post(
        conn,
        &Transaction::moving(Kind::WriteOff, id, None, currency, accounts, minor),
    )
    .await
}

async fn post_sale(
    conn: &mut PgConnection,
    subject: Uuid,
    order: OrderId,
    paid: Money,
    shares: &[Share],
    terms: Terms,
) -> Result<()> {
    let transaction = Transaction {
        kind: Kind::Capture,
        subject,
        order: Some(order),
        currency: paid.currency,
        entries: model::entries(shares, terms, Account::ProviderClearing, Way::Shared),
    };
    let debit = transaction.net(Account::ProviderClearing);
    if debit != paid.minor {
        return Err(anyhow::anyhow!("order {order} was paid with {paid}, its lines come to {debit}").into());
    }
    earn(conn, EarningKind::Sale, order.0, paid.currency, shares, terms).await?;
    post(conn, &transaction).await
}
