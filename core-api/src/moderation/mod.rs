//! Who moderates a shop's shows, and who is kept out of them. What moderators do on air is
//! their rooms' business; rooms hear of every change here through the outbox and check
//! rights themselves.

mod bans;
pub mod handlers;
pub mod model;
pub mod room_handlers;
mod store;

pub use bans::{ban, lift, list as banned, prune, require_not_banned};

use serde_json::json;
use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, SellerId, StreamId};
use shared::live::RoomNotice;
use shared::outbox;
use shared::rights::Rights;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::http::{List, Page, Result, Shopkeeper};
use crate::idempotency::{self, Answer};
use crate::{audit, streams};
use model::{Moderator, NewModerator};

/// Appointments of one shop at most.
const MODERATORS_MAX: i64 = 200;

/// A shop's moderators, newest first: all, or those of one show.
///
/// # Errors
/// `not_found` for a show that is not the shop's.
pub async fn moderators(
    db: &PgPool,
    shop: &Shopkeeper,
    stream: Option<StreamId>,
    page: &Page,
) -> Result<List<Moderator>> {
    let mut conn = db.acquire().await?;
    if let Some(stream) = stream {
        streams::require_own(&mut conn, stream, shop.seller).await?;
    }
    let rows = store::moderators(&mut conn, shop.seller, stream, page).await?;
    Ok(List::of(rows, page, |moderator| moderator.id))
}

/// Appoints a moderator, for one show or for all.
///
/// # Errors
/// `not_found` for an account or show that is not there, `conflict` for the owner, for
/// somebody who is appointed already or banned, and when there are too many.
pub async fn appoint(
    db: &PgPool,
    bus: &SharedBus,
    shop: &Shopkeeper,
    stream: Option<StreamId>,
    key: RequestId,
    new: &NewModerator,
) -> Result<Answer<Moderator>> {
    let act = (stream, new);
    let appointed = idempotency::once(db, shop.user, key, "moderator.appoint", &act, 201, async |tx| {
        appoint_in(tx, shop, stream, new).await
    })
    .await?;
    outbox::hint(bus.as_ref()).await;
    Ok(appointed)
}

async fn appoint_in(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    stream: Option<StreamId>,
    new: &NewModerator,
) -> Result<Moderator> {
    if let Some(stream) = stream {
        streams::require_own(tx, stream, shop.seller).await?;
    }
    if new.user_id == shop.user {
        return Err(Refusal::new(ErrorCode::Conflict, "the owner has every right already")
            .at("user_id")
            .into());
    }
    if store::lock_and_count(tx, shop.seller).await? >= MODERATORS_MAX {
        return Err(Refusal::new(
            ErrorCode::Conflict,
            format!("a shop has at most {MODERATORS_MAX} moderators"),
        )
        .into());
    }
    let id = Uuid::now_v7();
    if !store::insert(tx, id, shop, stream, new).await? {
        let refusal = match store::is_account(tx, new.user_id).await? {
            true => Refusal::new(ErrorCode::Conflict, "appointed already, or banned"),
            false => Refusal::new(ErrorCode::NotFound, "there is no such account"),
        };
        return Err(refusal.at("user_id").into());
    }
    let detail = json!({"user": new.user_id, "stream": stream, "rights": new.rights});
    changed(tx, shop, id, stream, "moderator.appoint", detail).await?;
    one(tx, shop.seller, id).await
}

/// Gives a moderator other rights.
///
/// # Errors
/// `not_found`.
pub async fn change(db: &PgPool, bus: &SharedBus, shop: &Shopkeeper, id: Uuid, rights: Rights) -> Result<Moderator> {
    let mut tx = db.begin().await?;
    let stream = store::change(&mut tx, shop.seller, id, rights).await?;
    let stream = stream.ok_or(ErrorCode::NotFound)?;
    changed(&mut tx, shop, id, stream, "moderator.change", json!({"rights": rights})).await?;
    let moderator = one(&mut tx, shop.seller, id).await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    Ok(moderator)
}

/// Dismisses a moderator.
///
/// # Errors
/// `not_found`.
pub async fn dismiss(db: &PgPool, bus: &SharedBus, shop: &Shopkeeper, id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    let gone = store::delete(&mut tx, shop.seller, id)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    let (stream, detail) = (gone.stream, json!({"user": gone.user}));
    changed(&mut tx, shop, id, stream, "moderator.dismiss", detail).await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    Ok(())
}

/// What follows every change: its audit entry, and the rooms that are to read again.
async fn changed(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    id: Uuid,
    stream: Option<StreamId>,
    action: &'static str,
    detail: serde_json::Value,
) -> Result<()> {
    audit::record(tx, shop.user, action, id, detail).await?;
    outbox::push_to_shows(tx, shop.seller, stream, &RoomNotice::ModeratorsChanged).await?;
    Ok(())
}

async fn one(tx: &mut PgConnection, seller: SellerId, id: Uuid) -> Result<Moderator> {
    Ok(store::moderator(tx, seller, id).await?.ok_or(ErrorCode::NotFound)?)
}
