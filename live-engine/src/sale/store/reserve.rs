//! Asking a sale for units, a batch at a time.

use std::time::Duration;

use shared::Timestamp;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{ReservationId, SaleId, StreamId, UserId};
use shared::protocol::{Outcome, Reservation, Waiting};
use shared::status::{ReservationStatus, SaleStatus, WaitStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{SaleState, from_ms, progress, reservation};
use crate::sale::state::Ask;

/// What a batch brought: an answer for each ask, in their order.
pub(crate) struct Granted {
    pub(crate) answers: Vec<Result<Outcome, Refusal>>,
    /// Holds that lapsed on the way, and those that their units became.
    pub(crate) changed: Vec<(UserId, Reservation)>,
    /// How many holds and places there ever were before it.
    pub(crate) entries_before: i64,
    /// None: there is no such sale.
    pub(crate) state: Option<SaleState>,
}

/// Grants what can be granted, first come first served, and puts in line who would wait.
pub(in crate::sale) async fn reserve(
    conn: &mut PgConnection,
    sale: SaleId,
    asks: &[Ask],
) -> Result<Granted, sqlx::Error> {
    let reservations: Vec<Uuid> = asks.iter().map(|ask| ask.reservation.0).collect();
    let users: Vec<Uuid> = asks.iter().map(|ask| ask.user.0).collect();
    let quantities: Vec<i32> = asks
        .iter()
        .map(|ask| i32::try_from(ask.quantity).unwrap_or(i32::MAX))
        .collect();
    let requests: Vec<Uuid> = asks.iter().map(|ask| ask.request.0).collect();
    let waits: Vec<bool> = asks.iter().map(|ask| ask.waits).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"select f.position, f.outcome as "outcome!", f.reservation_id as "reservation: ReservationId",
                  f.user_id as "user!: UserId", f.quantity as "quantity!", f.expires_at,
                  f.hold_status as "hold_status: ReservationStatus", coalesce(f.offered, false) as "offered!",
                  f.wait_status as "wait_status: WaitStatus", f.place_in_line,
                  f.sale_remaining as "remaining!", f.sale_version as "version!",
                  f.sale_status as "status!: SaleStatus", f.sale_waiting as "waiting!", f.next_expiry,
                  f.sale_entries_before as "entries_before!", f.sale_entries as "entries!",
                  (extract(epoch from f.next_expiry - clock_timestamp()) * 1000)::bigint as next_expiry_ms,
                  (extract(epoch from f.sale_opens_at - clock_timestamp()) * 1000)::bigint as opens_ms,
                  (select stream_id from flash_sales where id = $1) as "stream: StreamId"
             from reserve_flash_units($1, $2, $3, $4, $5, $6) f"#,
        sale.0,
        &reservations,
        &users,
        &quantities,
        &requests,
        &waits
    )
    .fetch_all(conn)
    .await?;
    let mut granted = Granted {
        // A row that were missing would be our defect.
        answers: vec![Err(ErrorCode::Internal.into()); asks.len()],
        changed: Vec::new(),
        entries_before: 0,
        state: None,
    };
    for row in rows {
        granted.state = row.state(sale);
        granted.entries_before = row.entries_before;
        let Some(position) = row.position else {
            let hold = row.hold(sale);
            granted.changed.extend(hold.map(|hold| (row.user, hold)));
            continue;
        };
        let place = usize::try_from(position - 1)
            .ok()
            .and_then(|i| granted.answers.get_mut(i));
        if let Some(place) = place {
            *place = row.answer(sale);
        }
    }
    Ok(granted)
}

struct Row {
    position: Option<i32>,
    outcome: String,
    reservation: Option<ReservationId>,
    user: UserId,
    quantity: i32,
    expires_at: Option<Timestamp>,
    hold_status: Option<ReservationStatus>,
    offered: bool,
    wait_status: Option<WaitStatus>,
    place_in_line: Option<i32>,
    remaining: i32,
    version: i64,
    status: SaleStatus,
    waiting: i32,
    entries_before: i64,
    entries: i64,
    next_expiry: Option<Timestamp>,
    next_expiry_ms: Option<i64>,
    opens_ms: Option<i64>,
    stream: Option<StreamId>,
}

impl Row {
    fn state(&self, sale: SaleId) -> Option<SaleState> {
        self.stream.map(|stream| SaleState {
            stream,
            progress: progress(sale, self.remaining, self.version, self.status, self.next_expiry),
            waiting: u32::try_from(self.waiting).unwrap_or(0),
            entries: self.entries,
            next_expiry_in: self.next_expiry_ms.map(from_ms),
            opens_in: self.opens_in(),
        })
    }

    fn opens_in(&self) -> Option<Duration> {
        self.opens_ms.filter(|ms| *ms > 0).map(from_ms)
    }

    fn hold(&self, sale: SaleId) -> Option<Reservation> {
        let hold = reservation(self.reservation?, sale, self.quantity, self.expires_at?);
        Some(Reservation {
            status: self.hold_status?,
            offered: self.offered,
            ..hold
        })
    }

    fn answer(&self, sale: SaleId) -> Result<Outcome, Refusal> {
        match (self.outcome.as_str(), self.hold(sale), self.wait_status) {
            ("granted", Some(hold), _) => Ok(Outcome::Held(hold)),
            ("waiting", _, Some(status)) => Ok(Outcome::Waiting(Waiting {
                sale,
                quantity: u32::try_from(self.quantity).unwrap_or(0),
                status,
                position: self
                    .place_in_line
                    .and_then(|place| u32::try_from(place).ok())
                    .unwrap_or(0),
            })),
            (code, ..) => {
                let code = ErrorCode::from_name(code).unwrap_or(ErrorCode::Internal);
                Err(match self.opens_in() {
                    Some(wait) if code == ErrorCode::SaleNotOpen => not_open(wait),
                    _ => code.into(),
                })
            }
        }
    }
}

/// The refusal of one who comes before the sale opens.
pub(crate) fn not_open(wait: Duration) -> Refusal {
    // Rounded up: who comes back then is not early again.
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Refusal::from(ErrorCode::SaleNotOpen).retry_after_ms(ms.saturating_add(1))
}

/// Who has ever got units of the sale or a place in its line, and so may be sending a
/// request again; none when they are more than `at_most`.
pub(in crate::sale) async fn known(
    conn: &mut PgConnection,
    sale: SaleId,
    at_most: usize,
) -> Result<Option<Vec<UserId>>, sqlx::Error> {
    let users = sqlx::query_scalar!(
        r#"select user_id as "user!: UserId" from reservations where sale_id = $1
            union
           select user_id from reservation_waitlist where sale_id = $1
            limit $2"#,
        sale.0,
        i64::try_from(at_most + 1).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await?;
    Ok((users.len() <= at_most).then_some(users))
}
