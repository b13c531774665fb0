//! SQL of `sellers`.

use shared::ids::{PictureId, SellerId, StreamId, UserId};
use shared::status::{Machine as _, SellerStatus};
use sqlx::PgConnection;

use super::model::{AdminSeller, Application, FollowedShop, Seller, SellerPage};
use crate::catalog::products::model::Rating;
use crate::http::Page;
use crate::media::Picture;

/// Makes a rejected application again; `None`: there is none that may be.
pub(super) async fn apply_again(
    tx: &mut PgConnection,
    user: UserId,
    application: &Application,
    sources: &[String],
) -> Result<Option<Seller>, sqlx::Error> {
    sqlx::query_as!(
        Seller,
        r#"update sellers
              set shop_name = $2, description = $3, country = $4, currency = $5, status = $6,
                  decided_by = null, decided_at = null, decision_reason = ''
            where user_id = $1 and status = any($7)
           returning id as "id: SellerId", shop_name, slug, description, country, currency,
                  (select picture_json(i) from pictures i where i.id = sellers.picture_id) as "picture: Picture",
                     status as "status: SellerStatus", created_at"#,
        user.0,
        application.shop_name.trim(),
        application.description.trim(),
        application.country,
        application.currency.code(),
        SellerStatus::Pending.as_str(),
        sources
    )
    .fetch_optional(tx)
    .await
}

/// Adds an application; `None`: the person or the slug has one.
pub(super) async fn insert(
    tx: &mut PgConnection,
    id: SellerId,
    user: UserId,
    application: &Application,
    slug: &str,
) -> Result<Option<Seller>, sqlx::Error> {
    sqlx::query_as!(
        Seller,
        r#"insert into sellers (id, user_id, shop_name, slug, description, country, currency, status)
           values ($1, $2, $3, $4, $5, $6, $7, $8)
           on conflict do nothing
           returning id as "id: SellerId", shop_name, slug, description, country, currency,
                  (select picture_json(i) from pictures i where i.id = sellers.picture_id) as "picture: Picture",
                     status as "status: SellerStatus", created_at"#,
        id.0,
        user.0,
        application.shop_name.trim(),
        slug,
        application.description.trim(),
        application.country,
        application.currency.code(),
        SellerStatus::Pending.as_str()
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn get(
    conn: &mut PgConnection,
    id: SellerId,
    status: SellerStatus,
) -> Result<Option<Seller>, sqlx::Error> {
    sqlx::query_as!(
        Seller,
        r#"select id as "id: SellerId", shop_name, slug, description, country, currency,
                  (select picture_json(i) from pictures i where i.id = sellers.picture_id) as "picture: Picture",
                  status as "status: SellerStatus", created_at
             from sellers where id = $1 and status = $2"#,
        id.0,
        status.as_str()
    )
    .fetch_optional(conn)
    .await
}

/// An approved shop with what is counted of it; its shows are not in it yet.
pub(super) async fn page(conn: &mut PgConnection, id: SellerId) -> Result<Option<SellerPage>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select id as "id: SellerId", shop_name, slug, description, country, currency,
                  (select picture_json(i) from pictures i where i.id = sellers.picture_id) as "picture: Picture",
                  status as "status: SellerStatus", created_at,
                  (select count(*) from follows where following_id = $1) as "followers!",
                  r.count::int as "rating_count!", r.sum::bigint as "rating_sum!"
             from sellers
            cross join lateral (select coalesce(sum(rating_count), 0) as count, coalesce(sum(rating_sum), 0) as sum
                                  from products where seller_id = $1 and rating_count > 0) r
            where id = $1 and status = 'approved'"#,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| SellerPage {
        seller: Seller {
            id: row.id,
            shop_name: row.shop_name,
            slug: row.slug,
            description: row.description,
            picture: row.picture,
            country: row.country,
            currency: row.currency,
            status: row.status,
            created_at: row.created_at,
        },
        follower_count: row.followers,
        rating: Rating::new(row.rating_count, row.rating_sum),
        live_stream: None,
        next_streams: Vec::new(),
        followed: None,
    }))
}

pub(super) async fn id_of(conn: &mut PgConnection, slug: &str) -> Result<Option<SellerId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: SellerId" from sellers where slug = $1 and status = 'approved'"#,
        slug
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn follows(conn: &mut PgConnection, user: UserId, id: SellerId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from follows where user_id = $1 and following_id = $2) as "follows!""#,
        user.0,
        id.0
    )
    .fetch_one(conn)
    .await
}

/// Approved shops that somebody follows, the youngest first.
pub(super) async fn followed(
    conn: &mut PgConnection,
    user: UserId,
    page: &Page,
) -> Result<Vec<FollowedShop>, sqlx::Error> {
    sqlx::query_as!(
        FollowedShop,
        r#"select s.id as "id: SellerId", s.shop_name, s.slug, f.created_at as since,
                  (select t.id from streams t where t.seller_id = s.id and t.status = 'live'
                    order by t.started_at desc, t.id desc limit 1) as "live_stream_id: StreamId"
             from follows f join sellers s on s.id = f.following_id and s.status = 'approved'
            where f.user_id = $1 and ($2::uuid is null or f.following_id < $2)
            order by f.following_id desc limit $3"#,
        user.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// A shop's status, which stays so until the transaction ends.
pub(super) async fn lock_status(tx: &mut PgConnection, id: SellerId) -> Result<Option<SellerStatus>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select status as "status: SellerStatus" from sellers where id = $1 for no key update"#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// A row of [`AdminSeller`], flat.
struct Row {
    id: SellerId,
    shop_name: String,
    slug: String,
    description: String,
    picture: Option<Picture>,
    country: String,
    currency: String,
    status: SellerStatus,
    created_at: shared::Timestamp,
    user_id: UserId,
    decided_by: Option<UserId>,
    decided_at: Option<shared::Timestamp>,
    decision_reason: String,
}

impl From<Row> for AdminSeller {
    fn from(row: Row) -> Self {
        Self {
            seller: Seller {
                id: row.id,
                shop_name: row.shop_name,
                slug: row.slug,
                description: row.description,
                picture: row.picture,
                country: row.country,
                currency: row.currency,
                status: row.status,
                created_at: row.created_at,
            },
            user_id: row.user_id,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
            decision_reason: row.decision_reason,
        }
    }
}

pub(super) async fn list(
    conn: &mut PgConnection,
    status: Option<SellerStatus>,
    page: &Page,
) -> Result<Vec<AdminSeller>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id as "id: SellerId", shop_name, slug, description, country, currency,
                  (select picture_json(i) from pictures i where i.id = sellers.picture_id) as "picture: Picture",
                  status as "status: SellerStatus", created_at, user_id as "user_id: UserId",
                  decided_by as "decided_by: UserId", decided_at, decision_reason
             from sellers
            where ($1::text is null or status = $1) and ($2::uuid is null or id < $2)
            order by id desc limit $3"#,
        status.map(SellerStatus::as_str),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

/// The guarded step; `None`: the shop is not there or not in one of `sources`.
pub(super) async fn decide(
    tx: &mut PgConnection,
    id: SellerId,
    sources: &[String],
    to: SellerStatus,
    admin: UserId,
    reason: &str,
) -> Result<Option<AdminSeller>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        r#"update sellers set status = $3, decided_by = $4, decided_at = now(), decision_reason = $5
            where id = $1 and status = any($2)
              and exists (select from users u where u.id = sellers.user_id and u.deleted_at is null)
           returning id as "id: SellerId", shop_name, slug, description, country, currency,
                  (select picture_json(i) from pictures i where i.id = sellers.picture_id) as "picture: Picture",
                     status as "status: SellerStatus", created_at, user_id as "user_id: UserId",
                     decided_by as "decided_by: UserId", decided_at, decision_reason"#,
        id.0,
        sources,
        to.as_str(),
        admin.0,
        reason
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(Into::into))
}

/// Whether a shop's owner is in good standing, which they stay until the transaction ends;
/// `None`: there is no such shop. The account is locked before the shop, as wherever both are.
pub(super) async fn owner_is_good(tx: &mut PgConnection, id: SellerId) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select u.suspended_at is null as "good!" from users u join sellers s on s.user_id = u.id
            where s.id = $1 for share of u"#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// Suspends the shop of a person; `None`: they have none that may be.
pub(super) async fn suspend_of(
    tx: &mut PgConnection,
    owner: UserId,
    admin: UserId,
    reason: &str,
) -> Result<Option<SellerId>, sqlx::Error> {
    let to = SellerStatus::Suspended;
    sqlx::query_scalar!(
        r#"update sellers set status = $2, decided_by = $3, decided_at = now(), decision_reason = $4
            where user_id = $1 and status = any($5) returning id as "id: SellerId""#,
        owner.0,
        to.as_str(),
        admin.0,
        reason,
        &SellerStatus::sources_of(to)
    )
    .fetch_optional(tx)
    .await
}

/// Has somebody follow an approved shop; `None`: there is none such.
pub(super) async fn follow(conn: &mut PgConnection, user: UserId, id: SellerId) -> Result<Option<()>, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"with shop as (select id from sellers where id = $2 and status = 'approved'),
                followed as (insert into follows (user_id, following_id) select $1, id from shop
                             on conflict do nothing)
           select id as "id!" from shop"#,
        user.0,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|_| ()))
}

/// Has somebody follow a shop no more.
pub(super) async fn unfollow(conn: &mut PgConnection, user: UserId, id: SellerId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from follows where user_id = $1 and following_id = $2",
        user.0,
        id.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The shop's picture.
pub(super) async fn picture(conn: &mut PgConnection, id: SellerId) -> Result<Option<PictureId>, sqlx::Error> {
    let picture = sqlx::query_scalar!(
        r#"select picture_id as "picture_id: PictureId" from sellers where id = $1"#,
        id.0
    );
    Ok(picture.fetch_optional(conn).await?.flatten())
}

/// Sets the shop's picture, or takes it away: the former one; `None`: there is no shop. Its
/// owner is locked.
pub(super) async fn set_picture(
    tx: &mut PgConnection,
    id: SellerId,
    picture: Option<PictureId>,
) -> Result<Option<Option<PictureId>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update sellers s set picture_id = $2
             from sellers was where s.id = $1 and was.id = $1
           returning was.picture_id as "picture_id: PictureId""#,
        id.0,
        picture.map(|picture| picture.0)
    )
    .fetch_optional(tx)
    .await
}
