//! Holds of flash sales over REST, and the steps by which an order's payment moves them.
//!
//! The rules of granting are one SQL function, the same that the live engine calls in
//! batches; here is a batch of one. A room that shows the sale hears of the change
//! through the outbox.

pub mod handlers;
pub mod model;
mod store;

use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::idempotency::UNWAIT;
use shared::ids::{RequestId, ReservationId, SaleId, SellerId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::outbox;
use shared::status::{ReservationStatus, WaitStatus};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::http::Result;
use crate::idempotency;
use crate::stock;
use model::{Hold, Place};

/// Holds `quantity` units for `user`. The same request again gets its hold, whatever has
/// become of it.
///
/// # Errors
/// As the sale refuses: `sold_out`, `purchase_limit_reached`, `sale_closed`, …; `banned`.
pub async fn hold(
    db: &PgPool,
    bus: &SharedBus,
    user: UserId,
    sale: SaleId,
    request: RequestId,
    quantity: i32,
) -> Result<Hold> {
    let mut tx = db.begin().await?;
    let Some((stream, selling)) = store::stream_of(&mut tx, sale).await? else {
        return Err(ErrorCode::NotFound.into());
    };
    let fresh = ReservationId::new();
    let rows = store::reserve(&mut tx, sale, fresh, user, request, quantity).await?;
    let mut changed: Vec<(UserId, ReservationId)> = Vec::new();
    let mut answer = None;
    for row in rows {
        match row.position {
            None => changed.extend(row.user_id.zip(row.reservation_id)),
            Some(_) if row.outcome == "granted" => answer = row.reservation_id,
            Some(_) => {
                let code = ErrorCode::from_name(&row.outcome)
                    .ok_or_else(|| anyhow::anyhow!("reserve_flash_units answers {:?}", row.outcome))?;
                let refusal = match row.opens_in_ms.and_then(|ms| u64::try_from(ms).ok()) {
                    Some(wait) if code == ErrorCode::SaleNotOpen => Refusal::from(code).retry_after_ms(wait + 1),
                    _ => code.into(),
                };
                // What lapsed on the way is found again by the next call or sweep.
                return Err(refusal.into());
            }
        }
    }
    let id = answer.ok_or_else(|| anyhow::anyhow!("reserve_flash_units answers nothing"))?;
    if id == fresh {
        if !selling {
            // A suspended shop sells nothing; what was held before stays held.
            return Err(ErrorCode::SaleClosed.into());
        }
        changed.push((user, id));
    }
    let hold = store::hold(&mut tx, id, user)
        .await?
        .ok_or_else(|| anyhow::anyhow!("a granted hold is not there"))?;
    let news = !changed.is_empty();
    if news {
        outbox::push(&mut tx, stream, &RoomNotice::SaleChanged { sale }).await?;
        tell_owners(&mut tx, stream, changed).await?;
    }
    tx.commit().await?;
    if news {
        outbox::hint(bus.as_ref()).await;
    }
    Ok(hold)
}

/// Gives a hold up. Doing it twice is no error.
///
/// # Errors
/// `not_found`, `hold_expired`, or `wrong_state` when it is bought or being paid.
pub async fn release(
    db: &PgPool,
    bus: &SharedBus,
    user: UserId,
    sale: SaleId,
    reservation: ReservationId,
) -> Result<()> {
    let mut tx = db.begin().await?;
    let Some(hold) = store::hold(&mut tx, reservation, user).await? else {
        return Err(ErrorCode::NotFound.into());
    };
    if hold.sale != sale {
        return Err(ErrorCode::NotFound.into());
    }
    let Some(offered) = store::release(&mut tx, reservation, user).await? else {
        let status = store::hold(&mut tx, reservation, user).await?.map(|h| h.status);
        return match status {
            Some(ReservationStatus::Released) => Ok(()),
            Some(ReservationStatus::Expired) => Err(ErrorCode::HoldExpired.into()),
            _ => Err(Refusal::new(ErrorCode::WrongState, "the hold is bought or being paid").into()),
        };
    };
    notify(&mut tx, user, &[reservation]).await?;
    tell_offered(&mut tx, &offered).await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    Ok(())
}

/// The caller's last place in a sale's line, as it is now.
///
/// # Errors
/// `not_found` for who was never in it.
pub async fn place(db: &PgPool, user: UserId, sale: SaleId) -> Result<Place> {
    let place = store::place(&mut *db.acquire().await?, sale, user).await?;
    Ok(place.ok_or(ErrorCode::NotFound)?)
}

/// Leaves a sale's line. What it came to is kept under the request's name, here and for
/// the socket: sent again, it takes no place away that was got since.
///
/// # Errors
/// `not_found` for who was never in it, `wrong_state` when the turn had come: then there is
/// a hold to give up.
pub async fn unwait(db: &PgPool, bus: &SharedBus, user: UserId, sale: SaleId, request: RequestId) -> Result<()> {
    let left = idempotency::once(db, user, request, UNWAIT, &sale, 200, async |tx| {
        let status = store::unwait(tx, sale, user).await?;
        if status == Some(WaitStatus::Waiting) {
            // Got at this very moment: nothing that was meant.
            return Err(ErrorCode::Conflict.into());
        }
        if status == Some(WaitStatus::Left)
            && let Some((stream, _)) = store::stream_of(tx, sale).await?
        {
            // Those behind have moved up.
            outbox::push(tx, stream, &RoomNotice::SaleChanged { sale }).await?;
        }
        Ok(status)
    })
    .await?;
    if !left.replayed {
        outbox::hint(bus.as_ref()).await;
    }
    match left.body {
        Some(WaitStatus::Left | WaitStatus::Ended) => Ok(()),
        Some(WaitStatus::Offered) => {
            let detail = "the turn has come: there is a hold to give up";
            Err(Refusal::new(ErrorCode::WrongState, detail).into())
        }
        Some(WaitStatus::Waiting) => Err(ErrorCode::Conflict.into()),
        None => Err(ErrorCode::NotFound.into()),
    }
}

/// Step: locks the sales of these holds, and then the holds, before anything else of stock
/// is locked.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, holds: &[ReservationId]) -> Result<()> {
    if !holds.is_empty() {
        store::lock(conn, holds).await?;
    }
    Ok(())
}

/// Step: held → paying for all of them, each with more time if it has not had that yet; or
/// `false`: one has lapsed.
///
/// # Errors
/// When the database fails.
pub async fn start_paying(conn: &mut PgConnection, holds: &[ReservationId]) -> Result<bool> {
    if holds.is_empty() {
        return Ok(true);
    }
    Ok(store::start_paying(conn, holds).await?)
}

/// Step: paying → converted; the units leave the shop. The caller writes the movements,
/// and has locked the variants if it locks others too.
///
/// # Errors
/// A fault when one of them was not being paid: the units are not there to be sold.
pub async fn convert(conn: &mut PgConnection, holds: &[ReservationId]) -> Result<()> {
    if holds.is_empty() {
        return Ok(());
    }
    let moved = store::convert(conn, holds).await?;
    if usize::try_from(moved).is_ok_and(|moved| moved == holds.len()) {
        return Ok(());
    }
    Err(anyhow::anyhow!("{moved} of {} holds were being paid", holds.len()).into())
}

/// Step: the payment has ended without money: paying → held while time is left, else
/// released, to the wait list first, whose owners' rooms are told.
///
/// # Errors
/// When the database fails.
pub async fn payment_failed(conn: &mut PgConnection, holds: &[ReservationId]) -> Result<()> {
    if !holds.is_empty() {
        let offered = store::payment_failed(conn, holds).await?;
        tell_offered(conn, &offered).await?;
    }
    Ok(())
}

/// Step: tells the rooms that these holds of `user`, and so their sales, have changed.
///
/// # Errors
/// When the database fails.
pub async fn notify(conn: &mut PgConnection, user: UserId, holds: &[ReservationId]) -> Result<()> {
    if holds.is_empty() {
        return Ok(());
    }
    for (stream, sale, reservations) in store::rooms_of(conn, holds).await? {
        outbox::push(conn, stream, &RoomNotice::SaleChanged { sale }).await?;
        outbox::push(conn, stream, &RoomNotice::ReservationsChanged { user, reservations }).await?;
    }
    Ok(())
}

/// Step: tells the rooms, for their owner, that these holds of `user` have changed, and
/// nothing else has.
///
/// # Errors
/// When the database fails.
pub async fn tell_owner(conn: &mut PgConnection, user: UserId, holds: &[ReservationId]) -> Result<()> {
    for (stream, _, reservations) in store::rooms_of(conn, holds).await? {
        outbox::push(conn, stream, &RoomNotice::ReservationsChanged { user, reservations }).await?;
    }
    Ok(())
}

/// Step: closes a shop's open sales and tells their rooms. What is held stays held until
/// it lapses or is bought. Returns how many were closed.
///
/// # Errors
/// When the database fails.
pub async fn close_of_shop(conn: &mut PgConnection, seller: SellerId) -> Result<u64> {
    let sales = store::lock_open_of(conn, seller).await?;
    // All variants before the first changes: the sales' order is not theirs.
    stock::lock(conn, sales.iter().map(|sale| sale.variant)).await?;
    let mut closed = 0;
    for sale in &sales {
        if store::close(conn, sale.id).await? {
            outbox::push(conn, sale.stream, &RoomNotice::SaleChanged { sale: sale.id }).await?;
            closed += 1;
        }
    }
    stock::notify(conn, sales.iter().map(|sale| sale.product)).await?;
    Ok(closed)
}

/// Expires stale holds and closes sales whose time is over, where no room does it: the
/// engine may be away, the show long ended. A sale that fails is logged and does not
/// stand in the way of the others. Returns how many sales were swept.
///
/// # Errors
/// When the database cannot be reached.
pub async fn sweep(db: &PgPool, bus: &SharedBus, limit: u32) -> Result<u64> {
    let mut swept = 0;
    let due = store::due_sales(&mut *db.acquire().await?, limit.into()).await?;
    for (sale, stream) in due {
        let tx = db.begin().await?;
        match sweep_one(tx, sale, stream).await {
            Ok(()) => swept += 1,
            Err(error) => tracing::warn!(%sale, %error, "a flash sale could not be swept"),
        }
    }
    if swept > 0 {
        outbox::hint(bus.as_ref()).await;
    }
    Ok(swept)
}

async fn sweep_one(mut tx: Transaction<'_, Postgres>, sale: SaleId, stream: StreamId) -> Result<()> {
    let lapsed = store::sweep(&mut tx, sale).await?;
    outbox::push(&mut tx, stream, &RoomNotice::SaleChanged { sale }).await?;
    tell_owners(&mut tx, stream, lapsed).await?;
    tx.commit().await?;
    Ok(())
}

/// Those in line whose turn has come.
async fn tell_offered(conn: &mut PgConnection, offered: &[ReservationId]) -> Result<()> {
    if offered.is_empty() {
        return Ok(());
    }
    let owners = store::owners_of(conn, offered).await?;
    for of_room in owners.chunk_by(|a, b| a.0 == b.0) {
        let changed = of_room.iter().map(|&(_, user, hold)| (user, hold));
        tell_owners(conn, of_room[0].0, changed.collect()).await?;
    }
    Ok(())
}

async fn tell_owners(
    conn: &mut PgConnection,
    stream: StreamId,
    mut changed: Vec<(UserId, ReservationId)>,
) -> Result<()> {
    changed.sort_unstable();
    for of_one in changed.chunk_by(|a, b| a.0 == b.0) {
        let notice = RoomNotice::ReservationsChanged {
            user: of_one[0].0,
            reservations: of_one.iter().map(|(_, id)| *id).collect(),
        };
        outbox::push(conn, stream, &notice).await?;
    }
    Ok(())
}
