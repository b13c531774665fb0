//! SQL of `commission_rules`, for who makes them.

use shared::ids::{CategoryId, SellerId, UserId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{CommissionRule, NewCommissionRule, RuleFilter};
use crate::http::Page;

/// Rules, newest first.
pub async fn list(conn: &mut PgConnection, filter: RuleFilter, page: &Page) -> sqlx::Result<Vec<CommissionRule>> {
    sqlx::query_as!(
        CommissionRule,
        r#"select id, seller_id as "seller_id: SellerId", category_id as "category_id: CategoryId", rate_bps,
                  valid_from, created_by as "created_by: UserId", created_at
             from commission_rules
            where ($1::uuid is null or seller_id = $1) and ($2::uuid is null or category_id = $2)
              and ($3::uuid is null or id < $3)
            order by id desc limit $4"#,
        filter.seller_id.map(|id| id.0),
        filter.category_id.map(|id| id.0),
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// The rate of the rule that a new one comes after.
pub async fn current(conn: &mut PgConnection, new: &NewCommissionRule) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar!(
        "select rate_bps from commission_rules
          where seller_id is not distinct from $1 and category_id is not distinct from $2
            and valid_from <= clock_timestamp()
          order by valid_from desc, id desc limit 1",
        new.seller_id.map(|id| id.0),
        new.category_id.map(|id| id.0)
    )
    .fetch_optional(conn)
    .await
}

/// Adds a rule; `None`: there is no such shop or category.
pub async fn insert(
    conn: &mut PgConnection,
    by: UserId,
    new: &NewCommissionRule,
) -> sqlx::Result<Option<CommissionRule>> {
    sqlx::query_as!(
        CommissionRule,
        r#"insert into commission_rules (id, seller_id, category_id, rate_bps, valid_from, created_by)
           select $1, $2, $3, $4, coalesce($5, clock_timestamp()), $6
            where ($2::uuid is null or exists (select from sellers where id = $2))
              and ($3::uuid is null or exists (select from categories where id = $3))
           returning id, seller_id as "seller_id: SellerId", category_id as "category_id: CategoryId", rate_bps,
                     valid_from, created_by as "created_by: UserId", created_at"#,
        Uuid::now_v7(),
        new.seller_id.map(|id| id.0),
        new.category_id.map(|id| id.0),
        new.rate_bps,
        new.valid_from,
        by.0
    )
    .fetch_optional(conn)
    .await
}
