//! A person's picture.

use actix_web::web::Payload;
use shared::error::ErrorCode;
use shared::ids::UserId;
use sqlx::Connection as _;

use super::{hold, store};
use crate::http::Result;
use crate::media::{self, Kind, Picture};
use crate::state::State;

/// Sets somebody's picture; of two at once the later one stays. The same file again
/// changes nothing.
///
/// # Errors
/// Those of [`media::receive`] and [`media::keep`]; `Unauthenticated` when the account is
/// gone.
pub(crate) async fn set(state: &State, user: UserId, body: Payload) -> Result<Picture> {
    let upload = media::receive(state, user, Kind::Avatar, body).await?;
    let now = store::avatar(&mut *state.db.acquire().await?, user).await?;
    let now: Vec<_> = now.into_iter().map(|id| id.0).collect();
    if let Some(same) = media::same(&mut *state.db.acquire().await?, &now, &upload.hash()).await? {
        return Ok(same.into());
    }
    let picture = media::keep(state, upload).await?;
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    hold(&mut tx, user).await?;
    media::show(&mut tx, &picture).await?;
    let former = store::set_avatar(&mut tx, user, Some(picture.id)).await?;
    media::replace(&mut tx, former.ok_or(ErrorCode::Unauthenticated)?).await?;
    tx.commit().await?;
    Ok(picture.into())
}

/// Deletes somebody's picture, if there is one.
///
/// # Errors
/// `Unauthenticated` when the account is gone.
pub(crate) async fn delete(state: &State, user: UserId) -> Result<()> {
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    hold(&mut tx, user).await?;
    let former = store::set_avatar(&mut tx, user, None).await?.flatten();
    if let Some(former) = former {
        media::remove(&mut tx, former).await?;
    }
    tx.commit().await?;
    Ok(())
}
