//! Bodies of the chat routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{BlockedWordId, MessageId, ReportId, StreamId, UserId};
use shared::protocol::{ChatChange, HeldFor, ReportReason};
use shared::words::{MAX_WORD_CHARS, Matching, WordAction};
use utoipa::{IntoParams, ToSchema};

use crate::http::rules::shown;

/// A word that a shop does not want in its chats.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BlockedWord {
    /// Its id.
    pub id: BlockedWordId,
    /// As the shop wrote it.
    pub word: String,
    /// Where it counts.
    pub matching: Matching,
    /// What becomes of a message that has it.
    pub action: WordAction,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Blocks a word. Other spellings of it are found by themselves: capitals, marks, digits
/// for letters, look-alike letters, repeated letters, spaces and signs between letters.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewWord {
    /// A word or a few, 1 to 60 characters of which two are letters.
    #[garde(custom(shown(1, MAX_WORD_CHARS)))]
    pub word: String,
    /// `word` spares words that merely contain it; `anywhere` finds it inside of others too.
    #[serde(default)]
    #[garde(skip)]
    pub matching: Matching,
    /// `refuse` a message that has it, or `hold` it for a moderator.
    #[garde(skip)]
    pub action: WordAction,
}

/// What a blocked word leads to from now on; what is absent stays.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct WordChange {
    /// Where it counts.
    #[serde(default)]
    #[garde(skip)]
    pub matching: Option<Matching>,
    /// What becomes of a message that has it.
    #[serde(default)]
    #[garde(skip)]
    pub action: Option<WordAction>,
}

/// Changes the rules of a chat. The room checks the ranges: one place for both ways there.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
pub struct RulesBody(#[garde(skip)] pub ChatChange);

/// A message that was held.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = HeldMessage)]
pub struct Review {
    /// The message.
    pub message: MessageId,
    /// Who wants to say it.
    pub user: UserId,
    /// Their name now.
    pub name: String,
    /// What.
    pub text: String,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// Why it was held.
    pub cause: HeldFor,
    /// The word, or what the moderation service said.
    pub detail: String,
    /// Whether it is said; null while it waits.
    pub approved: Option<bool>,
    /// Who decided.
    pub decided_by: Option<UserId>,
    /// When.
    pub decided_at: Option<DateTime<Utc>>,
    /// When it was held.
    pub created_at: DateTime<Utc>,
}

/// A report of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ChatReport)]
pub struct Report {
    /// Its id.
    pub id: ReportId,
    /// The show.
    pub stream: StreamId,
    /// The message.
    pub message: MessageId,
    /// The message's text when it was reported.
    pub text: String,
    /// Whether the message is deleted by now.
    pub deleted: bool,
    /// Who said it.
    pub author: UserId,
    /// Their name now.
    pub author_name: String,
    /// Who reported it; told to admins only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reporter: Option<UserId>,
    /// What is wrong with it.
    pub reason: ReportReason,
    /// In the reporter's words.
    pub note: String,
    /// Who settled it.
    pub settled_by: Option<UserId>,
    /// When.
    pub settled_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A report that is settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Settled {
    /// The report.
    pub id: ReportId,
    /// Since when.
    pub settled_at: DateTime<Utc>,
}

/// Which held messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReviewFilter {
    /// Only those that wait, or only those that do not.
    pub waiting: Option<bool>,
}

/// Which reports.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportFilter {
    /// Only those that are settled, or only those that are not.
    pub settled: Option<bool>,
}
