//! SQL of `users`, `profiles` and `former_handles`; that of `refresh_tokens` is in
//! [`sessions`], that of `mailed_links` in [`links`].

pub(super) mod links;
pub(super) mod sessions;

use chrono::{DateTime, Utc};
use shared::ids::{PictureId, SellerId, UserId};
use shared::money::Currency;
use shared::status::SellerStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Account, Find, Me, MyShop, Profile, PublicProfile, Role, Shop, Standing};
use crate::http::Page;
use crate::media::Picture;

/// Adds an account; false: the address has one.
pub(super) async fn insert_user(
    tx: &mut PgConnection,
    id: UserId,
    email: &str,
    password_hash: &str,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "insert into users (id, email, password_hash) values ($1, $2, $3) on conflict (email) do nothing",
        id.0,
        email,
        password_hash
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Adds the profile, with a handle that is made for it where none is chosen. Two people
/// with one handle meet in `profiles_handle_key`.
pub(super) async fn insert_profile(
    tx: &mut PgConnection,
    user: UserId,
    display_name: &str,
    handle: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into profiles (user_id, display_name, handle, handle_changed_at)
         values ($1, $2, coalesce($3, generated_handle()), case when $3 is not null then now() end)",
        user.0,
        display_name,
        handle
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// A person's handle, and when they chose it.
pub(super) struct HandleRow {
    pub handle: String,
    pub handle_changed_at: Option<DateTime<Utc>>,
}

/// Locks the profile and reads its handle.
pub(super) async fn lock_handle(tx: &mut PgConnection, user: UserId) -> Result<Option<HandleRow>, sqlx::Error> {
    sqlx::query_as!(
        HandleRow,
        "select handle, handle_changed_at from profiles where user_id = $1 for no key update",
        user.0
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn set_handle(tx: &mut PgConnection, user: UserId, handle: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update profiles set handle = $2, handle_changed_at = now(), updated_at = now() where user_id = $1",
        user.0,
        handle
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Whether somebody else gave up this handle a while ago. To be asked after the handle was
/// taken: whoever gave it up in the meantime has committed by then.
pub(super) async fn is_resting(tx: &mut PgConnection, user: UserId, hash: &[u8]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from former_handles where handle_hash = $2 and user_id <> $1 and until > now())
               as "resting!""#,
        user.0,
        hash
    )
    .fetch_one(tx)
    .await
}

/// Lets a handle that was given up rest for so many days.
pub(super) async fn rest_handle(
    tx: &mut PgConnection,
    user: UserId,
    hash: &[u8],
    days: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into former_handles (handle_hash, user_id, until) values ($1, $2, now() + make_interval(days => $3))
         on conflict (handle_hash) do update set user_id = excluded.user_id, until = excluded.until",
        hash,
        user.0,
        days
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Forgets handles that have rested long enough, some at a time; how many.
pub(super) async fn delete_rested(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from former_handles where handle_hash in (
             select handle_hash from former_handles where until <= now() order by until limit $1)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

pub(super) struct Credentials {
    pub id: UserId,
    pub password_hash: String,
}

pub(super) async fn credentials(conn: &mut PgConnection, email: &str) -> Result<Option<Credentials>, sqlx::Error> {
    sqlx::query_as!(
        Credentials,
        r#"select id as "id: UserId", password_hash from users where email = $1 and deleted_at is null"#,
        email
    )
    .fetch_optional(conn)
    .await
}

/// Whether the account still has this password, which was proved a moment ago, and is in
/// good standing. The row is locked against a change of either until the transaction ends:
/// whoever changes one then ends the session that is begun here, too.
pub(super) async fn confirm(
    tx: &mut PgConnection,
    user: UserId,
    password_hash: &str,
) -> Result<Option<Confirmed>, sqlx::Error> {
    sqlx::query_as!(
        Confirmed,
        r#"select suspended_at is not null as "suspended!" from users
            where id = $1 and password_hash = $2 for share"#,
        user.0,
        password_hash
    )
    .fetch_optional(tx)
    .await
}

/// Locks an account that has this password and is there; false: it has another by now.
pub(super) async fn lock_confirmed(
    tx: &mut PgConnection,
    user: UserId,
    password_hash: &str,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from users where id = $1 and password_hash = $2 and deleted_at is null for no key update",
        user.0,
        password_hash
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// The same, and whoever writes what refers to the account waits.
pub(super) async fn lock_to_delete(
    tx: &mut PgConnection,
    user: UserId,
    password_hash: &str,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from users where id = $1 and password_hash = $2 and deleted_at is null for update",
        user.0,
        password_hash
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// Locks an account against being deleted; false: it is gone.
pub(super) async fn lock(tx: &mut PgConnection, user: UserId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        "select id from users where id = $1 and deleted_at is null for no key update",
        user.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

pub(super) async fn password_hash(conn: &mut PgConnection, user: UserId) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select password_hash from users where id = $1 and deleted_at is null",
        user.0
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn set_password(tx: &mut PgConnection, user: UserId, hash: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("update users set password_hash = $2 where id = $1", user.0, hash)
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether this is the account's address, and confirmed.
pub(super) async fn is_confirmed(tx: &mut PgConnection, user: UserId, email: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select email = $2 and email_verified_at is not null as "confirmed!" from users where id = $1"#,
        user.0,
        email
    )
    .fetch_one(tx)
    .await
}

pub(super) struct Confirmed {
    pub suspended: bool,
}

/// Masks an account and its profile. Its id stays for what refers to it; the invariants
/// of `hawker verify` know it by `deleted_at`.
pub(super) async fn mask(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users
            set email = 'deleted-' || id || '@deleted.invalid', email_verified_at = null, password_hash = '',
                role = 'user', suspended_at = coalesce(suspended_at, clock_timestamp()),
                deleted_at = clock_timestamp()
          where id = $1",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update profiles
            set handle = 'deleted_' || right(replace(user_id::text, '-', ''), 20), handle_changed_at = null,
                display_name = 'Deleted account', bio = '', avatar_id = null, show_purchases = false,
                updated_at = clock_timestamp()
          where user_id = $1",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn me(conn: &mut PgConnection, user: UserId) -> Result<Option<Me>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select u.id as "id: UserId", u.email, u.email_verified_at is not null as "email_verified!",
                  u.role as "role: Role", p.handle, p.display_name, p.bio,
                  (select picture_json(a) from pictures a where a.id = p.avatar_id) as "avatar: Picture",
                  p.show_purchases, u.created_at, s.id as "seller?: SellerId", s.shop_name as "shop_name?",
                  s.status as "status?: SellerStatus"
             from users u
             join profiles p on p.user_id = u.id
             left join sellers s on s.user_id = u.id
            where u.id = $1"#,
        user.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Me {
        id: row.id,
        email: row.email,
        email_verified: row.email_verified,
        role: row.role,
        handle: row.handle,
        display_name: row.display_name,
        bio: row.bio,
        avatar: row.avatar,
        show_purchases: row.show_purchases,
        seller: match (row.seller, row.shop_name, row.status) {
            (Some(id), Some(shop_name), Some(status)) => Some(MyShop { id, shop_name, status }),
            _ => None,
        },
        created_at: row.created_at,
    }))
}

pub(super) async fn update_profile(tx: &mut PgConnection, user: UserId, profile: &Profile) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update profiles
            set display_name = coalesce($2, display_name), bio = coalesce($3, bio),
                show_purchases = coalesce($4, show_purchases), updated_at = now()
          where user_id = $1",
        user.0,
        profile.display_name.as_deref().map(str::trim),
        profile.bio.as_deref(),
        profile.show_purchases
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Somebody's picture.
pub(super) async fn avatar(conn: &mut PgConnection, user: UserId) -> Result<Option<PictureId>, sqlx::Error> {
    let avatar = sqlx::query_scalar!(
        r#"select avatar_id as "avatar_id: PictureId" from profiles where user_id = $1"#,
        user.0
    );
    Ok(avatar.fetch_optional(conn).await?.flatten())
}

/// Sets somebody's picture, or takes it away: the former one; `None`: there is no profile.
/// The account is locked.
pub(super) async fn set_avatar(
    tx: &mut PgConnection,
    user: UserId,
    picture: Option<PictureId>,
) -> Result<Option<Option<PictureId>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"update profiles p set avatar_id = $2, updated_at = now()
             from profiles was where p.user_id = $1 and was.user_id = $1
           returning was.avatar_id as "avatar_id: PictureId""#,
        user.0,
        picture.map(|picture| picture.0)
    )
    .fetch_optional(tx)
    .await
}

/// A person as everybody sees them, unless the account is suspended or gone.
pub(super) async fn public_profile(
    conn: &mut PgConnection,
    handle: &str,
) -> Result<Option<PublicProfile>, sqlx::Error> {
    sqlx::query_as!(
        PublicProfile,
        r#"select p.handle, p.display_name, p.bio,
                  (select picture_json(a) from pictures a where a.id = p.avatar_id) as "avatar: Picture",
                  s.id as "seller_id?: SellerId"
             from profiles p
             join users u on u.id = p.user_id and u.suspended_at is null
             left join sellers s on s.user_id = u.id and s.status = 'approved'
            where p.handle = $1"#,
        handle
    )
    .fetch_optional(conn)
    .await
}

/// Suspends an account, or lifts that; `false`: it was so already, or is not there.
pub(super) async fn suspend(tx: &mut PgConnection, user: UserId, suspended: bool) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update users set suspended_at = case when $2 then clock_timestamp() end
          where id = $1 and (suspended_at is null) = $2 and deleted_at is null",
        user.0,
        suspended
    )
    .execute(tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// An account as an admin sees it.
pub(super) async fn account(conn: &mut PgConnection, user: UserId) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as!(
        Account,
        r#"select u.id as "id: UserId", u.email, u.email_verified_at, u.role as "role: Role", p.handle, p.display_name,
                  u.suspended_at, u.deleted_at, u.created_at
             from users u join profiles p on p.user_id = u.id where u.id = $1"#,
        user.0
    )
    .fetch_optional(conn)
    .await
}

/// A page of accounts, the newest first. What is looked for is taken as it is: `%` and `_`
/// mean themselves.
pub(super) async fn accounts(conn: &mut PgConnection, find: &Find, page: &Page) -> Result<Vec<Account>, sqlx::Error> {
    let q = find
        .q
        .as_deref()
        .map(|q| q.trim().to_lowercase())
        .filter(|q| !q.is_empty());
    sqlx::query_as!(
        Account,
        r#"select u.id as "id: UserId", u.email, u.email_verified_at, u.role as "role: Role", p.handle, p.display_name,
                  u.suspended_at, u.deleted_at, u.created_at
             from users u join profiles p on p.user_id = u.id
            where ($1::text is null or u.email ^@ $1 or p.handle = $1) and ($2::uuid is null or u.id < $2)
            order by u.id desc limit $3"#,
        q,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

pub(super) struct StandingRow {
    pub deleted: bool,
    pub suspended: bool,
    pub revoked: bool,
    pub standing: Standing,
}

/// One query for all that a request's permission hangs on. A session whose rows were
/// swept away counts as good: its access token has expired long before.
pub(super) async fn standing(
    conn: &mut PgConnection,
    user: UserId,
    session: Uuid,
) -> Result<Option<StandingRow>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select u.role as "role: Role", u.email_verified_at is not null as "confirmed!",
                  u.deleted_at is not null as "deleted!", u.suspended_at is not null as "suspended!",
                  t.revoked_at is not null as "revoked!", s.id as "seller?: SellerId",
                  s.status as "status?: SellerStatus", s.currency as "currency?"
             from users u
             left join sellers s on s.user_id = u.id
             left join refresh_tokens t on t.id = $2 and t.user_id = u.id
            where u.id = $1"#,
        user.0,
        session
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let shop = match (row.seller, row.status, row.currency) {
        (Some(id), Some(status), Some(currency)) => Some(Shop {
            id,
            status,
            currency: Currency::parse(&currency).map_err(|e| sqlx::Error::Decode(e.into()))?,
        }),
        _ => None,
    };
    Ok(Some(StandingRow {
        deleted: row.deleted,
        suspended: row.suspended,
        revoked: row.revoked,
        standing: Standing {
            role: row.role,
            confirmed: row.confirmed,
            shop,
        },
    }))
}
