//! Who is kept out of a shop's shows and its checkout. The rule is one SQL function, the
//! same that a room's own command calls; sockets are closed by what triggers write.

use serde_json::json;
use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{RequestId, SellerId, UserId};
use shared::outbox;
use shared::protocol::Ban;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::model::{BannedViewer, NewBan};
use super::store::bans as store;
use crate::audit;
use crate::http::{List, Owner, Page, Result};
use crate::idempotency::{self, Answer};

/// Who is banned now, the latest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &PgPool, shop: &Owner, page: &Page) -> Result<List<BannedViewer>> {
    let rows = store::list(&mut *db.acquire().await?, shop.seller, page).await?;
    Ok(List::of(rows, page, |ban| ban.id))
}

/// Bans somebody, or bans them anew. Their sockets in the shop's shows are closed within
/// a second.
///
/// # Errors
/// `not_found` for an account that is not there, `forbidden` for the owner.
pub async fn ban(
    db: &PgPool,
    bus: &SharedBus,
    shop: &Owner,
    key: RequestId,
    new: &NewBan,
) -> Result<Answer<BannedViewer>> {
    let banned = idempotency::once(db, shop.user, key, "viewer.ban", new, 201, async |tx| {
        ban_in(tx, shop, &new.0).await
    })
    .await?;
    outbox::hint(bus.as_ref()).await;
    outbox::hint_people(bus.as_ref()).await;
    Ok(banned)
}

async fn ban_in(tx: &mut PgConnection, shop: &Owner, ban: &Ban) -> Result<BannedViewer> {
    match store::ban(tx, shop, ban).await?.as_str() {
        "banned" => {}
        "not_found" => {
            let refusal = Refusal::new(ErrorCode::NotFound, "there is no such account");
            return Err(refusal.at("user").into());
        }
        "forbidden" => {
            return Err(Refusal::new(ErrorCode::Forbidden, "nobody bans the owner")
                .at("user")
                .into());
        }
        other => return Err(anyhow::anyhow!("ban_viewer answers {other:?}").into()),
    }
    let banned = store::of(tx, shop.seller, ban.who).await?;
    let banned = banned.ok_or_else(|| anyhow::anyhow!("a ban just made is not there"))?;
    let detail = serde_json::to_value(ban).map_err(anyhow::Error::new)?;
    audit::record(tx, shop.user, "viewer.ban", banned.id, detail).await?;
    Ok(banned)
}

/// Lets somebody in again.
///
/// # Errors
/// `not_found`.
pub async fn lift(db: &PgPool, bus: &SharedBus, shop: &Owner, id: Uuid) -> Result<()> {
    let mut tx = db.begin().await?;
    let who = store::delete(&mut tx, shop.seller, id)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    audit::record(&mut tx, shop.user, "viewer.unban", id, json!({"person": who})).await?;
    tx.commit().await?;
    outbox::hint_people(bus.as_ref()).await;
    Ok(())
}

/// Step: whether a shop lets somebody into its shows.
///
/// # Errors
/// `banned`, with why and for how long.
pub async fn require_not_banned(conn: &mut PgConnection, seller: SellerId, user: UserId) -> Result<()> {
    let Some(ban) = store::in_force(conn, seller, user).await? else {
        return Ok(());
    };
    let refusal = match ban.reason.as_str() {
        "" => ErrorCode::Banned.into(),
        reason => Refusal::new(ErrorCode::Banned, reason.to_owned()),
    };
    let left = ban.left_ms.and_then(|left| u64::try_from(left).ok());
    Err(match left {
        Some(left) => refusal.retry_after_ms(left.max(1)),
        None => refusal,
    }
    .into())
}

/// Forgets a batch of bans and mutes whose time is long over, and of what was written of
/// people who were shut out and would not come in any more anyway; how many.
///
/// # Errors
/// When the database fails.
pub async fn prune(db: &PgPool, limit: u32) -> Result<u64> {
    let mut conn = db.acquire().await?;
    let bans = store::delete_over(&mut conn, limit.into()).await?;
    let mutes = store::delete_mutes_over(&mut conn, limit.into()).await?;
    let revocations = store::delete_revocations(&mut conn, limit.into()).await?;
    Ok(bans.max(mutes).max(revocations))
}
