//! Reports of messages: one a person and message, kept with the text as it was, and told
//! to the show's moderators through the outbox.

use shared::error::{ErrorCode, Refusal};
use shared::ids::{MessageId, ReportId, RequestId, StreamId, UserId};
use shared::live::RoomNotice;
use shared::protocol::{Outcome, ReportReason, Reported};
use sqlx::{Connection, PgConnection, PgPool};

use crate::db::Error;
use crate::once;

const OPERATION: &str = "room.report";

/// Somebody reports a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The show.
    pub stream: StreamId,
    /// Who reports.
    pub user: UserId,
    /// The act.
    pub request_id: RequestId,
    /// The message.
    pub message: MessageId,
    /// What is wrong with it.
    pub reason: ReportReason,
    /// In their own words; may be empty.
    pub note: String,
}

/// Keeps a report, once however often it is made.
///
/// # Errors
/// `not_found` for a message that is not stored in this show or was deleted, `conflict`
/// for one's own, `request_id_reused`, `request_in_flight`.
pub async fn carry_out(pool: &PgPool, report: &Report) -> Result<Outcome, Error> {
    let mut conn = pool.acquire().await?;
    let mut tx = conn.begin().await?;
    match attempt(&mut tx, report).await {
        Ok(outcome) => {
            tx.commit().await?;
            Ok(outcome)
        }
        Err(error) => {
            tx.rollback().await?;
            Err(error)
        }
    }
}

async fn attempt(tx: &mut PgConnection, report: &Report) -> Result<Outcome, Error> {
    let act = (report.stream, report.message, report.reason, &report.note);
    let hash = shared::idempotency::body_hash(&act)?;
    if let Some(stored) = once::claim(tx, report.user, report.request_id).await? {
        return stored.answer(OPERATION, &hash);
    }
    let message = sqlx::query!(
        r#"select user_id as "author: UserId", text from stream_chat_messages
            where id = $1 and stream_id = $2 and deleted_at is null"#,
        report.message.0,
        report.stream.0
    )
    .fetch_optional(&mut *tx)
    .await?;
    let missing = || Refusal::new(ErrorCode::NotFound, "there is no such message in this chat").at("message");
    let message = message.ok_or_else(missing)?;
    if message.author == report.user {
        return Err(Refusal::new(ErrorCode::Conflict, "it is your own message").into());
    }
    let id = ReportId::new();
    let inserted = sqlx::query!(
        "insert into chat_reports (id, stream_id, message_id, author_id, reporter_id, reason, note, text)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (message_id, reporter_id) do nothing",
        id.0,
        report.stream.0,
        report.message.0,
        message.author.0,
        report.user.0,
        report.reason.as_str(),
        report.note,
        message.text
    )
    .execute(&mut *tx)
    .await?;
    if inserted.rows_affected() == 1 {
        let reported = Reported {
            report: id,
            message: report.message,
            text: message.text,
            reason: report.reason,
            note: report.note.clone(),
        };
        shared::outbox::push(tx, report.stream, &RoomNotice::MessageReported { reported }).await?;
    }
    let answer = serde_json::to_value(Outcome::Done)?;
    once::keep(tx, report.user, report.request_id, OPERATION, &hash, answer).await?;
    Ok(Outcome::Done)
}
