//! SQL that reads products, each with its variants in one query.

use serde::Deserialize;
use shared::Timestamp;
use shared::ids::{CategoryId, OrderId, ProductId, SellerId, ShippingProfileId, UserId, VariantId};
use shared::money::{Currency, Money};
use shared::status::{Machine as _, ProductStatus, SellerStatus};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::catalog::products::model::{
    Movement, MovementReason, Options, Product, Rating, SellerProduct, SellerVariant, Variant,
};
use crate::http::Page;
use crate::media::Stored;
use crate::sellers::SellerRef;

struct Row {
    id: ProductId,
    seller_id: SellerId,
    shop_name: String,
    category_id: Option<CategoryId>,
    shipping_profile_id: Option<ShippingProfileId>,
    external_key: Option<String>,
    title: String,
    description: String,
    image_url: String,
    option_axes: Vec<String>,
    currency: String,
    status: ProductStatus,
    version: i64,
    rating_sum: i64,
    rating_count: i32,
    created_at: Timestamp,
    variants: Json<Vec<VariantRow>>,
    images: Json<Vec<Stored>>,
}

/// As `product_view` puts it.
#[derive(Deserialize)]
struct VariantRow {
    id: VariantId,
    sku: String,
    options: Options,
    price_minor: i64,
    compare_at_minor: Option<i64>,
    on_hand: i32,
    reserved: i32,
}

impl VariantRow {
    fn own(self, currency: Currency) -> SellerVariant {
        SellerVariant {
            id: self.id,
            sku: self.sku,
            options: self.options,
            price: Money::new(self.price_minor, currency),
            compare_at: self.compare_at_minor.map(|minor| Money::new(minor, currency)),
            available: self.on_hand - self.reserved,
            on_hand: self.on_hand,
            reserved: self.reserved,
        }
    }
}

fn own(row: Row) -> Result<SellerProduct, sqlx::Error> {
    let currency = Currency::parse(&row.currency).map_err(|e| sqlx::Error::Decode(e.into()))?;
    Ok(SellerProduct {
        id: row.id,
        seller: SellerRef {
            id: row.seller_id,
            shop_name: row.shop_name,
        },
        category_id: row.category_id,
        shipping_profile_id: row.shipping_profile_id,
        external_key: row.external_key,
        title: row.title,
        description: row.description,
        image_url: row.image_url,
        images: row.images.0.into_iter().map(Into::into).collect(),
        option_axes: row.option_axes,
        currency: row.currency,
        status: row.status,
        version: row.version,
        rating: Rating::new(row.rating_count, row.rating_sum),
        variants: row
            .variants
            .0
            .into_iter()
            .map(|variant| variant.own(currency))
            .collect(),
        created_at: row.created_at,
    })
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
            images: own.images,
            option_axes: own.option_axes,
            currency: own.currency,
            status: own.status,
            version: own.version,
            rating: own.rating,
            variants: own
                .variants
                .into_iter()
                .map(|variant| Variant {
                    id: variant.id,
                    sku: variant.sku,
                    options: variant.options,
                    price: variant.price,
                    compare_at: variant.compare_at,
                    available: variant.available,
                })
                .collect(),
            created_at: own.created_at,
        }
    }
}

/// Those of `ids` that everybody may see, in that order.
pub async fn many_public(conn: &mut PgConnection, ids: &[ProductId]) -> Result<Vec<Product>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id!: ProductId", p.seller_id as "seller_id!: SellerId", p.shop_name as "shop_name!",
                  p.category_id as "category_id: CategoryId",
                  p.shipping_profile_id as "shipping_profile_id: ShippingProfileId", p.external_key,
                  p.title as "title!", p.description as "description!", p.image_url as "image_url!",
                  p.option_axes as "option_axes!", p.currency as "currency!", p.status as "status!: ProductStatus",
                  p.version as "version!", p.rating_sum as "rating_sum!", p.rating_count as "rating_count!",
                  p.created_at as "created_at!", p.variants as "variants!: Json<Vec<VariantRow>>",
                  p.images as "images!: Json<Vec<Stored>>"
             from unnest($1::uuid[]) with ordinality as w (id, place)
             join product_view p on p.id = w.id
            where p.status = $2 and p.seller_status = $3
            order by w.place"#,
        &ids,
        ProductStatus::Active.as_str(),
        SellerStatus::Approved.as_str()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| own(row).map(Into::into)).collect()
}

pub async fn list_own(
    conn: &mut PgConnection,
    seller: SellerId,
    status: Option<ProductStatus>,
    page: &Page,
) -> Result<Vec<SellerProduct>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id!: ProductId", seller_id as "seller_id!: SellerId", shop_name as "shop_name!",
                  category_id as "category_id: CategoryId",
                  shipping_profile_id as "shipping_profile_id: ShippingProfileId", external_key,
                  title as "title!", description as "description!", image_url as "image_url!",
                  option_axes as "option_axes!", currency as "currency!", status as "status!: ProductStatus",
                  version as "version!", rating_sum as "rating_sum!", rating_count as "rating_count!",
                  created_at as "created_at!", variants as "variants!: Json<Vec<VariantRow>>",
                  images as "images!: Json<Vec<Stored>>"
             from product_view
            where seller_id = $1 and ($2::text is null or status = $2) and ($3::uuid is null or id < $3)
            order by id desc limit $4"#,
        seller.0,
        status.map(ProductStatus::as_str),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(own).collect()
}

pub async fn get_own(
    conn: &mut PgConnection,
    seller: SellerId,
    id: ProductId,
) -> Result<Option<SellerProduct>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id!: ProductId", seller_id as "seller_id!: SellerId", shop_name as "shop_name!",
                  category_id as "category_id: CategoryId",
                  shipping_profile_id as "shipping_profile_id: ShippingProfileId", external_key,
                  title as "title!", description as "description!", image_url as "image_url!",
                  option_axes as "option_axes!", currency as "currency!", status as "status!: ProductStatus",
                  version as "version!", rating_sum as "rating_sum!", rating_count as "rating_count!",
                  created_at as "created_at!", variants as "variants!: Json<Vec<VariantRow>>",
                  images as "images!: Json<Vec<Stored>>"
             from product_view where id = $2 and seller_id = $1"#,
        seller.0,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(own).transpose()
}

/// What became of the shop's variant's stock, newest first.
pub async fn movements(
    conn: &mut PgConnection,
    seller: SellerId,
    variant: VariantId,
    page: &Page,
) -> Result<Vec<Movement>, sqlx::Error> {
    sqlx::query_as!(
        Movement,
        r#"select m.id, m.on_hand as delta, m.reason as "reason: MovementReason", m.note,
                  m.order_id as "order_id: OrderId", m.actor_id as "actor_id: UserId", m.created_at
             from inventory_movements m join product_variants v on v.id = m.variant_id
            where m.variant_id = $2 and v.seller_id = $1 and ($3::uuid is null or m.id < $3)
            order by m.id desc limit $4"#,
        seller.0,
        variant.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}
