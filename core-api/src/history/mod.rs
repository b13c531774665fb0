//! What a show leaves behind: its numbered events, to go on from where a room's own log
//! begins; the same and its chat by time, to play it again; and what it came to.
//!
//! Every page is read in one snapshot, together with the word up to where it is complete.
//! That word can be given because what is stored of an epoch is always a prefix without
//! gaps, and because a new owner's epoch is only seen together with everything that the
//! former one has stored.

pub mod handlers;
pub mod model;
mod store;

use chrono::{DateTime, TimeDelta, Utc};
use shared::error::{ErrorCode, Refusal};
use shared::ids::{SellerId, StreamId};
use shared::protocol::{Audience, ShowSummary};
use shared::status::StreamStatus;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::http::{Page, Result};
use model::{AfterSeq, Cursor, EventsPage, From, NumberedEvent, PublicSummary, ReplayPage, Replayed};

/// One look at the database, of which all statements see the same.
const ONE_LOOK: &str = "begin isolation level repeatable read, read only";
/// When to ask again for a summary that is being made.
const SUMMARY_RETRY_MS: u64 = 1_000;

/// Begins a transaction in which all statements see the same.
///
/// # Errors
/// When the database fails.
pub async fn look(db: &PgPool) -> Result<Transaction<'static, Postgres>> {
    Ok(db.begin_with(ONE_LOOK).await?)
}

/// Step: up to where a room's numbered events are stored without a gap: the last epoch of
/// which something is, and the last number in it.
///
/// # Errors
/// When the database fails.
pub async fn complete_to(conn: &mut PgConnection, stream: StreamId) -> Result<Option<(i64, u64)>> {
    let Some(epoch) = store::last_epoch(conn, stream).await? else {
        return Ok(None);
    };
    let seq = store::complete_to(conn, stream, epoch).await?;
    Ok(Some((epoch, u64::try_from(seq).unwrap_or(0))))
}

/// Numbered events of an epoch, in order and without a gap, chat included.
///
/// # Errors
/// `not_found`, `invalid_parameter`.
pub async fn events(db: &PgPool, stream: StreamId, wish: &AfterSeq) -> Result<EventsPage> {
    let limit = Page::limit(wish.limit)?;
    let after = i64::try_from(wish.after_seq.unwrap_or(0))
        .map_err(|_| Refusal::new(ErrorCode::InvalidParameter, "there is no such number").at("after_seq"))?;
    let mut tx = look(db).await?;
    if store::show(&mut tx, stream).await?.is_none() {
        return Err(ErrorCode::NotFound.into());
    }
    let known = store::epochs(&mut tx, stream, wish.epoch).await?;
    let epoch = match wish.epoch {
        None => known.first.or(known.owned).unwrap_or(1),
        Some(epoch) if epoch >= 1 && (known.owned.is_some_and(|owned| epoch <= owned) || epoch == 1) => epoch,
        Some(_) => {
            return Err(Refusal::new(ErrorCode::InvalidParameter, "there was no such epoch")
                .at("epoch")
                .into());
        }
    };
    let mut items = store::events(&mut tx, stream, epoch, after, limit + 1).await?;
    items.extend(store::messages(&mut tx, stream, epoch, after, limit + 1).await?);
    items.extend(store::refused(&mut tx, stream, epoch, after, limit + 1).await?);
    let complete_to = store::complete_to(&mut tx, stream, epoch).await?;
    let next_epoch = store::next_epoch(&mut tx, stream, epoch).await?;
    tx.commit().await?;
    Ok(page_of(
        epoch,
        items,
        limit,
        complete_to,
        next_epoch.or(known.owned.filter(|owned| *owned > epoch)),
    ))
}

fn page_of(
    epoch: i64,
    mut items: Vec<NumberedEvent>,
    limit: i64,
    complete_to: i64,
    next_epoch: Option<i64>,
) -> EventsPage {
    items.sort_unstable_by_key(|item| item.seq);
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > shown;
    items.truncate(shown);
    EventsPage {
        epoch,
        next_after_seq: items.last().filter(|_| more).map(|item| item.seq),
        items,
        complete_to: u64::try_from(complete_to).unwrap_or(0),
        next_epoch,
    }
}

/// Everything that happened in a show, by the time since it began. What was deleted is
/// left out.
///
/// # Errors
/// `not_found`, `wrong_state` before it has begun, `invalid_parameter`.
pub async fn replay(db: &PgPool, stream: StreamId, wish: &From) -> Result<ReplayPage> {
    let limit = Page::limit(wish.limit)?;
    let mut tx = look(db).await?;
    let show = store::show(&mut tx, stream).await?.ok_or(ErrorCode::NotFound)?;
    let Some(began) = show.started_at else {
        return Err(Refusal::new(ErrorCode::WrongState, "the show has not begun").into());
    };
    let after = match &wish.cursor {
        Some(cursor) => Cursor::read(cursor)?,
        None => Cursor::before(offset(began, wish.from_ms.unwrap_or(0))?),
    };
    let mut items = store::events_by_time(&mut tx, stream, after, limit + 1).await?;
    items.extend(store::messages_by_time(&mut tx, stream, after, limit + 1).await?);
    items.extend(store::reactions_by_time(&mut tx, stream, after, limit + 1).await?);
    let last = store::last_time(&mut tx, stream).await?;
    tx.commit().await?;
    items.sort_unstable_by_key(|(at, _)| *at);
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > shown;
    items.truncate(shown);
    let since = |at: DateTime<Utc>| at.signed_duration_since(began).num_milliseconds();
    Ok(ReplayPage {
        next_cursor: items.last().filter(|_| more).map(|(at, _)| at.to_string()),
        items: items
            .into_iter()
            .map(|(at, what)| Replayed {
                at_ms: since(at.time()),
                epoch: what.place.map(|(epoch, _)| epoch),
                seq: what.place.map(|(_, seq)| seq),
                event: what.event,
            })
            .collect(),
        complete_to_ms: last.map_or(0, since),
        over: show.status == StreamStatus::Ended,
    })
}

/// Further than this from its beginning nothing of a show has happened.
const FAR_MS: i64 = 10 * 365 * 24 * 3_600_000;

fn offset(began: DateTime<Utc>, from_ms: i64) -> Result<DateTime<Utc>> {
    let offset = (-FAR_MS..=FAR_MS).contains(&from_ms);
    let offset = offset.then(|| TimeDelta::milliseconds(from_ms));
    let at = offset.and_then(|offset| began.checked_add_signed(offset));
    Ok(at.ok_or_else(|| Refusal::new(ErrorCode::InvalidParameter, "that is beyond all time").at("from_ms"))?)
}

/// What a show of the shop's came to.
///
/// # Errors
/// `not_found`, `wrong_state` before it is over.
pub async fn summary(db: &PgPool, seller: SellerId, stream: StreamId) -> Result<ShowSummary> {
    let mut tx = look(db).await?;
    let show = store::show(&mut tx, stream).await?;
    let show = show.filter(|show| show.seller == seller).ok_or(ErrorCode::NotFound)?;
    let (started_at, ended_at, audience) = over(&mut tx, stream, &show).await?;
    let commerce = store::commerce(&mut tx, stream).await?;
    tx.commit().await?;
    Ok(ShowSummary {
        stream,
        started_at: started_at.timestamp_millis(),
        ended_at: ended_at.timestamp_millis(),
        audience,
        commerce,
    })
}

/// What everybody may know of what a show came to.
///
/// # Errors
/// `not_found`, `wrong_state` before it is over.
pub async fn public_summary(db: &PgPool, stream: StreamId) -> Result<PublicSummary> {
    let mut tx = look(db).await?;
    let show = store::show(&mut tx, stream).await?.ok_or(ErrorCode::NotFound)?;
    let (started_at, ended_at, audience) = over(&mut tx, stream, &show).await?;
    tx.commit().await?;
    Ok(PublicSummary {
        stream,
        started_at,
        ended_at,
        peak_viewers: audience.peak_viewers,
        chat_messages: audience.chat_messages,
        reactions: audience.reactions,
    })
}

async fn over(
    tx: &mut PgConnection,
    stream: StreamId,
    show: &store::Show,
) -> Result<(DateTime<Utc>, DateTime<Utc>, Audience)> {
    let (Some(started_at), Some(ended_at)) = (show.started_at, show.ended_at) else {
        return Err(Refusal::new(ErrorCode::WrongState, "the show is not over").into());
    };
    let audience = store::audience(tx, stream).await?.ok_or_else(|| {
        // The room counts when its last event is stored.
        Refusal::new(ErrorCode::WrongState, "the show is being counted").retry_after_ms(SUMMARY_RETRY_MS)
    })?;
    Ok((started_at, ended_at, audience))
}

/// Counts shows that are over for a while and were not counted by their rooms, because
/// the engine was away. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn summarise_left_behind(db: &PgPool, limit: u32) -> Result<u64> {
    let left = store::unsummarised(&mut *db.acquire().await?, limit.into()).await?;
    let mut done = 0;
    for stream in left {
        done += u64::from(store::summarise(&mut *db.acquire().await?, stream).await?);
    }
    Ok(done)
}

/// Forgets who was in shows that are counted. Returns how many rows.
///
/// # Errors
/// When the database fails.
pub async fn prune_attendance(db: &PgPool, limit: u32) -> Result<u64> {
    Ok(store::delete_attendance(&mut *db.acquire().await?, limit.into()).await?)
}
