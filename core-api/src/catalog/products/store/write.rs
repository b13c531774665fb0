//! SQL that writes `products`.

use shared::ids::{ProductId, SellerId};
use shared::status::{Machine as _, ProductStatus};
use sqlx::PgConnection;

use crate::catalog::products::input::{Change, NewProduct};
use crate::http::Shopkeeper;
use crate::media;

pub async fn insert(
    tx: &mut PgConnection,
    id: ProductId,
    shop: &Shopkeeper,
    new: &NewProduct,
    axes: &[String],
) -> Result<(), sqlx::Error> {
    let image_url = Some(new.image_url.as_str()).filter(|url| !media::is_kept_here(url));
    sqlx::query!(
        "insert into products (id, seller_id, category_id, shipping_profile_id, external_key, title, description,
                               image_url, option_axes, currency, status)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        id.0,
        shop.seller.0,
        new.category_id.map(|id| id.0),
        new.shipping_profile_id.map(|id| id.0),
        new.external_key.as_deref().map(str::trim),
        new.title.trim(),
        new.description.trim(),
        image_url.unwrap_or_default(),
        axes,
        shop.currency.code(),
        new.status.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Changes a locked product and raises its version. What stands for a product with pictures
/// is the first of them, whatever is said.
pub async fn update(tx: &mut PgConnection, id: ProductId, change: &Change) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update products
            set title = coalesce($2, title), description = coalesce($3, description),
                image_url = case when exists (select from product_pictures where product_id = $1) then image_url
                                 else coalesce($4, image_url) end,
                category_id = case when $5 then $6 else category_id end,
                shipping_profile_id = case when $7 then $8 else shipping_profile_id end,
                external_key = case when $9 then $10 else external_key end,
                status = coalesce($11, status), version = version + 1, updated_at = now()
          where id = $1",
        id.0,
        change.title.as_deref().map(str::trim),
        change.description.as_deref().map(str::trim),
        change.image_url.as_deref().filter(|url| !media::is_kept_here(url)),
        change.category_id.is_some(),
        change.category_id.flatten().map(|id| id.0),
        change.shipping_profile_id.is_some(),
        change.shipping_profile_id.flatten().map(|id| id.0),
        change.external_key.is_some(),
        change
            .external_key
            .as_ref()
            .and_then(|key| key.as_deref())
            .map(str::trim),
        change.status.map(ProductStatus::as_str)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Locks the shop's product; false: it is not there.
pub async fn lock(tx: &mut PgConnection, seller: SellerId, id: ProductId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from products where id = $2 and seller_id = $1 for no key update",
        seller.0,
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

pub async fn set_axes(tx: &mut PgConnection, id: ProductId, axes: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!("update products set option_axes = $2 where id = $1", id.0, axes)
        .execute(tx)
        .await?;
    Ok(())
}

pub async fn raise_version(tx: &mut PgConnection, product: ProductId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update products set version = version + 1, updated_at = now() where id = $1",
        product.0
    )
    .execute(tx)
    .await?;
    Ok(())
}
