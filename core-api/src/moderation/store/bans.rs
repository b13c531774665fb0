//! SQL of `banned_viewers`, and of clearing away what has run out.

use shared::ids::{GuestId, SellerId, UserId};
use shared::protocol::{Ban, Person};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::http::{Owner, Page};
use crate::moderation::model::BannedViewer;

/// Who is banned now, the latest first.
pub(in crate::moderation) async fn list(
    conn: &mut PgConnection,
    seller: SellerId,
    page: &Page,
) -> sqlx::Result<Vec<BannedViewer>> {
    sqlx::query_as!(
        BannedViewer,
        r#"select b.id, b.user_id as "user_id: UserId", b.guest_id as "guest_id: GuestId",
                  coalesce(p.display_name, '') as "name!", b.until, b.reason, b.banned_by as "banned_by: UserId",
                  b.created_at
             from banned_viewers b left join profiles p on p.user_id = b.user_id
            where b.seller_id = $1 and (b.until is null or b.until > now()) and ($2::uuid is null or b.id < $2)
            order by b.id desc limit $3"#,
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// The ban of one person.
pub(in crate::moderation) async fn of(
    conn: &mut PgConnection,
    seller: SellerId,
    who: Person,
) -> sqlx::Result<Option<BannedViewer>> {
    sqlx::query_as!(
        BannedViewer,
        r#"select b.id, b.user_id as "user_id: UserId", b.guest_id as "guest_id: GuestId",
                  coalesce(p.display_name, '') as "name!", b.until, b.reason, b.banned_by as "banned_by: UserId",
                  b.created_at
             from banned_viewers b left join profiles p on p.user_id = b.user_id
            where b.seller_id = $1 and (b.user_id = $2 or b.guest_id = $3)"#,
        seller.0,
        who.user().map(|user| user.0),
        who.guest().map(|guest| guest.0)
    )
    .fetch_optional(conn)
    .await
}

/// Bans somebody in the owner's name: `banned`, `forbidden` or `not_found`.
pub(in crate::moderation) async fn ban(tx: &mut PgConnection, shop: &Owner, ban: &Ban) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"select ban_viewer($1, $2, $3, $4, $5, $6, $7, null) as "outcome!""#,
        Uuid::now_v7(),
        shop.seller.0,
        ban.who.user().map(|user| user.0),
        ban.who.guest().map(|guest| guest.0),
        ban.lasts().map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)),
        ban.reason.trim(),
        shop.user.0
    )
    .fetch_one(tx)
    .await
}

/// Lifts a ban; of whom, `None`: there is none such.
pub(in crate::moderation) async fn delete(
    tx: &mut PgConnection,
    seller: SellerId,
    id: Uuid,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        r#"delete from banned_viewers where id = $1 and seller_id = $2
           returning coalesce(user_id, guest_id) as "person!""#,
        id,
        seller.0
    )
    .fetch_optional(tx)
    .await
}

/// What keeps somebody out.
pub(in crate::moderation) struct InForce {
    pub reason: String,
    /// For how long; `None`: for good.
    pub left_ms: Option<i64>,
}

/// The ban of an account, if there is one.
pub(in crate::moderation) async fn in_force(
    conn: &mut PgConnection,
    seller: SellerId,
    user: UserId,
) -> sqlx::Result<Option<InForce>> {
    sqlx::query_as!(
        InForce,
        "select reason, (extract(epoch from until - now()) * 1000)::bigint as left_ms
           from banned_viewers where seller_id = $1 and user_id = $2 and (until is null or until > now())",
        seller.0,
        user.0
    )
    .fetch_optional(conn)
    .await
}

/// Bans that were over a day ago.
pub(in crate::moderation) async fn delete_over(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from banned_viewers where id in (
             select id from banned_viewers where until < now() - interval '1 day' limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Mutes that were over a day ago.
pub(in crate::moderation) async fn delete_mutes_over(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from muted_viewers where (stream_id, user_id) in (
             select stream_id, user_id from muted_viewers where until < now() - interval '1 day'
              limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// Revocations that every token which did not know them has survived by far.
pub(in crate::moderation) async fn delete_revocations(conn: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from revocations where id in (
             select id from revocations where created_at < now() - interval '1 hour' limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
