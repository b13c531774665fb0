//! The SQL of flash sales and their holds, as the engine needs it. The rules are in the
//! functions of `migrations/`; every statement here is a transaction of its own unless
//! the caller has begun one.

use std::collections::HashSet;
use std::time::Duration;

use shared::Timestamp;
use shared::error::ErrorCode;
use shared::ids::{ProductId, ReservationId, SaleId, StreamId, UserId};
use shared::protocol::Reservation;
use shared::status::{ReservationStatus, SaleStatus};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::state::{self, Ask};
use crate::types::SaleProgress;

/// A sale's counters, and how far away its times are by the database's clock.
#[derive(Clone, Debug)]
pub(super) struct SaleState {
    pub(super) stream: StreamId,
    pub(super) progress: SaleProgress,
    /// Until the earliest hold lapses.
    pub(super) next_expiry_in: Option<Duration>,
}

/// What a batch brought: an answer for each ask, in their order.
pub(super) struct Granted {
    pub(super) answers: Vec<Result<Reservation, ErrorCode>>,
    /// Holds that lapsed and were freed on the way.
    pub(super) lapsed: Vec<(UserId, Reservation)>,
    /// None: there is no such sale.
    pub(super) state: Option<SaleState>,
}

/// Grants what can be granted, first come first served.
pub(super) async fn reserve(conn: &mut PgConnection, sale: SaleId, asks: &[Ask]) -> Result<Granted, sqlx::Error> {
    let reservations: Vec<Uuid> = asks.iter().map(|ask| ask.reservation.0).collect();
    let users: Vec<Uuid> = asks.iter().map(|ask| ask.user.0).collect();
    let quantities: Vec<i32> = asks
        .iter()
        .map(|ask| i32::try_from(ask.quantity).unwrap_or(i32::MAX))
        .collect();
    let requests: Vec<Uuid> = asks.iter().map(|ask| ask.request.0).collect();
    let rows = sqlx::query!(
        r#"select f.position, f.outcome as "outcome!", f.reservation_id as "reservation: ReservationId",
                  f.user_id as "user!: UserId", f.quantity as "quantity!", f.expires_at,
                  f.sale_remaining as "remaining!", f.sale_version as "version!",
                  f.sale_status as "status!: SaleStatus", f.next_expiry,
                  (extract(epoch from f.next_expiry - clock_timestamp()) * 1000)::bigint as next_expiry_ms,
                  (select stream_id from flash_sales where id = $1) as "stream: StreamId"
             from reserve_flash_units($1, $2, $3, $4, $5) f"#,
        sale.0,
        &reservations,
        &users,
        &quantities,
        &requests
    )
    .fetch_all(conn)
    .await?;
    let mut granted = Granted {
        // A row that were missing would be our defect.
        answers: vec![Err(ErrorCode::Internal); asks.len()],
        lapsed: Vec::new(),
        state: None,
    };
    for row in rows {
        granted.state = row.stream.map(|stream| SaleState {
            stream,
            progress: progress(sale, row.remaining, row.version, row.status, row.next_expiry),
            next_expiry_in: row.next_expiry_ms.map(from_ms),
        });
        let hold = match (row.reservation, row.expires_at) {
            (Some(id), Some(expires_at)) => Some(reservation(id, sale, row.quantity, expires_at)),
            _ => None,
        };
        let Some(position) = row.position else {
            let lapsed = hold.map(|hold| Reservation {
                status: ReservationStatus::Expired,
                ..hold
            });
            granted.lapsed.extend(lapsed.map(|hold| (row.user, hold)));
            continue;
        };
        let place = usize::try_from(position - 1)
            .ok()
            .and_then(|i| granted.answers.get_mut(i));
        if let Some(place) = place {
            *place = match (row.outcome.as_str(), hold) {
                ("granted", Some(hold)) => Ok(hold),
                (code, _) => Err(ErrorCode::from_name(code).unwrap_or(ErrorCode::Internal)),
            };
        }
    }
    Ok(granted)
}

/// Who holds or has bought units of the sale; none when they are more than `at_most`.
pub(super) async fn holders(
    conn: &mut PgConnection,
    sale: SaleId,
    at_most: usize,
) -> Result<Option<HashSet<UserId>>, sqlx::Error> {
    let users = sqlx::query_scalar!(
        r#"select distinct user_id as "user: UserId" from reservations
            where sale_id = $1 and status in ('held', 'paying', 'converted') limit $2"#,
        sale.0,
        i64::try_from(at_most + 1).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await?;
    Ok((users.len() <= at_most).then(|| users.into_iter().collect()))
}

/// What a sweep did.
pub(super) struct Swept {
    pub(super) lapsed: Vec<(UserId, Reservation)>,
    pub(super) state: SaleState,
    /// Until the sale opens and until it ends, as far as these are ahead.
    pub(super) opens_in: Option<Duration>,
    pub(super) ends_in: Option<Duration>,
}

/// Expires a sale's stale holds and closes it when it is over; what then is free for
/// everybody again is told to the rooms that show it. None: no such sale.
pub(super) async fn sweep(conn: &mut PgConnection, sale: SaleId) -> Result<Option<Swept>, sqlx::Error> {
    let mut tx = conn.begin().await?;
    let rows = sqlx::query!(
        r#"select w.reservation_id as "reservation: ReservationId", w.user_id as "user: UserId", w.quantity,
                  (select expires_at from reservations r where r.id = w.reservation_id) as expires_at,
                  w.sale_status as "status!: SaleStatus",
                  w.sale_remaining as "remaining!", w.sale_version as "version!", w.next_expiry
             from sweep_flash_sale($1) w"#,
        sale.0
    )
    .fetch_all(&mut *tx)
    .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let times = sqlx::query!(
        r#"select stream_id as "stream: StreamId", product_id as "product: ProductId",
                  coalesce(closed_at >= now(), false) as "closed_now!",
                  (extract(epoch from $2 - clock_timestamp()) * 1000)::bigint as next_expiry_ms,
                  (extract(epoch from opens_at - clock_timestamp()) * 1000)::bigint as "opens_ms!",
                  (extract(epoch from ends_at - clock_timestamp()) * 1000)::bigint as "ends_ms!"
             from flash_sales where id = $1"#,
        sale.0,
        first.next_expiry
    )
    .fetch_one(&mut *tx)
    .await?;
    let lapsed: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let hold = reservation(row.reservation?, sale, row.quantity?, row.expires_at?);
            Some((
                row.user?,
                Reservation {
                    status: ReservationStatus::Expired,
                    ..hold
                },
            ))
        })
        .collect();
    if times.closed_now || (first.status == SaleStatus::Closed && !lapsed.is_empty()) {
        shared::outbox::push_product_changed(&mut tx, times.product).await?;
    }
    let swept = Swept {
        lapsed,
        state: SaleState {
            stream: times.stream,
            progress: progress(sale, first.remaining, first.version, first.status, first.next_expiry),
            next_expiry_in: times.next_expiry_ms.map(from_ms),
        },
        opens_in: (times.opens_ms > 0).then(|| from_ms(times.opens_ms)),
        ends_in: (first.status == SaleStatus::Open).then(|| from_ms(times.ends_ms)),
    };
    tx.commit().await?;
    Ok(Some(swept))
}

/// Gives a hold up. The hold as it is now, and the sale's counters if they have moved.
pub(super) async fn release(
    conn: &mut PgConnection,
    id: ReservationId,
    user: UserId,
) -> Result<Result<(Reservation, Option<SaleState>), ErrorCode>, sqlx::Error> {
    let sale = sqlx::query_scalar!(r#"select release_flash_hold($1, $2) as "sale: SaleId""#, id.0, user.0)
        .fetch_one(&mut *conn)
        .await?;
    let hold = sqlx::query!(
        r#"select sale_id as "sale: SaleId", quantity, status as "status: ReservationStatus", expires_at
             from reservations where id = $1 and user_id = $2"#,
        id.0,
        user.0
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(hold) = hold else {
        return Ok(Err(ErrorCode::NotFound));
    };
    if sale.is_none()
        && let Err(code) = state::after_release(hold.status)
    {
        return Ok(Err(code));
    }
    let released = Reservation {
        status: ReservationStatus::Released,
        ..reservation(id, hold.sale, hold.quantity, hold.expires_at)
    };
    let state = match sale {
        Some(sale) => counters(conn, sale).await?,
        None => None,
    };
    Ok(Ok((released, state)))
}

/// A sale's counters as they are.
pub(super) async fn counters(conn: &mut PgConnection, sale: SaleId) -> Result<Option<SaleState>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.stream_id as "stream: StreamId", s.status as "status: SaleStatus", s.version,
                  case when s.status = 'open' then s.quantity - s.held - s.sold else 0 end as "remaining!",
                  n.next_expiry as "next_expiry?",
                  (extract(epoch from n.next_expiry - clock_timestamp()) * 1000)::bigint as next_expiry_ms
             from flash_sales s
            cross join lateral (select min(r.expires_at) as next_expiry from reservations r
                                 where r.sale_id = s.id and r.status = 'held') n
            where s.id = $1"#,
        sale.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| SaleState {
        stream: row.stream,
        progress: progress(sale, row.remaining, row.version, row.status, row.next_expiry),
        next_expiry_in: row.next_expiry_ms.map(from_ms),
    }))
}

/// Sales that somebody should have swept some seconds ago, wherever their rooms are.
pub(super) async fn overdue(conn: &mut PgConnection) -> Result<Vec<SaleId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id!: SaleId" from flash_sales
            where status = 'open' and ends_at < clock_timestamp() - interval '2 s'
           union
           select sale_id from reservations
            where status = 'held' and expires_at < clock_timestamp() - interval '2 s'
           limit 64"#
    )
    .fetch_all(conn)
    .await
}

fn progress(
    sale: SaleId,
    remaining: i32,
    version: i64,
    status: SaleStatus,
    next_expiry: Option<Timestamp>,
) -> SaleProgress {
    SaleProgress {
        sale,
        remaining: u32::try_from(remaining).unwrap_or(0),
        version,
        status,
        next_expiry,
    }
}

fn reservation(id: ReservationId, sale: SaleId, quantity: i32, expires_at: Timestamp) -> Reservation {
    Reservation {
        reservation: id,
        sale,
        quantity: u32::try_from(quantity).unwrap_or(0),
        status: ReservationStatus::Held,
        expires_at: expires_at.timestamp_millis(),
    }
}

/// A time that has passed is none away.
fn from_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
