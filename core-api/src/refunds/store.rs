//! SQL of `refunds` and `refund_items`.

use std::collections::HashMap;
use std::time::Duration;

use shared::Timestamp;
use shared::ids::{DisputeId, OrderId, OrderItemId, PaymentId, RefundId, SellerId, UserId};
use shared::money::{Currency, Money};
use shared::status::{Machine, RefundStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Outgoing, Portion, Refund, RefundItem, RefundKind, SpokenFor};
use crate::ledger::parts::{GivenBack, Parts};

fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// What was given back of an order's lines, is on its way, or owed. What a lost dispute took is
/// of no units: the next that are refunded make up for it.
pub async fn given_back(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<HashMap<OrderItemId, GivenBack>> {
    let rows = sqlx::query!(
        r#"select i.order_item_id as "item!: OrderItemId", sum(i.quantity)::int as "units!",
                  sum(i.goods_minor)::bigint as "goods!", sum(i.platform_discount_minor)::bigint as "discount!",
                  sum(i.tax_minor)::bigint as "tax!", sum(i.shipping_minor)::bigint as "shipping!",
                  sum(i.shipping_tax_minor)::bigint as "shipping_tax!", sum(i.commission_minor)::bigint as "commission!"
             from (select i.order_item_id, i.quantity, i.goods_minor, i.platform_discount_minor, i.tax_minor,
                          i.shipping_minor, i.shipping_tax_minor, i.commission_minor
                     from standing_refunds r join refund_items i on i.refund_id = r.id
                    where r.order_id = $1
                   union all
                   select i.order_item_id, 0, i.goods_minor, i.platform_discount_minor, i.tax_minor,
                          i.shipping_minor, i.shipping_tax_minor, i.commission_minor
                     from payments p join disputes d on d.payment_id = p.id and d.status = 'lost'
                     join dispute_items i on i.dispute_id = d.id
                    where p.order_id = $1) i
            group by i.order_item_id"#,
        order.0
    )
    .fetch_all(conn)
    .await?;
    let given = rows.into_iter().map(|row| {
        let parts = Parts {
            goods: row.goods,
            platform_discount: row.discount,
            tax: row.tax,
            shipping: row.shipping,
            shipping_tax: row.shipping_tax,
            commission: row.commission,
        };
        (
            row.item,
            GivenBack {
                units: row.units,
                parts,
            },
        )
    });
    Ok(given.collect())
}

/// What of a payment is spoken for, but for one dispute.
pub async fn spoken_for(
    conn: &mut PgConnection,
    payment: PaymentId,
    but_for: Option<DisputeId>,
) -> sqlx::Result<SpokenFor> {
    sqlx::query_as!(
        SpokenFor,
        r#"select coalesce((select sum(amount_minor) from standing_refunds where payment_id = $1), 0)::bigint
                  as "refunded!",
                  coalesce(sum(amount_minor) filter (where status <> 'won'), 0)::bigint as "taken!",
                  coalesce(sum(covered_minor) filter (where status = 'open'), 0)::bigint as "disputed!",
                  coalesce(sum(covered_minor) filter (where status = 'lost'), 0)::bigint as "lost!"
             from disputes where payment_id = $1 and id is distinct from $2"#,
        payment.0,
        but_for.map(|dispute| dispute.0)
    )
    .fetch_one(conn)
    .await
}

/// A refund to be written.
pub struct NewRow<'a> {
    pub id: RefundId,
    pub order: OrderId,
    pub payment: Option<PaymentId>,
    pub kind: RefundKind,
    pub amount: Money,
    pub shipping_kept_minor: i64,
    pub reason: &'a str,
    pub by: Option<UserId>,
}

/// Writes a refund; one of nothing has succeeded with that.
pub async fn insert(conn: &mut PgConnection, new: &NewRow<'_>, portions: &[Portion]) -> sqlx::Result<()> {
    let status = match new.payment {
        Some(_) => RefundStatus::Pending,
        None => RefundStatus::Succeeded,
    };
    sqlx::query!(
        "insert into refunds (id, order_id, payment_id, kind, status, amount_minor, currency, reason, requested_by,
                              settled_at, shipping_kept_minor)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, case when $5 = 'succeeded' then clock_timestamp() end, $10)",
        new.id.0,
        new.order.0,
        new.payment.map(|payment| payment.0),
        new.kind.as_str(),
        status.as_str(),
        new.amount.minor,
        new.amount.currency.code(),
        new.reason,
        new.by.map(|by| by.0),
        new.shipping_kept_minor
    )
    .execute(&mut *conn)
    .await?;
    let column = |of: fn(&Parts) -> i64| portions.iter().map(|p| of(&p.share.parts)).collect::<Vec<i64>>();
    sqlx::query!(
        "insert into refund_items (refund_id, order_item_id, quantity, goods_minor, platform_discount_minor, tax_minor,
                                   shipping_minor, shipping_tax_minor, commission_minor)
         select $1, t.* from unnest($2::uuid[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                                    $8::bigint[], $9::bigint[]) t",
        new.id.0,
        &portions.iter().map(|p| p.share.item.0).collect::<Vec<Uuid>>(),
        &portions.iter().map(|p| p.units).collect::<Vec<i32>>(),
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

struct Row {
    id: RefundId,
    order_id: OrderId,
    payment_id: Option<PaymentId>,
    kind: RefundKind,
    status: RefundStatus,
    amount_minor: i64,
    currency: String,
    reason: String,
    failure_code: Option<String>,
    replaces: Option<RefundId>,
    outside: bool,
    shipping_kept_minor: i64,
    owed: bool,
    created_at: Timestamp,
    settled_at: Option<Timestamp>,
}

/// With the lines of each.
async fn whole(conn: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<Vec<Refund>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
    let lines = sqlx::query!(
        r#"select i.refund_id as "refund: RefundId", i.order_item_id as "item: OrderItemId", i.quantity,
                  (i.goods_minor + i.shipping_minor
                   + case when o.tax_included then 0 else i.tax_minor + i.shipping_tax_minor end) as "paid!"
             from refund_items i join refunds r on r.id = i.refund_id join orders o on o.id = r.order_id
            where i.refund_id = any($1) order by i.order_item_id"#,
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = currency(&row.currency)?;
            let items = lines.iter().filter(|line| line.refund == row.id);
            Ok(Refund {
                id: row.id,
                order_id: row.order_id,
                payment_id: row.payment_id,
                kind: row.kind,
                status: row.status,
                amount: Money::new(row.amount_minor, currency),
                reason: row.reason,
                items: items
                    .map(|line| RefundItem {
                        order_item_id: line.item,
                        quantity: line.quantity,
                        amount: Money::new(line.paid, currency),
                    })
                    .collect(),
                failure_code: row.failure_code,
                shipping_kept: Some(row.shipping_kept_minor)
                    .filter(|minor| *minor > 0)
                    .map(|minor| Money::new(minor, currency)),
                replaces: row.replaces,
                outside: row.outside,
                owed: row.owed,
                created_at: row.created_at,
                settled_at: row.settled_at,
            })
        })
        .collect()
}

/// One of them.
pub async fn get(conn: &mut PgConnection, id: RefundId) -> sqlx::Result<Option<Refund>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: RefundId", order_id as "order_id: OrderId", payment_id as "payment_id: PaymentId",
                  kind as "kind: RefundKind", status as "status: RefundStatus", amount_minor, currency, reason,
                  failure_code, replaces as "replaces: RefundId", outside,
                  shipping_kept_minor, refund_is_owed(r) as "owed!", created_at,
                  settled_at
             from refunds r where id = $1"#,
        id.0
    )
    .fetch_optional(&mut *conn)
    .await?;
    Ok(whole(conn, row.into_iter().collect()).await?.pop())
}

/// The refunds of these orders, oldest first.
pub async fn of_orders(conn: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<Refund>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: RefundId", order_id as "order_id: OrderId", payment_id as "payment_id: PaymentId",
                  kind as "kind: RefundKind", status as "status: RefundStatus", amount_minor, currency, reason,
                  failure_code, replaces as "replaces: RefundId", outside,
                  shipping_kept_minor, refund_is_owed(r) as "owed!", created_at,
                  settled_at
             from refunds r where order_id = any($1) order by id"#,
        orders
    )
    .fetch_all(&mut *conn)
    .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    whole(conn, rows).await
}

/// All of them, or those of a status or an order, or that are owed or not; newest first.
pub async fn list(
    conn: &mut PgConnection,
    status: Option<RefundStatus>,
    order: Option<OrderId>,
    is_owed: Option<bool>,
    (before, limit): (Option<Uuid>, i64),
) -> sqlx::Result<Vec<Refund>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: RefundId", order_id as "order_id: OrderId", payment_id as "payment_id: PaymentId",
                  kind as "kind: RefundKind", status as "status: RefundStatus", amount_minor, currency, reason,
                  failure_code, replaces as "replaces: RefundId", outside,
                  shipping_kept_minor, refund_is_owed(r) as "owed!", created_at,
                  settled_at
             from refunds r
            where ($1::text is null or status = $1) and ($2::uuid is null or order_id = $2)
              and ($3::bool is null or ((not $3 or status = 'failed') and refund_is_owed(r) = $3))
              and ($4::uuid is null or id < $4)
            order by id desc limit $5"#,
        status.map(Machine::as_str),
        order.map(|order| order.0),
        is_owed,
        before,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    whole(conn, rows).await
}

/// A refund that goes to a provider; `None`: there is none, or it came to nothing.
pub async fn outgoing(conn: &mut PgConnection, id: RefundId) -> sqlx::Result<Option<Outgoing>> {
    let row = sqlx::query!(
        r#"select r.id as "id: RefundId", r.order_id as "order: OrderId", p.id as "payment: PaymentId",
                  p.provider, coalesce(p.provider_ref, '') as "reference!", r.status as "status: RefundStatus", r.amount_minor,
                  r.currency, r.kind as "kind: RefundKind",
                  r.created_at < clock_timestamp() - interval '23 hours' as "is_old!"
             from refunds r join payments p on p.id = r.payment_id where r.id = $1"#,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Outgoing {
            id: row.id,
            order: row.order,
            payment: row.payment,
            provider: row.provider,
            payment_reference: row.reference,
            status: row.status,
            amount: Money::new(row.amount_minor, currency(&row.currency)?),
            kind: row.kind,
            is_old: row.is_old,
        })
    })
    .transpose()
}

/// One step of a refund; `false`: its status does not allow it.
pub async fn step(
    conn: &mut PgConnection,
    id: RefundId,
    to: RefundStatus,
    reference: Option<&str>,
    failure_code: Option<&str>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update refunds
            set status = $2, provider_ref = coalesce($4, provider_ref), failure_code = $5,
                updated_at = clock_timestamp(),
                settled_at = case when $2 in ('succeeded', 'failed') then clock_timestamp() end
          where id = $1 and status = any($3)",
        id.0,
        to.as_str(),
        &RefundStatus::sources_of(to),
        reference,
        failure_code
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether what a refund is for may be taken from its buyer again: of its lines nothing was
/// called off or was lost, and nothing came back. Its order is locked.
pub async fn may_be_undone(conn: &mut PgConnection, id: RefundId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select not exists (select from refund_items n join order_items i on i.id = n.order_item_id
                               where n.refund_id = $1
                                 and (i.cancelled > 0 or i.returned > 0
                                      or exists (select from claims c
                                                  where c.order_item_id = i.id and c.status = 'upheld'))) as "may!""#,
        id.0
    )
    .fetch_one(conn)
    .await
}

/// What was taken for a refund that has failed stands again.
pub async fn set_undone(conn: &mut PgConnection, id: RefundId) -> sqlx::Result<()> {
    sqlx::query!("update refunds set undone = true where id = $1", id.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether a refund that has failed was replaced by another.
pub async fn is_replaced(conn: &mut PgConnection, id: RefundId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from refunds where replaces = $1) as "e!""#,
        id.0
    )
    .fetch_one(conn)
    .await
}

/// One replaces another that has failed.
pub async fn set_replaces(conn: &mut PgConnection, id: RefundId, failed: RefundId) -> sqlx::Result<()> {
    sqlx::query!("update refunds set replaces = $2 where id = $1", id.0, failed.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// How the money of a refund that has failed goes after all.
pub struct Anew<'a> {
    pub id: RefundId,
    pub failed: RefundId,
    /// Otherwise than through the provider: the buyer has it, and that for this reason.
    pub outside: Option<&'a str>,
    pub by: UserId,
}

/// Writes a refund of what another was of that is owed, line by line.
pub async fn insert_anew(conn: &mut PgConnection, new: &Anew<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "with anew as (
             insert into refunds (id, order_id, payment_id, kind, status, amount_minor, currency, reason, requested_by,
                                  replaces, outside, settled_at, shipping_kept_minor)
             select $1, order_id, payment_id, kind, case when $4 then 'succeeded' else 'pending' end, amount_minor,
                    currency, coalesce($5, reason), $3, id, $4, case when $4 then clock_timestamp() end, shipping_kept_minor
               from refunds where id = $2 returning id)
         insert into refund_items
         select a.id, i.order_item_id, i.quantity, i.goods_minor, i.platform_discount_minor, i.tax_minor,
                i.shipping_minor, i.shipping_tax_minor, i.commission_minor
           from anew a cross join refund_items i where i.refund_id = $2",
        new.id.0,
        new.failed.0,
        new.by.0,
        new.outside.is_some(),
        new.outside
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// How many refunds are owed.
pub async fn count_owed(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "owed!" from refunds r where status = 'failed' and refund_is_owed(r)"#)
        .fetch_one(conn)
        .await
}

/// What a refund took back, line by line.
pub async fn portions(conn: &mut PgConnection, id: RefundId) -> sqlx::Result<Vec<(OrderItemId, i32, Parts)>> {
    let rows = sqlx::query!(
        r#"select order_item_id as "item: OrderItemId", quantity, goods_minor, platform_discount_minor, tax_minor,
                  shipping_minor, shipping_tax_minor, commission_minor
             from refund_items where refund_id = $1 order by order_item_id"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    let portions = rows.into_iter().map(|row| {
        let parts = Parts {
            goods: row.goods_minor,
            platform_discount: row.platform_discount_minor,
            tax: row.tax_minor,
            shipping: row.shipping_minor,
            shipping_tax: row.shipping_tax_minor,
            commission: row.commission_minor,
        };
        (row.item, row.quantity, parts)
    });
    Ok(portions.collect())
}

/// Takes refunds that have rested without an outcome, to ask the provider; they rest again
/// from now on, whoever else looks. One that is only decided may still be on its way to the
/// provider: it rests until that call has timed out.
pub async fn take_unsettled(
    conn: &mut PgConnection,
    after: Duration,
    call_timeout: Duration,
    limit: i64,
) -> sqlx::Result<Vec<RefundId>> {
    sqlx::query_scalar!(
        r#"with due as (
               select id from refunds
                where status in ('pending', 'submitted')
                  and updated_at <= clock_timestamp() - make_interval(
                          secs => $1 + case status when 'pending' then $2::float8 else 0 end)
                order by updated_at limit $3 for no key update skip locked
           )
           update refunds r set updated_at = clock_timestamp() from due where r.id = due.id
           returning r.id as "id: RefundId""#,
        after.as_secs_f64(),
        call_timeout.as_secs_f64(),
        limit
    )
    .fetch_all(conn)
    .await
}

/// The return or claim that a refund was for waits for the new one.
pub async fn hand_over(conn: &mut PgConnection, failed: RefundId, anew: RefundId) -> sqlx::Result<()> {
    sqlx::query!(
        "with claimed as (update claims set refund_id = $2 where refund_id = $1)
         update returns set refund_id = $2 where refund_id = $1",
        failed.0,
        anew.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Of whose goods a refund is, for who is told of it: the first line's shop, of a late
/// payment that of the order's first.
pub async fn shop_of(conn: &mut PgConnection, id: RefundId) -> sqlx::Result<Option<SellerId>> {
    sqlx::query_scalar!(
        r#"select i.seller_id as "seller: SellerId"
             from refunds r
             join order_items i on i.order_id = r.order_id
             left join refund_items n on n.refund_id = r.id and n.order_item_id = i.id
            where r.id = $1 order by n.refund_id is null, i.id limit 1"#,
        id.0
    )
    .fetch_optional(conn)
    .await
}
