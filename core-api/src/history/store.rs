//! SQL of what rooms have stored, from its readers' side. The engine writes it.

mod summaries;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use shared::Timestamp;
use shared::ids::{MessageId, SellerId, StreamId, UserId};
use shared::protocol::{Author, ChatMessage, Quote, RoomEvent};
use shared::status::StreamStatus;
use sqlx::PgConnection;
use uuid::Uuid;

use super::model::{Cursor, NumberedEvent};

pub use summaries::{audience, commerce, delete_attendance, summarise, unsummarised};

/// A show's times.
pub struct Show {
    pub seller: SellerId,
    pub status: StreamStatus,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// Something at a place in time.
pub struct Happened {
    /// Epoch and number, if it has them.
    pub place: Option<(i64, u64)>,
    /// As the room told it.
    pub event: Value,
}

/// A show.
pub async fn show(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Option<Show>> {
    sqlx::query_as!(
        Show,
        r#"select seller_id as "seller: SellerId", status as "status: StreamStatus", started_at, ended_at
             from streams where id = $1"#,
        stream.0
    )
    .fetch_optional(conn)
    .await
}

/// Epochs of a room.
pub struct Epochs {
    /// The first of which something is stored.
    pub first: Option<i64>,
    /// The last that was begun.
    pub owned: Option<i64>,
}

/// A room's epochs; the first is not looked for when one is wished for.
pub async fn epochs(conn: &mut PgConnection, stream: StreamId, wished: Option<i64>) -> sqlx::Result<Epochs> {
    let owned = sqlx::query_scalar!("select epoch from room_leases where stream_id = $1", stream.0)
        .fetch_optional(&mut *conn)
        .await?;
    let first = match wished {
        Some(_) => None,
        None => next_epoch(conn, stream, 0).await?,
    };
    Ok(Epochs { first, owned })
}

/// The next epoch of which something is stored.
pub async fn next_epoch(conn: &mut PgConnection, stream: StreamId, after: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "select least((select min(epoch) from stream_events where stream_id = $1 and epoch > $2),
                      (select min(epoch) from stream_chat_messages where stream_id = $1 and epoch > $2),
                      (select min(epoch) from persist_rejects where stream_id = $1 and epoch > $2))",
        stream.0,
        after
    )
    .fetch_one(conn)
    .await
}

/// The last epoch of which something is stored.
pub async fn last_epoch(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "select greatest((select max(epoch) from stream_events where stream_id = $1),
                         (select max(epoch) from stream_chat_messages where stream_id = $1),
                         (select max(epoch) from persist_rejects where stream_id = $1))",
        stream.0
    )
    .fetch_one(conn)
    .await
}

/// The last number of an epoch that is stored: all before it are, too.
pub async fn complete_to(conn: &mut PgConnection, stream: StreamId, epoch: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select greatest(0, (select max(seq) from stream_events where stream_id = $1 and epoch = $2),
                           (select max(seq) from stream_chat_messages where stream_id = $1 and epoch = $2),
                           (select max(seq) from persist_rejects where stream_id = $1 and epoch = $2)) as "to!""#,
        stream.0,
        epoch
    )
    .fetch_one(conn)
    .await
}

fn numbered(seq: i64, at: DateTime<Utc>, event: Option<Value>) -> NumberedEvent {
    NumberedEvent {
        seq: u64::try_from(seq).unwrap_or(0),
        at,
        event,
    }
}

/// Events other than chat.
pub async fn events(
    conn: &mut PgConnection,
    stream: StreamId,
    epoch: i64,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<NumberedEvent>> {
    let rows = sqlx::query!(
        r#"select seq, created_at, kind,
                  case when kind = 'purchase' then told_purchase(payload) else payload end as "payload!"
             from stream_events
            where stream_id = $1 and epoch = $2 and seq > $3 order by seq limit $4"#,
        stream.0,
        epoch,
        after,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let pinned_here = rows.iter().filter_map(|row| pinned(&row.kind, &row.payload));
    let pins = pins(conn, stream, pinned_here).await?;
    let event = rows.into_iter().map(|row| {
        let event = match pinned(&row.kind, &row.payload) {
            Some(message) => pins.get(&message).cloned(),
            None => Some(row.payload),
        };
        numbered(row.seq, row.created_at, event)
    });
    Ok(event.collect())
}

/// Which message an event has pinned, if that is what it tells.
fn pinned(kind: &str, payload: &Value) -> Option<MessageId> {
    let message = (kind == "pinned").then(|| payload["message"].as_str())??;
    message.parse().ok()
}

/// What is told of pinned messages that are still shown, by the message: its text is read
/// from its own row, so that it goes with it.
async fn pins(
    conn: &mut PgConnection,
    stream: StreamId,
    messages: impl Iterator<Item = MessageId>,
) -> sqlx::Result<HashMap<MessageId, Value>> {
    let messages: Vec<Uuid> = messages.map(|message| message.0).collect();
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query_as!(
        Message,
        r#"select m.epoch, m.seq, m.id as "id: MessageId", m.user_id as "user: UserId", p.display_name as "name?",
                  l.user_id = m.user_id as "host!",
                  exists (select from moderators o where o.seller_id = s.seller_id and o.user_id = m.user_id
                                                     and (o.stream_id is null or o.stream_id = s.id)) as "moderator!",
                  m.text, m.reply_to as "reply_to: MessageId", q.user_id as "quoted_user?: UserId",
                  q.text as "quoted_text?", coalesce(qp.display_name, '') as "quoted_name!", m.created_at,
                  false as "deleted!"
             from stream_chat_messages m
             join streams s on s.id = m.stream_id
             join sellers l on l.id = s.seller_id
             left join profiles p on p.user_id = m.user_id
             left join stream_chat_messages q
               on q.id = m.reply_to and q.stream_id = m.stream_id and q.deleted_at is null
             left join profiles qp on qp.user_id = q.user_id
            where m.id = any($2) and m.stream_id = $1 and m.deleted_at is null"#,
        stream.0,
        &messages
    )
    .fetch_all(conn)
    .await?;
    let told = rows.into_iter().map(|row| {
        let (id, message) = (row.id, row.message());
        (id, event(&RoomEvent::Pinned { message }))
    });
    Ok(told.collect())
}

/// An event as the room told it.
fn event(event: &RoomEvent) -> Value {
    serde_json::to_value(event).unwrap_or(Value::Null)
}

/// Chat; what was deleted keeps its place and shows nothing.
pub async fn messages(
    conn: &mut PgConnection,
    stream: StreamId,
    epoch: i64,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<NumberedEvent>> {
    let rows = sqlx::query_as!(
        Message,
        r#"select m.epoch, m.seq, m.id as "id: MessageId", m.user_id as "user: UserId", p.display_name as "name?",
                  l.user_id = m.user_id as "host!",
                  exists (select from moderators o where o.seller_id = s.seller_id and o.user_id = m.user_id
                                                     and (o.stream_id is null or o.stream_id = s.id)) as "moderator!",
                  m.text, m.reply_to as "reply_to: MessageId", q.user_id as "quoted_user?: UserId",
                  q.text as "quoted_text?", coalesce(qp.display_name, '') as "quoted_name!", m.created_at, m.deleted_at is not null as "deleted!"
             from stream_chat_messages m
             join streams s on s.id = m.stream_id
             join sellers l on l.id = s.seller_id
             left join profiles p on p.user_id = m.user_id
             left join stream_chat_messages q
               on q.id = m.reply_to and q.stream_id = m.stream_id and q.deleted_at is null
             left join profiles qp on qp.user_id = q.user_id
            where m.stream_id = $1 and m.epoch = $2 and m.seq > $3 order by m.seq limit $4"#,
        stream.0,
        epoch,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    let said = rows.into_iter().map(|row| {
        let (seq, at, is_shown) = (row.seq, row.created_at, !row.deleted);
        numbered(seq, at, is_shown.then(|| event(&RoomEvent::Chat(row.message()))))
    });
    Ok(said.collect())
}

/// Places of rows that the database refused.
pub async fn refused(
    conn: &mut PgConnection,
    stream: StreamId,
    epoch: i64,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<NumberedEvent>> {
    let rows = sqlx::query!(
        "select seq, created_at from persist_rejects
          where stream_id = $1 and epoch = $2 and seq > $3 order by seq limit $4",
        stream.0,
        epoch,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| numbered(row.seq, row.created_at, None))
        .collect())
}

/// A chat message as stored; its author's name is the one they have now.
struct Message {
    epoch: i64,
    seq: i64,
    id: MessageId,
    user: UserId,
    name: Option<String>,
    host: bool,
    moderator: bool,
    text: String,
    reply_to: Option<MessageId>,
    quoted_user: Option<UserId>,
    quoted_text: Option<String>,
    quoted_name: String,
    created_at: Timestamp,
    deleted: bool,
}

impl Message {
    /// As the room told it.
    fn message(self) -> ChatMessage {
        ChatMessage {
            id: self.id,
            author: Author {
                id: self.user,
                name: self.name.unwrap_or_default(),
                host: self.host,
                moderator: self.moderator,
            },
            text: self.text,
            reply_to: self.reply_to,
            quote: self
                .quoted_user
                .zip(self.quoted_text)
                .map(|(author, text)| Box::new(Quote::of(author, &self.quoted_name, &text))),
            at: self.created_at.timestamp_millis(),
        }
    }
}

fn place(at: Timestamp, epoch: i64, seq: i64) -> Cursor {
    Cursor {
        at_us: at.timestamp_micros(),
        epoch,
        seq,
    }
}

fn happened(at: Timestamp, epoch: i64, seq: i64, event: Value) -> (Cursor, Happened) {
    let number = u64::try_from(seq).unwrap_or(0);
    let what = Happened {
        place: Some((epoch, number)),
        event,
    };
    (place(at, epoch, seq), what)
}

/// Events other than chat, by time; without those that tell of a deleted message.
pub async fn events_by_time(
    conn: &mut PgConnection,
    stream: StreamId,
    after: Cursor,
    limit: i64,
) -> sqlx::Result<Vec<(Cursor, Happened)>> {
    let rows = sqlx::query!(
        r#"select epoch, seq, created_at, kind,
                  case when kind = 'purchase' then told_purchase(payload) else payload end as "payload!"
             from stream_events
            where stream_id = $1 and (created_at, epoch, seq) > ($2, $3, $4) and kind <> 'message_deleted'
            and case when kind = 'pinned'
                     then exists (select from stream_chat_messages m
                                   where m.id = (payload ->> 'message')::uuid and m.deleted_at is null)
                     else true end
            order by created_at, epoch, seq limit $5"#,
        stream.0,
        after.time(),
        after.epoch,
        after.seq,
        limit
    )
    .fetch_all(&mut *conn)
    .await?;
    let pinned_here = rows.iter().filter_map(|row| pinned(&row.kind, &row.payload));
    let pins = pins(conn, stream, pinned_here).await?;
    let event = rows.into_iter().map(|row| {
        let event = match pinned(&row.kind, &row.payload) {
            Some(message) => pins.get(&message).cloned().unwrap_or(Value::Null),
            None => row.payload,
        };
        happened(row.created_at, row.epoch, row.seq, event)
    });
    Ok(event.collect())
}

/// Chat, by time.
pub async fn messages_by_time(
    conn: &mut PgConnection,
    stream: StreamId,
    after: Cursor,
    limit: i64,
) -> sqlx::Result<Vec<(Cursor, Happened)>> {
    let rows = sqlx::query_as!(
        Message,
        r#"select m.epoch, m.seq, m.id as "id: MessageId", m.user_id as "user: UserId", p.display_name as "name?",
                  l.user_id = m.user_id as "host!",
                  exists (select from moderators o where o.seller_id = s.seller_id and o.user_id = m.user_id
                                                     and (o.stream_id is null or o.stream_id = s.id)) as "moderator!",
                  m.text, m.reply_to as "reply_to: MessageId", q.user_id as "quoted_user?: UserId",
                  q.text as "quoted_text?", coalesce(qp.display_name, '') as "quoted_name!", m.created_at, false as "deleted!"
             from stream_chat_messages m
             join streams s on s.id = m.stream_id
             join sellers l on l.id = s.seller_id
             left join profiles p on p.user_id = m.user_id
             left join stream_chat_messages q
               on q.id = m.reply_to and q.stream_id = m.stream_id and q.deleted_at is null
             left join profiles qp on qp.user_id = q.user_id
            where m.stream_id = $1 and m.deleted_at is null and (m.created_at, m.epoch, m.seq) > ($2, $3, $4)
            order by m.created_at, m.epoch, m.seq limit $5"#,
        stream.0,
        after.time(),
        after.epoch,
        after.seq,
        limit
    )
    .fetch_all(conn)
    .await?;
    let said = rows.into_iter().map(|row| {
        let (at, epoch, seq) = (row.created_at, row.epoch, row.seq);
        happened(at, epoch, seq, event(&RoomEvent::Chat(row.message())))
    });
    Ok(said.collect())
}

/// Reactions of minutes that are over, by time.
pub async fn reactions_by_time(
    conn: &mut PgConnection,
    stream: StreamId,
    after: Cursor,
    limit: i64,
) -> sqlx::Result<Vec<(Cursor, Happened)>> {
    let rows = sqlx::query!(
        r#"select minute, jsonb_object_agg(kind, count) as "counts!" from stream_reactions
            where stream_id = $1 and (minute, 0::bigint, 0::bigint) > ($2, $3, $4)
              and minute < now() - interval '65 seconds'
            group by minute order by minute limit $5"#,
        stream.0,
        after.time(),
        after.epoch,
        after.seq,
        limit
    )
    .fetch_all(conn)
    .await?;
    let minute = rows.into_iter().map(|row| {
        let what = Happened {
            place: None,
            event: json!({"type": "reactions", "counts": row.counts}),
        };
        (place(row.minute, 0, 0), what)
    });
    Ok(minute.collect())
}

/// When the last event that is stored was decided.
pub async fn last_time(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar!(
        "select greatest((select max(created_at) from stream_events where stream_id = $1),
                         (select max(created_at) from stream_chat_messages where stream_id = $1))",
        stream.0
    )
    .fetch_one(conn)
    .await
}
