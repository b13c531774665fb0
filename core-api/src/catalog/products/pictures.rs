//! Pictures of products, in order. The first one stands for the product wherever it is
//! shown small: in lists, rooms and orders.

use actix_web::web::Payload;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{PictureId, ProductId};
use shared::status::ProductStatus;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{changed, store, tell};
use crate::http::{Error, Result, Shopkeeper};
use crate::identity;
use crate::media::{self, Kind, Picture, Size};
use crate::state::State;

/// Pictures of a product at most.
pub const MAX: usize = 10;

/// A picture of a product, and whether it was not there before.
pub(crate) struct Added {
    pub picture: Picture,
    pub is_new: bool,
}

/// The pictures of a product of the shop's that is not archived.
async fn own(conn: &mut PgConnection, shop: &Shopkeeper, id: ProductId) -> Result<Vec<Uuid>> {
    let (status, pictures) = store::pictures(conn, shop.seller, id)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    if status == ProductStatus::Archived {
        return Err(Refusal::new(ErrorCode::WrongState, "The product is archived").into());
    }
    Ok(pictures)
}

/// As [`own`], locked until the transaction ends.
async fn lock(tx: &mut PgConnection, shop: &Shopkeeper, id: ProductId) -> Result<Vec<Uuid>> {
    identity::hold(tx, shop.user).await?;
    if !store::lock(tx, shop.seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    own(tx, shop, id).await
}

fn full() -> Error {
    Refusal::new(ErrorCode::Conflict, format!("A product has at most {MAX} pictures")).into()
}

/// Adds a picture after the others. A file that the product has already is not added
/// again.
///
/// # Errors
/// `NotFound`, `WrongState` for a product that is archived, `Conflict` for one that has as
/// many as one may, those of [`media::receive`] and [`media::keep`].
pub(crate) async fn add(state: &State, shop: &Shopkeeper, id: ProductId, body: Payload) -> Result<Added> {
    // Before a byte is read; it is looked at again below.
    own(&mut *state.db.acquire().await?, shop, id).await?;
    let upload = media::receive(state, shop.user, Kind::Product, body).await?;
    let hash = upload.hash();
    let has = own(&mut *state.db.acquire().await?, shop, id).await?;
    if let Some(same) = media::same(&mut *state.db.acquire().await?, &has, &hash).await? {
        return Ok(Added {
            picture: same.into(),
            is_new: false,
        });
    }
    if has.len() >= MAX {
        return Err(full());
    }
    let picture = media::keep(state, upload).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let has = lock(&mut tx, shop, id).await?;
    // The same file may have come twice at once: the second is given up, and the job
    // finds what was kept of it.
    if let Some(same) = media::same(&mut tx, &has, &hash).await? {
        return Ok(Added {
            picture: same.into(),
            is_new: false,
        });
    }
    if has.len() >= MAX {
        return Err(full());
    }
    media::show(&mut tx, &picture).await?;
    store::add_picture(&mut tx, id, picture.id, has.len()).await?;
    if has.is_empty() {
        store::set_image(&mut tx, id, &picture.file(Size::Medium).url()).await?;
    }
    changed(&mut tx, id).await?;
    tx.commit().await?;
    tell(state, id).await;
    Ok(Added {
        picture: picture.into(),
        is_new: true,
    })
}

/// Puts the pictures in another order.
///
/// # Errors
/// `NotFound`, `WrongState`, `InvalidBody` unless `order` has each of them once.
pub(crate) async fn reorder(
    state: &State,
    shop: &Shopkeeper,
    id: ProductId,
    order: &[PictureId],
) -> Result<Vec<Picture>> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let mut has = lock(&mut tx, shop, id).await?;
    let order: Vec<Uuid> = order.iter().map(|picture| picture.0).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    has.sort_unstable();
    if sorted != has {
        let detail = "must have each picture of the product once";
        return Err(Refusal::new(ErrorCode::InvalidBody, detail).at("images").into());
    }
    let pictures = settle(&mut tx, id, &order).await?;
    tx.commit().await?;
    tell(state, id).await;
    Ok(pictures)
}

/// Deletes one of the pictures.
///
/// # Errors
/// `NotFound`, `WrongState`.
pub(crate) async fn delete(state: &State, shop: &Shopkeeper, id: ProductId, picture: PictureId) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let mut has = lock(&mut tx, shop, id).await?;
    let place = has.iter().position(|has| *has == picture.0);
    has.remove(place.ok_or(ErrorCode::NotFound)?);
    store::remove_picture(&mut tx, id, picture).await?;
    media::remove(&mut tx, picture).await?;
    settle(&mut tx, id, &has).await?;
    tx.commit().await?;
    tell(state, id).await;
    Ok(())
}

/// Numbers the pictures in this order and has the first one stand for the product.
async fn settle(tx: &mut PgConnection, id: ProductId, order: &[Uuid]) -> Result<Vec<Picture>> {
    store::place_pictures(tx, id, order).await?;
    let pictures = media::many(tx, order).await?;
    let image = pictures.first().map(|first| first.file(Size::Medium).url());
    store::set_image(tx, id, &image.unwrap_or_default()).await?;
    changed(tx, id).await?;
    Ok(pictures.into_iter().map(Into::into).collect())
}
