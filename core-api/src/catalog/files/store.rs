//! SQL of `product_imports` and `product_import_lines`, and what a line looks up.

use shared::ids::{ImportId, ProductId, SellerId, UserId, VariantId};
use shared::money::Currency;
use shared::status::SellerStatus;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Import, ImportStatus, Outcome, ReportLine};
use crate::catalog::products::model::Options;
use crate::http::{Page, Shopkeeper};

/// Whether the shop may send a file now: no other of its is being taken, or waits to be
/// applied. Until the transaction ends, no other is taken.
pub(super) async fn reserve(tx: &mut PgConnection, seller: SellerId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('product_imports ' || $1::uuid::text, 0))
                  and not exists (select from product_imports where seller_id = $1 and status <> 'done') as "free!""#,
        seller.0
    )
    .fetch_one(tx)
    .await
}

/// Takes a file; `None`: another one of the shop is not done.
pub(super) async fn insert(
    tx: &mut PgConnection,
    id: ImportId,
    shop: &Shopkeeper,
    file: &[u8],
    total: i32,
) -> Result<Option<Import>, sqlx::Error> {
    sqlx::query_as!(
        Import,
        r#"insert into product_imports (id, seller_id, user_id, file, total_lines) values ($1, $2, $3, $4, $5)
           on conflict (seller_id) where status <> 'done' do nothing
           returning id as "id: ImportId", status as "status: ImportStatus", total_lines, done_lines, created, updated,
                     unchanged, refused, created_at, finished_at"#,
        id.0,
        shop.seller.0,
        shop.user.0,
        file,
        total
    )
    .fetch_optional(tx)
    .await
}

pub(super) async fn list(conn: &mut PgConnection, seller: SellerId, page: &Page) -> Result<Vec<Import>, sqlx::Error> {
    sqlx::query_as!(
        Import,
        r#"select id as "id: ImportId", status as "status: ImportStatus", total_lines, done_lines, created, updated,
                  unchanged, refused, created_at, finished_at
             from product_imports where seller_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

pub(super) async fn get(
    conn: &mut PgConnection,
    seller: SellerId,
    id: ImportId,
) -> Result<Option<Import>, sqlx::Error> {
    sqlx::query_as!(
        Import,
        r#"select id as "id: ImportId", status as "status: ImportStatus", total_lines, done_lines, created, updated,
                  unchanged, refused, created_at, finished_at
             from product_imports where id = $2 and seller_id = $1"#,
        seller.0,
        id.0
    )
    .fetch_optional(conn)
    .await
}

pub(super) async fn report(
    conn: &mut PgConnection,
    import: ImportId,
    outcome: Option<Outcome>,
    after: Option<i32>,
    rows: i64,
) -> Result<Vec<ReportLine>, sqlx::Error> {
    sqlx::query_as!(
        ReportLine,
        r#"select line, sku, outcome as "outcome: Outcome", code, field, detail from product_import_lines
            where import_id = $1 and ($2::text is null or outcome = $2) and line > $3 order by line limit $4"#,
        import.0,
        outcome.map(Outcome::as_str),
        after.unwrap_or_default(),
        rows
    )
    .fetch_all(conn)
    .await
}

/// An import that is not done, with its file.
pub(super) struct Waiting {
    pub id: ImportId,
    pub seller: SellerId,
    pub user: UserId,
    pub currency: String,
    pub file: Option<Vec<u8>>,
}

/// The oldest import that is not done after `after`, and that nobody works on at this moment.
pub(super) async fn next(conn: &mut PgConnection, after: Option<ImportId>) -> Result<Option<Waiting>, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"select i.id as "id: ImportId", i.seller_id as "seller: SellerId", i.user_id as "user: UserId", s.currency, i.file
             from product_imports i join sellers s on s.id = i.seller_id
            where i.status <> 'done' and ($1::uuid is null or i.id > $1)
            order by i.id limit 1 for update of i skip locked"#,
        after.map(|id| id.0)
    )
    .fetch_optional(conn)
    .await
}

/// How many lines of an import are done, locked for as long as the caller works on the
/// next; `None`: it is done, or somebody else works on it.
pub(super) async fn claim(tx: &mut PgConnection, id: ImportId) -> Result<Option<(i32, SellerStatus)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select i.done_lines, s.status as "status: SellerStatus"
             from product_imports i join sellers s on s.id = i.seller_id
            where i.id = $1 and i.status <> 'done' for update of i skip locked"#,
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.done_lines, row.status)))
}

/// Locks what lines name that is there, variants before products and each in the order of
/// their ids, so that the lines may come in any.
pub(super) async fn lock_named(
    tx: &mut PgConnection,
    seller: SellerId,
    skus: &[String],
    keys: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select id from product_variants where seller_id = $1 and sku = any($2) order by id for no key update",
        seller.0,
        skus
    )
    .fetch_all(&mut *tx)
    .await?;
    let ids: Vec<Uuid> = keys.iter().filter_map(|key| key.parse().ok()).collect();
    sqlx::query!(
        "select id from products where seller_id = $1 and (external_key = any($2) or id = any($3))
          order by id for no key update",
        seller.0,
        keys,
        &ids
    )
    .fetch_all(tx)
    .await?;
    Ok(())
}

/// The shop's product of this key: its name for it, or its id.
pub(super) async fn product_of_key(
    conn: &mut PgConnection,
    seller: SellerId,
    key: &str,
) -> Result<Option<ProductId>, sqlx::Error> {
    let id: Option<Uuid> = key.parse().ok();
    sqlx::query_scalar!(
        r#"select id as "id: ProductId" from products where seller_id = $1 and (external_key = $2 or id = $3)"#,
        seller.0,
        key,
        id
    )
    .fetch_optional(conn)
    .await
}

/// A variant that a line names.
pub(super) struct Named {
    pub id: VariantId,
    pub product: ProductId,
    pub options: Json<Options>,
    pub price_minor: i64,
    pub compare_at_minor: Option<i64>,
}

pub(super) async fn variant_of_sku(
    conn: &mut PgConnection,
    seller: SellerId,
    sku: &str,
) -> Result<Option<Named>, sqlx::Error> {
    sqlx::query_as!(
        Named,
        r#"select id as "id: VariantId", product_id as "product: ProductId", options as "options: Json<Options>",
                  price_minor, compare_at_minor
             from product_variants where seller_id = $1 and sku = $2"#,
        seller.0,
        sku
    )
    .fetch_optional(conn)
    .await
}

/// Writes what became of lines, counts them, and is done with the last.
pub(super) async fn settle(tx: &mut PgConnection, id: ImportId, lines: &[ReportLine]) -> Result<(), sqlx::Error> {
    let numbers: Vec<i32> = lines.iter().map(|line| line.line).collect();
    let skus: Vec<&str> = lines.iter().map(|line| line.sku.as_str()).collect();
    let outcomes: Vec<&str> = lines.iter().map(|line| line.outcome.as_str()).collect();
    let codes: Vec<Option<&str>> = lines.iter().map(|line| line.code.as_deref()).collect();
    let fields: Vec<Option<&str>> = lines.iter().map(|line| line.field.as_deref()).collect();
    let details: Vec<Option<&str>> = lines.iter().map(|line| line.detail.as_deref()).collect();
    sqlx::query!(
        "insert into product_import_lines (import_id, line, sku, outcome, code, field, detail)
         select $1, t.* from unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) t",
        id.0,
        &numbers,
        &skus as &[&str],
        &outcomes as &[&str],
        &codes as &[Option<&str>],
        &fields as &[Option<&str>],
        &details as &[Option<&str>]
    )
    .execute(&mut *tx)
    .await?;
    let count = |outcome| i32::try_from(lines.iter().filter(|line| line.outcome == outcome).count()).unwrap_or(0);
    sqlx::query!(
        "update product_imports i
            set created = created + $2, updated = updated + $3, unchanged = unchanged + $4, refused = refused + $5,
                done_lines = done_lines + n.lines, started_at = coalesce(started_at, now()),
                status = case when done_lines + n.lines = total_lines then 'done' else 'running' end,
                finished_at = case when done_lines + n.lines = total_lines then now() end,
                file = case when done_lines + n.lines = total_lines then null else file end
           from (select $2::int + $3::int + $4::int + $5::int as lines) n
          where i.id = $1",
        id.0,
        count(Outcome::Created),
        count(Outcome::Updated),
        count(Outcome::Unchanged),
        count(Outcome::Refused)
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(super) async fn delete_old(conn: &mut PgConnection, limit: i64) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from product_imports where id in (
             select id from product_imports where finished_at < now() - interval '30 days'
              order by finished_at limit $1 for update skip locked)",
        limit
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// What the shop's prices are in.
pub(super) fn currency(code: &str) -> Result<Currency, sqlx::Error> {
    Currency::parse(code).map_err(|error| sqlx::Error::Decode(error.into()))
}
