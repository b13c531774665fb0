//! Shipping profiles: what sending a shop's goods costs, and where to.

pub mod handlers;
pub mod model;
mod store;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, ShippingProfileId};
use sqlx::{Connection, PgConnection, PgPool};

pub use model::ShippingProfile;
use model::{Filter, NewProfile, ProfileChange};

use crate::http::{List, Page, Result, Shopkeeper};

/// Profiles a shop may have, archived ones included.
const PROFILES_MAX: i64 = 100;

/// A shop's profiles, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, shop: &Shopkeeper, filter: Filter, page: &Page) -> Result<List<ShippingProfile>> {
    let rows = store::list(&mut *db.acquire().await?, shop.seller, shop.currency, filter, page).await?;
    Ok(List::of(rows, page, |profile| profile.id.0))
}

/// One of a shop's profiles.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn get(db: &PgPool, shop: &Shopkeeper, id: ShippingProfileId) -> Result<ShippingProfile> {
    let profile = store::get(&mut *db.acquire().await?, shop.seller, shop.currency, id).await?;
    profile.ok_or(ErrorCode::NotFound.into())
}

/// Adds a profile, in the shop's currency.
///
/// # Errors
/// `Conflict` when there are too many.
pub(crate) async fn create(db: &PgPool, shop: &Shopkeeper, new: NewProfile) -> Result<ShippingProfile> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    store::lock_shop(&mut tx, shop.seller).await?;
    let id = ShippingProfileId::new();
    let created = store::insert(&mut tx, id, shop.seller, shop.currency, &new, PROFILES_MAX).await?;
    let created = created.ok_or_else(|| {
        let detail = format!("{PROFILES_MAX} shipping profiles are the most");
        Refusal::new(ErrorCode::Conflict, detail)
    })?;
    tx.commit().await?;
    Ok(created)
}

/// Changes a profile, archives it or takes it back; what is absent stays.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn change(
    db: &PgPool,
    shop: &Shopkeeper,
    id: ShippingProfileId,
    change: &ProfileChange,
) -> Result<ShippingProfile> {
    let changed = store::update(&mut *db.acquire().await?, shop.seller, shop.currency, id, change).await?;
    changed.ok_or(ErrorCode::NotFound.into())
}

/// Deletes a profile that no product has.
///
/// # Errors
/// `NotFound`, `InUse`.
pub(crate) async fn delete(db: &PgPool, shop: &Shopkeeper, id: ShippingProfileId) -> Result<()> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    if !store::lock(&mut tx, shop.seller, id).await? {
        return Err(ErrorCode::NotFound.into());
    }
    if !store::delete(&mut tx, shop.seller, id).await? {
        return Err(Refusal::new(ErrorCode::InUse, "A product has it: archive it instead").into());
    }
    tx.commit().await?;
    Ok(())
}

/// Whether the shop has such a profile that products may get. It stays so until the
/// transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn is_open(conn: &mut PgConnection, seller: SellerId, id: ShippingProfileId) -> Result<bool> {
    Ok(store::is_open(conn, seller, id).await?)
}

/// A profile by its name, which others of the shop may have too.
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: ShippingProfileId,
    /// Whether no further product gets it.
    pub archived: bool,
}

/// All of the shop's profiles by name.
///
/// # Errors
/// When the database fails.
pub async fn by_name(conn: &mut PgConnection, seller: SellerId) -> Result<Vec<Named>> {
    Ok(store::by_name(conn, seller).await?)
}
