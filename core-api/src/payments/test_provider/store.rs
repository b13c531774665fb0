//! SQL of the test provider's books: `test_provider_intents`, and nothing else.

use std::time::Duration;

use shared::ids::PaymentId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::payments::provider::Charge;

/// A line of the books.
pub struct Row {
    pub id: Uuid,
    pub amount_minor: i64,
    pub currency: String,
    pub status: String,
}

/// Opens a payment once, however often it is asked for.
pub async fn open(conn: &mut PgConnection, charge: &Charge, status: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into test_provider_intents (id, payment_id, amount_minor, currency, token, status)
         values ($1, $2, $3, $4, $5, $6) on conflict (payment_id) do nothing",
        Uuid::now_v7(),
        charge.payment.0,
        charge.amount.minor,
        charge.amount.currency.code(),
        charge.token,
        status
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One step, if its status is one of `from`.
pub async fn step(conn: &mut PgConnection, payment: PaymentId, from: &[&str], to: &str) -> sqlx::Result<()> {
    let from: Vec<String> = from.iter().map(|&status| status.to_owned()).collect();
    sqlx::query!(
        "update test_provider_intents set status = $2, updated_at = clock_timestamp()
          where payment_id = $1 and status = any($3)",
        payment.0,
        to,
        &from
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What has been processing for `delay` has succeeded.
pub async fn succeed_late(conn: &mut PgConnection, payment: PaymentId, delay: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update test_provider_intents set status = 'succeeded', updated_at = clock_timestamp()
          where payment_id = $1 and status = 'processing'
            and created_at <= clock_timestamp() - make_interval(secs => $2)",
        payment.0,
        delay.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the books say.
pub async fn find(conn: &mut PgConnection, payment: PaymentId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select id, amount_minor, currency, status from test_provider_intents where payment_id = $1",
        payment.0
    )
    .fetch_optional(conn)
    .await
}
