//! SQL of `payments`.

use std::time::Duration;

use shared::Timestamp;
use shared::ids::{OrderId, PaymentId, UserId};
use shared::money::{Currency, Money};
use shared::status::{Machine, PaymentStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Attempt, Means, NextAction, Open, Payment};
use super::provider::Charge;
use super::return_url::ReturnUrl;

struct Row {
    id: PaymentId,
    order_id: OrderId,
    status: PaymentStatus,
    amount_minor: i64,
    currency: String,
    next_action_url: Option<String>,
    failure_code: Option<String>,
    created_at: Timestamp,
}

impl Row {
    fn view(self) -> sqlx::Result<Payment> {
        let currency = Currency::parse(&self.currency).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Payment {
            id: self.id,
            order_id: self.order_id,
            status: self.status,
            amount: Money::new(self.amount_minor, currency),
            next_action: self.next_action_url.map(NextAction::redirect),
            failure_code: self.failure_code,
            created_at: self.created_at,
        })
    }
}

/// Writes the intention to pay; `None`: another attempt is under way or has succeeded.
pub async fn insert(
    conn: &mut PgConnection,
    order: OrderId,
    provider: &str,
    amount: Money,
    means: &Means,
) -> sqlx::Result<Option<PaymentId>> {
    sqlx::query_scalar!(
        r#"insert into payments (id, order_id, provider, amount_minor, currency, method_token, return_url)
           values ($1, $2, $3, $4, $5, $6, $7)
           on conflict (order_id)
               where status in ('created', 'processing', 'requires_action', 'captured') and not surplus do nothing
           returning id as "id: PaymentId""#,
        PaymentId::new().0,
        order.0,
        provider,
        amount.minor,
        amount.currency.code(),
        means.token,
        means.return_url.as_ref().map(ReturnUrl::as_str)
    )
    .fetch_optional(conn)
    .await
}

/// A payment of an order of `buyer`'s.
pub async fn of_buyer(
    conn: &mut PgConnection,
    id: PaymentId,
    order: OrderId,
    buyer: UserId,
) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as!(
        Row,
        r#"select p.id as "id: PaymentId", p.order_id as "order_id: OrderId", p.status as "status: PaymentStatus",
                  p.amount_minor, p.currency, p.next_action_url, p.failure_code, p.created_at
             from payments p join orders o on o.id = p.order_id
            where p.id = $1 and p.order_id = $2 and o.user_id = $3"#,
        id.0,
        order.0,
        buyer.0
    )
    .fetch_optional(conn)
    .await?
    .map(Row::view)
    .transpose()
}

/// The payments of these orders, oldest first.
pub async fn of_orders(conn: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<Payment>> {
    sqlx::query_as!(
        Row,
        r#"select id as "id: PaymentId", order_id as "order_id: OrderId", status as "status: PaymentStatus",
                  amount_minor, currency, next_action_url, failure_code, created_at
             from payments where order_id = any($1) order by id"#,
        orders
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(Row::view)
    .collect()
}

/// Whether an attempt to pay the order is under way or has succeeded.
pub async fn is_under_way(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from payments where order_id = $1 and not surplus
                           and status in ('created', 'processing', 'requires_action', 'captured')) as "e!""#,
        order.0
    )
    .fetch_one(conn)
    .await
}

/// A payment and what is overdue about its order, not locked.
pub async fn attempt(conn: &mut PgConnection, id: PaymentId) -> sqlx::Result<Attempt> {
    let row = sqlx::query!(
        r#"select p.id as "id: PaymentId", p.order_id as "order_id: OrderId", p.status as "status: PaymentStatus",
                  p.amount_minor, p.currency, p.next_action_url, p.failure_code, p.created_at, p.method_token,
                  p.provider, p.provider_ref, p.return_url,
                  p.created_at < clock_timestamp() - interval '23 hours' as "is_old!",
                  o.expires_at <= clock_timestamp() as "order_overdue!",
                  exists (select 1 from order_items i join reservations r on r.id = i.reservation_id
                           where i.order_id = o.id and r.status = 'paying'
                             and r.expires_at <= clock_timestamp()) as "hold_overdue!"
             from payments p join orders o on o.id = p.order_id where p.id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await?;
    let view = Row {
        id: row.id,
        order_id: row.order_id,
        status: row.status,
        amount_minor: row.amount_minor,
        currency: row.currency,
        next_action_url: row.next_action_url,
        failure_code: row.failure_code,
        created_at: row.created_at,
    };
    let view = view.view()?;
    Ok(Attempt {
        provider: row.provider,
        charge: Charge {
            payment: view.id,
            amount: view.amount,
            token: row.method_token,
            return_url: row.return_url.map(ReturnUrl::kept),
            reference: row.provider_ref,
            is_old: row.is_old,
        },
        view,
        order_overdue: row.order_overdue,
        hold_overdue: row.hold_overdue,
    })
}

/// How far a payment is, and whether the provider's fee of it is known; `None`: there is none.
pub async fn status(conn: &mut PgConnection, id: PaymentId) -> sqlx::Result<Option<(PaymentStatus, bool)>> {
    let row = sqlx::query!(
        r#"select status as "status: PaymentStatus", fee_minor is not null as "has_fee!" from payments where id = $1"#,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.status, row.has_fee)))
}

/// The provider has told its fee of a captured payment; `false`: it was known.
pub async fn set_fee(conn: &mut PgConnection, id: PaymentId, fee_minor: i64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update payments set fee_minor = $2 where id = $1 and status = 'captured' and fee_minor is null",
        id.0,
        fee_minor
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes captured payments of a week whose fee has not been asked for for an hour.
pub async fn take_without_fee(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<PaymentId>> {
    sqlx::query_scalar!(
        r#"update payments set updated_at = clock_timestamp()
            where id in (select id from payments
                          where status = 'captured' and fee_minor is null
                            and updated_at <= clock_timestamp() - interval '1 hour'
                            and captured_at > clock_timestamp() - interval '7 days'
                          order by updated_at limit $1 for no key update skip locked)
           returning id as "id: PaymentId""#,
        limit
    )
    .fetch_all(conn)
    .await
}

/// A payment that had ended without money has money after all, beside whatever its order has.
pub async fn capture_surplus(conn: &mut PgConnection, id: PaymentId, reference: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update payments set status = 'captured', surplus = true, provider_ref = $2, failure_code = null,
                captured_at = clock_timestamp(), updated_at = clock_timestamp()
          where id = $1 and status in ('failed', 'cancelled')",
        id.0,
        reference
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks a payment: the first lock of its outcome.
pub async fn lock(conn: &mut PgConnection, id: PaymentId) -> sqlx::Result<Payment> {
    sqlx::query_as!(
        Row,
        r#"select id as "id: PaymentId", order_id as "order_id: OrderId", status as "status: PaymentStatus",
                  amount_minor, currency, next_action_url, failure_code, created_at
             from payments where id = $1 for no key update"#,
        id.0
    )
    .fetch_one(conn)
    .await?
    .view()
}

/// One step of a payment; `None`: its status does not allow it. Where the buyer is to be sent
/// is forgotten with the step that ends the waiting.
pub async fn step(
    conn: &mut PgConnection,
    id: PaymentId,
    to: PaymentStatus,
    reference: Option<&str>,
    failure_code: Option<&str>,
    next_action_url: Option<&str>,
) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as!(
        Row,
        r#"update payments
              set status = $2, provider_ref = coalesce($4, provider_ref),
                  failure_code = coalesce($5, failure_code), next_action_url = $6, updated_at = clock_timestamp(),
                  captured_at = case when $2 = 'captured' then clock_timestamp() end
            where id = $1 and status = any($3)
           returning id as "id: PaymentId", order_id as "order_id: OrderId", status as "status: PaymentStatus",
                     amount_minor, currency, next_action_url, failure_code, created_at"#,
        id.0,
        to.as_str(),
        &PaymentStatus::sources_of(to),
        reference,
        failure_code,
        next_action_url
    )
    .fetch_optional(conn)
    .await?
    .map(Row::view)
    .transpose()
}

/// Locks what is under way or was captured of an order: one at most.
pub async fn lock_open(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<Option<Open>> {
    let row = sqlx::query!(
        r#"select id as "id: PaymentId", status as "status: PaymentStatus", amount_minor, currency
             from payments
            where order_id = $1 and status in ('created', 'processing', 'requires_action', 'captured') and not surplus
              for no key update"#,
        order.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let currency = Currency::parse(&row.currency).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Open {
            id: row.id,
            status: row.status,
            amount: Money::new(row.amount_minor, currency),
        })
    })
    .transpose()
}

/// Takes unsettled payments that have rested, or whose second step is overdue, to ask
/// the provider; they rest again from now on, whoever else looks.
///
/// One that is only written may still be on its way to the provider: it rests until
/// that call has timed out.
pub async fn take_unsettled(
    conn: &mut PgConnection,
    after: Duration,
    call_timeout: Duration,
    limit: i64,
) -> sqlx::Result<Vec<PaymentId>> {
    sqlx::query_scalar!(
        r#"with due as (
               select p.id from payments p join orders o on o.id = p.order_id
                where p.status in ('created', 'processing', 'requires_action')
                  and p.updated_at <= clock_timestamp() - make_interval(secs => $1)
                  and case p.status
                      when 'created' then p.updated_at <= clock_timestamp() - make_interval(secs => $1 + $2)
                      when 'processing' then true
                      else o.expires_at <= clock_timestamp()
                           or exists (select 1 from order_items i join reservations r on r.id = i.reservation_id
                                       where i.order_id = o.id and r.status = 'paying'
                                         and r.expires_at <= clock_timestamp())
                      end
                order by p.updated_at limit $3 for no key update of p skip locked
           )
           update payments p set updated_at = clock_timestamp() from due where p.id = due.id
           returning p.id as "id: PaymentId""#,
        after.as_secs_f64(),
        call_timeout.as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await
}
