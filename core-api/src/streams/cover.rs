//! A show's cover, as it is uploaded. The show's room, if it is open, tells everybody there.

use actix_web::web::Payload;
use shared::error::{ErrorCode, Refusal};
use shared::ids::StreamId;
use shared::live::RoomNotice;
use shared::outbox;
use shared::status::StreamStatus;
use sqlx::{Connection as _, PgConnection};

use super::store;
use crate::http::{Result, Shopkeeper};
use crate::identity;
use crate::media::{self, Kind, Picture, Size};
use crate::state::State;

/// Locks a show of the shop's that is not over.
async fn lock(conn: &mut PgConnection, shop: &Shopkeeper, id: StreamId) -> Result<()> {
    match store::lock_own(conn, id, shop.seller).await? {
        None => Err(ErrorCode::NotFound.into()),
        Some(StreamStatus::Scheduled | StreamStatus::Live) => Ok(()),
        Some(status @ (StreamStatus::Ended | StreamStatus::Cancelled)) => {
            Err(Refusal::new(ErrorCode::WrongState, format!("The show is {status}")).into())
        }
    }
}

/// Sets the cover of a show that is not over; of two at once the later one stays. The
/// same file again changes nothing.
///
/// # Errors
/// `NotFound`, `WrongState`, those of [`media::receive`] and [`media::keep`].
pub(crate) async fn set(state: &State, shop: &Shopkeeper, id: StreamId, body: Payload) -> Result<Picture> {
    // Before a byte is read; it is looked at again below.
    lock(&mut *state.db.acquire().await?, shop, id).await?;
    let upload = media::receive(state, shop.user, Kind::Cover, body).await?;
    let now = store::cover(&mut *state.db.acquire().await?, id).await?;
    let now: Vec<_> = now.into_iter().map(|id| id.0).collect();
    if let Some(same) = media::same(&mut *state.db.acquire().await?, &now, &upload.hash()).await? {
        return Ok(same.into());
    }
    let picture = media::keep(state, upload).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    identity::hold(&mut tx, shop.user).await?;
    lock(&mut tx, shop, id).await?;
    media::show(&mut tx, &picture).await?;
    let former = store::cover(&mut tx, id).await?;
    media::replace(&mut tx, former).await?;
    store::set_cover(&mut tx, id, Some(picture.id), &picture.file(Size::Large).url()).await?;
    outbox::push_to_shows(&mut tx, shop.seller, Some(id), &RoomNotice::CoverChanged).await?;
    tx.commit().await?;
    outbox::hint(state.bus.as_ref()).await;
    Ok(picture.into())
}

/// Deletes the cover that was uploaded, if there is one. An address that was given by hand
/// stays.
///
/// # Errors
/// `NotFound`, `WrongState`.
pub(crate) async fn delete(state: &State, shop: &Shopkeeper, id: StreamId) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    identity::hold(&mut tx, shop.user).await?;
    lock(&mut tx, shop, id).await?;
    if let Some(former) = store::cover(&mut tx, id).await? {
        store::set_cover(&mut tx, id, None, "").await?;
        media::remove(&mut tx, former).await?;
        outbox::push_to_shows(&mut tx, shop.seller, Some(id), &RoomNotice::CoverChanged).await?;
    }
    tx.commit().await?;
    outbox::hint(state.bus.as_ref()).await;
    Ok(())
}
