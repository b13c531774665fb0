//! SQL of `orders`, `order_items`, `order_status_history`.

pub(super) mod admin;
pub mod cancel;
pub mod kept;
pub mod progress;

use std::time::Duration;

use shared::Timestamp;
use shared::ids::{CheckoutId, OrderId, OrderItemId, ProductId, ReservationId, SellerId, StreamId, UserId, VariantId};
use shared::money::{BasisPoints, Currency, Money};
use shared::status::{Machine, OrderStatus};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Head, Locked, OrderItem, SoldLine};
use crate::checkout::model::{Options, PostalAddress, Sums};
use crate::ledger::parts::{Parts, Terms};
use crate::sellers::SellerRef;

fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// An order to be written, from the lines of a placed checkout.
pub struct NewRow<'a> {
    pub id: OrderId,
    pub buyer: UserId,
    pub checkout: CheckoutId,
    pub stream: Option<StreamId>,
    pub currency: Currency,
    pub discount_code: Option<&'a str>,
    pub sums: Sums,
    pub address: &'a PostalAddress,
    pub life: Duration,
    pub lines: &'a [NewLine],
}

/// One of its lines.
pub struct NewLine {
    pub id: OrderItemId,
    pub checkout_line: Uuid,
    pub rate: BasisPoints,
    pub commission: Money,
}

/// Writes an unpaid order with its lines, as the catalog has them now, and its history.
pub async fn insert(conn: &mut PgConnection, new: &NewRow<'_>) -> sqlx::Result<(i64, Timestamp, Timestamp)> {
    let ids: Vec<Uuid> = new.lines.iter().map(|l| l.id.0).collect();
    let lines: Vec<Uuid> = new.lines.iter().map(|l| l.checkout_line).collect();
    let rates: Vec<i32> = new.lines.iter().map(|l| i32::from(l.rate.get())).collect();
    let commissions: Vec<i64> = new.lines.iter().map(|l| l.commission.minor).collect();
    let row = sqlx::query!(
        r#"with placed as (
               insert into orders (id, user_id, checkout_id, stream_id, status, currency,
                                   items_minor, shipping_minor, total_minor, address, discount_code, discount_minor,
                                   tax_minor, tax_included, tax_remitted_by, expires_at, holds_until)
               select $1, $2, $3, $4, $5, $6, $7, $8, $16, $9, $17, $18, $19, $20,
                      case when $21 then 'seller' else 'platform' end,
                      clock_timestamp() + make_interval(secs => $10),
                      (select min(r.expires_at) from checkout_items c join reservations r on r.id = c.reservation_id
                        where c.id = any($12))
               returning number, created_at, least(expires_at, holds_until) as expires_at
           ), lines as (
               insert into order_items (id, order_id, seller_id, product_id, variant_id, reservation_id, title, sku,
                                        options, image_url, quantity, unit_price_minor, gross_minor,
                                        seller_discount_minor, platform_discount_minor, shipping_minor, tax_bps,
                                        tax_minor, shipping_tax_minor, commission_bps, commission_minor)
               select t.id, $1, p.seller_id, p.id, v.id, c.reservation_id, p.title, v.sku, v.options, p.image_url,
                      c.quantity, c.unit_price_minor, c.unit_price_minor * c.quantity, c.seller_discount_minor,
                      c.platform_discount_minor, c.shipping_minor, c.tax_bps, c.tax_minor, c.shipping_tax_minor,
                      t.rate, t.commission
                 from unnest($11::uuid[], $12::uuid[], $13::int[], $14::bigint[]) t (id, line, rate, commission)
                 join checkout_items c on c.id = t.line
                 join product_variants v on v.id = c.variant_id
                 join products p on p.id = v.product_id
           ), history as (
               insert into order_status_history (id, order_id, status, actor_id) values ($15, $1, $5, $2)
           )
           select number, created_at, expires_at as "expires_at!" from placed"#,
        new.id.0,
        new.buyer.0,
        new.checkout.0,
        new.stream.map(|s| s.0),
        OrderStatus::PendingPayment.as_str(),
        new.currency.code(),
        new.sums.items_minor,
        new.sums.shipping_minor,
        Json(new.address) as _,
        new.life.as_secs_f64(),
        &ids,
        &lines,
        &rates,
        &commissions,
        Uuid::now_v7(),
        new.sums.total(),
        new.discount_code,
        new.sums.discount_minor,
        new.sums.tax_minor,
        new.sums.terms.tax_included,
        new.sums.terms.seller_remits
    )
    .fetch_one(conn)
    .await?;
    Ok((row.number, row.created_at, row.expires_at))
}

/// Whether another order that is unpaid or paid has one of these holds.
pub async fn holds_are_ordered(conn: &mut PgConnection, holds: &[ReservationId]) -> sqlx::Result<bool> {
    let holds: Vec<Uuid> = holds.iter().map(|hold| hold.0).collect();
    // Locked first, in a statement of its own: two orders of one hold come one after
    // the other, and the second sees the first.
    sqlx::query!(
        "select id from reservations where id = any($1) order by id for no key update",
        &holds
    )
    .fetch_all(&mut *conn)
    .await?;
    let ordered = sqlx::query_scalar!(
        r#"select exists (select 1 from order_items i join orders o on o.id = i.order_id
                           where i.reservation_id = any($1) and o.status not in ('cancelled', 'expired')) as "e!""#,
        &holds
    )
    .fetch_one(conn)
    .await?;
    Ok(ordered)
}

/// An order's holds that no other order has that is unpaid or paid.
pub async fn holds_left(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<Vec<ReservationId>> {
    sqlx::query_scalar!(
        r#"select i.reservation_id as "hold!: ReservationId" from order_items i
            where i.order_id = $1 and i.reservation_id is not null
              and not exists (select 1 from order_items n join orders o on o.id = n.order_id
                               where n.reservation_id = i.reservation_id and n.order_id <> $1
                                 and o.status not in ('cancelled', 'expired'))"#,
        order.0
    )
    .fetch_all(conn)
    .await
}

struct HeadRow {
    id: OrderId,
    number: i64,
    status: OrderStatus,
    currency: String,
    discount_code: Option<String>,
    items_minor: i64,
    discount_minor: i64,
    shipping_minor: i64,
    tax_minor: i64,
    tax_included: bool,
    seller_remits: bool,
    address: Json<PostalAddress>,
    stream: Option<StreamId>,
    created_at: Timestamp,
    paid_at: Option<Timestamp>,
    expires_at: Timestamp,
}

impl HeadRow {
    fn head(self) -> sqlx::Result<Head> {
        Ok(Head {
            id: self.id,
            number: self.number,
            status: self.status,
            currency: currency(&self.currency)?,
            discount_code: self.discount_code,
            sums: Sums {
                items_minor: self.items_minor,
                discount_minor: self.discount_minor,
                shipping_minor: self.shipping_minor,
                tax_minor: self.tax_minor,
                terms: Terms {
                    tax_included: self.tax_included,
                    seller_remits: self.seller_remits,
                },
            },
            address: self.address.0,
            stream: self.stream,
            created_at: self.created_at,
            paid_at: self.paid_at,
            expires_at: self.expires_at,
        })
    }
}

/// An order of `buyer`'s.
pub async fn head(conn: &mut PgConnection, id: OrderId, buyer: UserId) -> sqlx::Result<Option<Head>> {
    sqlx::query_as!(
        HeadRow,
        r#"select id as "id: OrderId", number, status as "status: OrderStatus", currency, discount_code,
                  items_minor, discount_minor, shipping_minor, tax_minor, tax_included,
                  tax_remitted_by = 'seller' as "seller_remits!", address as "address: Json<PostalAddress>", stream_id as "stream: StreamId", created_at, paid_at,
                  least(expires_at, holds_until) as "expires_at!"
             from orders where id = $1 and user_id = $2"#,
        id.0,
        buyer.0
    )
    .fetch_optional(conn)
    .await?
    .map(HeadRow::head)
    .transpose()
}

/// Orders of `buyer`'s, newest first.
pub async fn heads(
    conn: &mut PgConnection,
    buyer: UserId,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    sqlx::query_as!(
        HeadRow,
        r#"select id as "id: OrderId", number, status as "status: OrderStatus", currency, discount_code,
                  items_minor, discount_minor, shipping_minor, tax_minor, tax_included,
                  tax_remitted_by = 'seller' as "seller_remits!", address as "address: Json<PostalAddress>", stream_id as "stream: StreamId", created_at, paid_at,
                  least(expires_at, holds_until) as "expires_at!"
             from orders where user_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        buyer.0,
        before,
        limit
    )
    .fetch_all(conn)
    .await?
    .into_iter()
    .map(HeadRow::head)
    .collect()
}

/// The lines of these orders, of one shop where one is given, in the order of their ids.
pub async fn items(
    conn: &mut PgConnection,
    orders: &[Uuid],
    seller: Option<SellerId>,
) -> sqlx::Result<Vec<(OrderId, OrderItem)>> {
    let rows = sqlx::query!(
        r#"select i.order_id as "order: OrderId", i.id as "id: OrderItemId", i.seller_id as "seller: SellerId",
                  s.shop_name, i.variant_id as "variant: VariantId", i.product_id as "product: ProductId", i.title,
                  i.sku, i.options as "options: Options", i.image_url, i.quantity, i.unit_price_minor, i.gross_minor,
                  i.seller_discount_minor, i.platform_discount_minor, i.shipping_minor, i.tax_bps, i.tax_minor,
                  i.shipping_tax_minor, i.reservation_id as "reservation: ReservationId", i.cancelled, i.shipped,
                  i.delivered, i.returned, o.currency
             from order_items i
             join orders o on o.id = i.order_id
             join sellers s on s.id = i.seller_id
            where i.order_id = any($1) and ($2::uuid is null or i.seller_id = $2) order by i.id"#,
        orders,
        seller.map(|seller| seller.0)
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = currency(&row.currency)?;
            let item = OrderItem {
                id: row.id,
                seller: SellerRef {
                    id: row.seller,
                    shop_name: row.shop_name,
                },
                variant_id: row.variant,
                product_id: row.product,
                title: row.title,
                sku: row.sku,
                options: row.options.0,
                image_url: row.image_url,
                quantity: row.quantity,
                unit_price: Money::new(row.unit_price_minor, currency),
                total: Money::new(row.gross_minor, currency),
                seller_discount: Money::new(row.seller_discount_minor, currency),
                platform_discount: Money::new(row.platform_discount_minor, currency),
                shipping: Money::new(row.shipping_minor, currency),
                tax_bps: row.tax_bps,
                tax: Money::new(row.tax_minor, currency),
                shipping_tax: Money::new(row.shipping_tax_minor, currency),
                reservation_id: row.reservation,
                cancelled: row.cancelled,
                shipped: row.shipped,
                delivered: row.delivered,
                returned: row.returned,
            };
            Ok((row.order, item))
        })
        .collect()
}

/// Locks an order; `buyer`, where given, must be its own.
pub async fn lock(conn: &mut PgConnection, id: OrderId, buyer: Option<UserId>) -> sqlx::Result<Option<Locked>> {
    let row = sqlx::query!(
        r#"select id as "id: OrderId", user_id as "buyer: UserId", status as "status: OrderStatus",
                  stream_id as "stream: StreamId", total_minor, currency, tax_included,
                  tax_remitted_by = 'seller' as "seller_remits!", expires_at <= clock_timestamp() as "overdue!",
                  paid_at is not null as "was_paid!"
             from orders where id = $1 and ($2::uuid is null or user_id = $2) for no key update"#,
        id.0,
        buyer.map(|b| b.0)
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Locked {
            id: row.id,
            buyer: row.buyer,
            status: row.status,
            stream: row.stream,
            total: Money::new(row.total_minor, currency(&row.currency)?),
            terms: Terms {
                tax_included: row.tax_included,
                seller_remits: row.seller_remits,
            },
            overdue: row.overdue,
            was_paid: row.was_paid,
        })
    })
    .transpose()
}

/// An order's lines, as the steps of payment need them.
pub async fn sold_lines(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<Vec<SoldLine>> {
    let rows = sqlx::query!(
        r#"select id as "id: OrderItemId", seller_id as "seller: SellerId", variant_id as "variant: VariantId",
                  reservation_id as "reservation: ReservationId", title, quantity,
                  gross_minor - seller_discount_minor - platform_discount_minor as "goods!", platform_discount_minor,
                  tax_minor, shipping_minor, shipping_tax_minor, commission_minor
             from order_items where order_id = $1 order by id"#,
        order.0
    )
    .fetch_all(conn)
    .await?;
    let lines = rows.into_iter().map(|row| SoldLine {
        id: row.id,
        seller: row.seller,
        variant: row.variant,
        reservation: row.reservation,
        title: row.title,
        quantity: row.quantity,
        parts: Parts {
            goods: row.goods,
            platform_discount: row.platform_discount_minor,
            tax: row.tax_minor,
            shipping: row.shipping_minor,
            shipping_tax: row.shipping_tax_minor,
            commission: row.commission_minor,
        },
    });
    Ok(lines.collect())
}

/// One step of an order, with its history; `false`: its status does not allow it.
pub async fn step(conn: &mut PgConnection, id: OrderId, to: OrderStatus, actor: Option<UserId>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "with stepped as (
             update orders set status = $2, paid_at = case when $2 = 'paid' then clock_timestamp() else paid_at end
              where id = $1 and status = any($3) returning id
         )
         insert into order_status_history (id, order_id, status, actor_id)
         select $4, s.id, $2, $5 from stepped s",
        id.0,
        to.as_str(),
        &OrderStatus::sources_of(to),
        Uuid::now_v7(),
        actor.map(|a| a.0)
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Something that has happened to an order, beside its statuses.
pub async fn note(conn: &mut PgConnection, id: OrderId, what: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into order_status_history (id, order_id, status) values ($1, $2, $3)",
        Uuid::now_v7(),
        id.0,
        what
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An order's flash holds last longer now: so does the order, as far as it depends on them.
pub async fn extend(conn: &mut PgConnection, id: OrderId) -> sqlx::Result<()> {
    sqlx::query!(
        "update orders set holds_until = (select min(r.expires_at) from order_items i
                                            join reservations r on r.id = i.reservation_id where i.order_id = $1)
          where id = $1",
        id.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Unpaid orders whose time is over, or that of a flash hold of theirs, not locked.
pub async fn due(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select o.id from orders o
          where o.status = 'pending_payment'
            and (o.expires_at <= clock_timestamp() or o.holds_until <= clock_timestamp())
            and not exists (select 1 from payments p where p.order_id = o.id
                             and p.status in ('created', 'processing', 'requires_action', 'captured'))
          order by o.expires_at limit $1",
        limit
    )
    .fetch_all(conn)
    .await
}

/// Locks unpaid orders whose time is over, or that of a flash hold of theirs, at most
/// `limit`, or one of them alone; which.
pub async fn lock_due(conn: &mut PgConnection, only: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select o.id from orders o
          where o.status = 'pending_payment'
            and ($2::uuid is null or o.id = $2)
            and (o.expires_at <= clock_timestamp() or o.holds_until <= clock_timestamp())
            and not exists (select 1 from payments p where p.order_id = o.id
                             and p.status in ('created', 'processing', 'requires_action', 'captured'))
          order by o.expires_at limit $1 for no key update skip locked",
        limit,
        only
    )
    .fetch_all(conn)
    .await
}

/// Expires locked orders, with their history. A payment may have begun before the lock
/// was ours, and is seen only by a statement that starts after it: so it is asked again.
pub async fn expire(
    conn: &mut PgConnection,
    orders: &[Uuid],
) -> sqlx::Result<Vec<(OrderId, UserId, Option<StreamId>)>> {
    let rows = sqlx::query!(
        r#"with stepped as (
               update orders o set status = $2
                where o.id = any($1) and o.status = any($3)
                  and not exists (select 1 from payments p where p.order_id = o.id
                                   and p.status in ('created', 'processing', 'requires_action', 'captured'))
               returning o.id, o.user_id, o.stream_id
           ), history as (
               insert into order_status_history (id, order_id, status)
               select gen_random_uuid(), s.id, $2 from stepped s
           )
           select id as "id: OrderId", user_id as "buyer: UserId", stream_id as "stream: StreamId" from stepped"#,
        orders,
        OrderStatus::Expired.as_str(),
        &OrderStatus::sources_of(OrderStatus::Expired)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.buyer, row.stream)).collect())
}

/// What these orders took from free stock, line by line, and of which products.
pub async fn reserved_units(
    conn: &mut PgConnection,
    orders: &[Uuid],
) -> sqlx::Result<Vec<(VariantId, i32, ProductId)>> {
    let rows = sqlx::query!(
        r#"select variant_id as "variant: VariantId", quantity, product_id as "product: ProductId"
             from order_items where order_id = any($1) and reservation_id is null"#,
        orders
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.variant, row.quantity, row.product))
        .collect())
}

/// Whether purchases may show the buyer's name.
pub async fn shows_purchases(conn: &mut PgConnection, buyer: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!("select show_purchases from profiles where user_id = $1", buyer.0)
        .fetch_one(conn)
        .await
}

/// Whose show it is.
pub async fn seller_of(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Option<SellerId>> {
    sqlx::query_scalar!(
        r#"select seller_id as "id: SellerId" from streams where id = $1"#,
        stream.0
    )
    .fetch_optional(conn)
    .await
}
