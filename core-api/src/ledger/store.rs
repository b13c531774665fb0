//! SQL of the books: `ledger_accounts`, `ledger_transactions`, `ledger_entries`,
//! `seller_earnings`.

use shared::ids::{EarningId, SellerId};
use shared::money::{Currency, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Earning, EarningKind, Transaction};

/// Makes sure that every account named exists. Sorted, so that two captures that open
/// the same accounts wait for each other in one direction only.
pub async fn open_accounts(conn: &mut PgConnection, transaction: &Transaction) -> sqlx::Result<()> {
    let mut accounts: Vec<_> = transaction.entries.iter().map(|entry| entry.account).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let ids: Vec<Uuid> = accounts.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<String> = accounts.iter().map(|a| a.kind().to_owned()).collect();
    let sellers: Vec<Option<Uuid>> = accounts.iter().map(|a| a.seller().map(|s| s.0)).collect();
    sqlx::query!(
        "insert into ledger_accounts (id, kind, seller_id, currency)
         select t.id, t.kind, t.seller_id, $4
           from unnest($1::uuid[], $2::text[], $3::uuid[]) with ordinality t (id, kind, seller_id, i)
          where not exists (select 1 from ledger_accounts a
                             where a.kind = t.kind and a.currency = $4
                               and a.seller_id is not distinct from t.seller_id)
          order by t.i
         on conflict do nothing",
        &ids,
        &kinds,
        &sellers as &[Option<Uuid>],
        transaction.currency.code()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks shops' accounts, in the order of their ids.
pub async fn lock_sellers(conn: &mut PgConnection, sellers: &[Uuid], currency: Currency) -> sqlx::Result<()> {
    sqlx::query!(
        "select id from ledger_accounts
          where kind = 'seller_payable' and seller_id = any($1) and currency = $2
          order by id for no key update",
        sellers,
        currency.code()
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Appends a balanced transaction. Its accounts are open.
pub async fn insert(conn: &mut PgConnection, transaction: &Transaction) -> sqlx::Result<()> {
    let entries = &transaction.entries;
    let ids: Vec<Uuid> = entries.iter().map(|_| Uuid::now_v7()).collect();
    let kinds: Vec<String> = entries.iter().map(|e| e.account.kind().to_owned()).collect();
    let sellers: Vec<Option<Uuid>> = entries.iter().map(|e| e.account.seller().map(|s| s.0)).collect();
    let amounts: Vec<i64> = entries.iter().map(|e| e.minor).collect();
    let items: Vec<Option<Uuid>> = entries.iter().map(|e| e.item.map(|i| i.0)).collect();
    let done = sqlx::query!(
        "with head as (
             insert into ledger_transactions (id, kind, subject_id, order_id) values ($1, $2, $3, $4) returning id
         )
         insert into ledger_entries (id, transaction_id, account_id, amount_minor, currency, order_item_id)
         select t.id, h.id, a.id, t.amount, $5, t.item
           from head h,
                unnest($6::uuid[], $7::text[], $8::uuid[], $9::bigint[], $10::uuid[]) t (id, kind, seller_id, amount, item)
           join ledger_accounts a on a.kind = t.kind and a.currency = $5
                                 and a.seller_id is not distinct from t.seller_id",
        Uuid::now_v7(),
        transaction.kind.as_str(),
        transaction.subject,
        transaction.order.map(|order| order.0),
        transaction.currency.code(),
        &ids,
        &kinds,
        &sellers as &[Option<Uuid>],
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

/// Appends what lines bring or take because of `source`; the database refuses a second.
pub async fn insert_earnings(
    conn: &mut PgConnection,
    kind: EarningKind,
    source: Uuid,
    currency: Currency,
    earnings: &[Earning],
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = earnings.iter().map(|_| Uuid::now_v7()).collect();
    let sellers: Vec<Uuid> = earnings.iter().map(|e| e.seller.0).collect();
    let items: Vec<Uuid> = earnings.iter().map(|e| e.item.0).collect();
    let bases: Vec<i64> = earnings.iter().map(|e| e.earned.base).collect();
    let shipping: Vec<i64> = earnings.iter().map(|e| e.earned.shipping).collect();
    let taxes: Vec<i64> = earnings.iter().map(|e| e.earned.tax).collect();
    let commissions: Vec<i64> = earnings.iter().map(|e| e.earned.commission).collect();
    let amounts: Vec<i64> = earnings.iter().map(|e| e.earned.amount).collect();
    sqlx::query!(
        "insert into seller_earnings (id, seller_id, order_item_id, kind, source_id, base_minor, shipping_minor,
                                      tax_minor, commission_minor, amount_minor, currency)
         select t.id, t.seller, t.item, $1, $2, t.base, t.shipping, t.tax, t.commission, t.amount, $3
           from unnest($4::uuid[], $5::uuid[], $6::uuid[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                       $11::bigint[]) t (id, seller, item, base, shipping, tax, commission, amount)",
        kind.as_str(),
        source,
        currency.code(),
        &ids,
        &sellers,
        &items,
        &bases,
        &shipping,
        &taxes,
        &commissions,
        &amounts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Appends what a shop is given of what it owes, as an earning of no line.
pub async fn insert_write_off(conn: &mut PgConnection, id: Uuid, seller: SellerId, amount: Money) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into seller_earnings (id, seller_id, kind, source_id, base_minor, shipping_minor, commission_minor,
                                      amount_minor, currency)
         values ($1, $2, 'write_off', $3, $4, 0, 0, $4, $5)",
        EarningId::new().0,
        seller.0,
        id,
        amount.minor,
        amount.currency.code()
    )
    .execute(conn)
    .await?;
    Ok(())
}
