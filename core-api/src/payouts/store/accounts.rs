//! SQL of `payout_accounts`.

use chrono::{DateTime, Utc};
use shared::ids::{PayoutAccountId, SellerId};
use shared::money::Currency;
use sqlx::PgConnection;

use super::currency;
use crate::payouts::model::{PayoutAccount, Schedule};

struct Row {
    id: PayoutAccountId,
    provider: String,
    destination: String,
    currency: String,
    schedule: Schedule,
    next_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl Row {
    fn view(self) -> sqlx::Result<PayoutAccount> {
        Ok(PayoutAccount {
            id: self.id,
            provider: self.provider,
            destination: self.destination,
            currency: currency(&self.currency)?,
            schedule: self.schedule,
            next_at: self.next_at,
            created_at: self.created_at,
        })
    }
}

/// A shop's accounts, by currency.
pub async fn list(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<Vec<PayoutAccount>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: PayoutAccountId", provider, provider_ref as destination, currency,
                  schedule as "schedule: Schedule", next_at, created_at
             from payout_accounts where seller_id = $1 and disabled_at is null order by currency"#,
        seller.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::view).collect()
}

/// Adds an account; `None`: there is one of the currency.
pub async fn insert(
    conn: &mut PgConnection,
    seller: SellerId,
    provider: &str,
    destination: &str,
    currency: Currency,
    (schedule, next): (Schedule, Option<DateTime<Utc>>),
) -> sqlx::Result<Option<PayoutAccount>> {
    sqlx::query_as!(
        Row,
        r#"insert into payout_accounts (id, seller_id, provider, provider_ref, currency, schedule, next_at)
           values ($1, $2, $3, $4, $5, $6, $7)
           on conflict (seller_id, currency) where disabled_at is null do nothing
           returning id as "id: PayoutAccountId", provider, provider_ref as destination, currency,
                     schedule as "schedule: Schedule", next_at, created_at"#,
        PayoutAccountId::new().0,
        seller.0,
        provider,
        destination,
        currency.code(),
        schedule.as_str(),
        next
    )
    .fetch_optional(conn)
    .await?
    .map(Row::view)
    .transpose()
}

/// Changes when an account is paid to.
pub async fn reschedule(
    conn: &mut PgConnection,
    seller: SellerId,
    id: PayoutAccountId,
    (schedule, next): (Schedule, Option<DateTime<Utc>>),
) -> sqlx::Result<Option<PayoutAccount>> {
    sqlx::query_as!(
        Row,
        r#"update payout_accounts set schedule = $3, next_at = $4
            where id = $1 and seller_id = $2 and disabled_at is null
           returning id as "id: PayoutAccountId", provider, provider_ref as destination, currency,
                     schedule as "schedule: Schedule", next_at, created_at"#,
        id.0,
        seller.0,
        schedule.as_str(),
        next
    )
    .fetch_optional(conn)
    .await?
    .map(Row::view)
    .transpose()
}

/// Takes an account away; false: there is none.
pub async fn disable(conn: &mut PgConnection, seller: SellerId, id: PayoutAccountId) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update payout_accounts set disabled_at = clock_timestamp()
          where id = $1 and seller_id = $2 and disabled_at is null",
        id.0,
        seller.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An account whose payout is due.
pub struct Due {
    pub id: PayoutAccountId,
    pub seller: SellerId,
    pub currency: Currency,
    pub schedule: Schedule,
}

/// Takes an account that is due and that nobody else is at, in the order of their ids.
pub async fn take_due(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    after: Option<PayoutAccountId>,
) -> sqlx::Result<Option<Due>> {
    let row = sqlx::query!(
        r#"select id as "id: PayoutAccountId", seller_id as "seller: SellerId", currency,
                  schedule as "schedule: Schedule"
             from payout_accounts
            where next_at <= $1 and disabled_at is null and ($2::uuid is null or id > $2)
            order by id limit 1 for no key update skip locked"#,
        now,
        after.map(|id| id.0)
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Due {
            id: row.id,
            seller: row.seller,
            currency: currency(&row.currency)?,
            schedule: row.schedule,
        })
    })
    .transpose()
}

/// The account is due again then.
pub async fn move_on(conn: &mut PgConnection, id: PayoutAccountId, next: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!("update payout_accounts set next_at = $2 where id = $1", id.0, next)
        .execute(conn)
        .await?;
    Ok(())
}
