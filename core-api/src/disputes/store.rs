//! SQL of `disputes` and `dispute_items`.

use chrono::{DateTime, Utc};
use shared::ids::{DisputeId, OrderId, OrderItemId, PaymentId, SellerId};
use shared::money::{Currency, Money};
use shared::status::{DisputeStatus, Machine as _};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Dispute, DisputeStep, DisputedShop, Known};
use crate::http::Page;
use crate::ledger::model::Share;
use crate::ledger::parts::Parts;
use crate::payments::provider::DisputeFound;
use crate::sellers::SellerRef;

fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// The dispute of this name, the last time that its money was taken. Its payment is locked by
/// whoever changes it.
pub async fn by_reference(conn: &mut PgConnection, reference: &str) -> sqlx::Result<Option<Known>> {
    let row = sqlx::query!(
        r#"select id as "id: DisputeId", payment_id as "payment: PaymentId", status as "status: DisputeStatus",
                  amount_minor, currency, covered_minor
             from disputes where provider_ref = $1 and not superseded"#,
        reference
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Known {
            id: row.id,
            payment: row.payment,
            status: row.status,
            amount: Money::new(row.amount_minor, currency(&row.currency)?),
            covered: row.covered_minor,
        })
    })
    .transpose()
}

/// Writes a dispute that is open. The time is that after its locks were taken.
pub async fn insert(conn: &mut PgConnection, new: &Known, found: &DisputeFound) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into disputes (id, payment_id, provider_ref, amount_minor, covered_minor, currency, reason, opened_at)
         values ($1, $2, $3, $4, $5, $6, left($7, 100), clock_timestamp())",
        new.id.0,
        new.payment.0,
        found.reference,
        new.amount.minor,
        new.covered,
        new.amount.currency.code(),
        found.reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What was won is in question again, as another one.
pub async fn supersede(conn: &mut PgConnection, id: DisputeId) -> sqlx::Result<()> {
    sqlx::query!("update disputes set superseded = true where id = $1", id.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// One step of a dispute; `false`: its status does not allow it.
pub async fn step(conn: &mut PgConnection, id: DisputeId, to: DisputeStatus, covered: i64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update disputes set status = $2, covered_minor = $4, closed_at = clock_timestamp()
          where id = $1 and status = any($3)",
        id.0,
        to.as_str(),
        &DisputeStatus::sources_of(to),
        covered
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a lost dispute took of an order's lines.
pub async fn insert_items(conn: &mut PgConnection, id: DisputeId, shares: &[Share]) -> sqlx::Result<()> {
    let column = |of: fn(&Parts) -> i64| shares.iter().map(|share| of(&share.parts)).collect::<Vec<i64>>();
    sqlx::query!(
        "insert into dispute_items (dispute_id, order_item_id, goods_minor, platform_discount_minor, tax_minor,
                                    shipping_minor, shipping_tax_minor, commission_minor)
         select $1, t.* from unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                                    $8::bigint[]) t",
        id.0,
        &shares.iter().map(|share| share.item.0).collect::<Vec<Uuid>>(),
        &column(|p| p.goods),
        &column(|p| p.platform_discount),
        &column(|p| p.tax),
        &column(|p| p.shipping),
        &column(|p| p.shipping_tax),
        &column(|p| p.commission)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What it took.
pub async fn items(conn: &mut PgConnection, id: DisputeId) -> sqlx::Result<Vec<Share>> {
    let rows = sqlx::query!(
        r#"select t.order_item_id as "item: OrderItemId", i.seller_id as "seller: SellerId", t.goods_minor,
                  t.platform_discount_minor, t.tax_minor, t.shipping_minor, t.shipping_tax_minor, t.commission_minor
             from dispute_items t join order_items i on i.id = t.order_item_id
            where t.dispute_id = $1 order by t.order_item_id"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    let shares = rows.into_iter().map(|row| Share {
        item: row.item,
        seller: row.seller,
        parts: Parts {
            goods: row.goods_minor,
            platform_discount: row.platform_discount_minor,
            tax: row.tax_minor,
            shipping: row.shipping_minor,
            shipping_tax: row.shipping_tax_minor,
            commission: row.commission_minor,
        },
    });
    Ok(shares.collect())
}

/// Takes open disputes that nobody has asked about for an hour; they rest again from now on,
/// whoever else looks. With whose they are.
pub async fn take_open(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        "update disputes d set asked_at = clock_timestamp()
           from payments p
          where p.id = d.payment_id
            and d.id in (select id from disputes
                          where status = 'open' and asked_at <= clock_timestamp() - interval '1 hour'
                          order by asked_at limit $1 for no key update skip locked)
         returning p.provider, d.provider_ref",
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.provider, row.provider_ref)).collect())
}

struct Row {
    id: DisputeId,
    order_id: OrderId,
    order_number: i64,
    payment_id: PaymentId,
    provider_ref: String,
    status: DisputeStatus,
    amount_minor: i64,
    covered_minor: i64,
    currency: String,
    reason: String,
    opened_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
}

impl Row {
    fn view(self) -> sqlx::Result<Dispute> {
        let currency = currency(&self.currency)?;
        let loss = match self.status {
            DisputeStatus::Lost => self.amount_minor - self.covered_minor,
            DisputeStatus::Open | DisputeStatus::Won => 0,
        };
        Ok(Dispute {
            id: self.id,
            order_id: self.order_id,
            order_number: self.order_number,
            payment_id: self.payment_id,
            reference: self.provider_ref,
            status: self.status,
            amount: Money::new(self.amount_minor, currency),
            covered: Money::new(self.covered_minor, currency),
            loss: Money::new(loss, currency),
            reason: self.reason,
            opened_at: self.opened_at,
            closed_at: self.closed_at,
        })
    }
}

/// Disputes, newest first.
pub async fn list(conn: &mut PgConnection, status: Option<DisputeStatus>, page: &Page) -> sqlx::Result<Vec<Dispute>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select d.id as "id: DisputeId", p.order_id as "order_id: OrderId", o.number as order_number,
                  d.payment_id as "payment_id: PaymentId", d.provider_ref, d.status as "status: DisputeStatus",
                  d.amount_minor, d.covered_minor, d.currency, d.reason, d.opened_at, d.closed_at
             from disputes d join payments p on p.id = d.payment_id join orders o on o.id = p.order_id
            where ($1::text is null or d.status = $1) and ($2::uuid is null or d.id < $2)
            order by d.id desc limit $3"#,
        status.map(DisputeStatus::as_str),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::view).collect()
}

/// One of them.
pub async fn get(conn: &mut PgConnection, id: DisputeId) -> sqlx::Result<Option<Dispute>> {
    sqlx::query_as!(
        Row,
        r#"select d.id as "id: DisputeId", p.order_id as "order_id: OrderId", o.number as order_number,
                  d.payment_id as "payment_id: PaymentId", d.provider_ref, d.status as "status: DisputeStatus",
                  d.amount_minor, d.covered_minor, d.currency, d.reason, d.opened_at, d.closed_at
             from disputes d join payments p on p.id = d.payment_id join orders o on o.id = p.order_id
            where d.id = $1"#,
        id.0
    )
    .fetch_optional(conn)
    .await?
    .map(Row::view)
    .transpose()
}

/// What was captured by a payment, and what of it went back in refunds, in minor units.
pub async fn captured(conn: &mut PgConnection, payment: PaymentId) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"select p.amount_minor,
                  coalesce((select sum(amount_minor) from refunds
                             where payment_id = p.id and status <> 'failed'), 0)::bigint as "refunded!"
             from payments p where p.id = $1"#,
        payment.0
    )
    .fetch_one(conn)
    .await?;
    Ok((row.amount_minor, row.refunded))
}

/// What was booked of a dispute, oldest first.
pub async fn history(conn: &mut PgConnection, id: DisputeId) -> sqlx::Result<Vec<DisputeStep>> {
    sqlx::query_as!(
        DisputeStep,
        r#"select case kind when 'dispute_opened' then 'open' when 'dispute_won' then 'won' else 'lost' end
                  as "status!: DisputeStatus", created_at as at
             from ledger_transactions where subject_id = $1 order by id"#,
        id.0
    )
    .fetch_all(conn)
    .await
}

/// What a dispute means to each shop of its order.
pub async fn shops(conn: &mut PgConnection, dispute: &Dispute) -> sqlx::Result<Vec<DisputedShop>> {
    let rows = sqlx::query!(
        r#"select s.id as "id: SellerId", s.shop_name,
                  coalesce(sum(e.amount_minor) filter (where e.source_id <> $2), 0)::bigint as "earned!",
                  coalesce(-sum(e.amount_minor) filter (where e.source_id = $2), 0)::bigint as "taken!",
                  coalesce(sum(e.amount_minor) filter (where t.state in ('on_its_way', 'paid_out')), 0)::bigint
                  as "paid_out!"
             from order_items i
             join sellers s on s.id = i.seller_id
             left join seller_earnings e on e.order_item_id = i.id
             left join earning_states t on t.id = e.id
            where i.order_id = $1 group by s.id order by s.id"#,
        dispute.order_id.0,
        dispute.id.0
    )
    .fetch_all(conn)
    .await?;
    let money = |minor| Money::new(minor, dispute.amount.currency);
    let shops = rows.into_iter().map(|row| DisputedShop {
        seller: SellerRef {
            id: row.id,
            shop_name: row.shop_name,
        },
        earned: money(row.earned),
        taken_back: money(row.taken),
        paid_out: money(row.paid_out),
    });
    Ok(shops.collect())
}
