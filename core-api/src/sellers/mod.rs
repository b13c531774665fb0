//! Shops: applying for one, what the public sees of it, and what admins decide.
//!
//! One shop a person. A decision is one guarded update with its line in the audit log.

pub mod handlers;
pub mod model;
pub(crate) mod page;
pub(crate) mod picture;
mod store;

use serde_json::json;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, UserId};
use shared::outbox;
use shared::status::{Machine as _, SellerStatus};
use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use model::{AdminSeller, Application, Decision, FollowedShop};
pub use model::{Seller, SellerPage, SellerRef};

use crate::http::{List, Page, Result};
use crate::notifications::{self, News};
use crate::state::State;
use crate::{audit, flash, streams};

/// Applies for a shop. A rejected application may be made again.
///
/// # Errors
/// `Conflict` when there is one already.
pub(crate) async fn apply(db: &PgPool, user: UserId, application: Application) -> Result<Seller> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let pending = SellerStatus::Pending;
    let again = store::apply_again(&mut tx, user, &application, &SellerStatus::sources_of(pending)).await?;
    let seller = match again {
        Some(seller) => seller,
        None => first_application(&mut tx, user, &application).await?,
    };
    audit::record(&mut tx, user, "seller.apply", seller.id.0, json!({})).await?;
    tx.commit().await?;
    Ok(seller)
}

async fn first_application(tx: &mut sqlx::PgConnection, user: UserId, application: &Application) -> Result<Seller> {
    let id = SellerId::new();
    for slug in model::slugs(&application.shop_name, id) {
        if let Some(seller) = store::insert(tx, id, user, application, &slug).await? {
            return Ok(seller);
        }
    }
    // The last slug is unique by the shop's own id: what stood in the way is another shop
    // of the same person.
    Err(Refusal::new(ErrorCode::Conflict, "You have a shop or an application already").into())
}

/// An approved shop.
///
/// # Errors
/// `NotFound`.
pub async fn get(db: &PgPool, id: SellerId) -> Result<Seller> {
    let seller = store::get(&mut *db.acquire().await?, id, SellerStatus::Approved).await?;
    seller.ok_or(ErrorCode::NotFound.into())
}

/// Approved shops that somebody follows, the youngest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn followed(db: &PgPool, user: UserId, page: &Page) -> Result<List<FollowedShop>> {
    let rows = store::followed(&mut *db.acquire().await?, user, page).await?;
    Ok(List::of(rows, page, |shop| shop.id.0))
}

/// Has somebody follow an approved shop. Doing it twice is no error.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn follow(db: &PgPool, user: UserId, id: SellerId) -> Result<()> {
    let followed = store::follow(&mut *db.acquire().await?, user, id).await?;
    Ok(followed.ok_or(ErrorCode::NotFound)?)
}

/// Has somebody follow a shop no more, whatever has become of it. Doing it twice is no error.
///
/// # Errors
/// When the database fails.
pub(crate) async fn unfollow(db: &PgPool, user: UserId, id: SellerId) -> Result<()> {
    store::unfollow(&mut *db.acquire().await?, user, id).await?;
    Ok(())
}

/// Shops for an admin, of one status or all.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, status: Option<SellerStatus>, page: &Page) -> Result<List<AdminSeller>> {
    let rows = store::list(&mut *db.acquire().await?, status, page).await?;
    Ok(List::of(rows, page, |row| row.seller.id.0))
}

/// Carries out an admin's decision. A shop that is suspended has its shows and its flash
/// sales ended. None is opened whose owner's account is suspended or gone. The owner is told,
/// and of what goes against them why.
///
/// # Errors
/// `NotFound`, `WrongState`; `InvalidBody` for a rejection that gives no reason.
pub(crate) async fn decide(
    state: &State,
    admin: UserId,
    id: SellerId,
    decision: Decision,
    reason: &str,
) -> Result<AdminSeller> {
    if decision == Decision::Reject && reason.is_empty() {
        return Err(Refusal::new(ErrorCode::InvalidBody, "Whoever applied is told why not")
            .at("reason")
            .into());
    }
    let mut connection = state.db.acquire().await?;
    let mut tx = connection.begin().await?;
    let to = decision.to();
    let owner_is_good = store::owner_is_good(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    if to == SellerStatus::Approved && !owner_is_good {
        return Err(Refusal::new(ErrorCode::WrongState, "Its owner's account is suspended or deleted").into());
    }
    let before = store::lock_status(&mut tx, id).await?.ok_or(ErrorCode::NotFound)?;
    let decided = store::decide(&mut tx, id, &decision.sources(), to, admin, reason).await?;
    let Some(decided) = decided else {
        return Err(Refusal::new(ErrorCode::WrongState, format!("The shop is {before}")).into());
    };
    streams::shop_changed(&mut tx, id).await?;
    if to == SellerStatus::Suspended {
        stop(&mut tx, id).await?;
    }
    let detail = json!({"before": before, "after": to, "reason": reason});
    audit::record(&mut tx, admin, decision.action(), id.0, detail).await?;
    tell_owner(&mut tx, decided.user_id, id, decision, reason).await?;
    tx.commit().await?;
    // Before the answer: no page of the shop is shown from here as it was.
    state.pages.forget_shop(id);
    state.shop_pages.forget(id);
    state.mailer.nudge();
    outbox::hint(state.bus.as_ref()).await;
    outbox::hint_notifications(state.bus.as_ref()).await;
    Ok(decided)
}

/// Step: suspends the shop of somebody whose account, locked by this transaction, is being
/// suspended; which that is. It stays so when the account is reinstated: opening it again is
/// a decision of its own.
///
/// # Errors
/// When the database fails.
pub(crate) async fn suspend_with_owner(
    tx: &mut PgConnection,
    admin: UserId,
    owner: UserId,
    reason: &str,
) -> Result<Option<SellerId>> {
    let Some(id) = store::suspend_of(tx, owner, admin, reason).await? else {
        return Ok(None);
    };
    streams::shop_changed(tx, id).await?;
    stop(tx, id).await?;
    let detail = json!({
        "before": SellerStatus::Approved, "after": SellerStatus::Suspended, "reason": reason, "with_account": owner,
    });
    audit::record(tx, admin, Decision::Suspend.action(), id.0, detail).await?;
    // Why is the account's matter: this is read when it is reinstated.
    tell_owner(tx, owner, id, Decision::Suspend, "").await?;
    Ok(Some(id))
}

async fn tell_owner(
    tx: &mut PgConnection,
    owner: UserId,
    id: SellerId,
    decision: Decision,
    reason: &str,
) -> Result<()> {
    let is_told_why = matches!(decision, Decision::Reject | Decision::Suspend);
    let news = News {
        kind: decision.notification(),
        // Each decision is one of its own.
        subject: Uuid::now_v7(),
        seller: id,
        product: None,
        order: None,
        reason: if is_told_why { reason } else { "" },
    };
    notifications::tell(tx, owner, &news).await
}

/// What the shop has begun ends: its shows before their sales, in the order of locks. Rooms
/// were told already that nothing of it is on sale; those of shows that are over would not be.
async fn stop(tx: &mut PgConnection, id: SellerId) -> Result<()> {
    streams::end_of_shop(tx, id).await?;
    flash::close_of_shop(tx, id).await?;
    Ok(())
}
