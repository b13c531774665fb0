//! The wait list's SQL: leaving it, and where everybody in it stands.

use shared::ids::{RequestId, SaleId, UserId};
use shared::protocol::Waiting;
use shared::status::WaitStatus;
use sqlx::PgConnection;

/// Leaves a sale's wait list; what has become of the place, none if there was none.
pub(in crate::sale) async fn unwait(
    conn: &mut PgConnection,
    sale: SaleId,
    user: UserId,
    request: RequestId,
) -> Result<Option<WaitStatus>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select flash_sale_unwait($1, $2, $3) as "status: WaitStatus""#,
        sale.0,
        user.0,
        request.0
    )
    .fetch_one(conn)
    .await
}

/// Everybody in line, the next one first.
pub(in crate::sale) async fn places(
    conn: &mut PgConnection,
    sale: SaleId,
) -> Result<Vec<(UserId, Waiting)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select user_id as "user: UserId", quantity from reservation_waitlist
            where sale_id = $1 and status = 'waiting' order by place"#,
        sale.0
    )
    .fetch_all(conn)
    .await?;
    let places = (1..).zip(rows).map(|(position, row)| {
        let place = Waiting {
            sale,
            quantity: u32::try_from(row.quantity).unwrap_or(0),
            status: WaitStatus::Waiting,
            position,
        };
        (row.user, place)
    });
    Ok(places.collect())
}

/// Those who were in line when the sale ended.
pub(in crate::sale) async fn ended(
    conn: &mut PgConnection,
    sale: SaleId,
) -> Result<Vec<(UserId, Waiting)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select user_id as "user: UserId", quantity from reservation_waitlist
            where sale_id = $1 and status = 'ended' order by place"#,
        sale.0
    )
    .fetch_all(conn)
    .await?;
    let places = rows.into_iter().map(|row| {
        let place = Waiting {
            sale,
            quantity: u32::try_from(row.quantity).unwrap_or(0),
            status: WaitStatus::Ended,
            position: 0,
        };
        (row.user, place)
    });
    Ok(places.collect())
}
