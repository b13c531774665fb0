//! What was said and held in a show before, by its authors' names for the acts: what a room
//! knows when it opens, the names of everything that is older, in pages, and one message by
//! its name. Reads only.

use shared::ids::{MessageId, RequestId, StreamId, UserId};
use shared::protocol::{Millis, Outcome};
use sqlx::{Connection as _, PgConnection};

/// So many messages are known with their answers when a room is opened; of what is older
/// the names alone are read, in pages.
const SAID_AT_MOST: usize = 5_000;
/// Names in one page: some 100 KB, and less than a millisecond of the room's.
pub const NAMES_OF_A_PAGE: usize = 2_000;

/// A message that is committed or held, for the one who sends it again.
#[derive(Clone, PartialEq, Debug)]
pub struct Said {
    /// Who.
    pub user: UserId,
    /// The act.
    pub request_id: RequestId,
    /// What tells another message under the same name.
    pub body: i64,
    /// What was answered.
    pub outcome: Outcome,
    /// When.
    pub at: Millis,
}

/// Names of what was said or held before a message, and from where there are more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Earlier {
    /// The authors, and their names for the acts.
    pub names: Vec<(UserId, RequestId)>,
    /// More is older than this message; none when these were the last.
    pub before: Option<MessageId>,
}

/// What was said or held last, oldest first, and if there is more, the message before which
/// that is. By id and not by time: clocks differ.
pub(super) async fn said_lately(
    conn: &mut PgConnection,
    stream: StreamId,
) -> Result<(Vec<Said>, Option<MessageId>), sqlx::Error> {
    let rows = sqlx::query_as!(
        SaidRow,
        r#"select t.user_id as "user!: UserId", t.request_id as "request_id!: RequestId", t.body_hash as "body!",
                  t.id as "message!: MessageId", t.epoch, t.seq, t.created_at as "at!"
             from ((select user_id, request_id, body_hash, id, epoch, seq, created_at
                      from stream_chat_messages
                     where stream_id = $1 and request_id is not null and body_hash is not null
                     order by id desc limit $2)
                    union all
                   (select user_id, request_id, body_hash, message_id, null, null, created_at
                      from chat_reviews where stream_id = $1 order by message_id desc limit $2)) t
            order by t.id desc limit $2"#,
        stream.0,
        i64::try_from(SAID_AT_MOST + 1).unwrap_or(i64::MAX)
    )
    .fetch_all(conn)
    .await?;
    let has_more = rows.len() > SAID_AT_MOST;
    let said: Vec<_> = rows.into_iter().take(SAID_AT_MOST).collect();
    let before = said.last().filter(|_| has_more).map(|oldest| oldest.message);
    Ok((said.into_iter().rev().map(SaidRow::said).collect(), before))
}

/// One page of the names of what was said or held before a message, the youngest first.
/// Read along the indexes, whatever the planner believes of a table that grows so fast.
///
/// # Errors
/// When the database fails.
pub async fn earlier(
    conn: &mut PgConnection,
    stream: StreamId,
    before: MessageId,
    at_most: usize,
) -> Result<Earlier, sqlx::Error> {
    let mut tx = conn.begin().await?;
    sqlx::query("set local enable_sort = off").execute(&mut *tx).await?;
    let rows = sqlx::query!(
        r#"select t.user_id as "user!: UserId", t.request_id as "request!: RequestId", t.id as "message!: MessageId"
             from ((select user_id, request_id, id from stream_chat_messages
                     where stream_id = $1 and id < $2 and request_id is not null and body_hash is not null
                     order by id desc limit $3)
                    union all
                   (select user_id, request_id, message_id from chat_reviews
                     where stream_id = $1 and message_id < $2 order by message_id desc limit $3)) t
            order by t.id desc limit $3"#,
        stream.0,
        before.0,
        i64::try_from(at_most).unwrap_or(i64::MAX)
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let has_more = rows.len() >= at_most;
    Ok(Earlier {
        before: rows.last().filter(|_| has_more).map(|oldest| oldest.message),
        names: rows.into_iter().map(|row| (row.user, row.request)).collect(),
    })
}

/// What was answered to a message, however long ago it was said or held.
///
/// # Errors
/// When the database fails.
pub async fn said(
    conn: &mut PgConnection,
    stream: StreamId,
    user: UserId,
    request: RequestId,
) -> Result<Option<Said>, sqlx::Error> {
    let row = sqlx::query_as!(
        SaidRow,
        r#"select user_id as "user!: UserId", request_id as "request_id!: RequestId", body_hash as "body!",
                  id as "message!: MessageId", epoch, seq, created_at as "at!"
             from stream_chat_messages
            where user_id = $2 and stream_id = $1 and request_id = $3 and body_hash is not null
            union all
           select user_id, request_id, body_hash, message_id, null, null, created_at
             from chat_reviews where user_id = $2 and request_id = $3 and stream_id = $1
            limit 1"#,
        stream.0,
        user.0,
        request.0
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(SaidRow::said))
}

struct SaidRow {
    user: UserId,
    request_id: RequestId,
    body: i64,
    message: MessageId,
    epoch: Option<i64>,
    seq: Option<i64>,
    at: shared::Timestamp,
}

impl SaidRow {
    fn said(self) -> Said {
        let message = self.message;
        Said {
            user: self.user,
            request_id: self.request_id,
            body: self.body,
            outcome: match self.epoch.zip(self.seq) {
                Some((epoch, seq)) => Outcome::Said {
                    message,
                    epoch,
                    seq: u64::try_from(seq).unwrap_or(0),
                },
                None => Outcome::HeldForReview { message },
            },
            at: self.at.timestamp_millis(),
        }
    }
}
