//! SQL of `notifications`, `notification_preferences` and `announcements`.

use shared::Timestamp;
use shared::ids::{NotificationId, OrderId, ProductId, SellerId, StreamId, UserId};
use shared::notification::NotificationKind;
use shared::status::{SellerStatus, StreamStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::announce::Due;
use super::model::{NewPreference, Notification, OrderRef, Preference, ProductRef, StreamRef};
use super::{Names, News};
use crate::http::Page;
use crate::sellers::SellerRef;

/// Adds a notification, unless the person was told of it already, wants it in no way, or is
/// gone; whether they are to be told by mail. The account is locked against its end alone: who
/// leaves at the same time is told nothing after, and nobody else is waited for. Callers hold
/// stock, and a checkout holds its buyer's account while it waits for that.
pub(super) async fn insert(
    tx: &mut PgConnection,
    id: NotificationId,
    user: UserId,
    news: &News<'_>,
) -> Result<bool, sqlx::Error> {
    let mail = sqlx::query_scalar!(
        r#"with person as (
               select id, wants_notice(id, $3, 'in_app') as listed, wants_notice(id, $3, 'email') as mail
                 from users where id = $2 and deleted_at is null for key share),
           told as (
               insert into notifications (id, user_id, kind, subject_id, seller_id, product_id, reason, order_id, listed)
               select $1, id, $3, $4, $5, $6, $7, $8, listed from person where listed or mail
               on conflict on constraint notifications_once_key do nothing returning user_id)
           select p.mail as "mail!" from person p join told t on t.user_id = p.id"#,
        id.0,
        user.0,
        news.kind.as_str(),
        news.subject,
        news.seller.0,
        news.product.map(|product| product.0),
        news.reason,
        news.order.map(|order| order.0)
    )
    .fetch_optional(tx)
    .await?;
    Ok(mail.unwrap_or(false))
}

struct Row {
    id: NotificationId,
    kind: NotificationKind,
    subject_id: Uuid,
    seller_id: Option<SellerId>,
    shop_name: Option<String>,
    stream_id: Option<StreamId>,
    stream_title: Option<String>,
    stream_status: Option<StreamStatus>,
    scheduled_at: Option<Timestamp>,
    product_id: Option<ProductId>,
    product_title: Option<String>,
    order_id: Option<OrderId>,
    order_number: Option<i64>,
    reason: String,
    created_at: Timestamp,
    read_at: Option<Timestamp>,
}

impl From<Row> for Notification {
    fn from(row: Row) -> Self {
        let seller = row.seller_id.zip(row.shop_name);
        let stream = (|| {
            Some(StreamRef {
                id: row.stream_id?,
                title: row.stream_title?,
                status: row.stream_status?,
                scheduled_at: row.scheduled_at?,
            })
        })();
        let product = row.product_id.zip(row.product_title);
        let order = row.order_id.zip(row.order_number);
        Self {
            id: row.id,
            kind: row.kind,
            subject_id: row.subject_id,
            seller: seller.map(|(id, shop_name)| SellerRef { id, shop_name }),
            stream,
            product: product.map(|(id, title)| ProductRef { id, title }),
            order: order.map(|(id, number)| OrderRef { id, number }),
            reason: row.reason,
            created_at: row.created_at,
            read_at: row.read_at,
        }
    }
}

pub(super) async fn list(
    conn: &mut PgConnection,
    user: UserId,
    unread: bool,
    page: &Page,
) -> Result<Vec<Notification>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select n.id as "id: NotificationId", n.kind as "kind: NotificationKind", n.subject_id,
                  n.seller_id as "seller_id: SellerId", s.shop_name as "shop_name?",
                  n.stream_id as "stream_id: StreamId", t.title as "stream_title?",
                  t.status as "stream_status?: StreamStatus", t.scheduled_at as "scheduled_at?",
                  n.product_id as "product_id: ProductId", p.title as "product_title?",
                  n.order_id as "order_id: OrderId", o.number as "order_number?",
                  n.reason, n.created_at, n.read_at
             from notifications n
             left join sellers s on s.id = n.seller_id
             left join streams t on t.id = n.stream_id
             left join products p on p.id = n.product_id
             left join orders o on o.id = n.order_id
            where n.user_id = $1 and n.listed and (not $2 or n.read_at is null) and ($3::uuid is null or n.id < $3)
            order by n.id desc limit $4"#,
        user.0,
        unread,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub(super) async fn count_unread(conn: &mut PgConnection, user: UserId, most: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!"
             from (select from notifications where user_id = $1 and listed and read_at is null limit $2) n"#,
        user.0,
        most
    )
    .fetch_one(conn)
    .await
}

/// False: the person has none such.
pub(super) async fn mark(conn: &mut PgConnection, user: UserId, id: NotificationId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update notifications set read_at = coalesce(read_at, now()) where id = $1 and user_id = $2 and listed",
        id.0,
        user.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks those of the person's, or all. Ids do not do for a place in time: they are made
/// before what they are of is committed.
pub(super) async fn mark_all(
    conn: &mut PgConnection,
    user: UserId,
    ids: Option<&[NotificationId]>,
) -> Result<(), sqlx::Error> {
    let ids: Option<Vec<Uuid>> = ids.map(|ids| ids.iter().map(|id| id.0).collect());
    sqlx::query!(
        "update notifications set read_at = now()
          where user_id = $1 and listed and read_at is null and ($2::uuid[] is null or id = any($2))",
        user.0,
        ids.as_deref()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks an account that is not gone.
pub(super) async fn lock(tx: &mut PgConnection, user: UserId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from users where id = $1 and deleted_at is null for no key update",
        user.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

pub(super) async fn preferences(conn: &mut PgConnection, user: UserId) -> Result<Vec<Preference>, sqlx::Error> {
    sqlx::query_as!(
        Preference,
        r#"select kind as "kind!: NotificationKind", wants_notice($1, kind, 'in_app') as "in_app!",
                  wants_notice($1, kind, 'email') as "email!", has_email as "has_email!"
             from notification_kinds order by kind"#,
        user.0
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn forget_preferences(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from notification_preferences where user_id = $1", user.0)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn insert_preferences(
    tx: &mut PgConnection,
    user: UserId,
    new: &[NewPreference],
) -> Result<(), sqlx::Error> {
    let kinds: Vec<String> = new.iter().map(|wish| wish.kind.as_str().to_owned()).collect();
    let in_app: Vec<bool> = new.iter().map(|wish| wish.in_app).collect();
    let email: Vec<bool> = new.iter().map(|wish| wish.email).collect();
    sqlx::query!(
        "insert into notification_preferences (user_id, kind, in_app, email)
         select $1, t.kind, t.in_app, t.email from unnest($2::text[], $3::boolean[], $4::boolean[])
             as t (kind, in_app, email)",
        user.0,
        &kinds,
        &in_app,
        &email
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a letter names, and how its show stands.
pub(super) struct Found {
    pub names: Names,
    pub stream_status: Option<StreamStatus>,
}

pub(super) async fn names(
    conn: &mut PgConnection,
    seller: SellerId,
    stream: Option<StreamId>,
    product: Option<ProductId>,
    order: Option<OrderId>,
) -> Result<Option<Found>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.shop_name, t.title as "stream_title?", t.status as "stream_status?: StreamStatus",
                  p.title as "product_title?", o.number as "order_number?"
             from sellers s left join streams t on t.id = $2 left join products p on p.id = $3
             left join orders o on o.id = $4
            where s.id = $1"#,
        seller.0,
        stream.map(|stream| stream.0),
        product.map(|product| product.0),
        order.map(|order| order.0)
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Found {
        names: Names {
            shop_name: row.shop_name,
            stream_title: row.stream_title,
            product_title: row.product_title,
            order_number: row.order_number,
        },
        stream_status: row.stream_status,
    }))
}

/// Takes an announcement that is not done and that nobody else is at.
pub(super) async fn take_announcement(tx: &mut PgConnection) -> Result<Option<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"select a.id, a.kind as "kind: NotificationKind", a.stream_id as "stream: StreamId",
                  a.seller_id as "seller: SellerId", a.after_user as "after: UserId", a.created_at as made_at,
                  t.status as "stream_status: StreamStatus", s.status as "seller_status: SellerStatus"
             from announcements a join streams t on t.id = a.stream_id join sellers s on s.id = a.seller_id
            where a.done_at is null order by a.batches, a.id limit 1 for update of a skip locked"#
    )
    .fetch_optional(tx)
    .await
}

/// What a batch came to.
pub(super) struct Told {
    /// Followers that were looked at.
    pub followers: i64,
    /// The last of them.
    pub last: Option<UserId>,
    /// Of them, those who were told.
    pub told: i64,
}

/// Tells the next followers. Their accounts are locked in the order of their ids: who is
/// suspended or leaves at the same time is told before or not at all.
pub(super) async fn tell_followers(tx: &mut PgConnection, due: &Due, limit: i64) -> Result<Told, sqlx::Error> {
    sqlx::query_as!(
        Told,
        r#"with followers as materialized (
               select user_id, created_at from follows
                where following_id = $1 and ($2::uuid is null or user_id > $2) order by user_id limit $3),
           people as materialized (
               select u.id, wants_notice(u.id, $4, 'in_app') as listed, wants_notice(u.id, $4, 'email') as mail
                 from followers f join users u on u.id = f.user_id
                where f.created_at <= $5 and u.suspended_at is null and not is_banned($1, u.id)
                  and u.id <> (select user_id from sellers where id = $1)
                order by u.id for share of u),
           told as (
               insert into notifications (id, user_id, kind, subject_id, seller_id, stream_id, listed)
               select uuid_by_time(), id, $4, $6, $1, $6, listed from people where listed or mail order by id
               on conflict on constraint notifications_once_key do nothing returning user_id),
           mailed as (
               insert into outbox (id, topic, payload)
               select uuid_by_time(), 'mail', jsonb_build_object(
                          'letter', 'notification', 'user', p.id, 'kind', $4::text, 'seller', $1::uuid,
                          'stream', $6::uuid)
                 from people p join told t on t.user_id = p.id where p.mail)
           select (select count(*) from followers) as "followers!",
                  (select user_id from followers order by user_id desc limit 1) as "last: UserId",
                  (select count(*) from told) as "told!""#,
        due.seller.0,
        due.after.map(|user| user.0),
        limit,
        due.kind.as_str(),
        due.made_at,
        due.stream.0
    )
    .fetch_one(tx)
    .await
}

pub(super) async fn advance_announcement(
    tx: &mut PgConnection,
    id: Uuid,
    last: Option<UserId>,
    told: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update announcements
            set after_user = coalesce($2, after_user), batches = batches + 1, told = told + $3::bigint::int
          where id = $1",
        id,
        last.map(|user| user.0),
        told
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn finish_announcement(tx: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("update announcements set done_at = now() where id = $1", id)
        .execute(tx)
        .await?;
    Ok(())
}

pub(super) async fn delete_old(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from notifications where id in (
             select id from notifications where created_at < now() - interval '90 days'
              order by created_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A show is scheduled and begins once: what was announced of it does not come again.
pub(super) async fn delete_done_announcements(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from announcements where id in (
             select id from announcements where done_at < now() - interval '90 days'
              order by done_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
