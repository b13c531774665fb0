//! What a room reads and writes of its chat beyond numbered events: messages that are
//! deleted, held and decided on, its rules, its shop's words, and who belongs to an audience.

use std::sync::Arc;

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, RequestId, StreamId, UserId};
use shared::protocol::{
    Author, ChatAudience, ChatChange, ChatMessage, ChatRules, DeletedBy, HeldMessage, Links, Outcome, Private, Quote,
    RoomEvent,
};
use shared::rights::Right;
use shared::status::Machine as _;
use shared::words::{BlockedWord, Matching, WordAction, WordFilter};
use sqlx::PgConnection;
use uuid::Uuid;

use super::host::{Brought, Show, Whom};
use super::lease;
use crate::db::Error;

/// A message that is to be held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The show.
    pub stream: StreamId,
    /// The epoch of the room that holds it.
    pub epoch: i64,
    /// Its author's name for the act.
    pub request_id: RequestId,
    /// What tells another message under that name.
    pub body: i64,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// It, as moderators are shown it.
    pub message: HeldMessage,
}

/// Deletes a message of one's own, or as a moderator anybody's. Only what is stored can be
/// deleted: the room waits for that.
pub(super) async fn delete(
    tx: &mut PgConnection,
    show: &Show,
    user: UserId,
    message: MessageId,
) -> Result<Brought, Error> {
    let row = sqlx::query!(
        r#"select user_id as "author: UserId", deleted_at is not null as "deleted!"
             from stream_chat_messages where id = $1 and stream_id = $2 for update"#,
        message.0,
        show.stream.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row = row.ok_or_else(no_such_message)?;
    let by = match row.author == user {
        true => DeletedBy::Author,
        false if show.is_permitted => DeletedBy::Moderator,
        false => return Err(Refusal::new(ErrorCode::Forbidden, "it is somebody else's message").into()),
    };
    if row.deleted {
        return Ok(Brought {
            is_audited: false,
            ..Brought::only(Outcome::Done)
        });
    }
    sqlx::query!(
        "update stream_chat_messages set deleted_at = clock_timestamp(), deleted_by = $2, deleted_as = $3 where id = $1",
        message.0,
        user.0,
        by.as_str()
    )
    .execute(tx)
    .await?;
    Ok(Brought {
        events: vec![RoomEvent::MessageDeleted { message, by }],
        is_audited: by == DeletedBy::Moderator,
        ..Brought::only(Outcome::Done)
    })
}

fn no_such_message() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "there is no such message in this chat").at("message")
}

/// Changes the rules of the chat.
pub(super) async fn change_rules(tx: &mut PgConnection, show: &Show, change: &ChatChange) -> Result<Brought, Error> {
    let before = rules(tx, show.stream).await?;
    let after = change.of(before);
    if after == before {
        return Ok(Brought::only(Outcome::Done));
    }
    let whole = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    sqlx::query!(
        "update streams set chat_slow_seconds = $2, chat_audience = $3, chat_links = $4, chat_max_chars = $5 where id = $1",
        show.stream.0,
        whole(after.slow_seconds),
        after.audience.as_str(),
        after.links.as_str(),
        whole(after.max_chars)
    )
    .execute(tx)
    .await?;
    Ok(Brought {
        events: vec![RoomEvent::ChatRules(after)],
        ..Brought::only(Outcome::Done)
    })
}

/// The rules of a show's chat.
pub(super) async fn rules(conn: &mut PgConnection, stream: StreamId) -> Result<ChatRules, sqlx::Error> {
    let row = sqlx::query!(
        r#"select chat_slow_seconds as slow, chat_audience as "audience: ChatAudience", chat_links as "links: Links",
                  chat_max_chars as chars from streams where id = $1"#,
        stream.0
    )
    .fetch_one(conn)
    .await?;
    Ok(ChatRules {
        slow_seconds: u32::try_from(row.slow).unwrap_or(0),
        audience: row.audience,
        links: row.links,
        max_chars: u32::try_from(row.chars).unwrap_or(0),
    })
}

/// Decides on a held message. One that was decided so before stays so.
pub(super) async fn review(
    tx: &mut PgConnection,
    show: &Show,
    user: UserId,
    message: MessageId,
    approve: bool,
) -> Result<Brought, Error> {
    let row = sqlx::query!(
        r#"select r.user_id as "author: UserId", r.text, r.reply_to as "reply_to: MessageId", r.status,
                  p.display_name as "name?", (extract(epoch from clock_timestamp()) * 1000)::bigint as "now!",
                  is_banned($3, r.user_id)
                  or exists (select from muted_viewers m where m.stream_id = r.stream_id and m.user_id = r.user_id
                                                            and m.until > clock_timestamp()) as "silenced!"
             from chat_reviews r left join profiles p on p.user_id = r.user_id
            where r.message_id = $1 and r.stream_id = $2 for update of r"#,
        message.0,
        show.stream.0,
        show.seller.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let row = row.ok_or_else(no_such_message)?;
    let decision = if approve { "approved" } else { "rejected" };
    if row.status == decision {
        return Ok(Brought::only(Outcome::Done));
    }
    if row.status != "waiting" {
        return Err(Refusal::new(ErrorCode::WrongState, format!("it was {}", row.status)).into());
    }
    if approve && show.status.is_final() {
        return Err(Refusal::new(ErrorCode::WrongState, "the show is over").into());
    }
    if approve && row.silenced {
        return Err(Refusal::new(ErrorCode::WrongState, "its author may not chat").into());
    }
    sqlx::query!(
        "update chat_reviews set status = $2, decided_by = $3, decided_at = clock_timestamp() where message_id = $1",
        message.0,
        decision,
        user.0
    )
    .execute(&mut *tx)
    .await?;
    let reviewed = Private::Reviewed {
        message,
        approved: approve,
    };
    let done = Brought {
        told: vec![
            (Whom::Person(row.author), reviewed.clone()),
            (Whom::Moderators(Right::Review), reviewed),
        ],
        ..Brought::only(Outcome::Done)
    };
    if !approve {
        return Ok(done);
    }
    let quote = match row.reply_to {
        Some(answered) => quote(tx, show.stream, answered).await?.map(Box::new),
        None => None,
    };
    let chat = RoomEvent::Chat(ChatMessage {
        id: message,
        author: Author {
            id: row.author,
            name: row.name.unwrap_or_default(),
            host: false,
            moderator: false,
        },
        text: row.text,
        reply_to: row.reply_to,
        quote,
        at: row.now,
    });
    Ok(Brought {
        events: vec![chat],
        ..done
    })
}

/// Holds a message: the id under which it is held, which is the first one's when its
/// author sends it again. In a transaction; fenced by the room's epoch: a later owner knows
/// what was held before it, and an earlier one holds nothing any more that the later one
/// may have let pass.
///
/// # Errors
/// `room_unavailable` when the room has another owner; `request_id_reused` when the act's
/// name stands for another message.
pub async fn hold(tx: &mut PgConnection, held: &Held) -> Result<MessageId, Error> {
    if !lease::lock_epoch(&mut *tx, held.stream, held.epoch).await? {
        return Err(ErrorCode::RoomUnavailable.into());
    }
    let message = &held.message;
    let inserted = sqlx::query!(
        "insert into chat_reviews (message_id, stream_id, user_id, request_id, body_hash, reply_to, text, cause, detail)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (user_id, request_id) do nothing",
        message.message.0,
        held.stream.0,
        message.author.id.0,
        held.request_id.0,
        held.body,
        held.reply_to.map(|id| id.0),
        message.text,
        message.cause.as_str(),
        message.detail
    )
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(message.message);
    }
    let first = sqlx::query!(
        r#"select message_id as "message: MessageId", stream_id as "stream: StreamId", body_hash from chat_reviews where user_id = $1 and request_id = $2"#,
        message.author.id.0,
        held.request_id.0
    )
    .fetch_one(tx)
    .await?;
    if first.stream != held.stream || first.body_hash != held.body {
        return Err(ErrorCode::RequestIdReused.into());
    }
    Ok(first.message)
}

/// Which of these people belong to an audience.
///
/// # Errors
/// When the database fails.
pub async fn members(
    conn: &mut PgConnection,
    stream: StreamId,
    audience: ChatAudience,
    users: &[UserId],
) -> Result<Vec<UserId>, sqlx::Error> {
    let users: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    match audience {
        ChatAudience::Everyone => Ok(users.into_iter().map(UserId).collect()),
        ChatAudience::Followers => {
            sqlx::query_scalar!(
                r#"select f.user_id as "user: UserId" from follows f join streams s on s.seller_id = f.following_id
                    where s.id = $1 and f.user_id = any($2)"#,
                stream.0,
                &users
            )
            .fetch_all(conn)
            .await
        }
        ChatAudience::Buyers => {
            sqlx::query_scalar!(
                r#"select u.id as "user!: UserId" from unnest($2::uuid[]) as u (id)
                    where exists (select 1 from orders o
                                    join order_items i on i.order_id = o.id
                                    join streams s on s.seller_id = i.seller_id
                                   where o.user_id = u.id and s.id = $1
                                     and o.status not in ('pending_payment', 'cancelled', 'expired'))"#,
                stream.0,
                &users
            )
            .fetch_all(conn)
            .await
        }
    }
}

/// A message that another one answers, in short. None: there is none such, or not any more.
///
/// # Errors
/// When the database fails.
pub async fn quote(
    conn: &mut PgConnection,
    stream: StreamId,
    message: MessageId,
) -> Result<Option<Quote>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select m.user_id as "author: UserId", m.text, coalesce(p.display_name, '') as "name!"
             from stream_chat_messages m left join profiles p on p.user_id = m.user_id
            where m.id = $1 and m.stream_id = $2 and m.deleted_at is null"#,
        message.0,
        stream.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Quote::of(row.author, &row.name, &row.text)))
}

/// The words that a show's shop does not want, ready to be looked for.
///
/// # Errors
/// When the database fails.
pub async fn words(conn: &mut PgConnection, stream: StreamId) -> Result<Arc<WordFilter>, Error> {
    let words = sqlx::query_as!(
        BlockedWord,
        r#"select w.word, w.matching as "matching: Matching", w.action as "action: WordAction"
             from blocked_words w join streams s on s.seller_id = w.seller_id where s.id = $1 order by w.id"#,
        stream.0
    )
    .fetch_all(conn)
    .await?;
    let filter = WordFilter::new(words).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Arc::new(filter))
}
