//! SQL of search. Every query takes the same narrowing; what is null in it narrows nothing
//! and is gone when the plan is made, because plans are made for each search.

use shared::ids::{CategoryId, ProductId, SellerId};
use shared::money::Currency;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::Candidate;

/// Which products.
pub(super) struct Narrow<'a> {
    pub text: Option<&'a str>,
    /// Any of these; empty: none can be.
    pub categories: Option<Vec<Uuid>>,
    pub seller: Option<SellerId>,
    pub in_stock: Option<bool>,
    pub currency: Option<Currency>,
    pub price_min: Option<i64>,
    pub price_max: Option<i64>,
}

/// A product's place in an order.
pub(super) struct Place {
    pub key: i64,
    pub id: ProductId,
}

/// The newest first.
pub(super) async fn newest(
    conn: &mut PgConnection,
    narrow: &Narrow<'_>,
    after: Option<(i64, Uuid)>,
    rows: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    sqlx::query_as!(
        Place,
        r#"select 0::bigint as "key!", p.id as "id: ProductId"
             from products p join sellers s on s.id = p.seller_id and s.status = 'approved'
            where p.status = 'active'
              and ($1::text is null or p.search @@ websearch_to_tsquery('pg_catalog.english', folded($1)))
              and ($2::uuid[] is null or p.category_id = any($2))
              and ($3::uuid is null or p.seller_id = $3)
              and ($4::boolean is null or p.in_stock = $4)
              and ($5::text is null or p.currency = $5)
              and ($6::bigint is null or p.price_from_minor >= $6)
              and ($7::bigint is null or p.price_from_minor <= $7)
              and ($9::uuid is null or p.id < $9)
            order by p.id desc limit $8"#,
        narrow.text,
        narrow.categories.as_deref(),
        narrow.seller.map(|id| id.0),
        narrow.in_stock,
        narrow.currency.map(Currency::code),
        narrow.price_min,
        narrow.price_max,
        rows,
        after.map(|(_, id)| id)
    )
    .fetch_all(conn)
    .await
}

/// The cheapest first.
pub(super) async fn cheapest(
    conn: &mut PgConnection,
    narrow: &Narrow<'_>,
    after: Option<(i64, Uuid)>,
    rows: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    sqlx::query_as!(
        Place,
        r#"select p.price_from_minor as "key!", p.id as "id: ProductId"
             from products p join sellers s on s.id = p.seller_id and s.status = 'approved'
            where p.status = 'active'
              and ($1::text is null or p.search @@ websearch_to_tsquery('pg_catalog.english', folded($1)))
              and ($2::uuid[] is null or p.category_id = any($2))
              and ($3::uuid is null or p.seller_id = $3)
              and ($4::boolean is null or p.in_stock = $4)
              and ($5::text is null or p.currency = $5)
              and ($6::bigint is null or p.price_from_minor >= $6)
              and ($7::bigint is null or p.price_from_minor <= $7)
              and ($10::uuid is null or (p.price_from_minor, p.id) > ($9::bigint, $10))
            order by p.price_from_minor, p.id limit $8"#,
        narrow.text,
        narrow.categories.as_deref(),
        narrow.seller.map(|id| id.0),
        narrow.in_stock,
        narrow.currency.map(Currency::code),
        narrow.price_min,
        narrow.price_max,
        rows,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id)
    )
    .fetch_all(conn)
    .await
}

/// The dearest first.
pub(super) async fn dearest(
    conn: &mut PgConnection,
    narrow: &Narrow<'_>,
    after: Option<(i64, Uuid)>,
    rows: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    sqlx::query_as!(
        Place,
        r#"select p.price_from_minor as "key!", p.id as "id: ProductId"
             from products p join sellers s on s.id = p.seller_id and s.status = 'approved'
            where p.status = 'active'
              and ($1::text is null or p.search @@ websearch_to_tsquery('pg_catalog.english', folded($1)))
              and ($2::uuid[] is null or p.category_id = any($2))
              and ($3::uuid is null or p.seller_id = $3)
              and ($4::boolean is null or p.in_stock = $4)
              and ($5::text is null or p.currency = $5)
              and ($6::bigint is null or p.price_from_minor >= $6)
              and ($7::bigint is null or p.price_from_minor <= $7)
              and ($10::uuid is null or (p.price_from_minor, p.id) < ($9::bigint, $10))
            order by p.price_from_minor desc, p.id desc limit $8"#,
        narrow.text,
        narrow.categories.as_deref(),
        narrow.seller.map(|id| id.0),
        narrow.in_stock,
        narrow.currency.map(Currency::code),
        narrow.price_min,
        narrow.price_max,
        rows,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id)
    )
    .fetch_all(conn)
    .await
}

/// The newest that have the words, no newer than `newest`, with how well they fit.
pub(super) async fn window(
    conn: &mut PgConnection,
    narrow: &Narrow<'_>,
    newest: Option<Uuid>,
    rows: i64,
) -> Result<Vec<Candidate>, sqlx::Error> {
    sqlx::query_as!(
        Candidate,
        r#"select f.id as "id!: ProductId", coalesce((ts_rank(f.search, websearch_to_tsquery('pg_catalog.english', folded($1)), 1) * 1000000)::int, 0) as "rank!",
                  f.category_id as "category_id: CategoryId", f.seller_id as "seller_id!: SellerId",
                  f.shop_name as "shop_name!", f.currency as "currency!", f.price_from_minor as "price_from_minor!",
                  f.in_stock as "in_stock!"
             from (select p.id, p.search, p.category_id, p.seller_id, s.shop_name, p.currency, p.price_from_minor,
                          p.in_stock
                    from products p join sellers s on s.id = p.seller_id and s.status = 'approved'
                   where p.status = 'active'
                     and ($1::text is null or p.search @@ websearch_to_tsquery('pg_catalog.english', folded($1)))
                     and ($2::uuid[] is null or p.category_id = any($2))
                     and ($3::uuid is null or p.seller_id = $3)
                     and ($4::boolean is null or p.in_stock = $4)
                     and ($5::text is null or p.currency = $5)
                     and ($6::bigint is null or p.price_from_minor >= $6)
                     and ($7::bigint is null or p.price_from_minor <= $7)
                     and ($9::uuid is null or p.id <= $9)
                   order by p.id desc limit $8) f
            order by f.id desc"#,
        narrow.text,
        narrow.categories.as_deref(),
        narrow.seller.map(|id| id.0),
        narrow.in_stock,
        narrow.currency.map(Currency::code),
        narrow.price_min,
        narrow.price_max,
        rows,
        newest
    )
    .fetch_all(conn)
    .await
}

/// The newest whose titles are spelt nearly like the text, no newer than `newest`.
pub(super) async fn spelt_alike(
    conn: &mut PgConnection,
    narrow: &Narrow<'_>,
    newest: Option<Uuid>,
    rows: i64,
) -> Result<Vec<Candidate>, sqlx::Error> {
    sqlx::query_as!(
        Candidate,
        r#"select f.id as "id!: ProductId", (word_similarity(folded($1), f.folded_title) * 1000000)::int as "rank!",
                  f.category_id as "category_id: CategoryId", f.seller_id as "seller_id!: SellerId",
                  f.shop_name as "shop_name!", f.currency as "currency!", f.price_from_minor as "price_from_minor!",
                  f.in_stock as "in_stock!"
             from (select p.id, p.folded_title, p.category_id, p.seller_id, s.shop_name, p.currency, p.price_from_minor,
                          p.in_stock
                    from products p join sellers s on s.id = p.seller_id and s.status = 'approved'
                   where p.status = 'active'
                     and folded($1) <% p.folded_title
                     and ($2::uuid[] is null or p.category_id = any($2))
                     and ($3::uuid is null or p.seller_id = $3)
                     and ($4::boolean is null or p.in_stock = $4)
                     and ($5::text is null or p.currency = $5)
                     and ($6::bigint is null or p.price_from_minor >= $6)
                     and ($7::bigint is null or p.price_from_minor <= $7)
                     and ($9::uuid is null or p.id <= $9)
                   order by p.id desc limit $8) f
            order by f.id desc"#,
        narrow.text,
        narrow.categories.as_deref(),
        narrow.seller.map(|id| id.0),
        narrow.in_stock,
        narrow.currency.map(Currency::code),
        narrow.price_min,
        narrow.price_max,
        rows,
        newest
    )
    .fetch_all(conn)
    .await
}
