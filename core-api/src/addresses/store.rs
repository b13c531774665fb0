//! SQL of `addresses`.

use shared::ids::{AddressId, UserId};
use sqlx::PgConnection;

use super::model::{Address, Kind, NewAddress};

/// Serialises what changes a person's addresses; false: the account is gone.
pub(super) async fn lock(tx: &mut PgConnection, user: UserId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from users where id = $1 and deleted_at is null for no key update",
        user.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

pub(super) async fn count(tx: &mut PgConnection, user: UserId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from addresses where user_id = $1 and deleted_at is null"#,
        user.0
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn list(conn: &mut PgConnection, user: UserId) -> Result<Vec<Address>, sqlx::Error> {
    sqlx::query_as!(
        Address,
        r#"select id as "id: AddressId", recipient, line1, line2, city, region, postal_code, country, phone,
                  is_default_shipping, is_default_billing
             from addresses where user_id = $1 and deleted_at is null order by id desc"#,
        user.0
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn get(conn: &mut PgConnection, user: UserId, id: AddressId) -> Result<Option<Address>, sqlx::Error> {
    sqlx::query_as!(
        Address,
        r#"select id as "id: AddressId", recipient, line1, line2, city, region, postal_code, country, phone,
                  is_default_shipping, is_default_billing
             from addresses where id = $2 and user_id = $1 and deleted_at is null"#,
        user.0,
        id.0
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn insert(
    tx: &mut PgConnection,
    id: AddressId,
    user: UserId,
    new: &NewAddress,
    region: &str,
    is_default: bool,
) -> Result<Address, sqlx::Error> {
    sqlx::query_as!(
        Address,
        r#"insert into addresses (id, user_id, recipient, line1, line2, city, region, postal_code, country, phone,
                                  is_default_shipping, is_default_billing)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
           returning id as "id: AddressId", recipient, line1, line2, city, region, postal_code, country, phone,
                     is_default_shipping, is_default_billing"#,
        id.0,
        user.0,
        new.recipient.trim(),
        new.line1.trim(),
        new.line2.trim(),
        new.city.trim(),
        region,
        new.postal_code.trim(),
        new.country,
        new.phone.trim(),
        is_default
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn update(
    tx: &mut PgConnection,
    user: UserId,
    id: AddressId,
    after: &NewAddress,
    region: &str,
) -> Result<Option<Address>, sqlx::Error> {
    sqlx::query_as!(
        Address,
        r#"update addresses
              set recipient = $3, line1 = $4, line2 = $5, city = $6, region = $7, postal_code = $8, country = $9,
                  phone = $10
            where id = $2 and user_id = $1 and deleted_at is null
           returning id as "id: AddressId", recipient, line1, line2, city, region, postal_code, country, phone,
                     is_default_shipping, is_default_billing"#,
        user.0,
        id.0,
        after.recipient.trim(),
        after.line1.trim(),
        after.line2.trim(),
        after.city.trim(),
        region,
        after.postal_code.trim(),
        after.country,
        after.phone.trim()
    )
    .fetch_optional(tx)
    .await
}

/// What a deleted address was the default for.
pub(super) struct Deleted {
    pub is_default_shipping: bool,
    pub is_default_billing: bool,
}

pub(super) async fn delete(tx: &mut PgConnection, user: UserId, id: AddressId) -> Result<Option<Deleted>, sqlx::Error> {
    sqlx::query_as!(
        Deleted,
        "update addresses set deleted_at = now() where id = $2 and user_id = $1 and deleted_at is null
         returning is_default_shipping, is_default_billing",
        user.0,
        id.0
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn newest(tx: &mut PgConnection, user: UserId) -> Result<Option<AddressId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: AddressId" from addresses
            where user_id = $1 and deleted_at is null order by id desc limit 1"#,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// Moves the default of a kind to `id`. The old one is cleared first: a unique index
/// allows one at any moment.
pub(super) async fn set_default(
    tx: &mut PgConnection,
    user: UserId,
    id: AddressId,
    kind: Kind,
) -> Result<(), sqlx::Error> {
    match kind {
        Kind::Shipping => {
            sqlx::query!(
                "update addresses set is_default_shipping = false
                  where user_id = $1 and is_default_shipping and id <> $2 and deleted_at is null",
                user.0,
                id.0
            )
            .execute(&mut *tx)
            .await?;
            sqlx::query!(
                "update addresses set is_default_shipping = true where user_id = $1 and id = $2 and deleted_at is null",
                user.0,
                id.0
            )
            .execute(tx)
            .await?;
        }
        Kind::Billing => {
            sqlx::query!(
                "update addresses set is_default_billing = false
                  where user_id = $1 and is_default_billing and id <> $2 and deleted_at is null",
                user.0,
                id.0
            )
            .execute(&mut *tx)
            .await?;
            sqlx::query!(
                "update addresses set is_default_billing = true where user_id = $1 and id = $2 and deleted_at is null",
                user.0,
                id.0
            )
            .execute(tx)
            .await?;
        }
    }
    Ok(())
}
