//! The demo shop's SQL. Every insert keeps what is there.

use sqlx::PgConnection;
use uuid::Uuid;

use super::catalogue::{Account, Product, Shop, Stream, Variant};

/// No password has this hash: nobody signs in with it.
const NO_PASSWORD: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5c2lnbnNpbg$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub async fn lock(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('hawker.seed'))")
        .fetch_one(conn)
        .await?;
    Ok(())
}

pub async fn is_empty(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select not exists (select 1 from users) as "empty!""#)
        .fetch_one(conn)
        .await
}

pub async fn set_passwords(conn: &mut PgConnection, ids: &[Uuid], hash: &str) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("update users set password_hash = $2 where id = any($1)", ids, hash)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub async fn insert_account(conn: &mut PgConnection, account: &Account) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "insert into users (id, email, email_verified_at, password_hash, role)
         values ($1, $2, now(), $3, $4) on conflict do nothing",
        account.id(),
        account.email,
        NO_PASSWORD,
        account.role
    )
    .execute(&mut *conn)
    .await?;
    // The same handle on each machine, and nobody else's.
    sqlx::query!(
        "insert into profiles (user_id, display_name, handle)
         values ($1, $2, 'user_' || left(md5($1::uuid::text), 12)) on conflict do nothing",
        account.id(),
        account.name
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// An address that is the person's default, unless they have chosen another since.
pub async fn insert_address(conn: &mut PgConnection, id: Uuid, user: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into addresses (id, user_id, recipient, line1, city, postal_code, country,
                                is_default_shipping, is_default_billing)
         values ($1, $2, 'Demo Viewer', '7 Quay Street', 'Hamburg', '20457', 'DE', true, true)
         on conflict do nothing",
        id,
        user
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn insert_commission(conn: &mut PgConnection, id: Uuid, rate_bps: i32) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into commission_rules (id, rate_bps) values ($1, $2) on conflict do nothing",
        id,
        rate_bps
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn insert_category(
    conn: &mut PgConnection,
    id: Uuid,
    parent: Option<Uuid>,
    name: &str,
    slug: &str,
    position: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into categories (id, parent_id, name, slug, position) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        id,
        parent,
        name,
        slug,
        position
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn insert_shop(conn: &mut PgConnection, shop: &Shop, owner: Uuid, admin: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into sellers (id, user_id, shop_name, slug, description, country, currency, status, decided_by,
                              decided_at, decision_reason)
         values ($1, $2, $3, $4, $5, 'DE', 'EUR', 'approved', $6, now(), 'demo shop')
         on conflict do nothing",
        shop.id(),
        owner,
        shop.name,
        shop.slug,
        shop.description,
        admin
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn insert_shipping(conn: &mut PgConnection, shop: &Shop) -> Result<(), sqlx::Error> {
    let (base, extra, free_from) = shop.shipping;
    sqlx::query!(
        "insert into shipping_profiles (id, seller_id, name, base_minor, extra_item_minor, free_from_minor, currency)
         values ($1, $2, 'Standard', $3, $4, $5, 'EUR')
         on conflict do nothing",
        shop.shipping_id(),
        shop.id(),
        base,
        extra,
        free_from
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn insert_product(
    conn: &mut PgConnection,
    product: &Product,
    shop: &Shop,
    category: Uuid,
    option_axes: &[String],
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "insert into products (id, seller_id, category_id, shipping_profile_id, title, description, image_url,
                               option_axes, currency, status)
         values ($1, $2, $3, $4, $5, $6, $7, $8, 'EUR', 'active')
         on conflict do nothing",
        product.id(),
        shop.id(),
        category,
        shop.shipping_id(),
        product.title,
        product.description,
        crate::pictures::address(product.id()),
        option_axes
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// A variant and the movement that explains its stock: both, or neither.
pub async fn insert_variant(
    conn: &mut PgConnection,
    product: Uuid,
    variant: &Variant,
    position: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with v as (
             insert into product_variants (id, product_id, sku, options, price_minor, on_hand, position)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict do nothing
             returning id, on_hand
         )
         insert into inventory_movements (id, variant_id, on_hand, reason)
         select $8, id, on_hand, 'initial' from v where on_hand <> 0",
        variant.id(),
        product,
        variant.sku,
        serde_json::Value::Object(variant.options.clone()),
        variant.price_minor,
        variant.on_hand,
        position,
        variant.movement_id()
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn insert_stream(conn: &mut PgConnection, stream: &Stream, seller: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into streams (id, seller_id, title, description, cover_url, status, scheduled_at, started_at)
         values ($1, $2, $3, $4, $5,
                 case when $6 then 'live' else 'scheduled' end,
                 case when $6 then now() else date_trunc('hour', now()) + interval '2 days' end,
                 case when $6 then now() end)
         on conflict do nothing",
        stream.id(),
        seller,
        stream.title,
        stream.description,
        crate::pictures::address(stream.id()),
        stream.live
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A place in a show's line-up, as long as the show is not over.
pub async fn insert_line_up(
    conn: &mut PgConnection,
    stream: Uuid,
    product: Uuid,
    position: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into stream_products (stream_id, product_id, position)
         select id, $2, $3 from streams where id = $1 and status in ('scheduled', 'live')
         on conflict do nothing",
        stream,
        product,
        position
    )
    .execute(conn)
    .await?;
    Ok(())
}
