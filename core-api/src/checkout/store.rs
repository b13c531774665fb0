//! SQL of `checkouts` and `checkout_items`. It reads what is sold and by whom, and
//! writes nothing of theirs.

use std::time::Duration;

use shared::Timestamp;
use shared::ids::{
    AddressId, CheckoutId, ProductId, ReservationId, SellerId, ShippingProfileId, StreamId, UserId, VariantId,
};
use shared::money::{Currency, Money};
use shared::status::{CheckoutStatus, Machine};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Head, HeldUnits, Line, Offer, Options, PostalAddress};
use super::pricing::{Price, ShippingRule};
use crate::stock::Units;

fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A shipping rule from a left join's columns.
fn rule(
    profile: Option<ShippingProfileId>,
    base: Option<i64>,
    extra: Option<i64>,
    free_from: Option<i64>,
    show_cap: Option<i64>,
) -> Option<ShippingRule> {
    Some(ShippingRule {
        profile: profile?,
        base_minor: base?,
        extra_item_minor: extra?,
        free_from_minor: free_from,
        show_cap_minor: show_cap,
    })
}

/// Variants as they are sold now, with their shops' names.
pub async fn offers(conn: &mut PgConnection, buyer: UserId, variants: &[Uuid]) -> sqlx::Result<Vec<(Offer, String)>> {
    let rows = sqlx::query!(
        r#"select v.id as "variant: VariantId", p.id as "product: ProductId", s.id as "seller: SellerId",
                  s.shop_name, s.user_id = $1 as "own!", s.status = 'approved' as "selling!",
                  is_banned(s.id, $1) as "banned!", p.status = 'active' as "active!", p.title, v.sku, v.options as "options: Options",
                  p.image_url, v.price_minor, p.currency,
                  sp.id as "profile?: ShippingProfileId", sp.base_minor as "base?",
                  sp.extra_item_minor as "extra?", sp.free_from_minor as "free_from?", sp.show_cap_minor as "show_cap?",
                  sp.regions as "regions?"
             from product_variants v
             join products p on p.id = v.product_id
             join sellers s on s.id = p.seller_id
             left join shipping_profiles sp on sp.id = p.shipping_profile_id
            where v.id = any($2)"#,
        buyer.0,
        variants
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let offer = Offer {
                variant: row.variant,
                product: row.product,
                seller: row.seller,
                own: row.own,
                selling: row.selling,
                banned: row.banned,
                active: row.active,
                title: row.title,
                sku: row.sku,
                options: row.options.0,
                image_url: row.image_url,
                price: Money::new(row.price_minor, currency(&row.currency)?),
                shipping: rule(row.profile, row.base, row.extra, row.free_from, row.show_cap),
                regions: row.regions.unwrap_or_default(),
            };
            Ok((offer, row.shop_name))
        })
        .collect()
}

/// Flash holds of `buyer`'s, in the order of their ids.
pub async fn holds(conn: &mut PgConnection, buyer: UserId, holds: &[ReservationId]) -> sqlx::Result<Vec<HeldUnits>> {
    let ids: Vec<Uuid> = holds.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"select r.id as "reservation: ReservationId", s.variant_id as "variant: VariantId", r.quantity,
                  s.price_minor, s.currency, s.stream_id as "stream: StreamId", r.expires_at,
                  r.status = 'held' and r.expires_at > clock_timestamp() as "alive!"
             from reservations r join flash_sales s on s.id = r.sale_id
            where r.user_id = $1 and r.id = any($2) order by r.id"#,
        buyer.0,
        &ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(HeldUnits {
                reservation: row.reservation,
                variant: row.variant,
                quantity: row.quantity,
                price: Money::new(row.price_minor, currency(&row.currency)?),
                stream: row.stream,
                alive: row.alive,
                expires_at: row.expires_at,
            })
        })
        .collect()
}

/// Whose show it is.
pub async fn seller_of_stream(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Option<SellerId>> {
    sqlx::query_scalar!(
        r#"select seller_id as "id: SellerId" from streams where id = $1"#,
        stream.0
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

/// What a buyer keeps from others without having paid.
pub struct Open {
    pub count: i64,
    /// Until the first of them expires; 0: there is none.
    pub next_expiry_ms: i64,
}

/// A buyer's checkouts that hold stock and can still be placed, and their unpaid orders. To
/// be asked after [`lock_buyer`], in a statement of its own: one that waited sees what was
/// before the wait.
pub async fn open_of(conn: &mut PgConnection, buyer: UserId) -> sqlx::Result<Open> {
    sqlx::query_as!(
        Open,
        r#"select count(*) as "count!",
                  coalesce(ceil(extract(epoch from min(expires_at) - clock_timestamp()) * 1000), 0)::bigint
                      as "next_expiry_ms!"
             from (select expires_at from checkouts where user_id = $1 and status = 'open'
                   union all
                   select least(expires_at, holds_until) from orders where user_id = $1 and status = 'pending_payment'
                  ) kept
            where expires_at > clock_timestamp()"#,
        buyer.0
    )
    .fetch_one(conn)
    .await
}

/// A checkout to be written.
pub struct NewRow<'a> {
    pub id: CheckoutId,
    pub buyer: UserId,
    pub address: AddressId,
    pub stream: Option<StreamId>,
    pub currency: Currency,
    pub price: &'a Price,
    pub life: Duration,
    pub lines: &'a [Line],
}

/// Writes a checkout and its lines, to an address of the buyer's own; `None`: it is not.
pub async fn insert(conn: &mut PgConnection, new: &NewRow<'_>) -> sqlx::Result<Option<(PostalAddress, Timestamp)>> {
    let ids: Vec<Uuid> = new.lines.iter().map(|l| l.id).collect();
    let variants: Vec<Uuid> = new.lines.iter().map(|l| l.offer.variant.0).collect();
    let holds: Vec<Option<Uuid>> = new.lines.iter().map(|l| l.reservation.map(|r| r.0)).collect();
    let quantities: Vec<i32> = new.lines.iter().map(|l| l.quantity).collect();
    let prices: Vec<i64> = new.lines.iter().map(|l| l.unit_price.minor).collect();
    let shipping: Vec<i64> = new.lines.iter().map(|l| l.shipping.minor).collect();
    let row = sqlx::query!(
        r#"with address as (
               select * from addresses where id = $3 and user_id = $2 and deleted_at is null
           ), checkout as (
               insert into checkouts (id, user_id, address_id, stream_id, currency,
                                      items_minor, shipping_minor, total_minor, expires_at)
               select $1, $2, a.id, $4, $5, $6, $7, $8, clock_timestamp() + make_interval(secs => $9) from address a
               returning id, expires_at
           ), lines as (
               insert into checkout_items
                      (id, checkout_id, variant_id, reservation_id, quantity, unit_price_minor, shipping_minor)
               select t.id, c.id, t.variant, t.hold, t.quantity, t.price, t.shipping
                 from checkout c, unnest($10::uuid[], $11::uuid[], $12::uuid[], $13::int[], $14::bigint[], $15::bigint[])
                      t (id, variant, hold, quantity, price, shipping)
           )
           select c.expires_at, a.recipient, a.line1, a.line2, a.city, a.region, a.postal_code, a.country, a.phone
             from checkout c, address a"#,
        new.id.0,
        new.buyer.0,
        new.address.0,
        new.stream.map(|s| s.0),
        new.currency.code(),
        new.price.items.minor,
        new.price.shipping.minor,
        new.price.total.minor,
        new.life.as_secs_f64(),
        &ids,
        &variants,
        &holds as &[Option<Uuid>],
        &quantities,
        &prices,
        &shipping
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let address = PostalAddress {
            recipient: row.recipient,
            line1: row.line1,
            line2: row.line2,
            city: row.city,
            region: row.region,
            postal_code: row.postal_code,
            country: row.country,
            phone: row.phone,
        };
        (address, row.expires_at)
    }))
}

struct HeadRow {
    id: CheckoutId,
    status: CheckoutStatus,
    currency: String,
    items_minor: i64,
    shipping_minor: i64,
    stream: Option<StreamId>,
    address_id: AddressId,
    address: Json<PostalAddress>,
    expires_at: Timestamp,
}

impl HeadRow {
    fn head(self) -> sqlx::Result<Head> {
        Ok(Head {
            id: self.id,
            status: self.status,
            currency: currency(&self.currency)?,
            items_minor: self.items_minor,
            shipping_minor: self.shipping_minor,
            stream: self.stream,
            address_id: self.address_id,
            address: self.address.0,
            expires_at: self.expires_at,
        })
    }
}

/// A checkout of `buyer`'s.
pub async fn head(conn: &mut PgConnection, id: CheckoutId, buyer: UserId) -> sqlx::Result<Option<Head>> {
    sqlx::query_as!(
        HeadRow,
        r#"select c.id as "id: CheckoutId", c.status as "status: CheckoutStatus", c.currency, c.items_minor,
                  c.shipping_minor, c.stream_id as "stream: StreamId", c.address_id as "address_id: AddressId", c.expires_at,
                  jsonb_build_object('recipient', a.recipient, 'line1', a.line1, 'line2', a.line2, 'city', a.city,
                                     'region', a.region, 'postal_code', a.postal_code, 'country', a.country,
                                     'phone', a.phone) as "address!: Json<PostalAddress>"
             from checkouts c join addresses a on a.id = c.address_id
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
           select c.id as "id: CheckoutId", c.status as "status: CheckoutStatus", c.currency, c.items_minor,
                  c.shipping_minor, c.stream_id as "stream: StreamId", c.address_id as "address_id: AddressId", c.expires_at,
                  jsonb_build_object('recipient', a.recipient, 'line1', a.line1, 'line2', a.line2, 'city', a.city,
                                     'region', a.region, 'postal_code', a.postal_code, 'country', a.country,
                                     'phone', a.phone) as "address!: Json<PostalAddress>"
             from c join addresses a on a.id = c.address_id"#,
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

/// Its lines, lapsed ones included, in the order of their ids.
pub async fn lines(conn: &mut PgConnection, id: CheckoutId) -> sqlx::Result<Vec<Line>> {
    let rows = sqlx::query!(
        r#"select i.id, i.quantity, i.unit_price_minor, i.shipping_minor, i.lapsed_at is not null as "lapsed!",
                  i.reservation_id as "reservation: ReservationId", r.expires_at as "hold_expires_at?",
                  coalesce(r.status <> 'held' or r.expires_at <= clock_timestamp(), false) as "dead!",
                  v.id as "variant: VariantId", p.id as "product: ProductId", s.id as "seller: SellerId",
                  s.shop_name, s.user_id = c.user_id as "own!", s.status = 'approved' as "selling!",
                  is_banned(s.id, c.user_id) as "banned!", p.status = 'active' as "active!", p.title, v.sku, v.options as "options: Options",
                  p.image_url, v.price_minor, c.currency,
                  sp.id as "profile?: ShippingProfileId", sp.base_minor as "base?",
                  sp.extra_item_minor as "extra?", sp.free_from_minor as "free_from?", sp.show_cap_minor as "show_cap?",
                  sp.regions as "regions?"
             from checkout_items i
             join checkouts c on c.id = i.checkout_id
             join product_variants v on v.id = i.variant_id
             join products p on p.id = v.product_id
             join sellers s on s.id = p.seller_id
             left join shipping_profiles sp on sp.id = p.shipping_profile_id
             left join reservations r on r.id = i.reservation_id
            where i.checkout_id = $1 order by i.id"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = currency(&row.currency)?;
            Ok(Line {
                id: row.id,
                offer: Offer {
                    variant: row.variant,
                    product: row.product,
                    seller: row.seller,
                    own: row.own,
                    selling: row.selling,
                    banned: row.banned,
                    active: row.active,
                    title: row.title,
                    sku: row.sku,
                    options: row.options.0,
                    image_url: row.image_url,
                    price: Money::new(row.price_minor, currency),
                    shipping: rule(row.profile, row.base, row.extra, row.free_from, row.show_cap),
                    regions: row.regions.unwrap_or_default(),
                },
                shop_name: row.shop_name,
                quantity: row.quantity,
                unit_price: Money::new(row.unit_price_minor, currency),
                shipping: Money::new(row.shipping_minor, currency),
                reservation: row.reservation,
                hold_expires_at: row.hold_expires_at,
                hold_is_dead: row.dead,
                lapsed: row.lapsed,
            })
        })
        .collect()
}

/// Writes a new price: `lines` are those that remain, the newly lapsed ones are marked.
pub async fn reprice(
    conn: &mut PgConnection,
    id: CheckoutId,
    remaining: &[Uuid],
    lapsed: &[Uuid],
    price: &Price,
) -> sqlx::Result<()> {
    let shipping: Vec<i64> = price.lines.iter().map(|l| l.shipping.minor).collect();
    sqlx::query!(
        "with gone as (
             update checkout_items set lapsed_at = clock_timestamp(), shipping_minor = 0 where id = any($2)
         ), kept as (
             update checkout_items i set shipping_minor = t.shipping
               from unnest($3::uuid[], $4::bigint[]) t (id, shipping) where i.id = t.id
         )
         update checkouts set items_minor = $5, shipping_minor = $6, total_minor = $7 where id = $1",
        id.0,
        lapsed,
        remaining,
        &shipping,
        price.items.minor,
        price.shipping.minor,
        price.total.minor
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Expires open checkouts whose time is over, at most `limit`; which.
pub async fn expire(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<CheckoutId>> {
    sqlx::query_scalar!(
        r#"with due as (
               select id from checkouts where status = 'open' and expires_at <= clock_timestamp()
                order by expires_at limit $1 for no key update skip locked
           )
           update checkouts c set status = $2 from due where c.id = due.id and c.status = any($3)
           returning c.id as "id: CheckoutId""#,
        limit,
        CheckoutStatus::Expired.as_str(),
        &CheckoutStatus::sources_of(CheckoutStatus::Expired)
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
