//! SQL of `users`, `profiles` and `refresh_tokens`.

use shared::ids::{SellerId, UserId};
use shared::money::Currency;
use shared::status::SellerStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Account, Me, MyShop, Profile, Role, Shop, Standing};

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

pub(super) async fn insert_profile(tx: &mut PgConnection, user: UserId, display_name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into profiles (user_id, display_name) values ($1, $2)",
        user.0,
        display_name
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) struct Credentials {
    pub id: UserId,
    pub password_hash: String,
    pub suspended: bool,
}

pub(super) async fn credentials(conn: &mut PgConnection, email: &str) -> Result<Option<Credentials>, sqlx::Error> {
    sqlx::query_as!(
        Credentials,
        r#"select id as "id: UserId", password_hash, suspended_at is not null as "suspended!"
             from users where email = $1"#,
        email
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn me(conn: &mut PgConnection, user: UserId) -> Result<Option<Me>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select u.id as "id: UserId", u.email, u.role as "role: Role", p.display_name, p.bio, p.show_purchases,
                  u.created_at, s.id as "seller?: SellerId", s.shop_name as "shop_name?",
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
        role: row.role,
        display_name: row.display_name,
        bio: row.bio,
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

/// Suspends an account, or lifts that; `false`: it was so already, or is not there.
pub(super) async fn suspend(tx: &mut PgConnection, user: UserId, suspended: bool) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update users set suspended_at = case when $2 then clock_timestamp() end
          where id = $1 and (suspended_at is null) = $2",
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
        r#"select u.id as "id: UserId", u.email, u.role as "role: Role", p.display_name, u.suspended_at, u.created_at
             from users u join profiles p on p.user_id = u.id where u.id = $1"#,
        user.0
    )
    .fetch_optional(conn)
    .await
}

pub(super) struct StandingRow {
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
        r#"select u.role as "role: Role", u.suspended_at is not null as "suspended!",
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
        suspended: row.suspended,
        revoked: row.revoked,
        standing: Standing { role: row.role, shop },
    }))
}

pub(super) async fn insert_token(
    tx: &mut PgConnection,
    id: Uuid,
    family: Uuid,
    user: UserId,
    hash: &[u8],
    days: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into refresh_tokens (id, family_id, user_id, token_hash, expires_at)
         values ($1, $2, $3, $4, now() + make_interval(days => $5))",
        id,
        family,
        user.0,
        hash,
        days
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn family_of(conn: &mut PgConnection, hash: &[u8]) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select family_id from refresh_tokens where token_hash = $1", hash)
        .fetch_optional(conn)
        .await
}

/// Takes the family's lock: the row that began it. A token's own row would not do: a
/// renewal under way adds a row that a revocation waiting for another could not see.
pub(super) async fn lock_family(tx: &mut PgConnection, family: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query_scalar!("select id from refresh_tokens where id = $1 for update", family)
        .fetch_optional(tx)
        .await?;
    Ok(())
}

pub(super) struct Token {
    pub user: UserId,
    pub spent: bool,
    pub revoked: bool,
    pub expired: bool,
    pub suspended: bool,
}

pub(super) async fn token(tx: &mut PgConnection, hash: &[u8]) -> Result<Option<Token>, sqlx::Error> {
    sqlx::query_as!(
        Token,
        r#"select t.user_id as "user: UserId", t.used_at is not null as "spent!", t.revoked_at is not null as "revoked!",
                  t.expires_at <= clock_timestamp() as "expired!", u.suspended_at is not null as "suspended!"
             from refresh_tokens t join users u on u.id = t.user_id
            where t.token_hash = $1"#,
        hash
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn spend(tx: &mut PgConnection, hash: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set used_at = clock_timestamp() where token_hash = $1 and used_at is null",
        hash
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn revoke_family(tx: &mut PgConnection, family: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update refresh_tokens set revoked_at = clock_timestamp() where family_id = $1 and revoked_at is null",
        family
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes families whose every token ran out a day ago, some at a time. The first row
/// of a family goes with its last: it is the family's lock. How many tokens.
pub(super) async fn delete_expired(conn: &mut PgConnection, families: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from refresh_tokens where family_id in (
             select f.id from refresh_tokens f
              where f.id = f.family_id and f.expires_at < now() - interval '1 day'
                and not exists (select 1 from refresh_tokens t
                                 where t.family_id = f.id and t.expires_at >= now() - interval '1 day')
              limit $1)",
        families
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
