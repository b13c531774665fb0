//! Shipping profiles: what sending a shop's goods costs.

pub mod handlers;
pub mod model;
mod store;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, ShippingProfileId};
use sqlx::{PgConnection, PgPool};

use model::NewProfile;
pub use model::ShippingProfile;

use crate::http::{List, Page, Result, Shopkeeper};

/// Profiles a shop may have.
const PROFILES_MAX: i64 = 100;

/// A shop's profiles, newest first.
///
/// # Errors
/// When the database fails.
pub(crate) async fn list(db: &PgPool, shop: &Shopkeeper, page: &Page) -> Result<List<ShippingProfile>> {
    let rows = store::list(&mut *db.acquire().await?, shop.seller, shop.currency, page).await?;
    Ok(List::of(rows, page, |profile| profile.id.0))
}

/// Adds a profile, in the shop's currency.
///
/// # Errors
/// `Conflict` when there are too many.
pub(crate) async fn create(db: &PgPool, shop: &Shopkeeper, new: NewProfile) -> Result<ShippingProfile> {
    let created = store::insert(
        &mut *db.acquire().await?,
        ShippingProfileId::new(),
        shop.seller,
        shop.currency,
        &new,
        PROFILES_MAX,
    )
    .await?;
    created.ok_or_else(|| {
        Refusal::new(
            ErrorCode::Conflict,
            format!("{PROFILES_MAX} shipping profiles are the most"),
        )
        .into()
    })
}

/// Whether the shop has such a profile.
///
/// # Errors
/// When the database fails.
pub async fn exists(conn: &mut PgConnection, seller: SellerId, id: ShippingProfileId) -> Result<bool> {
    Ok(store::exists(conn, seller, id).await?)
}
