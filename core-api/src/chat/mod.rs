//! What a shop makes of its chats beside what its rooms do: the words that it blocks, the
//! messages that wait for a decision, and the reports that people have made. Rooms hear of
//! other words through the outbox; a decision is a command to the room.

pub mod handlers;
pub mod model;
mod store;

use serde_json::json;
use shared::bus::SharedBus;
use shared::error::{ErrorCode, Refusal};
use shared::ids::{BlockedWordId, ReportId, RequestId, SellerId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::outbox;
use shared::protocol::ChatRules;
use shared::rights::Right;
use shared::words::{MAX_FOLDED_CHARS, MAX_WORDS, folded};
use sqlx::{PgConnection, PgPool};

use crate::http::{List, Page, Result, Shopkeeper};
use crate::idempotency::{self, Answer};
use crate::{audit, streams};
use model::{BlockedWord, NewWord, Report, Review, Settled, WordChange};

/// A shop's blocked words, newest first.
///
/// # Errors
/// When the database fails.
pub async fn words(db: &PgPool, shop: &Shopkeeper, page: &Page) -> Result<List<BlockedWord>> {
    let rows = store::words(&mut *db.acquire().await?, shop.seller, page).await?;
    Ok(List::of(rows, page, |word| word.id.0))
}

/// Blocks a word in the chats of all the shop's shows.
///
/// # Errors
/// `invalid_body` for a word of which nothing is left to be looked for, `conflict` for one
/// that is blocked already, in this spelling or another, and when there are too many.
pub async fn block(
    db: &PgPool,
    bus: &SharedBus,
    shop: &Shopkeeper,
    key: RequestId,
    new: &NewWord,
) -> Result<Answer<BlockedWord>> {
    let blocked = idempotency::once(db, shop.user, key, "word.block", new, 201, async |tx| {
        block_in(tx, shop, new).await
    })
    .await?;
    outbox::hint(bus.as_ref()).await;
    Ok(blocked)
}

async fn block_in(tx: &mut PgConnection, shop: &Shopkeeper, new: &NewWord) -> Result<BlockedWord> {
    let letters = folded(&new.word);
    if !(2..=MAX_FOLDED_CHARS).contains(&letters.chars().count()) {
        let refusal = Refusal::new(
            ErrorCode::InvalidBody,
            "a word needs two letters at least, and is no essay",
        );
        return Err(refusal.at("word").into());
    }
    if store::lock_and_count(tx, shop.seller).await? >= i64::try_from(MAX_WORDS).unwrap_or(i64::MAX) {
        let detail = format!("a shop blocks at most {MAX_WORDS} words");
        return Err(Refusal::new(ErrorCode::Conflict, detail).into());
    }
    let id = BlockedWordId::new();
    let word = store::insert_word(tx, id, shop, new, &letters).await?;
    let word = word.ok_or_else(|| Refusal::new(ErrorCode::Conflict, "the word is blocked already").at("word"))?;
    changed(
        tx,
        shop,
        id,
        "word.block",
        json!({"word": word.word, "action": word.action}),
    )
    .await?;
    Ok(word)
}

/// Changes what a blocked word leads to.
///
/// # Errors
/// `not_found`.
pub async fn change(
    db: &PgPool,
    bus: &SharedBus,
    shop: &Shopkeeper,
    id: BlockedWordId,
    change: &WordChange,
) -> Result<BlockedWord> {
    let mut tx = db.begin().await?;
    let word = store::change_word(&mut tx, shop.seller, id, change).await?;
    let word = word.ok_or(ErrorCode::NotFound)?;
    changed(
        &mut tx,
        shop,
        id,
        "word.change",
        json!({"word": word.word, "action": word.action}),
    )
    .await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    Ok(word)
}

/// Allows a word again.
///
/// # Errors
/// `not_found`.
pub async fn allow(db: &PgPool, bus: &SharedBus, shop: &Shopkeeper, id: BlockedWordId) -> Result<()> {
    let mut tx = db.begin().await?;
    let word = store::delete_word(&mut tx, shop.seller, id)
        .await?
        .ok_or(ErrorCode::NotFound)?;
    changed(&mut tx, shop, id, "word.allow", json!({"word": word})).await?;
    tx.commit().await?;
    outbox::hint(bus.as_ref()).await;
    Ok(())
}

/// What follows every change of the words: its audit entry, and the rooms that read again.
async fn changed(
    tx: &mut PgConnection,
    shop: &Shopkeeper,
    id: BlockedWordId,
    action: &'static str,
    detail: serde_json::Value,
) -> Result<()> {
    audit::record(tx, shop.user, action, id.0, detail).await?;
    outbox::push_to_shows(tx, shop.seller, None, &RoomNotice::WordsChanged).await?;
    Ok(())
}

/// The rules of a show's chat.
///
/// # Errors
/// `not_found`.
pub async fn rules(db: &PgPool, stream: StreamId) -> Result<ChatRules> {
    let rules = store::rules(&mut *db.acquire().await?, stream).await?;
    Ok(rules.ok_or(ErrorCode::NotFound)?)
}

/// Held messages of a show, newest first, for its host and those who may decide.
///
/// # Errors
/// `not_found` for everybody else.
pub async fn reviews(
    db: &PgPool,
    user: UserId,
    stream: StreamId,
    waiting: Option<bool>,
    page: &Page,
) -> Result<List<Review>> {
    let mut conn = db.acquire().await?;
    streams::require_right(&mut conn, stream, user, &[Right::Review]).await?;
    let rows = store::reviews(&mut conn, stream, waiting, page).await?;
    Ok(List::of(rows, page, |review| review.message.0))
}

/// Reports of a show's messages, newest first, for its host and those who may act on them.
///
/// # Errors
/// `not_found` for everybody else.
pub async fn reports_of_show(
    db: &PgPool,
    user: UserId,
    stream: StreamId,
    settled: Option<bool>,
    page: &Page,
) -> Result<List<Report>> {
    let mut conn = db.acquire().await?;
    streams::require_right(&mut conn, stream, user, &[Right::DeleteMessages, Right::Review]).await?;
    let rows = store::reports(&mut conn, None, Some(stream), settled, page).await?;
    Ok(List::of(rows, page, |report| report.id.0))
}

/// Reports of messages in all of a shop's shows, or in all shows, newest first.
///
/// # Errors
/// When the database fails.
pub async fn reports(
    db: &PgPool,
    seller: Option<SellerId>,
    settled: Option<bool>,
    page: &Page,
) -> Result<List<Report>> {
    let rows = store::reports(&mut *db.acquire().await?, seller, None, settled, page).await?;
    Ok(List::of(rows, page, |report| report.id.0))
}

/// Marks a report as settled: a shop's own, or for an admin any. One that is stays so.
///
/// # Errors
/// `not_found`.
pub async fn settle(db: &PgPool, user: UserId, seller: Option<SellerId>, id: ReportId) -> Result<Settled> {
    let mut tx = db.begin().await?;
    let settled = settle_in(&mut tx, user, seller, None, id).await?;
    tx.commit().await?;
    Ok(settled)
}

/// The same of one show's report, for its host and those who may act on it.
///
/// # Errors
/// `not_found` for everybody else, and for a report of another show.
pub async fn settle_of_show(db: &PgPool, user: UserId, stream: StreamId, id: ReportId) -> Result<Settled> {
    let mut tx = db.begin().await?;
    streams::require_right(&mut tx, stream, user, &[Right::DeleteMessages, Right::Review]).await?;
    let settled = settle_in(&mut tx, user, None, Some(stream), id).await?;
    tx.commit().await?;
    Ok(settled)
}

async fn settle_in(
    tx: &mut PgConnection,
    user: UserId,
    seller: Option<SellerId>,
    stream: Option<StreamId>,
    id: ReportId,
) -> Result<Settled> {
    let settled = store::settle(tx, user, seller, stream, id).await?;
    let settled = settled.ok_or(ErrorCode::NotFound)?;
    if settled.by_this {
        let detail = json!({"before": {"settled": false}, "after": {"settled": true}});
        audit::record(tx, user, "report.settle", id.0, detail).await?;
    }
    Ok(Settled {
        id,
        settled_at: settled.at,
    })
}
