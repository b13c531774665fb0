//! SQL of `discount_codes` and `discount_uses`.

use chrono::{DateTime, Utc};
use shared::ids::{DiscountCodeId, OrderId, SellerId, UserId};
use shared::money::{BasisPoints, Currency};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Cut, Discount, DiscountCode, DiscountCodeChange, NewDiscountCode};
use super::{Found, money};
use crate::http::Page;

struct Row {
    id: DiscountCodeId,
    code: String,
    seller: Option<SellerId>,
    percent_bps: Option<i32>,
    amount_minor: Option<i64>,
    currency: Option<String>,
    min_items_minor: i64,
    uses_max: Option<i32>,
    uses_per_buyer_max: Option<i32>,
    uses: i64,
    starts_at: DateTime<Utc>,
    ends_at: Option<DateTime<Utc>>,
    disabled: bool,
}

fn currency(code: Option<&str>) -> sqlx::Result<Option<Currency>> {
    let parsed = code.map(Currency::parse).transpose();
    parsed.map_err(|error| sqlx::Error::Decode(error.into()))
}

impl Row {
    fn code(self) -> sqlx::Result<DiscountCode> {
        let currency = currency(self.currency.as_deref())?;
        Ok(DiscountCode {
            id: self.id,
            code: self.code,
            seller_id: self.seller,
            percent_bps: self.percent_bps,
            amount: money(self.amount_minor, currency),
            min_items: money(Some(self.min_items_minor).filter(|&minor| minor > 0), currency),
            uses_max: self.uses_max,
            uses_per_buyer_max: self.uses_per_buyer_max,
            uses: self.uses,
            starts_at: self.starts_at,
            ends_at: self.ends_at,
            disabled: self.disabled,
        })
    }
}

/// Codes of a shop's, or of the platform's, newest first.
pub(super) async fn list(
    conn: &mut PgConnection,
    seller: Option<SellerId>,
    page: &Page,
) -> sqlx::Result<Vec<DiscountCode>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select c.id as "id: DiscountCodeId", c.code, c.seller_id as "seller: SellerId", c.percent_bps,
                  c.amount_minor, c.currency, c.min_items_minor, c.uses_max, c.uses_per_buyer_max, c.starts_at,
                  c.ends_at, c.disabled_at is not null as "disabled!",
                  case when c.uses_max is null
                       then (select count(*) from discount_uses u where u.code_id = c.id and u.stands)
                       else c.uses end as "uses!"
             from discount_codes c
            where (c.seller_id = $1 or ($1::uuid is null and c.seller_id is null))
              and ($2::uuid is null or c.id < $2)
            order by c.id desc limit $3"#,
        seller.map(|s| s.0),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::code).collect()
}

/// One of them.
pub(super) async fn get(
    conn: &mut PgConnection,
    seller: Option<SellerId>,
    id: DiscountCodeId,
) -> sqlx::Result<Option<DiscountCode>> {
    let row = sqlx::query_as!(
        Row,
        r#"select c.id as "id: DiscountCodeId", c.code, c.seller_id as "seller: SellerId", c.percent_bps,
                  c.amount_minor, c.currency, c.min_items_minor, c.uses_max, c.uses_per_buyer_max, c.starts_at,
                  c.ends_at, c.disabled_at is not null as "disabled!",
                  case when c.uses_max is null
                       then (select count(*) from discount_uses u where u.code_id = c.id and u.stands)
                       else c.uses end as "uses!"
             from discount_codes c where c.id = $2 and c.seller_id is not distinct from $1"#,
        seller.map(|s| s.0),
        id.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::code).transpose()
}

/// Whoever adds to a funder's codes comes one at a time, so that each counts those before.
pub(super) async fn lock_funder(conn: &mut PgConnection, seller: Option<SellerId>) -> sqlx::Result<()> {
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended('discount codes ' || coalesce($1::uuid::text, ''), 0))",
        seller.map(|s| s.0)
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn count(conn: &mut PgConnection, seller: Option<SellerId>) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from discount_codes
            where seller_id = $1 or ($1::uuid is null and seller_id is null)"#,
        seller.map(|s| s.0)
    )
    .fetch_one(conn)
    .await
}

/// A code to be written.
pub(super) struct NewRow<'a> {
    pub id: DiscountCodeId,
    pub seller: Option<SellerId>,
    pub by: UserId,
    pub code: &'a str,
    pub currency: Option<Currency>,
    pub starts_at: DateTime<Utc>,
    pub new: &'a NewDiscountCode,
}

/// `false`: the funder has such a code, or the platform does, whose go before a shop's.
pub(super) async fn insert(conn: &mut PgConnection, row: &NewRow<'_>) -> sqlx::Result<bool> {
    let new = row.new;
    let done = sqlx::query!(
        "insert into discount_codes (id, code, seller_id, percent_bps, amount_minor, currency, min_items_minor,
                                     uses_max, uses_per_buyer_max, starts_at, ends_at, created_by)
         select $1::uuid, $2::text, $3::uuid, $4::int, $5::bigint, $6::text, $7::bigint, $8::int, $9::int,
                $10::timestamptz, $11::timestamptz, $12::uuid
          where not exists (select from discount_codes where code = $2 and seller_id is null)
         on conflict do nothing",
        row.id.0,
        row.code,
        row.seller.map(|s| s.0),
        new.percent_bps,
        new.amount_minor,
        row.currency.map(Currency::code),
        new.min_items_minor,
        new.uses_max,
        new.uses_per_buyer_max,
        row.starts_at,
        new.ends_at,
        row.by.0
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Locks a funder's code against all who use it; `false`: there is none.
pub(super) async fn lock(conn: &mut PgConnection, seller: Option<SellerId>, id: DiscountCodeId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        "select id from discount_codes where id = $1 and seller_id is not distinct from $2 for update",
        id.0,
        seller.map(|s| s.0)
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.is_some())
}

/// How many orders of one buyer use it, of the one with most.
pub(super) async fn most_of_one_buyer(conn: &mut PgConnection, id: DiscountCodeId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select coalesce(max(uses), 0) as "most!"
             from (select count(*) as uses from discount_uses where code_id = $1 and stands group by user_id) of_buyers"#,
        id.0
    )
    .fetch_one(conn)
    .await
}

/// It is locked.
pub(super) async fn update(
    conn: &mut PgConnection,
    id: DiscountCodeId,
    change: &DiscountCodeChange,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update discount_codes
            set disabled_at = case when $2 then coalesce(disabled_at, now()) when not $2 then null else disabled_at end,
                starts_at = coalesce($3, starts_at),
                ends_at = case when $4 then $5 else ends_at end,
                uses_max = case when $6 then $7 else uses_max end,
                uses = case when not $6 then uses when $7::int is null then 0
                            else (select count(*) from discount_uses u where u.code_id = $1 and u.stands) end,
                uses_per_buyer_max = case when $8 then $9 else uses_per_buyer_max end
          where id = $1",
        id.0,
        change.disabled,
        change.starts_at,
        change.ends_at.is_some(),
        change.ends_at.flatten(),
        change.uses_max.is_some(),
        change.uses_max.flatten(),
        change.uses_per_buyer_max.is_some(),
        change.uses_per_buyer_max.flatten()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Locks what a code's limits count, until the transaction ends: the code, where all its uses
/// are limited, and a buyer's own uses of it, where those are.
pub(super) async fn lock_limits(conn: &mut PgConnection, id: DiscountCodeId, buyer: UserId) -> sqlx::Result<()> {
    sqlx::query!(
        "with of_buyer as materialized (
             select pg_advisory_xact_lock(hashtextextended('discount use ' || $1::uuid::text || ' ' || $2::uuid::text, 0))
               from discount_codes where id = $1 and uses_per_buyer_max is not null
         ), of_all as materialized (
             select id from discount_codes where id = $1 and uses_max is not null for no key update
         )
         select (select count(*) from of_buyer) as buyers, (select count(*) from of_all) as codes",
        id.0,
        buyer.0
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// The code of this name that is good for the goods of these shops: rather one that is on,
/// rather the platform's, rather the oldest. Where none is, one that is not.
pub(super) async fn named(
    conn: &mut PgConnection,
    code: &str,
    sellers: &[SellerId],
) -> sqlx::Result<Option<DiscountCodeId>> {
    let sellers: Vec<Uuid> = sellers.iter().map(|seller| seller.0).collect();
    sqlx::query_scalar!(
        r#"select id as "id: DiscountCodeId" from discount_codes
            where code = $1
            order by coalesce(seller_id = any($2), true) desc,
                     disabled_at is null and starts_at <= clock_timestamp()
                         and (ends_at is null or ends_at > clock_timestamp()) desc,
                     seller_id is not null, id
            limit 1"#,
        code,
        &sellers
    )
    .fetch_optional(conn)
    .await
}

/// A code, and how often it is used as far as a limit asks.
pub(super) async fn find(conn: &mut PgConnection, buyer: UserId, id: DiscountCodeId) -> sqlx::Result<Option<Found>> {
    let row = sqlx::query!(
        r#"select c.id as "id: DiscountCodeId", c.seller_id as "seller: SellerId", c.percent_bps, c.amount_minor,
                  c.currency, c.min_items_minor, c.uses_max, c.uses_per_buyer_max,
                  c.disabled_at is null and c.starts_at <= clock_timestamp()
                  and (c.ends_at is null or c.ends_at > clock_timestamp()) as "is_on!", c.uses::bigint as "uses!",
                  case when c.uses_per_buyer_max is null then 0 else
                      (select count(*) from discount_uses u
                        where u.code_id = c.id and u.user_id = $2 and u.stands) end as "own_uses!"
             from discount_codes c where c.id = $1"#,
        id.0,
        buyer.0
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let percent = row
            .percent_bps
            .and_then(|bps| BasisPoints::new(u16::try_from(bps).ok()?));
        let cut = match (percent, row.amount_minor) {
            (Some(rate), _) => Cut::Percent(rate),
            (None, amount) => Cut::Amount(amount.unwrap_or_default()),
        };
        Ok(Found {
            id: row.id,
            discount: Discount {
                seller: row.seller,
                cut,
                min_items_minor: row.min_items_minor,
                currency: currency(row.currency.as_deref())?,
            },
            is_on: row.is_on,
            uses_max: row.uses_max,
            uses: row.uses,
            uses_per_buyer_max: row.uses_per_buyer_max,
            own_uses: row.own_uses,
        })
    })
    .transpose()
}

pub(super) async fn insert_use(
    conn: &mut PgConnection,
    code: DiscountCodeId,
    order: OrderId,
    buyer: UserId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into discount_uses (order_id, code_id, user_id) values ($1, $2, $3)",
        order.0,
        code.0,
        buyer.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The code that an order uses.
pub(super) async fn code_of(conn: &mut PgConnection, order: OrderId) -> sqlx::Result<Option<DiscountCodeId>> {
    sqlx::query_scalar!(
        r#"select code_id as "code_id: DiscountCodeId" from discount_uses where order_id = $1"#,
        order.0
    )
    .fetch_optional(conn)
    .await
}
