//! The rows that a measurement starts from, and what it asks the database afterwards:
//! all SQL of the load program.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use shared::ids::{AddressId, ProductId, SellerId, StreamId, UserId, VariantId};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// Makes accounts that nobody can log in to.
pub(super) async fn insert_people(conn: &mut PgConnection, people: &[UserId]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = people.iter().map(|user| user.0).collect();
    sqlx::query!(
        "insert into users (id, email, password_hash)
         select id, replace(id::text, '-', '') || '@load.hawker.example', 'none' from unnest($1::uuid[]) t (id)",
        &ids
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into profiles (user_id, display_name)
         select id, 'Viewer ' || n from unnest($1::uuid[]) with ordinality t (id, n)",
        &ids
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes an approved shop of `owner`.
pub(super) async fn insert_shop(conn: &mut PgConnection, owner: UserId) -> Result<SellerId, sqlx::Error> {
    let seller = SellerId::new();
    sqlx::query!(
        "insert into sellers (id, user_id, shop_name, slug, country, currency, status, decided_at)
         values ($1, $2, 'Load Shop', $3, 'DE', 'EUR', 'approved', now())",
        seller.0,
        owner.0,
        format!("load-{}", seller.0.simple())
    )
    .execute(conn)
    .await?;
    Ok(seller)
}

/// Makes a show of the shop that is on air.
pub(super) async fn insert_show(conn: &mut PgConnection, seller: SellerId) -> Result<StreamId, sqlx::Error> {
    let stream = StreamId::new();
    sqlx::query!(
        "insert into streams (id, seller_id, title, status, scheduled_at, started_at)
         values ($1, $2, 'Load Show', 'live', now(), now())",
        stream.0,
        seller.0
    )
    .execute(conn)
    .await?;
    Ok(stream)
}

/// Makes a product with one variant of so many units, in the show's line-up.
pub(super) async fn insert_product(
    conn: &mut PgConnection,
    seller: SellerId,
    stream: StreamId,
    units: i32,
) -> Result<VariantId, sqlx::Error> {
    let (product, variant) = (ProductId::new(), VariantId::new());
    sqlx::query!(
        "insert into products (id, seller_id, title, currency, status) values ($1, $2, 'Load Bowl', 'EUR', 'active')",
        product.0,
        seller.0
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into product_variants (id, product_id, sku, price_minor, on_hand) values ($1, $2, 'LOAD-' || gen_random_uuid(), 1900, $3)",
        variant.0,
        product.0,
        units
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into inventory_movements (id, variant_id, on_hand, reason) values ($1, $2, $3, 'initial')",
        Uuid::now_v7(),
        variant.0,
        units
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "insert into stream_products (stream_id, product_id) values ($1, $2)",
        stream.0,
        product.0
    )
    .execute(conn)
    .await?;
    Ok(variant)
}

/// Another shop with so many products of so many units, in a show of its own; the variants.
pub async fn insert_market(pool: &PgPool, products: usize, units: i32) -> Result<Vec<VariantId>, sqlx::Error> {
    let owner = UserId::new();
    let mut tx = pool.begin().await?;
    insert_people(&mut tx, &[owner]).await?;
    let seller = insert_shop(&mut tx, owner).await?;
    let stream = insert_show(&mut tx, seller).await?;
    let mut variants = Vec::with_capacity(products);
    for _ in 0..products {
        variants.push(insert_product(&mut tx, seller, stream, units).await?);
    }
    tx.commit().await?;
    Ok(variants)
}

/// An address for each of these; in their order.
pub async fn insert_addresses(pool: &PgPool, people: &[UserId]) -> Result<Vec<AddressId>, sqlx::Error> {
    let users: Vec<Uuid> = people.iter().map(|user| user.0).collect();
    let ids: Vec<Uuid> = people.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query!(
        "insert into addresses (id, user_id, recipient, line1, city, postal_code, country)
         select t.id, t.user_id, 'Load Buyer', '1 Quay Street', 'Hamburg', '20457', 'DE'
           from unnest($1::uuid[], $2::uuid[]) t (id, user_id)",
        &ids,
        &users
    )
    .execute(pool)
    .await?;
    // Plans as on a database that has been there for a while.
    sqlx::query("analyze").execute(pool).await?;
    Ok(ids.into_iter().map(AddressId).collect())
}

/// Units granted in a sale and how many it has: for the proof that none was sold twice.
pub async fn granted(pool: &PgPool, sale: shared::ids::SaleId) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.quantity::bigint as "units!",
                  coalesce((select sum(r.quantity) from reservations r
                             where r.sale_id = s.id and r.status in ('held', 'paying', 'converted')), 0) as "granted!"
             from flash_sales s where s.id = $1"#,
        sale.0
    )
    .fetch_one(pool)
    .await?;
    Ok((row.granted, row.units))
}

/// The request ids of the chat of a show.
pub async fn said(pool: &PgPool, stream: StreamId) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select request_id as "request_id!" from stream_chat_messages where stream_id = $1 and request_id is not null"#,
        stream.0
    )
    .fetch_all(pool)
    .await
}

/// What a COPY took.
pub struct Copied {
    /// Rows.
    pub rows: u64,
    /// From the first byte to the end of the commit.
    pub took: Duration,
}

/// Copies the chat of a show into a table like its own, with the same constraints and
/// indexes: the least that Postgres needs for these rows. The table is dropped again.
pub async fn copy_said(pool: &PgPool, stream: StreamId) -> Result<Copied, sqlx::Error> {
    let mut conn = pool.acquire().await?;
    let out = format!("copy (select * from stream_chat_messages where stream_id = '{stream}' order by seq) to stdout");
    let mut rows = Vec::new();
    let mut chunks = conn.copy_out_raw(&out).await?;
    while let Some(chunk) = chunks.next().await {
        rows.extend_from_slice(&chunk?);
    }
    drop(chunks);
    // Not checked when this is compiled: the table is there for a moment only.
    for statement in [
        "create table copied_chat (like stream_chat_messages including all)",
        "alter table copied_chat add foreign key (stream_id) references streams",
        "alter table copied_chat add foreign key (user_id) references users",
        "checkpoint",
    ] {
        sqlx::query(statement).execute(&mut *conn).await?;
    }
    let start = Instant::now();
    let mut copy = conn.copy_in_raw("copy copied_chat from stdin").await?;
    for chunk in rows.chunks(64 * 1024) {
        copy.send(chunk).await?;
    }
    let rows = copy.finish().await?;
    let took = start.elapsed();
    sqlx::query("drop table copied_chat").execute(&mut *conn).await?;
    Ok(Copied { rows, took })
}
