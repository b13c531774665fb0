//! Where people have things sent, and billed. One default of each kind; an address that
//! is deleted stays for the orders that were sent there.

mod country;
pub mod handlers;
pub mod model;
pub mod regions;
mod store;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{AddressId, UserId};
use sqlx::{Connection, PgConnection, PgPool};

pub use model::Address;
pub use model::NewAddress;
use model::{Change, Kind};

use crate::http::Result;

/// Addresses a person may have.
const ADDRESSES_MAX: i64 = 50;

/// The person's addresses, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(db: &PgPool, user: UserId) -> Result<Vec<Address>> {
    Ok(store::list(&mut *db.acquire().await?, user).await?)
}

/// One of the person's addresses, for a feature that sends there.
///
/// # Errors
/// `NotFound` when it is not theirs or deleted.
pub async fn get(conn: &mut PgConnection, user: UserId, id: AddressId) -> Result<Address> {
    store::get(conn, user, id).await?.ok_or(ErrorCode::NotFound.into())
}

/// Serialises what changes a person's addresses. An account that is gone gets none back.
async fn lock(tx: &mut PgConnection, user: UserId) -> Result<()> {
    if store::lock(tx, user).await? {
        Ok(())
    } else {
        Err(ErrorCode::Unauthenticated.into())
    }
}

/// Refuses an address that its country cannot have. The answer is its region as it is kept.
fn check(address: &NewAddress) -> Result<&str> {
    country::check(&address.country, &address.region, &address.postal_code).map_err(|fault| {
        Refusal::new(ErrorCode::InvalidBody, fault.problem)
            .at(fault.field)
            .into()
    })
}

/// Adds an address; the first is the default for everything.
///
/// # Errors
/// `InvalidBody` for what its country cannot have, `Conflict` when there are too many.
pub(crate) async fn add(db: &PgPool, user: UserId, new: NewAddress) -> Result<Address> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    let address = add_in(&mut tx, user, &new).await?;
    tx.commit().await?;
    Ok(address)
}

/// Step: adds an address; the first is the default for everything.
///
/// # Errors
/// As [`add`].
pub(crate) async fn add_in(tx: &mut PgConnection, user: UserId, new: &NewAddress) -> Result<Address> {
    let region = check(new)?;
    lock(tx, user).await?;
    let count = store::count(tx, user).await?;
    if count >= ADDRESSES_MAX {
        return Err(Refusal::new(ErrorCode::Conflict, format!("{ADDRESSES_MAX} addresses are the most")).into());
    }
    Ok(store::insert(tx, AddressId::new(), user, new, region, count == 0).await?)
}

/// Changes an address; what is absent stays.
///
/// # Errors
/// `NotFound`, `InvalidBody` for what its country cannot have.
pub(crate) async fn change(db: &PgPool, user: UserId, id: AddressId, change: Change) -> Result<Address> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    lock(&mut tx, user).await?;
    let before = store::get(&mut tx, user, id).await?.ok_or(ErrorCode::NotFound)?;
    let after = change.of(before);
    let region = check(&after)?;
    let changed = store::update(&mut tx, user, id, &after, region)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    Ok(changed)
}

/// Deletes an address. What it was the default for, the newest one left becomes.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn delete(db: &PgPool, user: UserId, id: AddressId) -> Result<()> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    lock(&mut tx, user).await?;
    let deleted = store::delete(&mut tx, user, id).await?.ok_or(ErrorCode::NotFound)?;
    for (was_default, kind) in [
        (deleted.is_default_shipping, Kind::Shipping),
        (deleted.is_default_billing, Kind::Billing),
    ] {
        if let (true, Some(next)) = (was_default, store::newest(&mut tx, user).await?) {
            store::set_default(&mut tx, user, next, kind).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// Makes an address the one default of its kind.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn make_default(db: &PgPool, user: UserId, id: AddressId, kind: Kind) -> Result<Address> {
    let mut connection = db.acquire().await?;
    let mut tx = connection.begin().await?;
    lock(&mut tx, user).await?;
    store::get(&mut tx, user, id).await?.ok_or(ErrorCode::NotFound)?;
    store::set_default(&mut tx, user, id, kind).await?;
    let address = store::get(&mut tx, user, id).await?.ok_or(ErrorCode::NotFound)?;
    tx.commit().await?;
    Ok(address)
}
