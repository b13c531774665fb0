//! SQL of `streams` as core-api changes them, `stream_products`, and what it reads of a
//! show's chat. Going on air, ending and featuring are the room's, but for the end that
//! the suspension of its shop brings.

use shared::Timestamp;
use shared::ids::{MessageId, PictureId, ProductId, SellerId, StreamId, UserId};
use shared::rights::Rights;
use shared::status::{Machine, StreamStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{ChatAuthor, ChatLine, NewStream, Place, Stream};
use crate::http::Page;
use crate::media::Picture;
use crate::sellers::SellerRef;

struct Row {
    id: StreamId,
    seller_id: SellerId,
    shop_name: String,
    title: String,
    description: String,
    cover_url: String,
    cover: Option<Picture>,
    status: StreamStatus,
    scheduled_at: Timestamp,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    featured: Option<ProductId>,
}

impl From<Row> for Stream {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            seller: SellerRef {
                id: row.seller_id,
                shop_name: row.shop_name,
            },
            title: row.title,
            description: row.description,
            cover_url: row.cover_url,
            cover: row.cover,
            status: row.status,
            scheduled_at: row.scheduled_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            featured_product_id: row.featured,
        }
    }
}

fn views(rows: Vec<Row>) -> Vec<Stream> {
    rows.into_iter().map(Into::into).collect()
}

/// A show to come.
pub async fn insert(conn: &mut PgConnection, id: StreamId, seller: SellerId, new: &NewStream) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into streams (id, seller_id, title, description, cover_url, scheduled_at)
         values ($1, $2, $3, $4, $5, coalesce($6, now()))",
        id.0,
        seller.0,
        new.title.trim(),
        new.description,
        new.cover_url,
        new.scheduled_at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Any show.
pub async fn get(conn: &mut PgConnection, id: StreamId) -> sqlx::Result<Option<Stream>> {
    let row = sqlx::query_as!(
        Row,
        r#"select t.id as "id: StreamId", t.seller_id as "seller_id: SellerId", s.shop_name, t.title, t.description,
                  t.cover_url, (select picture_json(c) from pictures c where c.id = t.cover_id) as "cover: Picture",
                  t.status as "status: StreamStatus", t.scheduled_at, t.started_at, t.ended_at,
                  t.featured_product_id as "featured: ProductId"
             from streams t join sellers s on s.id = t.seller_id where t.id = $1"#,
        id.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Into::into))
}

/// Shows on air of shops that may sell, the latest first.
pub async fn live(conn: &mut PgConnection, page: &Page) -> sqlx::Result<Vec<Stream>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select t.id as "id: StreamId", t.seller_id as "seller_id: SellerId", s.shop_name, t.title, t.description,
                  t.cover_url, (select picture_json(c) from pictures c where c.id = t.cover_id) as "cover: Picture",
                  t.status as "status: StreamStatus", t.scheduled_at, t.started_at, t.ended_at,
                  t.featured_product_id as "featured: ProductId"
             from streams t join sellers s on s.id = t.seller_id
            where t.status = 'live' and s.status = 'approved'
              and ($1::uuid is null
                   or (t.started_at, t.id) < (select c.started_at, c.id from streams c where c.id = $1))
            order by t.started_at desc, t.id desc limit $2"#,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(views(rows))
}

/// Shows to come of shops that may sell, the next first.
pub async fn upcoming(conn: &mut PgConnection, page: &Page) -> sqlx::Result<Vec<Stream>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select t.id as "id: StreamId", t.seller_id as "seller_id: SellerId", s.shop_name, t.title, t.description,
                  t.cover_url, (select picture_json(c) from pictures c where c.id = t.cover_id) as "cover: Picture",
                  t.status as "status: StreamStatus", t.scheduled_at, t.started_at, t.ended_at,
                  t.featured_product_id as "featured: ProductId"
             from streams t join sellers s on s.id = t.seller_id
            where t.status = 'scheduled' and s.status = 'approved'
              and ($1::uuid is null
                   or (t.scheduled_at, t.id) > (select c.scheduled_at, c.id from streams c where c.id = $1))
            order by t.scheduled_at, t.id limit $2"#,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(views(rows))
}

/// A shop's latest show on air, and so many of those to come, the next first. One that should
/// have begun a day ago is not to come any more.
pub async fn at_hand_of(conn: &mut PgConnection, seller: SellerId, next: i64) -> sqlx::Result<Vec<Stream>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select t.id as "id!: StreamId", s.id as "seller_id: SellerId", s.shop_name, t.title as "title!",
                  t.description as "description!",
                  t.cover_url as "cover_url!",
                  (select picture_json(c) from pictures c where c.id = t.cover_id) as "cover: Picture",
                  t.status as "status!: StreamStatus",
                  t.scheduled_at as "scheduled_at!", t.started_at, t.ended_at,
                  t.featured_product_id as "featured: ProductId"
             from sellers s
            cross join lateral (
                  (select * from streams where seller_id = s.id and status = 'live'
                    order by started_at desc, id desc limit 1)
                  union all
                  (select * from streams
                    where seller_id = s.id and status = 'scheduled' and scheduled_at > now() - interval '1 day'
                    order by scheduled_at, id limit $2)) t
            where s.id = $1 order by t.started_at nulls last, t.scheduled_at, t.id"#,
        seller.0,
        next
    )
    .fetch_all(conn)
    .await?;
    Ok(views(rows))
}

/// A shop's shows, newest first.
pub async fn of_seller(conn: &mut PgConnection, seller: SellerId, page: &Page) -> sqlx::Result<Vec<Stream>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select t.id as "id: StreamId", t.seller_id as "seller_id: SellerId", s.shop_name, t.title, t.description,
                  t.cover_url, (select picture_json(c) from pictures c where c.id = t.cover_id) as "cover: Picture",
                  t.status as "status: StreamStatus", t.scheduled_at, t.started_at, t.ended_at,
                  t.featured_product_id as "featured: ProductId"
             from streams t join sellers s on s.id = t.seller_id
            where t.seller_id = $1 and ($2::uuid is null or t.id < $2) order by t.id desc limit $3"#,
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(views(rows))
}

/// The cover that was uploaded for a show.
pub async fn cover(conn: &mut PgConnection, id: StreamId) -> sqlx::Result<Option<PictureId>> {
    let cover = sqlx::query_scalar!(
        r#"select cover_id as "cover_id: PictureId" from streams where id = $1"#,
        id.0
    );
    Ok(cover.fetch_optional(conn).await?.flatten())
}

/// Sets the cover of a locked show, or takes it away.
pub async fn set_cover(
    conn: &mut PgConnection,
    id: StreamId,
    picture: Option<PictureId>,
    url: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update streams set cover_id = $2, cover_url = $3 where id = $1",
        id.0,
        picture.map(|picture| picture.0),
        url
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The status of a show of `seller`'s, locked; `None`: it has none such.
pub async fn lock_own(conn: &mut PgConnection, id: StreamId, seller: SellerId) -> sqlx::Result<Option<StreamStatus>> {
    sqlx::query_scalar!(
        r#"select status as "status: StreamStatus" from streams where id = $1 and seller_id = $2 for no key update"#,
        id.0,
        seller.0
    )
    .fetch_optional(conn)
    .await
}

/// Whether the show is `seller`'s.
pub async fn is_own(conn: &mut PgConnection, id: StreamId, seller: SellerId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from streams where id = $1 and seller_id = $2) as "e!""#,
        id.0,
        seller.0
    )
    .fetch_one(conn)
    .await
}

/// What somebody may do in a show.
pub struct Powers {
    pub is_host: bool,
    pub rights: Rights,
}

/// Of `user`; `None`: there is no such show.
pub async fn powers(conn: &mut PgConnection, id: StreamId, user: UserId) -> sqlx::Result<Option<Powers>> {
    let row = sqlx::query!(
        r#"select s.user_id = $2 as "is_host!", moderator_rights(t.id, $2) as "rights!"
             from streams t join sellers s on s.id = t.seller_id where t.id = $1"#,
        id.0,
        user.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Powers {
        is_host: row.is_host,
        rights: Rights::of_names(&row.rights),
    }))
}

/// Whether `user` owns the show's shop, and it may sell.
pub async fn is_host(conn: &mut PgConnection, id: StreamId, user: UserId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from streams t join sellers s on s.id = t.seller_id
                           where t.id = $1 and s.user_id = $2 and s.status = 'approved') as "e!""#,
        id.0,
        user.0
    )
    .fetch_one(conn)
    .await
}

/// A message of a show, as far as its deletion goes.
pub struct Said {
    pub author: UserId,
    pub deleted: bool,
}

/// A message of a show that is stored.
pub async fn said(conn: &mut PgConnection, id: StreamId, message: MessageId) -> sqlx::Result<Option<Said>> {
    sqlx::query_as!(
        Said,
        r#"select user_id as "author: UserId", deleted_at is not null as "deleted!"
             from stream_chat_messages where id = $1 and stream_id = $2"#,
        message.0,
        id.0
    )
    .fetch_optional(conn)
    .await
}

/// Calls a show to come off.
pub async fn cancel(conn: &mut PgConnection, id: StreamId, seller: SellerId) -> sqlx::Result<bool> {
    let to = StreamStatus::Cancelled;
    let done = sqlx::query!(
        "update streams set status = $3 where id = $1 and seller_id = $2 and status = any($4)",
        id.0,
        seller.0,
        to.as_str(),
        &StreamStatus::sources_of(to)
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the shows of a shop that are on air, as their rooms do: which.
pub async fn end_live_of(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<Vec<StreamId>> {
    let to = StreamStatus::Ended;
    sqlx::query_scalar!(
        r#"with live as (
               select id from streams where seller_id = $1 and status = any($3) order by id for no key update)
           update streams s
              set status = $2, ended_at = clock_timestamp(), host_away_since = null,
                  featured_product_id = null, featured_variant_id = null
             from live where s.id = live.id
           returning s.id as "id: StreamId""#,
        seller.0,
        to.as_str(),
        &StreamStatus::sources_of(to)
    )
    .fetch_all(conn)
    .await
}

/// The line-up, in order.
pub async fn line_up(conn: &mut PgConnection, id: StreamId) -> sqlx::Result<Vec<ProductId>> {
    sqlx::query_scalar!(
        r#"select product_id as "id: ProductId" from stream_products where stream_id = $1 order by position, product_id"#,
        id.0
    )
    .fetch_all(conn)
    .await
}

/// Replaces the line-up by those of `products` that are active and `seller`'s; how many.
pub async fn set_line_up(
    conn: &mut PgConnection,
    id: StreamId,
    seller: SellerId,
    products: &[ProductId],
) -> sqlx::Result<u64> {
    let ids: Vec<Uuid> = products.iter().map(|p| p.0).collect();
    sqlx::query!(
        "delete from stream_products where stream_id = $1 and product_id <> all($2)",
        id.0,
        &ids
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "insert into stream_products (stream_id, product_id, position)
         select $1, p.id, t.i
           from unnest($3::uuid[]) with ordinality t (id, i)
           join products p on p.id = t.id and p.seller_id = $2 and p.status = 'active'
         on conflict (stream_id, product_id) do update set position = excluded.position",
        id.0,
        seller.0,
        &ids
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A show's product that is not in its line-up is not shown.
pub async fn unfeature_unlisted(conn: &mut PgConnection, id: StreamId) -> sqlx::Result<()> {
    sqlx::query!(
        "update streams s set featured_product_id = null, featured_variant_id = null
          where s.id = $1 and s.featured_product_id is not null
            and not exists (select from stream_products sp
                             where sp.stream_id = s.id and sp.product_id = s.featured_product_id)",
        id.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// No show has this product up any more.
pub async fn unfeature(conn: &mut PgConnection, product: ProductId) -> sqlx::Result<()> {
    sqlx::query!(
        "update streams set featured_product_id = null, featured_variant_id = null where featured_product_id = $1",
        product.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a person is called.
pub async fn display_name(conn: &mut PgConnection, user: UserId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("select display_name from profiles where user_id = $1", user.0)
        .fetch_optional(conn)
        .await
}

/// Committed messages, newest first.
pub async fn chat(conn: &mut PgConnection, id: StreamId, page: &Page) -> sqlx::Result<Vec<ChatLine>> {
    let rows = sqlx::query!(
        r#"select m.id as "id: MessageId", m.user_id as "user: UserId", coalesce(p.display_name, '') as "name!",
                  coalesce(s.user_id = m.user_id, false) as "host!", m.text, m.reply_to as "reply_to: MessageId",
                  m.created_at, m.epoch, m.seq
             from stream_chat_messages m
             join streams t on t.id = m.stream_id
             join sellers s on s.id = t.seller_id
             left join profiles p on p.user_id = m.user_id
            where m.stream_id = $1 and m.deleted_at is null and ($2::uuid is null or m.id < $2)
            order by m.id desc limit $3"#,
        id.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ChatLine {
            id: row.id,
            place: Place {
                epoch: row.epoch,
                seq: u64::try_from(row.seq).unwrap_or(0),
            },
            author: ChatAuthor {
                id: row.user,
                name: row.name,
                host: row.host,
            },
            text: row.text,
            reply_to: row.reply_to,
            created_at: row.created_at,
        })
        .collect())
}

/// Forgets spent tickets that would not be good any more, at most `limit`; how many.
pub async fn delete_spent_tickets(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from spent_tickets where id in (
             select id from spent_tickets where expires_at < now() - interval '1 minute'
              order by expires_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
