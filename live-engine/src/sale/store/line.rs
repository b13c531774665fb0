//! The wait list's SQL: leaving it, and where everybody in it stands.

use shared::idempotency::UNWAIT;
use shared::ids::{RequestId, SaleId, UserId};
use shared::protocol::Waiting;
use shared::status::WaitStatus;
use sqlx::{Connection, PgConnection};

use super::{SaleState, counters};
use crate::db::Error;
use crate::once;

/// What has become of a place in line, none if there was none; and the sale as it is.
pub(in crate::sale) type Left = (Option<WaitStatus>, Option<SaleState>);

/// Leaves a sale's wait list, once under its request's name: whatever it came to is the
/// answer to that name from then on, so that one sent again takes no newer place away.
///
/// # Errors
/// `request_id_reused`, `request_in_flight`, or when the database fails.
pub(in crate::sale) async fn unwait(
    conn: &mut PgConnection,
    sale: SaleId,
    user: UserId,
    request: RequestId,
) -> Result<Left, Error> {
    let mut tx = conn.begin().await?;
    match attempt(&mut tx, sale, user, request).await {
        Ok(left) => {
            tx.commit().await?;
            Ok(left)
        }
        Err(error) => {
            // Now and not when the connection is next used: a resend must not meet our locks.
            tx.rollback().await?;
            Err(error)
        }
    }
}

async fn attempt(tx: &mut PgConnection, sale: SaleId, user: UserId, request: RequestId) -> Result<Left, Error> {
    let hash = shared::idempotency::body_hash(&sale)?;
    if let Some(stored) = once::claim(tx, user, request).await? {
        return Ok((stored.answer(UNWAIT, &hash)?, None));
    }
    let status = sqlx::query_scalar!(
        r#"select flash_sale_unwait($1, $2) as "status: WaitStatus""#,
        sale.0,
        user.0
    )
    .fetch_one(&mut *tx)
    .await?;
    // A place that was got at this very moment is nothing that one could have meant.
    if status != Some(WaitStatus::Waiting) {
        once::keep(tx, user, request, UNWAIT, &hash, serde_json::to_value(status)?).await?;
    }
    Ok((status, counters(tx, sale).await?))
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
