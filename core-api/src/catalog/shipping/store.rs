//! SQL of `shipping_profiles`.

use shared::ids::{SellerId, ShippingProfileId};
use shared::money::{Currency, Money};
use sqlx::PgConnection;

use super::model::{NewProfile, ShippingProfile};
use crate::http::Page;

struct Row {
    id: ShippingProfileId,
    name: String,
    base_minor: i64,
    extra_item_minor: i64,
    free_from_minor: Option<i64>,
}

impl Row {
    /// A shop's profiles are all in its currency.
    fn profile(self, currency: Currency) -> ShippingProfile {
        ShippingProfile {
            id: self.id,
            name: self.name,
            base: Money::new(self.base_minor, currency),
            extra_item: Money::new(self.extra_item_minor, currency),
            free_from: self.free_from_minor.map(|minor| Money::new(minor, currency)),
        }
    }
}

pub(super) async fn list(
    conn: &mut PgConnection,
    seller: SellerId,
    currency: Currency,
    page: &Page,
) -> Result<Vec<ShippingProfile>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: ShippingProfileId", name, base_minor, extra_item_minor, free_from_minor
             from shipping_profiles
            where seller_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| row.profile(currency)).collect())
}

/// Adds a profile; `None`: the shop has `most` already.
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
                  (id, seller_id, name, base_minor, extra_item_minor, free_from_minor, currency)
           select $1, $2, $3, $4, $5, $6, $7
            where (select count(*) from shipping_profiles where seller_id = $2) < $8
           returning id as "id: ShippingProfileId", name, base_minor, extra_item_minor, free_from_minor"#,
        id.0,
        seller.0,
        new.name.trim(),
        new.base_minor,
        new.extra_item_minor,
        new.free_from_minor,
        currency.code(),
        most
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| row.profile(currency)))
}

pub(super) async fn exists(
    conn: &mut PgConnection,
    seller: SellerId,
    id: ShippingProfileId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(select 1 from shipping_profiles where id = $2 and seller_id = $1) as "exists!""#,
        seller.0,
        id.0
    )
    .fetch_one(conn)
    .await
}
