//! SQL of stock: `product_variants.on_hand` and `reserved`, and `inventory_movements`.

use shared::ids::{OrderId, ProductId, UserId, VariantId};
use shared::live::RoomNotice;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Units;

/// The topic of word that a product has changed.
const PRODUCT_CHANGED: &str = "product_changed";

/// Products, and the notice for the rooms that show each.
fn changed(products: &[ProductId]) -> sqlx::Result<(Vec<Uuid>, Vec<serde_json::Value>)> {
    let payloads = products
        .iter()
        .map(|&product| serde_json::to_value(RoomNotice::ProductChanged { product }))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok((products.iter().map(|p| p.0).collect(), payloads))
}

fn columns(units: &[Units]) -> (Vec<Uuid>, Vec<i32>) {
    units.iter().map(|u| (u.variant.0, u.quantity)).unzip()
}

/// A statement of its own, so that the next one sees what it waited for.
pub async fn lock(conn: &mut PgConnection, variants: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query!(
        "select id from product_variants where id = any($1) order by id for no key update",
        variants
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Promises units, and tells the rooms that show `products`; which variants had that many
/// free.
///
/// One statement. What is free is read with the lock (`held`), in the order of the ids: it
/// is what there was after the wait, not what the statement began with.
pub async fn reserve(conn: &mut PgConnection, units: &[Units], products: &[ProductId]) -> sqlx::Result<Vec<VariantId>> {
    let (variants, quantities) = columns(units);
    let (told, payloads) = changed(products)?;
    sqlx::query_scalar!(
        r#"with held as materialized (
               select id, on_hand - reserved as free from product_variants
                where id = any($1) order by id for no key update
           ), taken as (
               update product_variants v set reserved = v.reserved + q.n, updated_at = now()
                 from held h join unnest($1::uuid[], $2::int[]) q (id, n) on q.id = h.id
                where v.id = h.id and h.free >= q.n
               returning v.id
           ), told as (
               insert into outbox (id, topic, stream_id, payload)
               select gen_random_uuid(), $3, s.id, t.payload
                 from unnest($4::uuid[], $5::jsonb[]) t (product, payload)
                 join stream_products sp on sp.product_id = t.product
                 join streams_at_hand s on s.id = sp.stream_id
           )
           select id as "id: VariantId" from taken"#,
        &variants,
        &quantities,
        PRODUCT_CHANGED,
        &told,
        &payloads
    )
    .fetch_all(conn)
    .await
}

/// They are locked.
pub async fn release(conn: &mut PgConnection, units: &[Units]) -> sqlx::Result<()> {
    let (ids, quantities) = columns(units);
    sqlx::query!(
        "update product_variants v set reserved = v.reserved - q.n, updated_at = now()
           from unnest($1::uuid[], $2::int[]) q (id, n) where v.id = q.id",
        &ids,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// They are locked.
pub async fn sell(conn: &mut PgConnection, units: &[Units]) -> sqlx::Result<()> {
    let (ids, quantities) = columns(units);
    sqlx::query!(
        "update product_variants v
            set on_hand = v.on_hand - q.n, reserved = v.reserved - q.n, updated_at = now()
           from unnest($1::uuid[], $2::int[]) q (id, n) where v.id = q.id",
        &ids,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// One movement a variant.
pub async fn insert_sold(conn: &mut PgConnection, order: OrderId, units: &[Units]) -> sqlx::Result<()> {
    let (variants, quantities) = columns(units);
    let ids: Vec<Uuid> = units.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "insert into inventory_movements (id, variant_id, on_hand, reason, order_id)
         select t.id, t.variant, -t.n, 'sold', $1 from unnest($2::uuid[], $3::uuid[], $4::int[]) t (id, variant, n)",
        order.0,
        &ids,
        &variants,
        &quantities
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// They are locked. One movement a variant.
pub async fn restock(conn: &mut PgConnection, order: OrderId, units: &[Units], by: UserId) -> sqlx::Result<()> {
    let (variants, quantities) = columns(units);
    let ids: Vec<Uuid> = units.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "with back as (select * from unnest($1::uuid[], $2::uuid[], $3::int[]) t (id, variant, n)),
              stocked as (update product_variants v set on_hand = v.on_hand + b.n, updated_at = now()
                            from back b where v.id = b.variant)
         insert into inventory_movements (id, variant_id, on_hand, reason, order_id, actor_id)
         select b.id, b.variant, b.n, 'restocked', $4, $5 from back b",
        &ids,
        &variants,
        &quantities,
        order.0,
        by.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// `shared::outbox::push_product_changed` for several products in one statement: a
/// checkout has many lines, and most are in no show.
pub async fn push_products_changed(conn: &mut PgConnection, products: &[ProductId]) -> sqlx::Result<()> {
    let (ids, payloads) = changed(products)?;
    sqlx::query!(
        "insert into outbox (id, topic, stream_id, payload)
         select gen_random_uuid(), $1, s.id, t.payload
           from unnest($2::uuid[], $3::jsonb[]) t (product, payload)
           join stream_products sp on sp.product_id = t.product
           join streams_at_hand s on s.id = sp.stream_id",
        PRODUCT_CHANGED,
        &ids,
        &payloads
    )
    .execute(conn)
    .await?;
    Ok(())
}
