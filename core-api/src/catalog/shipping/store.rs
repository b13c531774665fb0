//! SQL of `shipping_profiles`.

use shared::ids::{SellerId, ShippingProfileId};
use shared::money::{Currency, Money};
use sqlx::PgConnection;

use super::Named;
use super::model::{Filter, NewProfile, ProfileChange, ShippingProfile};
use crate::http::Page;

struct Row {
    id: ShippingProfileId,
    name: String,
    base_minor: i64,
    extra_item_minor: i64,
    free_from_minor: Option<i64>,
    show_cap_minor: Option<i64>,
    regions: Vec<String>,
    archived: bool,
}

impl Row {
    /// A shop's profiles are all in its currency.
    fn profile(self, currency: Currency) -> ShippingProfile {
        let money = |minor| Money::new(minor, currency);
        ShippingProfile {
            id: self.id,
            name: self.name,
            base: money(self.base_minor),
            extra_item: money(self.extra_item_minor),
            free_from: self.free_from_minor.map(money),
            show_cap: self.show_cap_minor.map(money),
            regions: self.regions,
            archived: self.archived,
        }
    }
}

pub(super) async fn list(
    conn: &mut PgConnection,
    seller: SellerId,
    currency: Currency,
    filter: Filter,
    page: &Page,
) -> Result<Vec<ShippingProfile>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: ShippingProfileId", name, base_minor, extra_item_minor, free_from_minor,
                  show_cap_minor, regions, archived_at is not null as "archived!"
             from shipping_profiles
            where seller_id = $1 and ($2::uuid is null or id < $2)
              and ($4::boolean is null or $4 = (archived_at is not null))
            order by id desc limit $3"#,
        seller.0,
        page.cursor,
        page.rows(),
        filter.archived
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.profile(currency)).collect())
}

pub(super) async fn get(
    conn: &mut PgConnection,
    seller: SellerId,
    currency: Currency,
    id: ShippingProfileId,
) -> Result<Option<ShippingProfile>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id: ShippingProfileId", name, base_minor, extra_item_minor, free_from_minor,
                  show_cap_minor, regions, archived_at is not null as "archived!"
             from shipping_profiles where id = $2 and seller_id = $1"#,
        seller.0,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.profile(currency)))
}

/// Whoever adds to what a shop has comes one at a time, so that each counts those before.
pub(super) async fn lock_shop(tx: &mut PgConnection, seller: SellerId) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("select id from sellers where id = $1 for no key update", seller.0)
        .fetch_optional(tx)
        .await?;
    Ok(())
}

/// Adds a profile to a locked shop; `None`: it has `most` already.
pub(super) async fn insert(
    conn: &mut PgConnection,
    id: ShippingProfileId,
    seller: SellerId,
    currency: Currency,
    new: &NewProfile,
    most: i64,
) -> Result<Option<ShippingProfile>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"insert into shipping_profiles
                  (id, seller_id, name, base_minor, extra_item_minor, free_from_minor, show_cap_minor, regions, currency)
           select $1, $2, $3, $4, $5, $6, $7, $8, $9
            where (select count(*) from shipping_profiles where seller_id = $2) < $10
           returning id as "id: ShippingProfileId", name, base_minor, extra_item_minor, free_from_minor,
                     show_cap_minor, regions, archived_at is not null as "archived!""#,
        id.0,
        seller.0,
        new.name.trim(),
        new.base_minor,
        new.extra_item_minor,
        new.free_from_minor,
        new.show_cap_minor,
        &new.regions,
        currency.code(),
        most
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.profile(currency)))
}

pub(super) async fn update(
    conn: &mut PgConnection,
    seller: SellerId,
    currency: Currency,
    id: ShippingProfileId,
    change: &ProfileChange,
) -> Result<Option<ShippingProfile>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"update shipping_profiles
              set name = coalesce($3, name), base_minor = coalesce($4, base_minor),
                  extra_item_minor = coalesce($5, extra_item_minor),
                  free_from_minor = case when $6 then $7 else free_from_minor end,
                  show_cap_minor = case when $8 then $9 else show_cap_minor end,
                  regions = coalesce($10, regions),
                  archived_at = case when $11 then coalesce(archived_at, now())
                                     when not $11 then null else archived_at end
            where id = $2 and seller_id = $1
           returning id as "id: ShippingProfileId", name, base_minor, extra_item_minor, free_from_minor,
                     show_cap_minor, regions, archived_at is not null as "archived!""#,
        seller.0,
        id.0,
        change.name.as_deref().map(str::trim),
        change.base_minor,
        change.extra_item_minor,
        change.free_from_minor.is_some(),
        change.free_from_minor.flatten(),
        change.show_cap_minor.is_some(),
        change.show_cap_minor.flatten(),
        change.regions.as_deref(),
        change.archived
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.profile(currency)))
}

/// Locks the shop's profile against products that are about to get it; false: it is not
/// there.
pub(super) async fn lock(tx: &mut PgConnection, seller: SellerId, id: ShippingProfileId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from shipping_profiles where id = $2 and seller_id = $1 for update",
        seller.0,
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// Deletes a profile; false: a product has it.
pub(super) async fn delete(
    tx: &mut PgConnection,
    seller: SellerId,
    id: ShippingProfileId,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from shipping_profiles where id = $2 and seller_id = $1
            and not exists (select 1 from products where shipping_profile_id = $2)",
        seller.0,
        id.0
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The share lock keeps it from being archived or deleted before the caller's commit.
pub(super) async fn is_open(
    conn: &mut PgConnection,
    seller: SellerId,
    id: ShippingProfileId,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from shipping_profiles where id = $2 and seller_id = $1 and archived_at is null for share",
        seller.0,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

pub(super) async fn by_name(conn: &mut PgConnection, seller: SellerId) -> Result<Vec<Named>, sqlx::Error> {
    sqlx::query_as!(
        Named,
        r#"select name, id as "id: ShippingProfileId", archived_at is not null as "archived!"
             from shipping_profiles where seller_id = $1 order by id"#,
        seller.0
    )
    .fetch_all(conn)
    .await
}
