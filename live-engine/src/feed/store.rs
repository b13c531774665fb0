//! The outbox from its readers' side.

use serde_json::Value;
use shared::ids::StreamId;
use sqlx::PgConnection;
use uuid::Uuid;

/// A row as stored.
pub(super) struct OutboxRow {
    pub(super) id: Uuid,
    pub(super) stream: StreamId,
    pub(super) payload: Value,
}

/// Undelivered rows of rooms, oldest first, so many of each at most: one room's flood
/// shall not hide another's row. Without those that nobody here can read.
pub(super) async fn undelivered(
    conn: &mut PgConnection,
    streams: &[Uuid],
    unreadable: &[Uuid],
) -> Result<Vec<OutboxRow>, sqlx::Error> {
    sqlx::query_as!(
        OutboxRow,
        r#"select o.id, o.stream_id as "stream!: StreamId", outbox_as_read(o.topic, o.payload) as "payload!"
             from unnest($1::uuid[]) as s (id)
            cross join lateral (select * from outbox where stream_id = s.id and delivered_at is null and id <> all ($2)
                                 order by id limit 500) o"#,
        streams,
        unreadable
    )
    .fetch_all(conn)
    .await
}

/// Marks rows delivered, each in the name of an epoch that still owns its room.
pub(super) async fn mark(conn: &mut PgConnection, marks: &[(Uuid, StreamId, i64)]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = marks.iter().map(|(id, _, _)| *id).collect();
    let streams: Vec<Uuid> = marks.iter().map(|(_, stream, _)| stream.0).collect();
    let epochs: Vec<i64> = marks.iter().map(|(_, _, epoch)| *epoch).collect();
    sqlx::query!(
        "update outbox o set delivered_at = now()
           from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as t (id, stream_id, epoch)
           join room_leases l on l.stream_id = t.stream_id and l.epoch = t.epoch
          where o.id = t.id and o.stream_id = t.stream_id and o.delivered_at is null",
        &ids,
        &streams,
        &epochs
    )
    .execute(conn)
    .await?;
    Ok(())
}
