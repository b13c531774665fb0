//! SQL of `products`, `product_variants` as their shop changes them, and the movements
//! that its changes leave. What sells reaches variants through the stock feature.

use std::collections::HashMap;

use shared::Timestamp;
use shared::ids::{CategoryId, ProductId, SellerId, ShippingProfileId, UserId, VariantId};
use shared::money::{Currency, Money};
use shared::status::{Machine as _, ProductStatus, SellerStatus};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{
    Change, Filter, NewProduct, NewVariant, Options, Product, STOCK_MAX, SellerProduct, SellerVariant, Variant,
    VariantChange,
};
use crate::http::{Page, Shopkeeper};
use crate::sellers::SellerRef;

struct Row {
    id: ProductId,
    seller_id: SellerId,
    shop_name: String,
    category_id: Option<CategoryId>,
    shipping_profile_id: Option<ShippingProfileId>,
    title: String,
    description: String,
    image_url: String,
    currency: String,
    status: ProductStatus,
    version: i64,
    created_at: Timestamp,
}

struct VariantRow {
    id: VariantId,
    product_id: ProductId,
    sku: String,
    options: Json<Options>,
    price_minor: i64,
    on_hand: i32,
    reserved: i32,
}

impl VariantRow {
    fn own(self, currency: Currency) -> SellerVariant {
        SellerVariant {
            id: self.id,
            sku: self.sku,
            options: self.options.0,
            price: Money::new(self.price_minor, currency),
            available: self.on_hand - self.reserved,
            on_hand: self.on_hand,
            reserved: self.reserved,
        }
    }
}

/// The variants of all `products`, in one query.
async fn with_variants(conn: &mut PgConnection, products: Vec<Row>) -> Result<Vec<SellerProduct>, sqlx::Error> {
    let ids: Vec<Uuid> = products.iter().map(|product| product.id.0).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(
        VariantRow,
        r#"select id as "id: VariantId", product_id as "product_id: ProductId", sku,
                  options as "options: Json<Options>", price_minor, on_hand, reserved
             from product_variants where product_id = any($1) order by product_id, position, id"#,
        &ids
    )
    .fetch_all(conn)
    .await?;
    let mut variants: HashMap<ProductId, Vec<VariantRow>> = HashMap::new();
    for row in rows {
        variants.entry(row.product_id).or_default().push(row);
    }
    products
        .into_iter()
        .map(|row| {
            let currency = Currency::parse(&row.currency).map_err(|e| sqlx::Error::Decode(e.into()))?;
            let variants = variants.remove(&row.id).unwrap_or_default();
            Ok(SellerProduct {
                id: row.id,
                seller: SellerRef {
                    id: row.seller_id,
                    shop_name: row.shop_name,
                },
                category_id: row.category_id,
                shipping_profile_id: row.shipping_profile_id,
                title: row.title,
                description: row.description,
                image_url: row.image_url,
                currency: row.currency,
                status: row.status,
                version: row.version,
                variants: variants.into_iter().map(|variant| variant.own(currency)).collect(),
                created_at: row.created_at,
            })
        })
        .collect()
}

impl From<SellerProduct> for Product {
    /// Without what is the shop's own business.
    fn from(own: SellerProduct) -> Self {
        Self {
            id: own.id,
            seller: own.seller,
            category_id: own.category_id,
            title: own.title,
            description: own.description,
            image_url: own.image_url,
            currency: own.currency,
            status: own.status,
            version: own.version,
            variants: own
                .variants
                .into_iter()
                .map(|variant| Variant {
                    id: variant.id,
                    sku: variant.sku,
                    options: variant.options,
                    price: variant.price,
                    available: variant.available,
                })
                .collect(),
            created_at: own.created_at,
        }
    }
}

async fn public(conn: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<Product>, sqlx::Error> {
    let products = with_variants(conn, rows).await?;
    Ok(products.into_iter().map(Into::into).collect())
}

pub(super) async fn list_public(
    conn: &mut PgConnection,
    filter: &Filter,
    page: &Page,
) -> Result<Vec<Product>, sqlx::Error> {
    let category_id: Option<Uuid> = filter.category.as_deref().and_then(|text| text.parse().ok());
    let rows = sqlx::query_as!(
        Row,
        r#"with recursive tree (id) as (
               select c.id from categories c where c.id = $1 or c.slug = $2
               union
               select c.id from categories c join tree t on c.parent_id = t.id
           )
           select p.id as "id: ProductId", p.seller_id as "seller_id: SellerId", s.shop_name,
                  p.category_id as "category_id: CategoryId",
                  p.shipping_profile_id as "shipping_profile_id: ShippingProfileId", p.title, p.description,
                  p.image_url, p.currency, p.status as "status: ProductStatus", p.version, p.created_at
             from products p join sellers s on s.id = p.seller_id and s.status = 'approved'
            where p.status = 'active'
              and ($2::text is null or p.category_id in (select id from tree))
              and ($3::uuid is null or p.seller_id = $3)
              and ($4::boolean is null or $4 = exists (
                      select 1 from product_variants v where v.product_id = p.id and v.on_hand > v.reserved))
              and ($5::uuid is null or p.id < $5)
            order by p.id desc limit $6"#,
        category_id,
        filter.category.as_deref(),
        filter.seller.map(|id| id.0),
        filter.in_stock,
        page.cursor,
        page.rows()
    )
    .fetch_all(&mut *conn)
    .await?;
    public(conn, rows).await
}

pub(super) async fn get_public(conn: &mut PgConnection, id: ProductId) -> Result<Option<Product>, sqlx::Error> {
    Ok(many_public(conn, &[id]).await?.pop())
}

/// Those of `ids` that everybody may see, in that order.
pub(super) async fn many_public(conn: &mut PgConnection, ids: &[ProductId]) -> Result<Vec<Product>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id: ProductId", p.seller_id as "seller_id: SellerId", s.shop_name,
                  p.category_id as "category_id: CategoryId",
                  p.shipping_profile_id as "shipping_profile_id: ShippingProfileId", p.title, p.description,
                  p.image_url, p.currency, p.status as "status: ProductStatus", p.version, p.created_at
             from unnest($1::uuid[]) with ordinality as w (id, place)
             join products p on p.id = w.id
             join sellers s on s.id = p.seller_id
            where p.status = $2 and s.status = $3
            order by w.place"#,
        &ids,
        ProductStatus::Active.as_str(),
        SellerStatus::Approved.as_str()
    )
    .fetch_all(&mut *conn)
    .await?;
    public(conn, rows).await
}

pub(super) async fn list_own(
    conn: &mut PgConnection,
    seller: SellerId,
    status: Option<ProductStatus>,
    page: &Page,
) -> Result<Vec<SellerProduct>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id: ProductId", p.seller_id as "seller_id: SellerId", s.shop_name,
                  p.category_id as "category_id: CategoryId",
                  p.shipping_profile_id as "shipping_profile_id: ShippingProfileId", p.title, p.description,
                  p.image_url, p.currency, p.status as "status: ProductStatus", p.version, p.created_at
             from products p join sellers s on s.id = p.seller_id
            where p.seller_id = $1 and ($2::text is null or p.status = $2) and ($3::uuid is null or p.id < $3)
            order by p.id desc limit $4"#,
        seller.0,
        status.map(ProductStatus::as_str),
        page.cursor,
        page.rows()
    )
    .fetch_all(&mut *conn)
    .await?;
    with_variants(conn, rows).await
}

pub(super) async fn get_own(
    conn: &mut PgConnection,
    seller: SellerId,
    id: ProductId,
) -> Result<Option<SellerProduct>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select p.id as "id: ProductId", p.seller_id as "seller_id: SellerId", s.shop_name,
                  p.category_id as "category_id: CategoryId",
                  p.shipping_profile_id as "shipping_profile_id: ShippingProfileId", p.title, p.description,
                  p.image_url, p.currency, p.status as "status: ProductStatus", p.version, p.created_at
             from products p join sellers s on s.id = p.seller_id
            where p.id = $2 and p.seller_id = $1"#,
        seller.0,
        id.0
    )
    .fetch_optional(&mut *conn)
    .await?;
    Ok(with_variants(conn, row.into_iter().collect()).await?.pop())
}

pub(super) async fn insert(
    tx: &mut PgConnection,
    id: ProductId,
    shop: &Shopkeeper,
    new: &NewProduct,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into products (id, seller_id, category_id, shipping_profile_id, title, description, image_url,
                               currency, status)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        id.0,
        shop.seller.0,
        new.category_id.map(|id| id.0),
        new.shipping_profile_id.map(|id| id.0),
        new.title.trim(),
        new.description.trim(),
        new.image_url,
        shop.currency.code(),
        new.status.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds variants after the first `after` places; one whose SKU is taken is left out. How
/// many were added.
pub(super) async fn insert_variants(
    tx: &mut PgConnection,
    product: ProductId,
    variants: &[NewVariant],
    after: i32,
) -> Result<u64, sqlx::Error> {
    let ids: Vec<Uuid> = variants.iter().map(|_| VariantId::new().0).collect();
    let skus: Vec<String> = variants.iter().map(|v| v.sku.trim().to_owned()).collect();
    let options: Vec<Json<&Options>> = variants.iter().map(|v| Json(&v.options)).collect();
    let prices: Vec<i64> = variants.iter().map(|v| v.price_minor).collect();
    let on_hand: Vec<i32> = variants.iter().map(|v| v.on_hand).collect();
    let done = sqlx::query!(
        "insert into product_variants (id, product_id, sku, options, price_minor, on_hand, position)
         select id, $1, sku, options, price_minor, on_hand, $2::int + place::int - 1
           from unnest($3::uuid[], $4::text[], $5::jsonb[], $6::bigint[], $7::int[])
                with ordinality as v (id, sku, options, price_minor, on_hand, place)
         on conflict on constraint product_variants_sku_key do nothing",
        product.0,
        after,
        &ids,
        &skus,
        options as _,
        &prices,
        &on_hand
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

/// Writes down where the first units of new variants came from.
pub(super) async fn insert_initial_movements(
    tx: &mut PgConnection,
    product: ProductId,
    skus: &[String],
    actor: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into inventory_movements (id, variant_id, on_hand, reason, actor_id)
         select gen_random_uuid(), id, on_hand, 'initial', $3
           from product_variants where product_id = $1 and sku = any($2) and on_hand <> 0",
        product.0,
        skus,
        actor.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Changes a product and raises its version; false: it is not there, or its status is
/// not in `sources`.
pub(super) async fn update(
    tx: &mut PgConnection,
    seller: SellerId,
    id: ProductId,
    change: &Change,
    sources: Option<Vec<String>>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update products
            set title = coalesce($3, title), description = coalesce($4, description),
                image_url = coalesce($5, image_url),
                category_id = case when $6 then $7 else category_id end,
                shipping_profile_id = case when $8 then $9 else shipping_profile_id end,
                status = coalesce($10, status), version = version + 1, updated_at = now()
          where id = $2 and seller_id = $1 and ($11::text[] is null or status = any($11))",
        seller.0,
        id.0,
        change.title.as_deref().map(str::trim),
        change.description.as_deref().map(str::trim),
        change.image_url.as_deref(),
        change.category_id.is_some(),
        change.category_id.flatten().map(|id| id.0),
        change.shipping_profile_id.is_some(),
        change.shipping_profile_id.flatten().map(|id| id.0),
        change.status.map(ProductStatus::as_str),
        sources.as_deref()
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Locks the shop's product; false: it is not there.
pub(super) async fn lock(tx: &mut PgConnection, seller: SellerId, id: ProductId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from products where id = $2 and seller_id = $1 for no key update",
        seller.0,
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// How many variants a product has, and the place after the last.
pub(super) async fn count_variants(tx: &mut PgConnection, product: ProductId) -> Result<(i64, i32), sqlx::Error> {
    let row = sqlx::query!(
        r#"select count(*) as "count!", coalesce(max(position) + 1, 0) as "next!"
             from product_variants where product_id = $1"#,
        product.0
    )
    .fetch_one(tx)
    .await?;
    Ok((row.count, row.next))
}

/// Changes a variant of the shop's; the product it belongs to.
pub(super) async fn update_variant(
    tx: &mut PgConnection,
    seller: SellerId,
    id: VariantId,
    change: &VariantChange,
) -> Result<Option<ProductId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update product_variants v
              set price_minor = coalesce($3, v.price_minor), options = coalesce($4, v.options), updated_at = now()
             from products p
            where v.id = $2 and p.id = v.product_id and p.seller_id = $1
           returning v.product_id as "product_id: ProductId""#,
        seller.0,
        id.0,
        change.price_minor,
        change.options.as_ref().map(Json) as _
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn raise_version(tx: &mut PgConnection, product: ProductId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update products set version = version + 1, updated_at = now() where id = $1",
        product.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Adds `delta` to a variant's units, where no promise is broken; the product it belongs
/// to. The condition is read again after the row's lock, so it holds when it is written.
pub(super) async fn adjust(
    tx: &mut PgConnection,
    seller: SellerId,
    id: VariantId,
    delta: i32,
) -> Result<Option<ProductId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update product_variants v set on_hand = v.on_hand + $3, updated_at = now()
             from products p
            where v.id = $2 and p.id = v.product_id and p.seller_id = $1
              and v.on_hand + $3 between v.reserved and $4
           returning v.product_id as "product_id: ProductId""#,
        seller.0,
        id.0,
        delta,
        STOCK_MAX
    )
    .fetch_optional(tx)
    .await
}

/// Units of the shop's variant that nobody was promised.
/// Units in the shop's hands, and how many of them are promised.
pub(super) struct Stock {
    pub on_hand: i32,
    pub reserved: i32,
}

pub(super) async fn stock(
    tx: &mut PgConnection,
    seller: SellerId,
    id: VariantId,
) -> Result<Option<Stock>, sqlx::Error> {
    sqlx::query_as!(
        Stock,
        r#"select v.on_hand, v.reserved
             from product_variants v join products p on p.id = v.product_id
            where v.id = $2 and p.seller_id = $1"#,
        seller.0,
        id.0
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn insert_movement(
    tx: &mut PgConnection,
    id: Uuid,
    variant: VariantId,
    delta: i32,
    actor: UserId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into inventory_movements (id, variant_id, on_hand, reason, actor_id)
         values ($1, $2, $3, 'adjustment', $4)",
        id,
        variant.0,
        delta,
        actor.0
    )
    .execute(tx)
    .await?;
    Ok(())
}
