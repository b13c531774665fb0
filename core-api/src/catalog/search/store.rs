//! SQL of search. Every query takes the same narrowing; what is null in it narrows nothing
//! and is gone when the plan is made, because plans are made for each search.
//!
//! The database cannot estimate how many products have a word that is rare, or words
//! together, nor how old those are. So there are three ways through an order: `_near` looks
//! at so many products from a place on and no further, `_gathered` looks up what has the
//! words and sorts it, and the third reads an index in its order for as long as it takes.

mod spelling;

use shared::Timestamp;
use shared::ids::{ProductId, SellerId};
use shared::money::Currency;
use sqlx::PgConnection;
use uuid::Uuid;

pub(super) use self::spelling::{delete_unused_words, is_found, look_words_up, near};
use super::facets::Tally;

/// A text as the database reads it.
pub(super) struct Words {
    /// What has it, as a `tsquery`.
    pub query: String,
    /// What has any word of it, likewise.
    pub any: String,
    /// It in small letters without marks.
    pub folded: String,
}

/// Which products.
pub(super) struct Narrow {
    pub words: Option<Words>,
    /// Any of these; empty: none can be.
    pub categories: Option<Vec<Uuid>>,
    pub seller: Option<SellerId>,
    pub in_stock: Option<bool>,
    pub currency: Option<Currency>,
    pub price_min: Option<i64>,
    pub price_max: Option<i64>,
}

impl Narrow {
    fn query(&self) -> Option<&str> {
        self.words.as_ref().map(|words| words.query.as_str())
    }

    fn any(&self) -> &str {
        self.words.as_ref().map_or("", |words| words.any.as_str())
    }

    fn folded(&self) -> &str {
        self.words.as_ref().map_or("", |words| words.folded.as_str())
    }
}

/// A product's place in an order.
pub(super) struct Place {
    pub key: i64,
    pub id: ProductId,
}

/// Which of the products that have the words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Among {
    /// All of them, or all products where there are no words.
    All,
    /// Those that have them in their titles, which are not the very text.
    Title,
    /// Those that have not.
    Elsewhere,
}

impl Among {
    const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Title => "title",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// A place in an order that was made, and how many products were put into it.
pub(super) struct Sorted {
    pub key: i64,
    pub id: ProductId,
    pub of: i64,
}

impl From<Sorted> for Place {
    fn from(sorted: Sorted) -> Self {
        Self {
            key: sorted.key,
            id: sorted.id,
        }
    }
}

/// Selects from the products `p` that everybody may see and that the narrowing, `$1` to
/// `$7`, leaves; the text before says what of which products, the text after in which
/// order, and either may have values from `$8` on.
macro_rules! narrowed {
    ($row:ident, [$($before:literal)+], [$($after:literal)+], $narrow:expr, $($value:expr),+) => {
        sqlx::query_as!(
            $row,
            $($before +)+ r#"
             join sellers s on s.id = p.seller_id and s.status = 'approved'
            where p.status = 'active'
              and ($1::text is null or p.search @@ $1::text::tsquery)
              and ($2::uuid[] is null or p.category_id = any($2))
              and ($3::uuid is null or p.seller_id = $3)
              and ($4::boolean is null or p.in_stock = $4)
              and ($5::text is null or p.currency = $5)
              and ($6::bigint is null or p.price_to_minor >= $6)
              and ($7::bigint is null or p.price_from_minor <= $7)
              and ($6::bigint is null or $7::bigint is null or p.price_from_minor >= $6 or p.price_to_minor <= $7
                   or exists (select from product_variants v
                               where v.product_id = p.id and v.price_minor between $6 and $7))
            "# $(+ $after)+,
            $narrow.query(),
            $narrow.categories.as_deref(),
            $narrow.seller.map(|id| id.0),
            $narrow.in_stock,
            $narrow.currency.map(Currency::code),
            $narrow.price_min,
            $narrow.price_max,
            $($value),+
        )
    };
}

/// The same of what is behind a time and an id, `$8` and `$9`, in one of the ways in which
/// products may have the words, `$10` to `$12`; further values are from `$13` on.
macro_rules! by_time {
    ($row:ident, [$($before:literal)+], [$($after:literal)+], $narrow:expr, $among:expr, $place:expr, $($value:expr),+) => {
        narrowed!(
            $row,
            [$($before)+],
            ["and ($8::timestamptz is null or (p.published_at, p.id) < ($8, $9::uuid))
              and ($10::text <> 'title' or p.title_words @@ $1::text::tsquery and p.folded_title <> $11) "
             // What has the words, and not all of them in its title, has one in its description:
             // that is what an index finds.
             "and ($10::text <> 'elsewhere' or not p.title_words @@ $1::text::tsquery and p.folded_title <> $11
                   and p.other_words @@ $12::text::tsquery) "
             $($after)+],
            $narrow,
            $place.map(|(time, _)| time),
            $place.map(|(_, id)| id),
            $among.name(),
            $narrow.folded(),
            $narrow.any(),
            $($value),+
        )
    };
}

/// What a text asks for.
pub(super) async fn words(conn: &mut PgConnection, text: &str) -> Result<Words, sqlx::Error> {
    sqlx::query_as!(
        Words,
        r#"select websearch_to_tsquery('pg_catalog.english', folded($1))::text as "query!",
                  (select coalesce(string_agg(quote_literal(lexeme), ' | '), '')
                     from unnest(to_tsvector('pg_catalog.english', folded($1)))) as "any!",
                  folded($1) as "folded!""#,
        text
    )
    .fetch_one(conn)
    .await
}

/// The newest first; keys are microseconds since 1970.
pub(super) async fn newest(
    conn: &mut PgConnection,
    narrow: &Narrow,
    among: Among,
    after: Option<(Timestamp, Uuid)>,
    rows: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    by_time!(
        Place,
        [
            r#"select (extract(epoch from p.published_at) * 1000000)::bigint as "key!", p.id as "id: ProductId"
              from products p"#
        ],
        ["order by p.published_at desc, p.id desc limit $13"],
        narrow,
        among,
        after,
        rows
    )
    .fetch_all(conn)
    .await
}

/// The same of the next `near` products alone.
pub(super) async fn newest_near(
    conn: &mut PgConnection,
    narrow: &Narrow,
    among: Among,
    after: Option<(Timestamp, Uuid)>,
    rows: i64,
    near: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    by_time!(
        Place,
        [
            r#"select (extract(epoch from p.published_at) * 1000000)::bigint as "key!", p.id as "id: ProductId"
              from (select * from products
                     where status = 'active' and ($8::timestamptz is null or (published_at, id) < ($8, $9::uuid))
                     order by published_at desc, id desc limit $14) p"#
        ],
        ["order by p.published_at desc, p.id desc limit $13"],
        narrow,
        among,
        after,
        rows,
        near
    )
    .fetch_all(conn)
    .await
}

/// The same of `most` products, whichever those are: all of them, if there are no more.
pub(super) async fn newest_gathered(
    conn: &mut PgConnection,
    narrow: &Narrow,
    among: Among,
    after: Option<(Timestamp, Uuid)>,
    rows: i64,
    most: i64,
) -> Result<Vec<Sorted>, sqlx::Error> {
    by_time!(
        Sorted,
        [
            r#"select (extract(epoch from published_at) * 1000000)::bigint as "key!", id as "id!: ProductId",
                   count(*) over () as "of!"
              from (select p.published_at, p.id from products p"#
        ],
        ["limit $14) found order by published_at desc, id desc limit $13"],
        narrow,
        among,
        after,
        rows,
        most
    )
    .fetch_all(conn)
    .await
}

/// The cheapest first.
pub(super) async fn cheapest(
    conn: &mut PgConnection,
    narrow: &Narrow,
    after: Option<(i64, Uuid)>,
    rows: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    narrowed!(
        Place,
        [r#"select p.price_from_minor as "key!", p.id as "id: ProductId" from products p"#],
        ["and ($8::bigint is null or (p.price_from_minor, p.id) > ($8, $9::uuid))
          order by p.price_from_minor, p.id limit $10"],
        narrow,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id),
        rows
    )
    .fetch_all(conn)
    .await
}

/// The same of the next `near` products alone that are in the currency and not too cheap, which
/// the index knows.
pub(super) async fn cheapest_near(
    conn: &mut PgConnection,
    narrow: &Narrow,
    after: Option<(i64, Uuid)>,
    rows: i64,
    near: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    narrowed!(
        Place,
        [r#"select p.price_from_minor as "key!", p.id as "id: ProductId"
              from (select * from products where status = 'active' and currency = $5
                       and ($6::bigint is null or price_to_minor >= $6)
                       and ($8::bigint is null or (price_from_minor, id) > ($8, $9::uuid))
                     order by price_from_minor, id limit $11) p"#],
        ["order by p.price_from_minor, p.id limit $10"],
        narrow,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id),
        rows,
        near
    )
    .fetch_all(conn)
    .await
}

/// The dearest first.
pub(super) async fn dearest(
    conn: &mut PgConnection,
    narrow: &Narrow,
    after: Option<(i64, Uuid)>,
    rows: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    narrowed!(
        Place,
        [r#"select p.price_from_minor as "key!", p.id as "id: ProductId" from products p"#],
        ["and ($8::bigint is null or (p.price_from_minor, p.id) < ($8, $9::uuid))
          order by p.price_from_minor desc, p.id desc limit $10"],
        narrow,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id),
        rows
    )
    .fetch_all(conn)
    .await
}

/// The same of the next `near` products alone that are in the currency and within the prices.
pub(super) async fn dearest_near(
    conn: &mut PgConnection,
    narrow: &Narrow,
    after: Option<(i64, Uuid)>,
    rows: i64,
    near: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    narrowed!(
        Place,
        [r#"select p.price_from_minor as "key!", p.id as "id: ProductId"
              from (select * from products where status = 'active' and currency = $5
                       and ($6::bigint is null or price_to_minor >= $6)
                       and ($7::bigint is null or price_from_minor <= $7)
                       and ($8::bigint is null or (price_from_minor, id) < ($8, $9::uuid))
                     order by price_from_minor desc, id desc limit $11) p"#],
        ["order by p.price_from_minor desc, p.id desc limit $10"],
        narrow,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id),
        rows,
        near
    )
    .fetch_all(conn)
    .await
}

/// The cheapest, or the dearest first, of `most` products, whichever those are.
pub(super) async fn priced_gathered(
    conn: &mut PgConnection,
    narrow: &Narrow,
    dearest: bool,
    after: Option<(i64, Uuid)>,
    rows: i64,
    most: i64,
) -> Result<Vec<Sorted>, sqlx::Error> {
    narrowed!(
        Sorted,
        [
            r#"select price_from_minor as "key!", id as "id!: ProductId", count(*) over () as "of!"
              from (select p.price_from_minor, p.id from products p"#
        ],
        ["and ($8::bigint is null
               or case when $12::boolean then (p.price_from_minor, p.id) < ($8, $9::uuid)
                       else (p.price_from_minor, p.id) > ($8, $9::uuid) end)
          limit $11) found
          order by case when $12 then price_from_minor end desc, case when $12 then id end desc,
                   price_from_minor, id limit $10"],
        narrow,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id),
        rows,
        most,
        dearest
    )
    .fetch_all(conn)
    .await
}

/// What fits the words best, of at most `most` products that have them; keys are ranks in millionths, and a title that is the very text is a whole one better.
pub(super) async fn ranked(
    conn: &mut PgConnection,
    narrow: &Narrow,
    most: i64,
    after: Option<(i64, Uuid)>,
    rows: i64,
) -> Result<Vec<Sorted>, sqlx::Error> {
    narrowed!(
        Sorted,
        [r#"select rank as "key!", id as "id!: ProductId", "of" as "of!"
              from (select id, rank, count(*) over () as "of" from (
               select p.id, (ts_rank(p.search, $1::text::tsquery, 1) * 1000000)::bigint
                            + case when p.folded_title = $8 then 1000000 else 0 end as rank
                 from products p"#],
        ["limit $9) found) counted
           where ($10::bigint is null or (rank, id) < ($10, $11::uuid))
           order by rank desc, id desc limit $12"],
        narrow,
        narrow.folded(),
        most,
        after.map(|(key, _)| key),
        after.map(|(_, id)| id),
        rows
    )
    .fetch_all(conn)
    .await
}

/// Products whose title is the very text, the newest first; keys are microseconds since
/// 1970.
pub(super) async fn exact(
    conn: &mut PgConnection,
    narrow: &Narrow,
    after: Option<(Timestamp, Uuid)>,
    rows: i64,
) -> Result<Vec<Place>, sqlx::Error> {
    narrowed!(
        Place,
        [
            r#"select (extract(epoch from p.published_at) * 1000000)::bigint as "key!", p.id as "id: ProductId"
              from products p"#
        ],
        ["and p.folded_title = $8
          and ($9::timestamptz is null or (p.published_at, p.id) < ($9, $10::uuid))
          order by p.published_at desc, p.id desc limit $11"],
        narrow,
        narrow.folded(),
        after.map(|(time, _)| time),
        after.map(|(_, id)| id),
        rows
    )
    .fetch_all(conn)
    .await
}

/// How at most `most` that were found divide, whichever those are.
pub(super) async fn tallies(conn: &mut PgConnection, narrow: &Narrow, most: i64) -> Result<Vec<Tally>, sqlx::Error> {
    narrowed!(
        Tally,
        ["with recursive found as materialized (
             select p.category_id, p.seller_id, s.shop_name, p.currency, p.price_from_minor as price, p.in_stock
               from products p"],
        [r#"limit $8
         ), direct as (
             select category_id as id, count(*) as n from found where category_id is not null group by category_id
         ), above (id, n) as (
             select id, n from direct
             union all
             select c.parent_id, a.n from above a join categories c on c.id = a.id where c.parent_id is not null
         ), bounds as (
             select currency, percentile_disc(array[0.2, 0.4, 0.6, 0.8]) within group (order by price) as uppers
               from found group by currency
         )
         select 'all' as "kind!", null::uuid as id, '' as "name!", count(*) as "count!",
                count(*) filter (where in_stock) as "low!", 0::bigint as "high!"
           from found
         union all
         select 'uncategorised', null, '', count(*), 0, 0 from found where category_id is null having count(*) > 0
         union all
         (select 'category', id, '', sum(n)::bigint, 0, 0 from above group by id order by sum(n) desc, id limit $9)
         union all
         (select 'seller', seller_id, min(shop_name), count(*), 0, 0 from found
           group by seller_id order by count(*) desc, seller_id limit $10)
         union all
         (select 'price', null, f.currency, count(*), min(f.price), max(f.price)
            from found f join bounds b using (currency)
           group by f.currency, width_bucket(f.price - 1, b.uppers) order by f.currency, min(f.price))"#],
        narrow,
        most,
        super::facets::CATEGORIES_MAX,
        super::facets::SELLERS_MAX
    )
    .fetch_all(conn)
    .await
}
