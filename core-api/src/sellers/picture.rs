//! A shop's picture.

use actix_web::web::Payload;
use shared::error::ErrorCode;
use sqlx::Connection as _;

use super::store;
use crate::http::{Result, Shopkeeper};
use crate::identity;
use crate::media::{self, Kind, Picture};
use crate::state::State;

/// Sets the shop's picture; of two at once the later one stays. The same file again
/// changes nothing.
///
/// # Errors
/// Those of [`media::receive`] and [`media::keep`].
pub(crate) async fn set(state: &State, shop: &Shopkeeper, body: Payload) -> Result<Picture> {
    let upload = media::receive(state, shop.user, Kind::Shop, body).await?;
    let now = store::picture(&mut *state.db.acquire().await?, shop.seller).await?;
    let now: Vec<_> = now.into_iter().map(|id| id.0).collect();
    if let Some(same) = media::same(&mut *state.db.acquire().await?, &now, &upload.hash()).await? {
        return Ok(same.into());
    }
    let picture = media::keep(state, upload).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    identity::hold(&mut tx, shop.user).await?;
    media::show(&mut tx, &picture).await?;
    let former = store::set_picture(&mut tx, shop.seller, Some(picture.id)).await?;
    media::replace(&mut tx, former.ok_or(ErrorCode::NotFound)?).await?;
    tx.commit().await?;
    Ok(picture.into())
}

/// Deletes the shop's picture, if there is one.
///
/// # Errors
/// `Unauthenticated` when the account is gone.
pub(crate) async fn delete(state: &State, shop: &Shopkeeper) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    identity::hold(&mut tx, shop.user).await?;
    let former = store::set_picture(&mut tx, shop.seller, None).await?.flatten();
    if let Some(former) = former {
        media::remove(&mut tx, former).await?;
    }
    tx.commit().await?;
    Ok(())
}
