//! SQL of `checkouts` and `checkout_items`. It reads what is sold and by whom, and
//! writes nothing of theirs.

mod read;

use std::time::Duration;

use shared::Timestamp;
use shared::ids::{AddressId, CheckoutId, DiscountCodeId, ProductId, SellerId, StreamId, UserId, VariantId};
use shared::money::Currency;
use shared::status::{CheckoutStatus, Machine};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Head, Line, PostalAddress, Sums};
use crate::ledger::parts::Terms;
use crate::stock::Units;
pub use read::{holds, lines, offers};

fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A show, as far as buying in it goes.
pub struct Bought {
    /// Whose it is.
    pub seller: SellerId,
    /// It is on air, or was until a short while ago.
    pub is_on: bool,
}

/// A show; one that has ended is taken as if on air for `after` more.
pub async fn show(conn: &mut PgConnection, stream: StreamId, after: Duration) -> sqlx::Result<Option<Bought>> {
    sqlx::query_as!(
        Bought,
        r#"select seller_id as "seller: SellerId",
                  (status = 'live'
                   or coalesce(status = 'ended' and ended_at > clock_timestamp() - make_interval(secs => $2), false))
                  as "is_on!"
             from streams where id = $1"#,
        stream.0,
        after.as_secs_f64()
    )
    .fetch_optional(conn)
    .await
}

/// Locks the buyer's account until the transaction ends. Rows that refer to it can still
/// be written.
pub async fn lock_buyer(conn: &mut PgConnection, buyer: UserId) -> sqlx::Result<()> {
    sqlx::query_scalar!("select id from users where id = $1 for no key update", buyer.0)
        .fetch_optional(conn)
        .await?;
    Ok(())
}

/// What a buyer keeps from others without having paid, and where they want something sent.
pub struct Standing {
    pub open: i64,
    /// Until the first of them expires; 0: there is none.
    pub next_expiry_ms: i64,
    /// `None`: the buyer has no such address.
    pub address: Option<PostalAddress>,
}

/// A buyer's checkouts that hold stock and can still be placed, and their unpaid orders. To
/// be asked after [`lock_buyer`], in a statement of its own: one that waited sees what was
/// before the wait.
pub async fn standing(conn: &mut PgConnection, buyer: UserId, address: Option<AddressId>) -> sqlx::Result<Standing> {
    let row = sqlx::query!(
        r#"select count(*) as "open!",
                  coalesce(ceil(extract(epoch from min(expires_at) - clock_timestamp()) * 1000), 0)::bigint
                      as "next_expiry_ms!",
                  (select jsonb_build_object('recipient', a.recipient, 'line1', a.line1, 'line2', a.line2,
                                             'city', a.city, 'region', a.region, 'postal_code', a.postal_code,
                                             'country', a.country, 'phone', a.phone)
                     from addresses a where a.id = $2 and a.user_id = $1 and a.deleted_at is null)
                      as "address: Json<PostalAddress>"
             from (select expires_at from checkouts where user_id = $1 and status = 'open'
                   union all
                   select least(expires_at, holds_until) from orders where user_id = $1 and status = 'pending_payment'
                  ) kept
            where expires_at > clock_timestamp()"#,
        buyer.0,
        address.map(|a| a.0)
    )
    .fetch_one(conn)
    .await?;
    Ok(Standing {
        open: row.open,
        next_expiry_ms: row.next_expiry_ms,
        address: row.address.map(|address| address.0),
    })
}

/// A checkout to be written.
pub struct NewRow<'a> {
    pub id: CheckoutId,
    pub buyer: UserId,
    pub address_id: AddressId,
    pub address: &'a PostalAddress,
    pub stream: Option<StreamId>,
    pub currency: Currency,
    pub discount_code: Option<String>,
    pub discount: Option<DiscountCodeId>,
    pub from_cart: bool,
    pub sums: Sums,
    pub life: Duration,
    pub lines: &'a [Line],
}

/// What lines cost, column by column.
struct Costs {
    ids: Vec<Uuid>,
    seller_discounts: Vec<i64>,
    platform_discounts: Vec<i64>,
    shipping: Vec<i64>,
    tax_bps: Vec<i32>,
    taxes: Vec<i64>,
    shipping_taxes: Vec<i64>,
}

impl Costs {
    fn of(lines: &[Line]) -> Self {
        let minors = |of: fn(&Line) -> i64| lines.iter().map(of).collect();
        Self {
            ids: lines.iter().map(|l| l.id).collect(),
            seller_discounts: minors(|l| l.discount.seller_minor),
            platform_discounts: minors(|l| l.discount.platform_minor),
            shipping: minors(|l| l.shipping.minor),
            tax_bps: lines.iter().map(|l| l.tax_bps).collect(),
            taxes: minors(|l| l.tax.minor),
            shipping_taxes: minors(|l| l.shipping_tax.minor),
        }
    }
}

/// Writes a checkout and its lines, to an address of the buyer's own; until when it holds.
pub async fn insert(conn: &mut PgConnection, new: &NewRow<'_>) -> sqlx::Result<Timestamp> {
    let costs = Costs::of(new.lines);
    let variants: Vec<Uuid> = new.lines.iter().map(|l| l.offer.variant.0).collect();
    let holds: Vec<Option<Uuid>> = new.lines.iter().map(|l| l.reservation.map(|r| r.0)).collect();
    let quantities: Vec<i32> = new.lines.iter().map(|l| l.quantity).collect();
    let prices: Vec<i64> = new.lines.iter().map(|l| l.unit_price.minor).collect();
    sqlx::query_scalar!(
        "with checkout as (
             insert into checkouts (id, user_id, address_id, stream_id, currency, discount_code, items_minor,
                                    discount_minor, shipping_minor, tax_minor, tax_included, tax_remitted_by,
                                    total_minor, expires_at, from_cart, address,
                                    discount_code_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, case when $12 then 'seller' else 'platform' end,
                     $13, clock_timestamp() + make_interval(secs => $14), $26, $27, $28)
             returning id, expires_at
         ), lines as (
             insert into checkout_items (id, checkout_id, variant_id, reservation_id, quantity, unit_price_minor,
                                         seller_discount_minor, platform_discount_minor, shipping_minor, tax_bps,
                                         tax_minor, shipping_tax_minor)
             select t.id, c.id, t.variant, t.hold, t.quantity, t.price, t.seller_discount, t.platform_discount,
                    t.shipping, t.tax_bps, t.tax, t.shipping_tax
               from checkout c,
                    unnest($15::uuid[], $16::uuid[], $17::uuid[], $18::int[], $19::bigint[], $20::bigint[],
                           $21::bigint[], $22::bigint[], $23::int[], $24::bigint[], $25::bigint[])
                    t (id, variant, hold, quantity, price, seller_discount, platform_discount, shipping, tax_bps, tax,
                       shipping_tax)
         )
         select expires_at from checkout",
        new.id.0,
        new.buyer.0,
        new.address_id.0,
        new.stream.map(|s| s.0),
        new.currency.code(),
        new.discount_code,
        new.sums.items_minor,
        new.sums.discount_minor,
        new.sums.shipping_minor,
        new.sums.tax_minor,
        new.sums.terms.tax_included,
        new.sums.terms.seller_remits,
        new.sums.total(),
        new.life.as_secs_f64(),
        &costs.ids,
        &variants,
        &holds as &[Option<Uuid>],
        &quantities,
        &prices,
        &costs.seller_discounts,
        &costs.platform_discounts,
        &costs.shipping,
        &costs.tax_bps,
        &costs.taxes,
        &costs.shipping_taxes,
        new.from_cart,
        Json(new.address) as _,
        new.discount.map(|id| id.0)
    )
    .fetch_one(conn)
    .await
}

struct HeadRow {
    id: CheckoutId,
    status: CheckoutStatus,
    currency: String,
    discount_code: Option<String>,
    discount: Option<DiscountCodeId>,
    from_cart: bool,
    items_minor: i64,
    discount_minor: i64,
    shipping_minor: i64,
    tax_minor: i64,
    tax_included: bool,
    seller_remits: bool,
    stream: Option<StreamId>,
    address: Json<PostalAddress>,
    expires_at: Timestamp,
}

impl HeadRow {
    fn head(self) -> sqlx::Result<Head> {
        Ok(Head {
            id: self.id,
            status: self.status,
            currency: currency(&self.currency)?,
            discount_code: self.discount_code,
            discount: self.discount,
            from_cart: self.from_cart,
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
            stream: self.stream,
            address: self.address.0,
            expires_at: self.expires_at,
        })
    }
}

/// A checkout of `buyer`'s.
pub async fn head(conn: &mut PgConnection, id: CheckoutId, buyer: UserId) -> sqlx::Result<Option<Head>> {
    sqlx::query_as!(
        HeadRow,
        r#"select c.id as "id: CheckoutId", c.status as "status: CheckoutStatus", c.currency, c.discount_code, c.discount_code_id as "discount: DiscountCodeId", c.from_cart,
                  c.items_minor, c.discount_minor, c.shipping_minor, c.tax_minor, c.tax_included,
                  c.tax_remitted_by = 'seller' as "seller_remits!", c.stream_id as "stream: StreamId", c.expires_at,
                  c.address as "address: Json<PostalAddress>"
             from checkouts c
            where c.id = $1 and c.user_id = $2"#,
        id.0,
        buyer.0
    )
    .fetch_optional(conn)
    .await?
    .map(HeadRow::head)
    .transpose()
}

/// Locks an open checkout of `buyer`'s; `false`: there is none.
pub async fn lock_open(conn: &mut PgConnection, id: CheckoutId, buyer: UserId) -> sqlx::Result<bool> {
    let row = sqlx::query_scalar!(
        "select id from checkouts where id = $1 and user_id = $2 and status = 'open' for no key update",
        id.0,
        buyer.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// Takes an open checkout of `buyer`'s to `to`; `None`: it is not open, or its time is over.
pub async fn step(
    conn: &mut PgConnection,
    id: CheckoutId,
    buyer: UserId,
    to: CheckoutStatus,
) -> sqlx::Result<Option<Head>> {
    sqlx::query_as!(
        HeadRow,
        r#"with c as (
               update checkouts set status = $3
                where id = $1 and user_id = $2 and status = any($4)
                  and ($3 <> 'placed' or expires_at > clock_timestamp())
               returning *
           )
           select c.id as "id: CheckoutId", c.status as "status: CheckoutStatus", c.currency, c.discount_code, c.discount_code_id as "discount: DiscountCodeId", c.from_cart,
                  c.items_minor, c.discount_minor, c.shipping_minor, c.tax_minor, c.tax_included,
                  c.tax_remitted_by = 'seller' as "seller_remits!", c.stream_id as "stream: StreamId", c.expires_at,
                  c.address as "address: Json<PostalAddress>"
             from c"#,
        id.0,
        buyer.0,
        to.as_str(),
        &CheckoutStatus::sources_of(to)
    )
    .fetch_optional(conn)
    .await?
    .map(HeadRow::head)
    .transpose()
}

/// Writes a new price: `lines` are those that remain, the newly lapsed ones are marked.
pub async fn reprice(
    conn: &mut PgConnection,
    id: CheckoutId,
    lines: &[Line],
    lapsed: &[Uuid],
    sums: &Sums,
) -> sqlx::Result<()> {
    let costs = Costs::of(lines);
    sqlx::query!(
        "with gone as (
             update checkout_items
                set lapsed_at = clock_timestamp(), shipping_minor = 0, tax_minor = 0, shipping_tax_minor = 0
              where id = any($2)
         ), kept as (
             update checkout_items i
                set shipping_minor = t.shipping, tax_bps = t.tax_bps, tax_minor = t.tax,
                    shipping_tax_minor = t.shipping_tax
               from unnest($3::uuid[], $4::bigint[], $5::int[], $6::bigint[], $7::bigint[])
                    t (id, shipping, tax_bps, tax, shipping_tax)
              where i.id = t.id
         )
         update checkouts
            set items_minor = $8, discount_minor = $9, shipping_minor = $10, tax_minor = $11, tax_included = $12,
                tax_remitted_by = case when $13 then 'seller' else 'platform' end, total_minor = $14
          where id = $1",
        id.0,
        lapsed,
        &costs.ids,
        &costs.shipping,
        &costs.tax_bps,
        &costs.taxes,
        &costs.shipping_taxes,
        sums.items_minor,
        sums.discount_minor,
        sums.shipping_minor,
        sums.tax_minor,
        sums.terms.tax_included,
        sums.terms.seller_remits,
        sums.total()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Checkouts whose time is over, not locked.
pub async fn due(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select id from checkouts where status = 'open' and expires_at <= clock_timestamp() order by expires_at limit $1",
        limit
    )
    .fetch_all(conn)
    .await
}

/// Expires open checkouts whose time is over, at most `limit`; which.
pub async fn expire(conn: &mut PgConnection, only: Option<Uuid>, limit: i64) -> sqlx::Result<Vec<CheckoutId>> {
    sqlx::query_scalar!(
        r#"with due as (
               select id from checkouts
                where status = 'open' and expires_at <= clock_timestamp() and ($4::uuid is null or id = $4)
                order by expires_at limit $1 for no key update skip locked
           )
           update checkouts c set status = $2 from due where c.id = due.id and c.status = any($3)
           returning c.id as "id: CheckoutId""#,
        limit,
        CheckoutStatus::Expired.as_str(),
        &CheckoutStatus::sources_of(CheckoutStatus::Expired),
        only
    )
    .fetch_all(conn)
    .await
}

/// What these checkouts took from free stock, line by line, and of which products.
pub async fn reserved_units(
    conn: &mut PgConnection,
    checkouts: &[CheckoutId],
) -> sqlx::Result<Vec<(Units, ProductId)>> {
    let ids: Vec<Uuid> = checkouts.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select i.variant_id as "variant: VariantId", i.quantity, v.product_id as "product: ProductId"
             from checkout_items i join product_variants v on v.id = i.variant_id
            where i.checkout_id = any($1) and i.reservation_id is null"#,
        &ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let units = Units {
                variant: row.variant,
                quantity: row.quantity,
            };
            (units, row.product)
        })
        .collect())
}
