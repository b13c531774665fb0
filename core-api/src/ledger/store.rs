//! SQL of the books: `ledger_accounts`, `ledger_entries`, `seller_earnings`.

use shared::ids::PaymentId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Earning, Entry};

/// Makes sure that every account named exists. Sorted, so that two captures that open
/// the same accounts wait for each other in one direction only.
pub async fn open_accounts(conn: &mut PgConnection, entries: &[Entry]) -> sqlx::Result<()> {
    let mut accounts: Vec<(&str, Option<Uuid>, &str)> = entries
        .iter()
        .map(|e| {
            (
                e.account.kind(),
                e.account.seller().map(|s| s.0),
                e.amount.currency.code(),
            )
        })
        .collect();
    accounts.sort_unstable();
    accounts.dedup();
    let ids: Vec<Uuid> = accounts.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<String> = accounts.iter().map(|a| a.0.to_owned()).collect();
    let sellers: Vec<Option<Uuid>> = accounts.iter().map(|a| a.1).collect();
    let currencies: Vec<String> = accounts.iter().map(|a| a.2.to_owned()).collect();
    sqlx::query!(
        "insert into ledger_accounts (id, kind, seller_id, currency)
         select t.id, t.kind, t.seller_id, t.currency
           from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[])
                with ordinality t (id, kind, seller_id, currency, i)
          where not exists (select 1 from ledger_accounts a
                             where a.kind = t.kind and a.currency = t.currency
                               and a.seller_id is not distinct from t.seller_id)
          order by t.i
         on conflict do nothing",
        &ids,
        &kinds,
        &sellers as &[Option<Uuid>],
        &currencies
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Appends one balanced transaction. Its accounts are open.
pub async fn insert_entries(conn: &mut PgConnection, payment: PaymentId, entries: &[Entry]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = entries.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<String> = entries.iter().map(|e| e.account.kind().to_owned()).collect();
    let sellers: Vec<Option<Uuid>> = entries.iter().map(|e| e.account.seller().map(|s| s.0)).collect();
    let currencies: Vec<String> = entries.iter().map(|e| e.amount.currency.code().to_owned()).collect();
    let amounts: Vec<i64> = entries.iter().map(|e| e.amount.minor).collect();
    let items: Vec<Option<Uuid>> = entries.iter().map(|e| e.item.map(|i| i.0)).collect();
    let done = sqlx::query!(
        "insert into ledger_entries (id, transaction_id, account_id, amount_minor, currency, payment_id, order_item_id)
         select t.id, $1, a.id, t.amount, t.currency, $2, t.item
           from unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::bigint[], $8::uuid[])
                t (id, kind, seller_id, currency, amount, item)
           join ledger_accounts a on a.kind = t.kind and a.currency = t.currency
                                 and a.seller_id is not distinct from t.seller_id",
        Uuid::now_v7(),
        payment.0,
        &ids,
        &kinds,
        &sellers as &[Option<Uuid>],
        &currencies,
        &amounts,
        &items as &[Option<Uuid>]
    )
    .execute(conn)
    .await?;
    if done.rows_affected() == entries.len() as u64 {
        Ok(())
    } else {
        Err(sqlx::Error::Protocol("a ledger account is missing".into()))
    }
}

/// Appends the earnings of a sale, one an item; the database refuses a second.
pub async fn insert_earnings(conn: &mut PgConnection, earnings: &[Earning]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = earnings.iter().map(|_| Uuid::now_v7()).collect();
    let sellers: Vec<Uuid> = earnings.iter().map(|e| e.seller.0).collect();
    let items: Vec<Uuid> = earnings.iter().map(|e| e.item.0).collect();
    let bases: Vec<i64> = earnings.iter().map(|e| e.base.minor).collect();
    let shipping: Vec<i64> = earnings.iter().map(|e| e.shipping.minor).collect();
    let commissions: Vec<i64> = earnings.iter().map(|e| e.commission.minor).collect();
    let amounts: Vec<i64> = earnings.iter().map(|e| e.amount.minor).collect();
    let currencies: Vec<String> = earnings.iter().map(|e| e.amount.currency.code().to_owned()).collect();
    sqlx::query!(
        "insert into seller_earnings
             (id, seller_id, order_item_id, kind, base_minor, shipping_minor, commission_minor, amount_minor, currency)
         select t.id, t.seller, t.item, 'sale', t.base, t.shipping, t.commission, t.amount, t.currency
           from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
                t (id, seller, item, base, shipping, commission, amount, currency)",
        &ids,
        &sellers,
        &items,
        &bases,
        &shipping,
        &commissions,
        &amounts,
        &currencies
    )
    .execute(conn)
    .await?;
    Ok(())
}
