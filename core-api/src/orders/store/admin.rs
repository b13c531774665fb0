//! SQL of orders as admins look them up.

use shared::ids::{OrderId, UserId};
use shared::status::OrderStatus;
use sqlx::PgConnection;

use crate::http::Page;
use crate::orders::admin::{AdminFilter, Row};

/// Orders, newest first.
pub async fn list(
    conn: &mut PgConnection,
    filter: AdminFilter,
    status: Option<&str>,
    page: &Page,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select id as "id: OrderId", number, status as "status: OrderStatus", user_id as "buyer_id: UserId",
                  total_minor, currency, created_at, paid_at
             from orders
            where ($1::text is null or status = $1) and ($2::uuid is null or user_id = $2)
              and ($3::bigint is null or number = $3) and ($4::uuid is null or id < $4)
            order by id desc limit $5"#,
        status,
        filter.buyer_id.map(|id| id.0),
        filter.number,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// Whose an order is.
pub async fn buyer(conn: &mut PgConnection, id: OrderId) -> sqlx::Result<Option<UserId>> {
    sqlx::query_scalar!(r#"select user_id as "user_id: UserId" from orders where id = $1"#, id.0)
        .fetch_optional(conn)
        .await
}
