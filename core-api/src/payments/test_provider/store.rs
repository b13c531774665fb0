//! SQL of the test provider's books: `test_provider_intents`, `test_provider_transfers`,
//! and nothing else.

use std::time::Duration;

use shared::ids::PaymentId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::payments::provider::{Charge, RefundOrder};

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

/// A capture, and what went back of it.
pub struct Captured {
    pub amount_minor: i64,
    pub currency: String,
    pub token: String,
    pub refunded_minor: i64,
    pub has_refunds: bool,
}

/// Locks a capture: refunds of one payment come one after the other. `None`: there is none.
pub async fn lock_captured(conn: &mut PgConnection, payment: PaymentId) -> sqlx::Result<Option<Captured>> {
    let locked = sqlx::query!(
        "select id from test_provider_intents where payment_id = $1 and status = 'succeeded' for update",
        payment.0
    )
    .fetch_optional(&mut *conn)
    .await?;
    if locked.is_none() {
        return Ok(None);
    }
    // A statement of its own: it sees the refunds that it has waited for.
    sqlx::query_as!(
        Captured,
        r#"select i.amount_minor, i.currency, i.token,
                  coalesce(sum(t.amount_minor) filter (where t.status in ('processing', 'succeeded')), 0)::bigint
                  as "refunded_minor!", count(t.id) > 0 as "has_refunds!"
             from test_provider_intents i
             left join test_provider_transfers t on t.payment_id = i.payment_id and t.kind = 'refund'
            where i.payment_id = $1 group by i.id"#,
        payment.0
    )
    .fetch_optional(conn)
    .await
}

/// Opens a refund once, however often it is asked for.
pub async fn open_refund(
    conn: &mut PgConnection,
    order: &RefundOrder,
    status: &str,
    failure_code: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into test_provider_transfers (id, our_id, kind, payment_id, amount_minor, currency, status, failure_code)
         values ($1, $2, 'refund', $3, $4, $5, $6, $7) on conflict (our_id) do nothing",
        Uuid::now_v7(),
        order.refund.0,
        order.payment.0,
        order.amount.minor,
        order.amount.currency.code(),
        status,
        failure_code
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Money that leaves, in the books.
pub struct TransferRow {
    pub id: Uuid,
    pub amount_minor: i64,
    pub currency: String,
    pub status: String,
    pub failure_code: Option<String>,
}

/// What has been on its way for `delay` has arrived.
pub async fn transfer_late(conn: &mut PgConnection, our_id: Uuid, delay: Duration) -> sqlx::Result<()> {
    sqlx::query!(
        "update test_provider_transfers set status = 'succeeded', updated_at = clock_timestamp()
          where our_id = $1 and status = 'processing'
            and created_at <= clock_timestamp() - make_interval(secs => $2)",
        our_id,
        delay.as_secs_f64()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What the books say.
pub async fn find_transfer(conn: &mut PgConnection, our_id: Uuid) -> sqlx::Result<Option<TransferRow>> {
    sqlx::query_as!(
        TransferRow,
        "select id, amount_minor, currency, status, failure_code from test_provider_transfers where our_id = $1",
        our_id
    )
    .fetch_optional(conn)
    .await
}
