//! SQL of `product_pictures`.

use shared::ids::{PictureId, ProductId, SellerId};
use shared::status::ProductStatus;
use sqlx::PgConnection;
use uuid::Uuid;

/// The status of the shop's product and its pictures, in order; `None`: it is not there.
pub async fn pictures(
    conn: &mut PgConnection,
    seller: SellerId,
    id: ProductId,
) -> Result<Option<(ProductStatus, Vec<Uuid>)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select status as "status: ProductStatus",
                  array(select picture_id from product_pictures where product_id = products.id
                         order by position) as "pictures!"
             from products where id = $2 and seller_id = $1"#,
        seller.0,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.status, row.pictures)))
}

pub async fn add_picture(
    tx: &mut PgConnection,
    id: ProductId,
    picture: PictureId,
    position: usize,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into product_pictures (picture_id, product_id, position) values ($2, $1, $3)",
        id.0,
        picture.0,
        i16::try_from(position).unwrap_or(i16::MAX)
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub async fn remove_picture(tx: &mut PgConnection, id: ProductId, picture: PictureId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from product_pictures where product_id = $1 and picture_id = $2",
        id.0,
        picture.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Numbers the pictures of a locked product in this order.
pub async fn place_pictures(tx: &mut PgConnection, id: ProductId, order: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update product_pictures p set position = w.place - 1
           from unnest($2::uuid[]) with ordinality as w (id, place)
          where p.product_id = $1 and p.picture_id = w.id",
        id.0,
        order
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What stands for a locked product. Its version is raised with the change that this is of.
pub async fn set_image(tx: &mut PgConnection, id: ProductId, url: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update products set image_url = $2 where id = $1", id.0, url)
        .execute(tx)
        .await?;
    Ok(())
}
