//! SQL of the books, for who reads them.

use std::collections::HashMap;

use shared::ids::{OrderId, OrderItemId, SellerId};
use shared::money::{Currency, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{AccountFilter, LedgerAccount, LedgerEntry, LedgerTransaction, TransactionFilter};
use crate::http::Page;

fn money(minor: i64, currency: &str) -> sqlx::Result<Money> {
    let currency = Currency::parse(currency).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Money::new(minor, currency))
}

/// Accounts with their balances, the youngest first.
pub async fn accounts(
    conn: &mut PgConnection,
    filter: &AccountFilter,
    page: &Page,
) -> sqlx::Result<Vec<LedgerAccount>> {
    let rows = sqlx::query!(
        r#"select a.id, a.kind, a.seller_id as "seller_id: SellerId", a.currency,
                  coalesce((select sum(e.amount_minor) from ledger_entries e where e.account_id = a.id), 0)::bigint
                  as "balance!"
             from ledger_accounts a
            where ($1::text is null or a.kind = $1) and ($2::uuid is null or a.seller_id = $2)
              and ($3::uuid is null or a.id < $3)
            order by a.id desc limit $4"#,
        filter.kind,
        filter.seller_id.map(|id| id.0),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LedgerAccount {
                id: row.id,
                balance: money(row.balance, &row.currency)?,
                kind: row.kind,
                seller_id: row.seller_id,
            })
        })
        .collect()
}

/// What was booked, newest first, without its entries.
pub async fn transactions(
    conn: &mut PgConnection,
    filter: &TransactionFilter,
    page: &Page,
) -> sqlx::Result<Vec<LedgerTransaction>> {
    let rows = sqlx::query!(
        r#"select t.id, t.kind, t.subject_id, t.order_id as "order_id: OrderId", t.created_at
             from ledger_transactions t
            where ($1::text is null or t.kind = $1) and ($2::uuid is null or t.order_id = $2)
              and ($3::uuid is null or t.subject_id = $3)
              and ($4::uuid is null or exists (select from ledger_entries e
                                                where e.transaction_id = t.id and e.account_id = $4))
              and ($5::uuid is null or t.id < $5)
            order by t.id desc limit $6"#,
        filter.kind,
        filter.order_id.map(|id| id.0),
        filter.subject_id,
        filter.account_id,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    let head = rows.into_iter().map(|row| LedgerTransaction {
        id: row.id,
        kind: row.kind,
        subject_id: row.subject_id,
        order_id: row.order_id,
        created_at: row.created_at,
        entries: Vec::new(),
    });
    Ok(head.collect())
}

/// The entries of these transactions.
pub async fn entries(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<HashMap<Uuid, Vec<LedgerEntry>>> {
    let rows = sqlx::query!(
        r#"select e.transaction_id, e.account_id, a.kind as account, a.seller_id as "seller_id: SellerId",
                  e.amount_minor, e.currency, e.order_item_id as "order_item_id: OrderItemId"
             from ledger_entries e join ledger_accounts a on a.id = e.account_id
            where e.transaction_id = any($1) order by e.id"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    let mut by_transaction: HashMap<Uuid, Vec<LedgerEntry>> = HashMap::new();
    for row in rows {
        let entry = LedgerEntry {
            account_id: row.account_id,
            account: row.account,
            seller_id: row.seller_id,
            amount: money(row.amount_minor, &row.currency)?,
            order_item_id: row.order_item_id,
        };
        by_transaction.entry(row.transaction_id).or_default().push(entry);
    }
    Ok(by_transaction)
}
