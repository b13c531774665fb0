//! SQL of flash sales and holds: `flash_sales`, `reservations`, mostly through the
//! functions that the live engine calls too.

use shared::Timestamp;
use shared::ids::{ProductId, RequestId, ReservationId, SaleId, SellerId, StreamId, UserId, VariantId};
use shared::status::{ReservationStatus, WaitStatus};
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Hold, Place};

/// One row of `reserve_flash_units`.
pub struct Granted {
    /// Of the request; null: a hold that changed on the way.
    pub position: Option<i32>,
    /// `granted` or an error code; of a hold that changed, how.
    pub outcome: String,
    /// The hold.
    pub reservation_id: Option<ReservationId>,
    /// Whose.
    pub user_id: Option<UserId>,
    /// Until the sale opens; negative: since it has.
    pub opens_in_ms: Option<i64>,
}

fn uuids(holds: &[ReservationId]) -> Vec<Uuid> {
    holds.iter().map(|id| id.0).collect()
}

fn holds(ids: Vec<Uuid>) -> Vec<ReservationId> {
    ids.into_iter().map(ReservationId).collect()
}

/// In whose room the sale is, and whether its shop may sell.
pub async fn stream_of(conn: &mut PgConnection, sale: SaleId) -> sqlx::Result<Option<(StreamId, bool)>> {
    let row = sqlx::query!(
        r#"select f.stream_id as "id: StreamId", s.status = 'approved' as "selling!"
             from flash_sales f join sellers s on s.id = f.seller_id where f.id = $1"#,
        sale.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.id, row.selling)))
}

/// A batch of one.
pub async fn reserve(
    conn: &mut PgConnection,
    sale: SaleId,
    fresh: ReservationId,
    user: UserId,
    request: RequestId,
    quantity: i32,
) -> sqlx::Result<Vec<Granted>> {
    sqlx::query_as!(
        Granted,
        r#"select "position", outcome as "outcome!", reservation_id as "reservation_id: ReservationId",
                  user_id as "user_id: UserId",
                  (extract(epoch from sale_opens_at - clock_timestamp()) * 1000)::bigint as opens_in_ms
             from reserve_flash_units($1, $2, $3, $4, $5)"#,
        sale.0,
        &[fresh.0],
        &[user.0],
        &[quantity],
        &[request.0]
    )
    .fetch_all(conn)
    .await
}

/// A hold of `user`'s.
pub async fn hold(conn: &mut PgConnection, id: ReservationId, user: UserId) -> sqlx::Result<Option<Hold>> {
    sqlx::query_as!(
        Hold,
        r#"select id as "reservation: ReservationId", sale_id as "sale: SaleId", quantity,
                  status as "status: ReservationStatus", expires_at as "expires_at: Timestamp"
             from reservations where id = $1 and user_id = $2"#,
        id.0,
        user.0
    )
    .fetch_optional(conn)
    .await
}

/// The holds that its units became, offered to those in line; `None`: not held any more.
pub async fn release(
    conn: &mut PgConnection,
    id: ReservationId,
    user: UserId,
) -> sqlx::Result<Option<Vec<ReservationId>>> {
    let offered = sqlx::query_scalar!(
        r#"select offered as "offered!" from release_flash_hold($1, $2)"#,
        id.0,
        user.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(offered.map(holds))
}

/// `user`'s last place in a sale's line.
pub async fn place(conn: &mut PgConnection, sale: SaleId, user: UserId) -> sqlx::Result<Option<Place>> {
    sqlx::query_as!(
        Place,
        r#"select w.sale_id as "sale: SaleId", w.quantity, w.status as "status: WaitStatus",
                  (select l.line from flash_sale_line(w.sale_id, array[w.id]) l) as position,
                  case when w.status = 'offered' then w.id end as "reservation: ReservationId",
                  w.created_at as "since: Timestamp"
             from reservation_waitlist w
            where w.sale_id = $1 and w.user_id = $2 order by w.place desc limit 1"#,
        sale.0,
        user.0
    )
    .fetch_optional(conn)
    .await
}

/// Leaves a sale's line; what has become of the place, none if there was none.
pub async fn unwait(conn: &mut PgConnection, sale: SaleId, user: UserId) -> sqlx::Result<Option<WaitStatus>> {
    sqlx::query_scalar!(
        r#"select flash_sale_unwait($1, $2) as "status: WaitStatus""#,
        sale.0,
        user.0
    )
    .fetch_one(conn)
    .await
}

/// Sales and then holds, each in the order of their ids.
pub async fn lock(conn: &mut PgConnection, holds: &[ReservationId]) -> sqlx::Result<()> {
    sqlx::query_scalar!("select flash_holds_lock($1)::text", &uuids(holds))
        .fetch_one(conn)
        .await?;
    Ok(())
}

/// held → paying, all or none.
pub async fn start_paying(conn: &mut PgConnection, holds: &[ReservationId]) -> sqlx::Result<bool> {
    let all = sqlx::query_scalar!("select flash_holds_start_paying($1)", &uuids(holds))
        .fetch_one(conn)
        .await?;
    Ok(all == Some(true))
}

/// paying → converted; how many.
pub async fn convert(conn: &mut PgConnection, holds: &[ReservationId]) -> sqlx::Result<i32> {
    let moved = sqlx::query_scalar!("select flash_holds_convert($1)", &uuids(holds))
        .fetch_one(conn)
        .await?;
    Ok(moved.unwrap_or_default())
}

/// paying → held or released; the holds that those units became, offered to those in line.
pub async fn payment_failed(conn: &mut PgConnection, failed: &[ReservationId]) -> sqlx::Result<Vec<ReservationId>> {
    let offered = sqlx::query_scalar!(
        r#"select offered as "offered!" from flash_holds_payment_failed($1)"#,
        &uuids(failed)
    )
    .fetch_one(conn)
    .await?;
    Ok(holds(offered))
}

/// Whose these holds are, and in whose room.
pub async fn owners_of(
    conn: &mut PgConnection,
    holds: &[ReservationId],
) -> sqlx::Result<Vec<(StreamId, UserId, ReservationId)>> {
    let rows = sqlx::query!(
        r#"select s.stream_id as "stream: StreamId", r.user_id as "user: UserId", r.id as "hold: ReservationId"
             from reservations r join flash_sales s on s.id = r.sale_id
            where r.id = any($1) order by s.stream_id"#,
        &uuids(holds)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.stream, row.user, row.hold)).collect())
}

/// The holds by sale and room.
pub async fn rooms_of(
    conn: &mut PgConnection,
    holds: &[ReservationId],
) -> sqlx::Result<Vec<(StreamId, SaleId, Vec<ReservationId>)>> {
    let rows = sqlx::query!(
        r#"select s.stream_id as "stream: StreamId", s.id as "sale: SaleId",
                  array_agg(r.id order by r.id) as "holds!"
             from reservations r join flash_sales s on s.id = r.sale_id
            where r.id = any($1) group by s.stream_id, s.id order by s.id"#,
        &uuids(holds)
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.stream, row.sale, row.holds.into_iter().map(ReservationId).collect()))
        .collect())
}

/// A sale that has been locked.
pub struct OpenSale {
    pub id: SaleId,
    pub stream: StreamId,
    pub product: ProductId,
    pub variant: VariantId,
}

/// Locks a shop's open sales, in the order of their ids.
pub async fn lock_open_of(conn: &mut PgConnection, seller: SellerId) -> sqlx::Result<Vec<OpenSale>> {
    sqlx::query_as!(
        OpenSale,
        r#"select id as "id: SaleId", stream_id as "stream: StreamId", product_id as "product: ProductId",
                  variant_id as "variant: VariantId"
             from flash_sales where seller_id = $1 and status = 'open' order by id for no key update"#,
        seller.0
    )
    .fetch_all(conn)
    .await
}

/// What is neither sold nor held goes back to the shop; `false`: it was closed.
pub async fn close(conn: &mut PgConnection, sale: SaleId) -> sqlx::Result<bool> {
    let closed = sqlx::query_scalar!("select close_flash_sale($1)", sale.0)
        .fetch_one(conn)
        .await?;
    Ok(closed == Some(true))
}

/// Sales with something to sweep, whose room has had two seconds to do it first.
pub async fn due_sales(conn: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<(SaleId, StreamId)>> {
    let rows = sqlx::query!(
        r#"select s.id as "sale: SaleId", s.stream_id as "stream: StreamId" from flash_sales s
            where (s.status = 'open' and s.ends_at <= now() - interval '2 seconds')
               or s.id in (select r.sale_id from reservations r
                            where r.status = 'held' and r.expires_at <= now() - interval '2 seconds')
            order by s.id limit $1"#,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.sale, row.stream)).collect())
}

/// The holds that lapsed and those that their units became, and whose they are.
pub async fn sweep(conn: &mut PgConnection, sale: SaleId) -> sqlx::Result<Vec<(UserId, ReservationId)>> {
    let rows = sqlx::query!(
        r#"select reservation_id as "reservation: ReservationId", user_id as "user: UserId"
             from sweep_flash_sale($1)"#,
        sale.0
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.user.zip(row.reservation))
        .collect())
}
