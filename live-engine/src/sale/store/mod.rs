//! The SQL of flash sales, their holds and their wait lists, as the engine needs it. The
//! rules are in the functions of `migrations/`; every function here is a transaction of
//! its own unless the caller has begun one.

pub(super) mod line;
pub(crate) mod reserve;

use std::collections::BTreeMap;
use std::time::Duration;

use shared::Timestamp;
use shared::error::ErrorCode;
use shared::ids::{ReservationId, SaleId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::protocol::Reservation;
use shared::status::{ReservationStatus, SaleStatus};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::state;
use crate::types::SaleProgress;

/// A sale's counters, and how far away its times are by the database's clock.
#[derive(Clone, Debug)]
pub(crate) struct SaleState {
    pub(crate) stream: StreamId,
    pub(crate) progress: SaleProgress,
    /// People in line.
    pub(crate) waiting: u32,
    /// Holds asked for and places in line, all that ever were.
    pub(crate) entries: i64,
    /// Until the earliest hold lapses.
    pub(crate) next_expiry_in: Option<Duration>,
    /// Until the sale opens, if that is ahead.
    pub(crate) opens_in: Option<Duration>,
}

/// What a sweep did.
pub(crate) struct Swept {
    /// Holds that lapsed, and those that their units became.
    pub(crate) changed: Vec<(UserId, Reservation)>,
    pub(crate) state: SaleState,
    /// Until the sale ends, if it is open.
    pub(crate) ends_in: Option<Duration>,
}

/// Expires a sale's stale holds, offers what that frees to the wait list and closes the
/// sale when it is over. `is_stray`: its room is not here, and is told by the outbox.
/// None: no such sale.
pub(super) async fn sweep(conn: &mut PgConnection, sale: SaleId, is_stray: bool) -> Result<Option<Swept>, sqlx::Error> {
    let mut tx = conn.begin().await?;
    let rows = sqlx::query!(
        r#"select w.outcome, w.reservation_id as "reservation: ReservationId", w.user_id as "user: UserId", w.quantity,
                  w.expires_at, w.sale_status as "status!: SaleStatus", w.sale_remaining as "remaining!",
                  w.sale_version as "version!", w.sale_waiting as "waiting!", w.next_expiry
             from sweep_flash_sale($1) w"#,
        sale.0
    )
    .fetch_all(&mut *tx)
    .await?;
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let times = sqlx::query!(
        r#"select stream_id as "stream: StreamId", entries,
                  (extract(epoch from $2 - clock_timestamp()) * 1000)::bigint as next_expiry_ms,
                  (extract(epoch from opens_at - clock_timestamp()) * 1000)::bigint as "opens_ms!",
                  (extract(epoch from ends_at - clock_timestamp()) * 1000)::bigint as "ends_ms!"
             from flash_sales where id = $1"#,
        sale.0,
        first.next_expiry
    )
    .fetch_one(&mut *tx)
    .await?;
    let changed = rows.iter().filter_map(|row| {
        let offered = row.outcome.as_deref() == Some("offered");
        let hold = reservation(row.reservation?, sale, row.quantity?, row.expires_at?);
        let status = if offered {
            ReservationStatus::Held
        } else {
            ReservationStatus::Expired
        };
        Some((
            row.user?,
            Reservation {
                status,
                offered,
                ..hold
            },
        ))
    });
    let changed: Vec<_> = changed.collect();
    if is_stray {
        tell_elsewhere(&mut tx, times.stream, sale, &changed).await?;
    }
    let swept = Swept {
        changed,
        state: SaleState {
            stream: times.stream,
            progress: progress(sale, first.remaining, first.version, first.status, first.next_expiry),
            waiting: u32::try_from(first.waiting).unwrap_or(0),
            entries: times.entries,
            next_expiry_in: times.next_expiry_ms.map(from_ms),
            opens_in: (times.opens_ms > 0).then(|| from_ms(times.opens_ms)),
        },
        ends_in: (first.status == SaleStatus::Open).then(|| from_ms(times.ends_ms)),
    };
    tx.commit().await?;
    Ok(Some(swept))
}

/// Tells the room of a sale, wherever it is, that the sale and these holds have changed.
async fn tell_elsewhere(
    tx: &mut PgConnection,
    stream: StreamId,
    sale: SaleId,
    changed: &[(UserId, Reservation)],
) -> Result<(), sqlx::Error> {
    shared::outbox::push(tx, stream, &RoomNotice::SaleChanged { sale }).await?;
    let mut of_people: BTreeMap<UserId, Vec<ReservationId>> = BTreeMap::new();
    for (user, hold) in changed {
        of_people.entry(*user).or_default().push(hold.reservation);
    }
    for (user, reservations) in of_people {
        let notice = RoomNotice::ReservationsChanged { user, reservations };
        shared::outbox::push(tx, stream, &notice).await?;
    }
    Ok(())
}

/// A hold that was given up.
pub(super) struct Released {
    /// The holds that its units became.
    pub(super) offered: Vec<(UserId, Reservation)>,
    /// The sale's counters, if they have moved.
    pub(super) state: Option<SaleState>,
}

/// Gives a hold up.
pub(super) async fn release(
    conn: &mut PgConnection,
    id: ReservationId,
    user: UserId,
) -> Result<Result<Released, ErrorCode>, sqlx::Error> {
    let mut tx = conn.begin().await?;
    let row = sqlx::query!(
        r#"select sale_id as "sale!: SaleId", offered as "offered!" from release_flash_hold($1, $2)"#,
        id.0,
        user.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else {
        return Ok(already_gone(&mut tx, id, user).await?.map(|()| Released {
            offered: Vec::new(),
            state: None,
        }));
    };
    let offered = offered(&mut tx, &row.offered).await?;
    let state = counters(&mut tx, row.sale).await?;
    tx.commit().await?;
    Ok(Ok(Released { offered, state }))
}

async fn already_gone(
    conn: &mut PgConnection,
    id: ReservationId,
    user: UserId,
) -> Result<Result<(), ErrorCode>, sqlx::Error> {
    let status = sqlx::query_scalar!(
        r#"select status as "status: ReservationStatus" from reservations where id = $1 and user_id = $2"#,
        id.0,
        user.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(status.map_or(Err(ErrorCode::NotFound), state::after_release))
}

/// The holds that places in line became, and whose they are.
async fn offered(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(UserId, Reservation)>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select id as "id: ReservationId", sale_id as "sale: SaleId", user_id as "user: UserId", quantity, expires_at
             from reservations where id = any($1)"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    let holds = rows.into_iter().map(|row| {
        let hold = reservation(row.id, row.sale, row.quantity, row.expires_at);
        (row.user, Reservation { offered: true, ..hold })
    });
    Ok(holds.collect())
}

/// A sale's counters as they are.
pub(super) async fn counters(conn: &mut PgConnection, sale: SaleId) -> Result<Option<SaleState>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.stream_id as "stream: StreamId", s.status as "status: SaleStatus", s.version, s.waiting, s.entries,
                  case when s.status = 'open' then s.quantity - s.held - s.sold else 0 end as "remaining!",
                  n.next_expiry as "next_expiry?",
                  (extract(epoch from n.next_expiry - clock_timestamp()) * 1000)::bigint as next_expiry_ms,
                  (extract(epoch from s.opens_at - clock_timestamp()) * 1000)::bigint as "opens_ms!"
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
        waiting: u32::try_from(row.waiting).unwrap_or(0),
        entries: row.entries,
        next_expiry_in: row.next_expiry_ms.map(from_ms),
        opens_in: (row.opens_ms > 0).then(|| from_ms(row.opens_ms)),
    }))
}

/// How long a sale's own room has to sweep it before others do.
const GRACE_SECONDS: f64 = 2.0;

/// Sales that somebody should have swept some seconds ago, wherever their rooms are; what
/// has waited longest first.
pub(super) async fn overdue(conn: &mut PgConnection) -> Result<Vec<SaleId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select t.id as "id!: SaleId"
             from (select id, ends_at as due from flash_sales
                    where status = 'open' and ends_at < clock_timestamp() - make_interval(secs => $1)
                    union all
                   select sale_id, expires_at from reservations
                    where status = 'held' and expires_at < clock_timestamp() - make_interval(secs => $1)) t
            group by t.id order by min(t.due) limit 64"#,
        GRACE_SECONDS
    )
    .fetch_all(conn)
    .await
}

/// How long until some sale is [`overdue`], unless its room sweeps it.
pub(super) async fn next_overdue(conn: &mut PgConnection) -> Result<Option<Duration>, sqlx::Error> {
    let ms = sqlx::query_scalar!(
        "select (extract(epoch from least(
                    (select min(ends_at) from flash_sales where status = 'open'),
                    (select min(expires_at) from reservations where status = 'held')
                 ) - clock_timestamp() + make_interval(secs => $1)) * 1000)::bigint",
        GRACE_SECONDS
    )
    .fetch_one(conn)
    .await?;
    Ok(ms.map(from_ms))
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
        offered: false,
    }
}

/// A time that has passed is none away.
fn from_ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
