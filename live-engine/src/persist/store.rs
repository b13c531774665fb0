//! The persister's SQL. Every write is fenced: it joins the room's lease by epoch, and
//! the lease is share-locked before, so that a new owner waits for a commit that was
//! begun and the old one stores nothing after it.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::Timestamp;
use shared::ids::StreamId;
use shared::protocol::RoomEvent;
use sqlx::PgConnection;
use uuid::Uuid;

use super::sums::Sum;
use super::{Entry, Row};
use crate::db::Error;

/// Locks the rooms' leases, in id order like everybody else, and tells their epochs.
pub(super) async fn lock_leases(
    conn: &mut PgConnection,
    streams: &[Uuid],
) -> Result<BTreeMap<StreamId, i64>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select stream_id as "stream: StreamId", epoch from room_leases
            where stream_id = any($1) order by stream_id for share"#,
        streams
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.stream, row.epoch)).collect())
}

/// Stores the chat messages among the entries. One that is there already (a commit
/// whose answer was lost) stays as it is.
pub(super) async fn insert_chat(conn: &mut PgConnection, entries: &[Entry]) -> Result<(), sqlx::Error> {
    let mut columns = Columns::default();
    let (mut ids, mut users, mut requests, mut bodies) = (vec![], vec![], vec![], vec![]);
    let (mut replies, mut texts) = (vec![], vec![]);
    for entry in entries {
        if let Row::Chat { message, act } = &entry.row {
            columns.push(entry);
            ids.push(message.id.0);
            users.push(message.author.id.0);
            requests.push(act.map(|act| act.request_id.0));
            bodies.push(act.map(|act| act.body));
            replies.push(message.reply_to.map(|id| id.0));
            texts.push(message.text.clone());
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into stream_chat_messages
                (id, stream_id, epoch, seq, user_id, request_id, body_hash, reply_to, text, created_at)
         select t.id, t.stream_id, t.epoch, t.seq, t.user_id, t.request_id, t.body_hash, t.reply_to, t.text, t.at
           from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::uuid[],
                       $7::bigint[], $8::uuid[], $9::text[], $10::timestamptz[])
                as t (id, stream_id, epoch, seq, user_id, request_id, body_hash, reply_to, text, at)
           join room_leases l on l.stream_id = t.stream_id and l.epoch = t.epoch
         on conflict (stream_id, epoch, seq) do nothing",
        &ids,
        &columns.streams,
        &columns.epochs,
        &columns.seqs,
        &users,
        &requests as &[Option<Uuid>],
        &bodies as &[Option<i64>],
        &replies as &[Option<Uuid>],
        &texts,
        &columns.times
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// An event as it is kept. Of a message that is pinned only which one it is: its text is
/// in its own row, and nowhere else when that is deleted. Of who has bought something only
/// who they are: their name is in their profile, and nowhere else when they leave.
fn stored(event: &RoomEvent) -> serde_json::Result<Value> {
    match event {
        RoomEvent::Pinned { message } => Ok(serde_json::json!({ "type": event.kind(), "message": message.id })),
        RoomEvent::Purchase {
            buyer,
            name,
            title,
            quantity,
        } => {
            let mut kept = serde_json::json!({ "type": event.kind(), "title": title, "quantity": quantity });
            if let Some(buyer) = buyer.filter(|_| name.is_some()) {
                kept["buyer"] = serde_json::to_value(buyer)?;
            }
            Ok(kept)
        }
        other => serde_json::to_value(other),
    }
}

/// Stores the other events.
pub(super) async fn insert_events(conn: &mut PgConnection, entries: &[Entry]) -> Result<(), Error> {
    let mut columns = Columns::default();
    let (mut kinds, mut payloads) = (vec![], vec![]);
    for entry in entries {
        if let Row::Event(event) = &entry.row {
            columns.push(entry);
            kinds.push(event.kind().to_owned());
            payloads.push(stored(event)?);
        }
    }
    if kinds.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into stream_events (stream_id, epoch, seq, kind, payload, created_at)
         select t.stream_id, t.epoch, t.seq, t.kind, t.payload, t.at
           from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[], $5::jsonb[], $6::timestamptz[])
                as t (stream_id, epoch, seq, kind, payload, at)
           join room_leases l on l.stream_id = t.stream_id and l.epoch = t.epoch
         on conflict (stream_id, epoch, seq) do nothing",
        &columns.streams,
        &columns.epochs,
        &columns.seqs,
        &kinds,
        &payloads,
        &columns.times
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes what people have said up to the events that take it out of view: here and not
/// in the transaction that caused them, because here everything before is stored. Who has
/// muted or banned them has deleted it.
pub(super) async fn strike(conn: &mut PgConnection, entries: &[Entry]) -> Result<(), sqlx::Error> {
    let mut columns = Columns::default();
    let mut users = vec![];
    for entry in entries {
        if let Row::Event(RoomEvent::Moderation { user }) = &entry.row {
            columns.push(entry);
            users.push(user.0);
        }
    }
    if users.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update stream_chat_messages c
            set deleted_at = clock_timestamp(), deleted_as = 'moderator',
                deleted_by = coalesce(
                    (select m.muted_by from muted_viewers m where m.stream_id = t.stream_id and m.user_id = t.user_id),
                    (select b.banned_by from banned_viewers b where b.seller_id = s.seller_id and b.user_id = t.user_id),
                    o.user_id)
           from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[]) as t (stream_id, epoch, seq, user_id)
           join room_leases l on l.stream_id = t.stream_id and l.epoch = t.epoch
           join streams s on s.id = t.stream_id
           join sellers o on o.id = s.seller_id
          where c.stream_id = t.stream_id and c.user_id = t.user_id and c.deleted_at is null
            and (c.epoch, c.seq) < (t.epoch, t.seq)",
        &columns.streams,
        &columns.epochs,
        &columns.seqs,
        &users
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks the outbox rows that caused the entries.
pub(super) async fn mark_outbox(conn: &mut PgConnection, entries: &[Entry]) -> Result<(), sqlx::Error> {
    let (mut ids, mut streams, mut epochs) = (vec![], vec![], vec![]);
    for entry in entries {
        for id in &entry.outbox {
            ids.push(*id);
            streams.push(entry.stream.0);
            epochs.push(entry.epoch);
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
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

/// Keeps a row that the database refuses, and why.
pub(super) async fn insert_reject(conn: &mut PgConnection, entry: &Entry, error: &str) -> Result<(), Error> {
    let payload = match &entry.row {
        Row::Chat { message, act } => {
            let request_id = act.map(|act| act.request_id);
            serde_json::json!({ "type": "chat", "message": message, "request_id": request_id })
        }
        Row::Event(event) => stored(event)?,
    };
    sqlx::query!(
        "insert into persist_rejects (id, stream_id, epoch, seq, payload, error)
         select $1, $2, $3, $4, $5, $6
          where exists (select from room_leases where stream_id = $2 and epoch = $3)
            and not exists (select from persist_rejects where stream_id = $2 and epoch = $3 and seq = $4)",
        Uuid::now_v7(),
        entry.stream.0,
        entry.epoch,
        seq(entry),
        without_nul(payload),
        error.replace('\0', "\u{fffd}")
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds to the sums of reactions, once for each number of a writer's: what it has added
/// under this one already is not added again. In key order, so that two nodes cannot lock
/// each other out.
pub(super) async fn add_reactions(
    conn: &mut PgConnection,
    writer: Uuid,
    number: i64,
    sums: &[Sum],
) -> Result<(), sqlx::Error> {
    let (mut streams, mut kinds, mut minutes, mut counts) = (vec![], vec![], vec![], vec![]);
    for ((stream, kind, minute), count) in sums {
        streams.push(stream.0);
        kinds.push(kind.clone());
        minutes.push(*minute);
        counts.push(i64::try_from(*count).unwrap_or(i64::MAX));
    }
    sqlx::query!(
        "with fresh as (
             insert into reaction_writers as w (id, last_write) values ($1, $2)
             on conflict (id) do update set last_write = excluded.last_write, written_at = now()
                where w.last_write < excluded.last_write
             returning id
         )
         insert into stream_reactions (stream_id, kind, minute, count)
         select t.stream_id, t.kind, t.minute, t.count
           from fresh, unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::bigint[])
                       as t (stream_id, kind, minute, count)
          order by 1, 2, 3
         on conflict (stream_id, kind, minute) do update set count = stream_reactions.count + excluded.count",
        writer,
        number,
        &streams,
        &kinds,
        &minutes as &[Timestamp],
        &counts
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What every row of a room has.
#[derive(Default)]
struct Columns {
    streams: Vec<Uuid>,
    epochs: Vec<i64>,
    seqs: Vec<i64>,
    times: Vec<Timestamp>,
}

impl Columns {
    fn push(&mut self, entry: &Entry) {
        self.streams.push(entry.stream.0);
        self.epochs.push(entry.epoch);
        self.seqs.push(seq(entry));
        self.times.push(entry.at);
    }
}

/// 2^63 events are not reached in an epoch; were they, the check constraint would refuse.
fn seq(entry: &Entry) -> i64 {
    i64::try_from(entry.seq).unwrap_or(-1)
}

/// Postgres stores no NUL in text or jsonb, and a reject must always be storable.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nul).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name.replace('\0', "\u{fffd}"), without_nul(value)))
                .collect(),
        ),
        other => other,
    }
}
