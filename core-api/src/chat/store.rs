//! SQL of `blocked_words`, and what core-api reads of `chat_reviews` and `chat_reports`.

use shared::Timestamp;
use shared::ids::{BlockedWordId, MessageId, ReportId, SellerId, StreamId, UserId};
use shared::protocol::{ChatAudience, ChatRules, HeldFor, Links, ReportReason};
use shared::words::{Matching, WordAction};
use sqlx::PgConnection;

use super::model::{BlockedWord, NewWord, Report, Review, WordChange};
use crate::http::{Page, Shopkeeper};

/// A shop's words, newest first.
pub(super) async fn words(conn: &mut PgConnection, seller: SellerId, page: &Page) -> sqlx::Result<Vec<BlockedWord>> {
    sqlx::query_as!(
        BlockedWord,
        r#"select id as "id: BlockedWordId", word, matching as "matching: Matching", action as "action: WordAction",
                  created_at
             from blocked_words where seller_id = $1 and ($2::uuid is null or id < $2) order by id desc limit $3"#,
        seller.0,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// How many a shop has; its row is locked, so that the count holds until the commit.
pub(super) async fn lock_and_count(tx: &mut PgConnection, seller: SellerId) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select id from sellers where id = $1 for no key update", seller.0)
        .fetch_optional(&mut *tx)
        .await?;
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from blocked_words where seller_id = $1"#,
        seller.0
    )
    .fetch_one(tx)
    .await
}

/// Blocks a word; `None`: it is blocked already.
pub(super) async fn insert_word(
    tx: &mut PgConnection,
    id: BlockedWordId,
    shop: &Shopkeeper,
    new: &NewWord,
    folded: &str,
) -> sqlx::Result<Option<BlockedWord>> {
    sqlx::query_as!(
        BlockedWord,
        r#"insert into blocked_words (id, seller_id, word, folded, matching, action, created_by)
           values ($1, $2, $3, $4, $5, $6, $7) on conflict (seller_id, folded) do nothing
           returning id as "id: BlockedWordId", word, matching as "matching: Matching",
                     action as "action: WordAction", created_at"#,
        id.0,
        shop.seller.0,
        new.word.trim(),
        folded,
        new.matching.as_str(),
        new.action.as_str(),
        shop.user.0
    )
    .fetch_optional(tx)
    .await
}

/// Changes one of a shop's words; `None`: there is none such.
pub(super) async fn change_word(
    tx: &mut PgConnection,
    seller: SellerId,
    id: BlockedWordId,
    change: &WordChange,
) -> sqlx::Result<Option<BlockedWord>> {
    sqlx::query_as!(
        BlockedWord,
        r#"update blocked_words set matching = coalesce($3, matching), action = coalesce($4, action)
            where id = $1 and seller_id = $2
           returning id as "id: BlockedWordId", word, matching as "matching: Matching",
                     action as "action: WordAction", created_at"#,
        id.0,
        seller.0,
        change.matching.map(Matching::as_str),
        change.action.map(WordAction::as_str)
    )
    .fetch_optional(tx)
    .await
}

/// Deletes one of a shop's words, and says which; `None`: there is none such.
pub(super) async fn delete_word(
    tx: &mut PgConnection,
    seller: SellerId,
    id: BlockedWordId,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "delete from blocked_words where id = $1 and seller_id = $2 returning word",
        id.0,
        seller.0
    )
    .fetch_optional(tx)
    .await
}

/// The rules of a show's chat; `None`: there is no such show.
pub(super) async fn rules(conn: &mut PgConnection, stream: StreamId) -> sqlx::Result<Option<ChatRules>> {
    let row = sqlx::query!(
        r#"select chat_slow_seconds as slow, chat_audience as "audience: ChatAudience",
                  chat_links as "links: Links", chat_max_chars as chars from streams where id = $1"#,
        stream.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| ChatRules {
        slow_seconds: u32::try_from(row.slow).unwrap_or(0),
        audience: row.audience,
        links: row.links,
        max_chars: u32::try_from(row.chars).unwrap_or(0),
    }))
}

/// Held messages of a show, newest first.
pub(super) async fn reviews(
    conn: &mut PgConnection,
    stream: StreamId,
    waiting: Option<bool>,
    page: &Page,
) -> sqlx::Result<Vec<Review>> {
    sqlx::query_as!(
        Review,
        r#"select r.message_id as "message: MessageId", r.user_id as "user: UserId",
                  coalesce(p.display_name, '') as "name!", r.text, r.reply_to as "reply_to: MessageId",
                  r.cause as "cause: HeldFor", r.detail,
                  case r.status when 'approved' then true when 'rejected' then false end as approved,
                  r.decided_by as "decided_by: UserId", r.decided_at, r.created_at
             from chat_reviews r left join profiles p on p.user_id = r.user_id
            where r.stream_id = $1 and ($2::boolean is null or (r.status = 'waiting') = $2)
              and ($3::uuid is null or r.message_id < $3)
            order by r.message_id desc limit $4"#,
        stream.0,
        waiting,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// Reports, newest first: of a shop, of a show, or all. Who made them is read with all
/// only: a shop could ban whoever has reported it.
pub(super) async fn reports(
    conn: &mut PgConnection,
    seller: Option<SellerId>,
    stream: Option<StreamId>,
    settled: Option<bool>,
    page: &Page,
) -> sqlx::Result<Vec<Report>> {
    sqlx::query_as!(
        Report,
        r#"select r.id as "id: ReportId", r.stream_id as "stream: StreamId", r.message_id as "message: MessageId",
                  r.text, m.deleted_at is not null as "deleted!", r.author_id as "author: UserId",
                  coalesce(p.display_name, '') as "author_name!", case when $1::uuid is null and $2::uuid is null then r.reporter_id end as "reporter: UserId",
                  r.reason as "reason: ReportReason", r.note, r.settled_by as "settled_by: UserId", r.settled_at,
                  r.created_at
             from chat_reports r
             join streams s on s.id = r.stream_id
             left join stream_chat_messages m on m.id = r.message_id
             left join profiles p on p.user_id = r.author_id
            where ($1::uuid is null or s.seller_id = $1) and ($2::uuid is null or r.stream_id = $2)
              and ($3::boolean is null or (r.settled_at is not null) = $3)
              and ($4::uuid is null or r.id < $4)
            order by r.id desc limit $5"#,
        seller.map(|seller| seller.0),
        stream.map(|stream| stream.0),
        settled,
        page.cursor,
        page.rows()
    )
    .fetch_all(conn)
    .await
}

/// A report that is settled.
pub(super) struct SettledRow {
    pub at: Timestamp,
    /// Whether it was not before.
    pub by_this: bool,
}

/// Settles a report of a shop's, of a show's, or any; `None`: there is none such.
pub(super) async fn settle(
    tx: &mut PgConnection,
    user: UserId,
    seller: Option<SellerId>,
    stream: Option<StreamId>,
    id: ReportId,
) -> sqlx::Result<Option<SettledRow>> {
    let row = sqlx::query!(
        "select r.settled_at from chat_reports r join streams s on s.id = r.stream_id
          where r.id = $1 and ($2::uuid is null or s.seller_id = $2) and ($3::uuid is null or r.stream_id = $3)
            for update of r",
        id.0,
        seller.map(|seller| seller.0),
        stream.map(|stream| stream.0)
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if let Some(at) = row.settled_at {
        return Ok(Some(SettledRow { at, by_this: false }));
    }
    let at = sqlx::query_scalar!(
        r#"update chat_reports set settled_at = now(), settled_by = $2 where id = $1
           returning settled_at as "at!""#,
        id.0,
        user.0
    )
    .fetch_one(tx)
    .await?;
    Ok(Some(SettledRow { at, by_this: true }))
}
