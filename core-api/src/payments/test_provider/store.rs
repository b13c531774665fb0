//! SQL of the test provider's books: `test_provider_intents`, `test_provider_transfers`,
//! `test_provider_disputes`, and of its events, `test_provider_events`; nothing else. What
//! changes is told of in the same statement, where the provider `tells`.

use std::time::Duration;

use shared::ids::PaymentId;
use shared::money::{Currency, Money};
use shared::status::DisputeStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::payments::provider::{Charge, RefundOrder};
use crate::payouts::provider::PayoutOrder;

/// A line of the books.
pub struct Row {
    pub id: Uuid,
    pub amount_minor: i64,
    pub fee_minor: i64,
    pub currency: String,
    pub status: String,
    pub token: String,
    pub return_url: Option<String>,
}

/// Opens a payment once, however often it is asked for.
pub async fn open(conn: &mut PgConnection, charge: &Charge, status: &str, fee: Money, tells: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "with opened as (
             insert into test_provider_intents (id, payment_id, amount_minor, currency, token, status, fee_minor,
                                                return_url)
             values ($1, $2, $3, $4, $5, $6, $8, $9) on conflict (payment_id) do nothing returning payment_id, status)
         insert into test_provider_events (kind, subject)
         select 'payment.' || status, payment_id from opened where $7",
        Uuid::now_v7(),
        charge.payment.0,
        charge.amount.minor,
        charge.amount.currency.code(),
        charge.token,
        status,
        tells,
        fee.minor,
        charge.return_url.as_ref().map(|page| page.of(charge.payment))
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One step, if its status is one of `from`.
pub async fn step(
    conn: &mut PgConnection,
    payment: PaymentId,
    from: &[&str],
    to: &str,
    tells: bool,
) -> sqlx::Result<()> {
    let from: Vec<String> = from.iter().map(|&status| status.to_owned()).collect();
    sqlx::query!(
        "with stepped as (
             update test_provider_intents set status = $2, updated_at = clock_timestamp()
              where payment_id = $1 and status = any($3) returning payment_id, status)
         insert into test_provider_events (kind, subject)
         select 'payment.' || status, payment_id from stepped where $4",
        payment.0,
        to,
        &from,
        tells
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What has been processing for `delay` has succeeded: a payment, or any, so many at most.
/// Returns how many.
pub async fn succeed_late(
    conn: &mut PgConnection,
    payment: Option<PaymentId>,
    delay: Duration,
    limit: i64,
    tells: bool,
) -> sqlx::Result<u64> {
    let count = sqlx::query_scalar!(
        r#"with due as (
               select id from test_provider_intents
                where status = 'processing' and ($1::uuid is null or payment_id = $1)
                  and created_at <= clock_timestamp() - make_interval(secs => $2)
                order by created_at limit $3 for update),
           late as (
               update test_provider_intents i set status = 'succeeded', updated_at = clock_timestamp()
                 from due where i.id = due.id returning i.payment_id, i.status),
           told as (
               insert into test_provider_events (kind, subject)
               select 'payment.' || status, payment_id from late where $4)
           select count(*) as "count!" from late"#,
        payment.map(|payment| payment.0),
        delay.as_secs_f64(),
        limit,
        tells
    )
    .fetch_one(conn)
    .await?;
    Ok(count.unsigned_abs())
}

/// What the books say.
pub async fn find(conn: &mut PgConnection, payment: PaymentId) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select id, amount_minor, fee_minor, currency, status, token, return_url
           from test_provider_intents where payment_id = $1",
        payment.0
    )
    .fetch_optional(conn)
    .await
}

/// A payment whose second step has a page.
pub struct Step {
    pub payment: PaymentId,
    pub amount: Money,
    /// It was not taken yet, and still may be.
    pub is_owed: bool,
    /// Where the buyer goes from the page.
    pub return_url: String,
}

/// A second step by the books' own name for the payment.
pub async fn second_step(conn: &mut PgConnection, reference: Uuid) -> sqlx::Result<Option<Step>> {
    let row = sqlx::query!(
        r#"select payment_id as "payment: PaymentId", amount_minor, currency, status = 'requires_action' as "is_owed!",
                  return_url as "return_url!"
             from test_provider_intents where id = $1 and return_url is not null and token = 'test_second_step'"#,
        reference
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let currency = Currency::parse(&row.currency).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Step {
            payment: row.payment,
            amount: Money::new(row.amount_minor, currency),
            is_owed: row.is_owed,
            return_url: row.return_url,
        })
    })
    .transpose()
}

/// A capture, and what went back of it.
pub struct Captured {
    pub amount_minor: i64,
    pub currency: String,
    pub token: String,
    pub refunded_minor: i64,
    /// Of disputes that were not won.
    pub disputed_minor: i64,
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
                  as "refunded_minor!", count(t.id) > 0 as "has_refunds!",
                  coalesce((select sum(d.amount_minor) from test_provider_disputes d
                             where d.payment_id = $1 and d.status <> 'won'), 0)::bigint as "disputed_minor!"
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
    tells: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with opened as (
             insert into test_provider_transfers (id, our_id, kind, payment_id, amount_minor, currency, status,
                                                  failure_code)
             values ($1, $2, 'refund', $3, $4, $5, $6, $7) on conflict (our_id) do nothing returning our_id, status)
         insert into test_provider_events (kind, subject)
         select 'refund.' || status, our_id from opened where $8",
        Uuid::now_v7(),
        order.refund.0,
        order.payment.0,
        order.amount.minor,
        order.amount.currency.code(),
        status,
        failure_code,
        tells
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Opens a payout once, however often it is asked for.
pub async fn open_payout(
    conn: &mut PgConnection,
    order: &PayoutOrder,
    status: &str,
    failure_code: Option<&str>,
    tells: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        "with opened as (
             insert into test_provider_transfers (id, our_id, kind, destination, amount_minor, currency, status,
                                                  failure_code)
             values ($1, $2, 'payout', $3, $4, $5, $6, $7) on conflict (our_id) do nothing returning our_id, status)
         insert into test_provider_events (kind, subject)
         select 'payout.' || status, our_id from opened where $8",
        Uuid::now_v7(),
        order.payout.0,
        order.destination,
        order.amount.minor,
        order.amount.currency.code(),
        status,
        failure_code,
        tells
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

/// What has been on its way for `delay` has arrived, and what a bank sends back has come
/// back: one, or any, so many at most. Returns how many.
pub async fn transfer_late(
    conn: &mut PgConnection,
    our_id: Option<Uuid>,
    delay: Duration,
    limit: i64,
    tells: bool,
) -> sqlx::Result<u64> {
    let count = sqlx::query_scalar!(
        r#"with due as (
               select id from test_provider_transfers
                where (status = 'processing' or (status = 'succeeded' and destination = 'test_bank_returns'))
                  and ($1::uuid is null or our_id = $1)
                  and created_at <= clock_timestamp() - make_interval(secs => $2)
                order by created_at limit $3 for update),
           late as (
               update test_provider_transfers t
                  set status = case t.status when 'processing' then 'succeeded' else 'returned' end,
                      failure_code = case t.status when 'processing' then null else 'returned_by_bank' end,
                      updated_at = clock_timestamp()
                 from due where t.id = due.id returning t.our_id, t.kind, t.status),
           told as (
               insert into test_provider_events (kind, subject)
               select kind || '.' || status, our_id from late where $4)
           select count(*) as "count!" from late"#,
        our_id,
        delay.as_secs_f64(),
        limit,
        tells
    )
    .fetch_one(conn)
    .await?;
    Ok(count.unsigned_abs())
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

/// An event that is to be sent.
pub struct EventRow {
    pub id: Uuid,
    pub kind: String,
    pub subject: Uuid,
}

/// Takes events that are to be sent, `limit` at most; nobody else does for so many seconds.
pub async fn take_events(conn: &mut PgConnection, limit: i64, lease_seconds: f64) -> sqlx::Result<Vec<EventRow>> {
    sqlx::query_as!(
        EventRow,
        "update test_provider_events set not_before = clock_timestamp() + make_interval(secs => $2)
          where id in (select id from test_provider_events
                        where sent_at is null and not_before <= clock_timestamp()
                        order by created_at limit $1 for update skip locked)
         returning id, kind, subject",
        limit,
        lease_seconds
    )
    .fetch_all(conn)
    .await
}

/// An event has arrived.
pub async fn event_is_sent(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update test_provider_events set sent_at = clock_timestamp() where id = $1",
        id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes events that were sent a day ago, at most so many.
pub async fn delete_sent(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from test_provider_events where id in (
             select id from test_provider_events where sent_at < now() - interval '1 day'
              order by sent_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// How a dispute stands in the books.
pub struct DisputeRow {
    pub id: Uuid,
    pub payment_id: Uuid,
    pub amount_minor: i64,
    pub currency: String,
    pub status: DisputeStatus,
}

/// What the books say of a dispute.
pub async fn find_dispute(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<DisputeRow>> {
    sqlx::query_as!(
        DisputeRow,
        r#"select id, payment_id, amount_minor, currency, status as "status: DisputeStatus"
             from test_provider_disputes where id = $1"#,
        id
    )
    .fetch_optional(conn)
    .await
}

/// A bank disputes a payment that has succeeded; `None`: there is none.
pub async fn open_dispute(
    conn: &mut PgConnection,
    payment: PaymentId,
    amount_minor: Option<i64>,
    tells: bool,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "with opened as (
             insert into test_provider_disputes (id, payment_id, amount_minor, currency, status)
             select $1, payment_id, coalesce($3::bigint, amount_minor), currency, 'open'
               from test_provider_intents where payment_id = $2 and status = 'succeeded' returning id),
         told as (
             insert into test_provider_events (kind, subject) select 'dispute.opened', id from opened where $4)
         select id from opened",
        Uuid::now_v7(),
        payment.0,
        amount_minor,
        tells
    )
    .fetch_optional(conn)
    .await
}

/// A dispute is decided.
pub async fn decide_dispute(conn: &mut PgConnection, id: Uuid, status: &str, tells: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "with decided as (
             update test_provider_disputes set status = $2, updated_at = clock_timestamp()
              where id = $1 and status <> $2 returning id, status)
         insert into test_provider_events (kind, subject) select 'dispute.' || status, id from decided where $3",
        id,
        status,
        tells
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What is disputed by its token is, once, after `delay`; and is decided after as long again.
/// Returns how many steps.
pub async fn dispute_by_token(conn: &mut PgConnection, delay: Duration, limit: i64, tells: bool) -> sqlx::Result<u64> {
    let count = sqlx::query_scalar!(
        r#"with opened as (
               insert into test_provider_disputes (id, payment_id, amount_minor, currency, status, by_token)
               select gen_random_uuid(), i.payment_id, i.amount_minor, i.currency, 'open', true
                 from test_provider_intents i
                where i.status = 'succeeded'
                  and i.token in ('test_success_disputed', 'test_success_dispute_won', 'test_success_dispute_lost')
                  and i.created_at <= clock_timestamp() - make_interval(secs => $1)
                  and not exists (select from test_provider_disputes d where d.payment_id = i.payment_id and d.by_token)
                order by i.created_at limit $2
               on conflict (payment_id) where by_token do nothing returning id),
           due as (
               select d.id, case i.token when 'test_success_dispute_won' then 'won' else 'lost' end as status
                 from test_provider_disputes d join test_provider_intents i on i.payment_id = d.payment_id
                where d.by_token and d.status = 'open' and i.token <> 'test_success_disputed'
                  and d.created_at <= clock_timestamp() - make_interval(secs => $1)
                order by d.created_at limit $2 for update of d),
           decided as (
               update test_provider_disputes d set status = due.status, updated_at = clock_timestamp()
                 from due where d.id = due.id returning d.id, d.status),
           told as (
               insert into test_provider_events (kind, subject)
               select 'dispute.opened', id from opened where $3
               union all select 'dispute.' || status, id from decided where $3)
           select (select count(*) from opened) + (select count(*) from decided) as "count!""#,
        delay.as_secs_f64(),
        limit,
        tells
    )
    .fetch_one(conn)
    .await?;
    Ok(count.unsigned_abs())
}
