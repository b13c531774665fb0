//! The outbox: what must follow a commit is written in its transaction and sent after
//! it, at least once.
//!
//! Rows with a stream are taken by that room's owner, who marks them in the transaction
//! that stores the events they caused. [`hint`] after the commit makes that prompt; a
//! lost hint costs at most the owner's polling interval.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::bus::Bus;
use crate::ids::{ProductId, SellerId, StreamId};
use crate::live::{NOTIFICATION_HINTS, OUTBOX_HINTS, PEOPLE_HINTS, RoomNotice};
use crate::protocol::RoomEvent;

/// An event that a command has caused, and the row that keeps it.
#[derive(Clone, PartialEq, Debug)]
pub struct Happened {
    /// The row.
    pub row: Uuid,
    /// Its number among the show's.
    pub no: i64,
    /// The event.
    pub event: RoomEvent,
}

/// Adds a notice for one room and tells its row.
///
/// # Errors
/// When the database fails.
pub async fn push(conn: &mut PgConnection, stream: StreamId, notice: &RoomNotice) -> Result<Uuid, sqlx::Error> {
    let payload = serde_json::to_value(notice).map_err(|e| sqlx::Error::Encode(e.into()))?;
    let row = Uuid::now_v7();
    sqlx::query!(
        "insert into outbox (id, topic, stream_id, payload) values ($1, $2, $3, $4)",
        row,
        notice.topic(),
        stream.0,
        payload
    )
    .execute(conn)
    .await?;
    Ok(row)
}

/// Adds notices for rooms, in their order, by one statement however many there are.
///
/// # Errors
/// When the database fails.
pub async fn push_all(conn: &mut PgConnection, notices: &[(StreamId, RoomNotice)]) -> Result<(), sqlx::Error> {
    if notices.is_empty() {
        return Ok(());
    }
    let payloads: Vec<Value> = notices
        .iter()
        .map(|(_, notice)| serde_json::to_value(notice))
        .collect::<Result<_, _>>()
        .map_err(|e| sqlx::Error::Encode(e.into()))?;
    let rows: Vec<Uuid> = notices.iter().map(|_| Uuid::now_v7()).collect();
    let topics: Vec<String> = notices.iter().map(|(_, notice)| notice.topic().to_owned()).collect();
    let streams: Vec<Uuid> = notices.iter().map(|(stream, _)| stream.0).collect();
    sqlx::query!(
        "insert into outbox (id, topic, stream_id, payload)
         select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::jsonb[])",
        &rows,
        &topics,
        &streams,
        &payloads
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds what a command has caused in one room. The stream's row is locked until the
/// transaction ends, so that numbers are in the order of the commits.
///
/// # Errors
/// When the database fails; `RowNotFound` when there is no such stream.
pub async fn push_happened(
    conn: &mut PgConnection,
    stream: StreamId,
    event: RoomEvent,
) -> Result<Happened, sqlx::Error> {
    let no = sqlx::query_scalar!(
        "update streams set command_no = command_no + 1 where id = $1 returning command_no",
        stream.0
    )
    .fetch_one(&mut *conn)
    .await?;
    let notice = RoomNotice::Happened {
        no,
        event: Box::new(event.clone()),
    };
    let row = push(conn, stream, &notice).await?;
    Ok(Happened { row, no, event })
}

/// Adds a notice for every show at hand, on air or about to be, that has the product in
/// its line-up.
///
/// # Errors
/// When the database fails.
pub async fn push_product_changed(conn: &mut PgConnection, product: ProductId) -> Result<(), sqlx::Error> {
    let notice = RoomNotice::ProductChanged { product };
    let payload = serde_json::to_value(&notice).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query!(
        "insert into outbox (id, topic, stream_id, payload)
         select gen_random_uuid(), $1, s.id, $2
           from stream_products sp join streams_at_hand s on s.id = sp.stream_id
          where sp.product_id = $3",
        notice.topic(),
        payload,
        product.0
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds a notice for the shows of a shop that are to come or on air: all of them, or one.
///
/// # Errors
/// When the database fails.
pub async fn push_to_shows(
    conn: &mut PgConnection,
    seller: SellerId,
    stream: Option<StreamId>,
    notice: &RoomNotice,
) -> Result<(), sqlx::Error> {
    let payload = serde_json::to_value(notice).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query!(
        "insert into outbox (id, topic, stream_id, payload)
         select gen_random_uuid(), $1, s.id, $2 from streams s join streams_at_hand h on h.id = s.id
          where s.seller_id = $3 and ($4::uuid is null or s.id = $4)",
        notice.topic(),
        payload,
        seller.0,
        stream.map(|stream| stream.0)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Tells the owners of rooms to look, after the commit.
pub async fn hint(bus: &dyn Bus) {
    publish(bus, OUTBOX_HINTS).await;
}

/// Tells every engine to look whose standing has changed, after the commit of a logout, a
/// suspension or a ban. The rows write themselves: triggers fill `revocations`.
pub async fn hint_people(bus: &dyn Bus) {
    publish(bus, PEOPLE_HINTS).await;
}

/// Tells every engine to look who is to be notified, after the commit.
pub async fn hint_notifications(bus: &dyn Bus) {
    publish(bus, NOTIFICATION_HINTS).await;
}

async fn publish(bus: &dyn Bus, topic: &'static str) {
    if let Err(error) = bus.publish(topic, bytes::Bytes::new()).await {
        tracing::debug!(%error, topic, "a hint was not sent; the rows will be polled");
    }
}
