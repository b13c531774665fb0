//! SQL of `cart_items`.

use std::collections::BTreeMap;

use shared::ids::{ProductId, SellerId, UserId, VariantId};
use shared::money::{Currency, Money};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Goods, Kept};

/// A line with the goods as they are now.
pub(super) struct Row {
    pub variant: VariantId,
    pub product: ProductId,
    pub seller: SellerId,
    pub shop_name: String,
    pub title: String,
    pub sku: String,
    pub options: BTreeMap<String, String>,
    pub image_url: String,
    pub quantity: i32,
    pub seen_price_minor: i64,
    pub price: Money,
    pub available: i32,
    pub goods: Goods,
}

/// The buyer's lines, the oldest first.
pub(super) async fn rows(conn: &mut PgConnection, buyer: UserId) -> sqlx::Result<Vec<Row>> {
    let rows = sqlx::query!(
        r#"select c.variant_id as "variant: VariantId", c.quantity, c.seen_price_minor, p.id as "product: ProductId",
                  s.id as "seller: SellerId", s.shop_name, p.title, v.sku,
                  v.options as "options: Json<BTreeMap<String, String>>", p.image_url, v.price_minor, p.currency,
                  v.on_hand - v.reserved as "available!", s.user_id = $1 as "own!", is_banned(s.id, $1) as "banned!",
                  s.status = 'approved' and p.status = 'active' as "on_sale!"
             from cart_items c
             join product_variants v on v.id = c.variant_id
             join products p on p.id = v.product_id
             join sellers s on s.id = p.seller_id
            where c.user_id = $1 order by c.created_at, c.variant_id"#,
        buyer.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = Currency::parse(&row.currency).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok(Row {
                variant: row.variant,
                product: row.product,
                seller: row.seller,
                shop_name: row.shop_name,
                title: row.title,
                sku: row.sku,
                options: row.options.0,
                image_url: row.image_url,
                quantity: row.quantity,
                seen_price_minor: row.seen_price_minor,
                price: Money::new(row.price_minor, currency),
                available: row.available,
                goods: Goods {
                    price_minor: row.price_minor,
                    own: row.own,
                    banned: row.banned,
                    on_sale: row.on_sale,
                },
            })
        })
        .collect()
}

/// Serialises what adds to a buyer's cart; `false`: the account is gone.
pub(super) async fn lock(conn: &mut PgConnection, buyer: UserId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "select id from users where id = $1 and deleted_at is null for no key update",
        buyer.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// Those of these variants that there are.
pub(super) async fn goods(
    conn: &mut PgConnection,
    buyer: UserId,
    variants: &[Uuid],
) -> sqlx::Result<BTreeMap<VariantId, Goods>> {
    let rows = sqlx::query!(
        r#"select v.id as "variant: VariantId", v.price_minor, s.user_id = $1 as "own!",
                  is_banned(s.id, $1) as "banned!", s.status = 'approved' and p.status = 'active' as "on_sale!"
             from product_variants v
             join products p on p.id = v.product_id
             join sellers s on s.id = p.seller_id
            where v.id = any($2)"#,
        buyer.0,
        variants
    )
    .fetch_all(conn)
    .await?;
    let goods = rows.into_iter().map(|row| {
        let goods = Goods {
            price_minor: row.price_minor,
            own: row.own,
            banned: row.banned,
            on_sale: row.on_sale,
        };
        (row.variant, goods)
    });
    Ok(goods.collect())
}

/// What the buyer's cart has.
pub(super) async fn kept(conn: &mut PgConnection, buyer: UserId) -> sqlx::Result<Vec<Kept>> {
    lines_of(conn, buyer, &[]).await
}

/// What it has of these shops; of all, where none is named.
pub(super) async fn lines_of(conn: &mut PgConnection, buyer: UserId, sellers: &[SellerId]) -> sqlx::Result<Vec<Kept>> {
    let sellers: Vec<Uuid> = sellers.iter().map(|seller| seller.0).collect();
    sqlx::query_as!(
        Kept,
        r#"select c.variant_id as "variant: VariantId", c.quantity
             from cart_items c join product_variants v on v.id = c.variant_id join products p on p.id = v.product_id
            where c.user_id = $1 and (cardinality($2::uuid[]) = 0 or p.seller_id = any($2))
            order by c.created_at, c.variant_id"#,
        buyer.0,
        &sellers
    )
    .fetch_all(conn)
    .await
}

fn columns(lines: &[Kept]) -> (Vec<Uuid>, Vec<i32>) {
    lines.iter().map(|line| (line.variant.0, line.quantity)).unzip()
}

/// Writes these lines; new ones at the prices of now. A line that was there keeps the price
/// that its buyer has seen, so that another is still told. They come in the order of their
/// variants.
pub(super) async fn write(
    conn: &mut PgConnection,
    buyer: UserId,
    lines: &[Kept],
    goods: &BTreeMap<VariantId, Goods>,
) -> sqlx::Result<()> {
    let (variants, quantities) = columns(lines);
    let price = |line: &Kept| goods.get(&line.variant).map_or(0, |goods| goods.price_minor);
    let prices: Vec<i64> = lines.iter().map(price).collect();
    sqlx::query!(
        "insert into cart_items (user_id, variant_id, quantity, seen_price_minor)
         select $1, t.variant, t.quantity, t.price
           from unnest($2::uuid[], $3::int[], $4::bigint[]) with ordinality t (variant, quantity, price, i)
          order by t.i
         on conflict (user_id, variant_id) do update
            set quantity = excluded.quantity, updated_at = now()",
        buyer.0,
        &variants,
        &quantities,
        &prices
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The buyer has seen these prices.
pub(super) async fn see(conn: &mut PgConnection, buyer: UserId, seen: &[(VariantId, i64)]) -> sqlx::Result<()> {
    let (variants, prices): (Vec<Uuid>, Vec<i64>) = seen.iter().map(|(variant, minor)| (variant.0, *minor)).unzip();
    sqlx::query!(
        "with held as (
             select c.variant_id, t.price
               from cart_items c join unnest($2::uuid[], $3::bigint[]) t (variant, price) on t.variant = c.variant_id
              where c.user_id = $1 order by c.variant_id for update of c
         )
         update cart_items c set seen_price_minor = h.price
           from held h where c.user_id = $1 and c.variant_id = h.variant_id",
        buyer.0,
        &variants,
        &prices
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn delete(conn: &mut PgConnection, buyer: UserId, variant: VariantId) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from cart_items where user_id = $1 and variant_id = $2",
        buyer.0,
        variant.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn delete_all(conn: &mut PgConnection, buyer: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "with held as (
             select variant_id from cart_items where user_id = $1 order by variant_id for update
         )
         delete from cart_items c using held h where c.user_id = $1 and c.variant_id = h.variant_id",
        buyer.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes so many of each out. What the lines have is read under their locks.
pub(super) async fn take_out(conn: &mut PgConnection, buyer: UserId, ordered: &[Kept]) -> sqlx::Result<()> {
    let (variants, quantities) = columns(ordered);
    sqlx::query!(
        "with held as materialized (
             select c.variant_id, c.quantity, t.ordered
               from cart_items c join unnest($2::uuid[], $3::int[]) t (variant, ordered) on t.variant = c.variant_id
              where c.user_id = $1 order by c.variant_id for update of c
         ), gone as (
             delete from cart_items c using held h
              where c.user_id = $1 and c.variant_id = h.variant_id and h.quantity <= h.ordered
         )
         update cart_items c set quantity = h.quantity - h.ordered, updated_at = now()
           from held h where c.user_id = $1 and c.variant_id = h.variant_id and h.quantity > h.ordered",
        buyer.0,
        &variants,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}
