//! SQL that writes `product_variants` and `inventory_movements`.

use shared::ids::{ProductId, SellerId, UserId, VariantId};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::catalog::products::input::{NewVariant, Place, STOCK_MAX, VariantChange};
use crate::catalog::products::model::{MovementReason, Options};

/// Adds variants after the first `after` places, with the movements that explain their
/// first units; one whose SKU or options are taken is left out. How many were added.
pub async fn insert_variants(
    tx: &mut PgConnection,
    product: ProductId,
    variants: &[NewVariant],
    after: i32,
    actor: UserId,
    reason: MovementReason,
) -> Result<u64, sqlx::Error> {
    let ids: Vec<Uuid> = variants.iter().map(|_| VariantId::new().0).collect();
    let movements: Vec<Uuid> = variants.iter().map(|_| Uuid::now_v7()).collect();
    let skus: Vec<String> = variants.iter().map(|v| v.sku.trim().to_owned()).collect();
    let options: Vec<Json<&Options>> = variants.iter().map(|v| Json(&v.options)).collect();
    let prices: Vec<i64> = variants.iter().map(|v| v.price_minor).collect();
    let compare_at: Vec<Option<i64>> = variants.iter().map(|v| v.compare_at_minor).collect();
    let on_hand: Vec<i32> = variants.iter().map(|v| v.on_hand).collect();
    let done = sqlx::query_scalar!(
        r#"with new as (
               select * from unnest($3::uuid[], $4::uuid[], $5::text[], $6::jsonb[], $7::bigint[], $8::bigint[], $9::int[])
                   with ordinality as v (id, movement, sku, options, price_minor, compare_at_minor, on_hand, place)
           ), added as (
               insert into product_variants (id, product_id, sku, options, price_minor, compare_at_minor, on_hand, position)
               select id, $1, sku, options, price_minor, compare_at_minor, on_hand, $2::int + place::int - 1 from new
               on conflict do nothing
               returning id, on_hand
           ), moved as (
               insert into inventory_movements (id, variant_id, on_hand, reason, actor_id)
               select n.movement, a.id, a.on_hand, $10, $11 from added a join new n on n.id = a.id where a.on_hand <> 0
           )
           select count(*) as "count!" from added"#,
        product.0,
        after,
        &ids,
        &movements,
        &skus,
        options as _,
        &prices,
        &compare_at as &[Option<i64>],
        &on_hand,
        reason.as_str(),
        actor.0
    )
    .fetch_one(tx)
    .await?;
    Ok(u64::try_from(done).unwrap_or_default())
}

/// Which of these SKUs the shop has on other products, or has had on this one for longer
/// than this transaction.
pub async fn skus_elsewhere(
    conn: &mut PgConnection,
    seller: SellerId,
    product: ProductId,
    skus: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select sku from product_variants
          where seller_id = $1 and sku = any($3) and (product_id <> $2 or created_at < now())",
        seller.0,
        product.0,
        skus
    )
    .fetch_all(conn)
    .await
}

/// A product's axes, how many variants it has, and the place after the last.
pub async fn axes_and_count(tx: &mut PgConnection, product: ProductId) -> Result<(Vec<String>, i64, i32), sqlx::Error> {
    let row = sqlx::query!(
        r#"select p.option_axes, count(v.id) as "count!", coalesce(max(v.position) + 1, 0) as "next!"
             from products p left join product_variants v on v.product_id = p.id
            where p.id = $1 group by p.id"#,
        product.0
    )
    .fetch_one(tx)
    .await?;
    Ok((row.option_axes, row.count, row.next))
}

/// Locks the shop's variant; its product.
pub async fn lock_variant(
    tx: &mut PgConnection,
    seller: SellerId,
    id: VariantId,
) -> Result<Option<ProductId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select product_id as "product_id: ProductId" from product_variants
            where id = $2 and seller_id = $1 for no key update"#,
        seller.0,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// Locks all variants of the shop's product, in the order of their ids.
pub async fn lock_variants(
    tx: &mut PgConnection,
    seller: SellerId,
    product: ProductId,
) -> Result<Vec<VariantId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: VariantId" from product_variants where product_id = $2 and seller_id = $1
            order by id for no key update"#,
        seller.0,
        product.0
    )
    .fetch_all(tx)
    .await
}

/// Puts variants where they stand. No two may meet on the way, so all go aside first.
pub async fn place_variants(tx: &mut PgConnection, product: ProductId, places: &[Place]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update product_variants set options = jsonb_build_object('', id) where product_id = $1",
        product.0
    )
    .execute(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = places.iter().map(|place| place.id.0).collect();
    let options: Vec<Json<&Options>> = places.iter().map(|place| Json(&place.options)).collect();
    sqlx::query!(
        "update product_variants v set options = t.options, updated_at = now()
           from unnest($2::uuid[], $3::jsonb[]) t (id, options)
          where v.id = t.id and v.product_id = $1",
        product.0,
        &ids,
        options as _
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Changes a locked variant.
pub async fn update_variant(tx: &mut PgConnection, id: VariantId, change: &VariantChange) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update product_variants
            set sku = coalesce($2, sku), price_minor = coalesce($3, price_minor),
                compare_at_minor = case when $4 then $5 else compare_at_minor end,
                options = coalesce($6, options), updated_at = now()
          where id = $1",
        id.0,
        change.sku.as_deref().map(str::trim),
        change.price_minor,
        change.compare_at_minor.is_some(),
        change.compare_at_minor.flatten(),
        change.options.as_ref().map(Json) as _
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds `delta` to a variant's units, where no promise is broken; the product it belongs
/// to. The condition is read again after the row's lock, so it holds when it is written.
pub async fn adjust(
    tx: &mut PgConnection,
    seller: SellerId,
    id: VariantId,
    delta: i32,
) -> Result<Option<ProductId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update product_variants set on_hand = on_hand + $3, updated_at = now()
            where id = $2 and seller_id = $1 and on_hand + $3 between reserved and $4
           returning product_id as "product_id: ProductId""#,
        seller.0,
        id.0,
        delta,
        STOCK_MAX
    )
    .fetch_optional(tx)
    .await
}

/// Makes a locked variant's units so many.
pub async fn put_stock(tx: &mut PgConnection, id: VariantId, on_hand: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update product_variants set on_hand = $2, updated_at = now() where id = $1",
        id.0,
        on_hand
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Units in the shop's hands, and how many of them are promised.
pub struct Stock {
    pub on_hand: i32,
    pub reserved: i32,
}

pub async fn stock(tx: &mut PgConnection, seller: SellerId, id: VariantId) -> Result<Option<Stock>, sqlx::Error> {
    sqlx::query_as!(
        Stock,
        "select on_hand, reserved from product_variants where id = $2 and seller_id = $1",
        seller.0,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// Locks the shop's variant: its stock as it is once the lock is the caller's.
pub async fn lock_stock(tx: &mut PgConnection, seller: SellerId, id: VariantId) -> Result<Option<Stock>, sqlx::Error> {
    sqlx::query_as!(
        Stock,
        "select on_hand, reserved from product_variants where id = $2 and seller_id = $1 for no key update",
        seller.0,
        id.0
    )
    .fetch_optional(tx)
    .await
}

pub async fn insert_movement(
    tx: &mut PgConnection,
    variant: VariantId,
    delta: i32,
    reason: MovementReason,
    note: &str,
    actor: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into inventory_movements (id, variant_id, on_hand, reason, note, actor_id)
         values ($1, $2, $3, $4, $5, $6)",
        Uuid::now_v7(),
        variant.0,
        delta,
        reason.as_str(),
        note,
        actor.0
    )
    .execute(tx)
    .await?;
    Ok(())
}
