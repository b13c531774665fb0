//! Payouts of the test provider, with its books of them: the rows of kind `payout` in
//! `test_provider_transfers`, and nothing else. What a payout comes to is in its destination.

use async_trait::async_trait;
use shared::ids::PayoutId;
use shared::money::{Currency, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{TestProvider, failed};
use crate::payments::provider::{ProviderError, Transfer, TransferState};
use crate::payouts::provider::{PayoutOrder, PayoutProvider};

/// A destination and what becomes of money that is sent there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bank {
    /// Takes it at once.
    Good,
    /// Does not take it.
    Refuses,
    /// Takes it after a while.
    Slow,
    /// Takes it at once, and sends it back after a while.
    Returns,
    /// Takes it at once, but the answer is lost.
    Timeout,
}

impl Bank {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "test_bank" => Self::Good,
            "test_bank_refuses" => Self::Refuses,
            "test_bank_slow" => Self::Slow,
            "test_bank_returns" => Self::Returns,
            "test_bank_timeout" => Self::Timeout,
            _ => return None,
        })
    }

    /// As what the books open it, and why.
    const fn opens_as(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Good | Self::Returns | Self::Timeout => ("succeeded", None),
            Self::Refuses => ("failed", Some("account_closed")),
            Self::Slow => ("processing", None),
        }
    }
}

struct Row {
    id: Uuid,
    amount_minor: i64,
    currency: String,
    status: String,
    failure_code: Option<String>,
}

impl Row {
    fn transfer(self) -> Result<Transfer, ProviderError> {
        let state = match self.status.as_str() {
            "processing" => TransferState::Processing,
            "succeeded" => TransferState::Succeeded,
            "failed" | "returned" => TransferState::Failed(self.failure_code.unwrap_or_default()),
            other => return Err(ProviderError::Failed(format!("status {other:?}"))),
        };
        let currency = Currency::parse(&self.currency).map_err(|e| ProviderError::Failed(e.to_string()))?;
        Ok(Transfer {
            reference: self.id.to_string(),
            amount: Money::new(self.amount_minor, currency),
            state,
        })
    }
}

/// Opens a payout once, however often it is asked for.
async fn open(conn: &mut PgConnection, order: &PayoutOrder, bank: Bank) -> sqlx::Result<()> {
    let (status, failure_code) = bank.opens_as();
    sqlx::query!(
        "insert into test_provider_transfers (id, our_id, kind, destination, amount_minor, currency, status, failure_code)
         values ($1, $2, 'payout', $3, $4, $5, $6, $7) on conflict (our_id) do nothing",
        Uuid::now_v7(),
        order.payout.0,
        order.destination,
        order.amount.minor,
        order.amount.currency.code(),
        status,
        failure_code
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the books say, after what is due by now has happened.
async fn look(conn: &mut PgConnection, payout: PayoutId, delay_seconds: f64) -> sqlx::Result<Option<Row>> {
    sqlx::query!(
        "update test_provider_transfers
            set status = case status when 'processing' then 'succeeded' else 'returned' end,
                failure_code = case status when 'processing' then null else 'returned_by_bank' end,
                updated_at = clock_timestamp()
          where our_id = $1 and kind = 'payout' and created_at <= clock_timestamp() - make_interval(secs => $2)
            and (status = 'processing' or (status = 'succeeded' and destination = 'test_bank_returns'))",
        payout.0,
        delay_seconds
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_as!(
        Row,
        "select id, amount_minor, currency, status, failure_code
           from test_provider_transfers where our_id = $1 and kind = 'payout'",
        payout.0
    )
    .fetch_optional(conn)
    .await
}

#[async_trait]
impl PayoutProvider for TestProvider {
    fn provider(&self) -> &'static str {
        "test"
    }

    fn knows_destination(&self, destination: &str) -> bool {
        Bank::read(destination).is_some()
    }

    async fn pay_out(&self, order: &PayoutOrder) -> Result<Transfer, ProviderError> {
        let unknown = || ProviderError::Failed(format!("no destination {:?}", order.destination));
        let bank = Bank::read(&order.destination).ok_or_else(unknown)?;
        let mut conn = self.db.acquire().await.map_err(failed)?;
        open(&mut conn, order, bank).await.map_err(failed)?;
        drop(conn);
        if bank == Bank::Timeout {
            return Err(ProviderError::Timeout);
        }
        let found = self.find_payout(order.payout).await?;
        found.ok_or_else(|| ProviderError::Failed(format!("no payout {}", order.payout)))
    }

    async fn find_payout(&self, payout: PayoutId) -> Result<Option<Transfer>, ProviderError> {
        let mut conn = self.db.acquire().await.map_err(failed)?;
        let row = look(&mut conn, payout, self.delay.as_secs_f64())
            .await
            .map_err(failed)?;
        row.map(Row::transfer).transpose()
    }
}
