//! SQL of `moderators`; of bans and mutes in [`bans`].

pub(super) mod bans;

use shared::ids::{SellerId, StreamId, UserId};
use shared::rights::Rights;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::{Page, Shopkeeper};
use crate::moderation::model::{Moderator, NewModerator};

struct Row {
    id: Uuid,
    user_id: UserId,
    name: String,
    stream_id: Option<StreamId>,
    rights: Vec<String>,
    created_at: shared::Timestamp,
}

impl From<Row> for Moderator {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            name: row.name,
            stream_id: row.stream_id,
            rights: Rights::of_names(&row.rights),
            created_at: row.created_at,
        }
    }
}

/// A shop's appointments, newest first: all, or those for one show.
pub(in crate::moderation) async fn moderators(
    conn: &mut PgConnection,
    seller: SellerId,
    stream: Option<StreamId>,
    page: &Page,
) -> sqlx::Result<Vec<Moderator>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select m.id, m.user_id as "user_id: UserId", coalesce(p.display_name, '') as "name!",
                  m.stream_id as "stream_id: StreamId", m.rights, m.created_at
             from moderators m left join profiles p on p.user_id = m.user_id
            where m.seller_id = $1 and ($2::uuid is null or m.stream_id = $2) and ($3::uuid is null or m.id < $3)
            order by m.id desc limit $4"#,
        seller.0,
        stream.map(|stream| stream.0),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// One of a shop's appointments.
pub(in crate::moderation) async fn moderator(
    conn: &mut PgConnection,
    seller: SellerId,
    id: Uuid,
) -> sqlx::Result<Option<Moderator>> {
    let row = sqlx::query_as!(
        Row,
        r#"select m.id, m.user_id as "user_id: UserId", coalesce(p.display_name, '') as "name!",
                  m.stream_id as "stream_id: StreamId", m.rights, m.created_at
             from moderators m left join profiles p on p.user_id = m.user_id
            where m.seller_id = $1 and m.id = $2"#,
        seller.0,
        id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// How many a shop has; its row is locked, so that the count holds until the commit.
pub(in crate::moderation) async fn lock_and_count(tx: &mut PgConnection, seller: SellerId) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select id from sellers where id = $1 for no key update", seller.0)
        .fetch_optional(&mut *tx)
        .await?;
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from moderators where seller_id = $1"#,
        seller.0
    )
    .fetch_one(tx)
    .await
}

/// Appoints somebody; `false`: there is no such account, or it is appointed already, or
/// banned.
pub(in crate::moderation) async fn insert(
    tx: &mut PgConnection,
    id: Uuid,
    shop: &Shopkeeper,
    stream: Option<StreamId>,
    new: &NewModerator,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into moderators (id, seller_id, stream_id, user_id, rights, appointed_by)
         select $1, $2, $3, u.id, $5, $6 from users u where u.id = $4 and not is_banned($2, u.id)
         on conflict do nothing",
        id,
        shop.seller.0,
        stream.map(|stream| stream.0),
        new.user_id.0,
        &new.rights.names(),
        shop.user.0
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether there is such an account.
pub(in crate::moderation) async fn is_account(conn: &mut PgConnection, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select exists (select from users where id = $1) as "e!""#, user.0)
        .fetch_one(conn)
        .await
}

/// Gives an appointment other rights; the show that it is for, `None`: there is none such.
pub(in crate::moderation) async fn change(
    tx: &mut PgConnection,
    seller: SellerId,
    id: Uuid,
    rights: Rights,
) -> sqlx::Result<Option<Option<StreamId>>> {
    sqlx::query_scalar!(
        r#"update moderators set rights = $3, updated_at = now() where id = $1 and seller_id = $2
           returning stream_id as "stream: StreamId""#,
        id,
        seller.0,
        &rights.names()
    )
    .fetch_optional(tx)
    .await
}

/// An appointment that has ended.
pub(in crate::moderation) struct Gone {
    pub user: UserId,
    pub stream: Option<StreamId>,
}

/// Ends an appointment; `None`: there is none such.
pub(in crate::moderation) async fn delete(
    tx: &mut PgConnection,
    seller: SellerId,
    id: Uuid,
) -> sqlx::Result<Option<Gone>> {
    sqlx::query_as!(
        Gone,
        r#"delete from moderators where id = $1 and seller_id = $2
           returning user_id as "user: UserId", stream_id as "stream: StreamId""#,
        id,
        seller.0
    )
    .fetch_optional(tx)
    .await
}
