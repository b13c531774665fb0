//! Chat beyond a message: its rules, who deletes, what is held for review, what is reported.

use serde::{Deserialize, Serialize};

use super::{Author, MAX_CHAT_CHARS, Millis};
use crate::error::{ErrorCode, Refusal};
use crate::ids::{MessageId, ReportId, UserId};

/// The longest slow mode, in seconds.
pub const MAX_SLOW_SECONDS: u32 = 3_600;
/// The most that is shown of a message that another one answers, in characters.
pub const MAX_QUOTE_CHARS: usize = 80;
/// The longest note of a report, in characters.
pub const MAX_REPORT_NOTE_CHARS: usize = 200;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[sqlx(type_name = "text", rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire and in the database.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

named! {
    /// Who may chat. The host and moderators always may.
    ChatAudience {
        /// Every account.
        Everyone = "everyone",
        /// Who follows the shop.
        Followers = "followers",
        /// Who has bought from the shop.
        Buyers = "buyers",
    }
}

named! {
    /// Who may write links. The host and moderators always may.
    Links {
        /// Everybody who may chat.
        Allow = "allow",
        /// Nobody but the host and moderators.
        Moderators = "moderators",
    }
}

named! {
    /// In which part somebody deleted a message.
    DeletedBy {
        /// It was their own.
        Author = "author",
        /// As the host or a moderator.
        Moderator = "moderator",
    }
}

named! {
    /// Why a message was held.
    HeldFor {
        /// It has a word that the shop wants to look at first.
        Word = "word",
        /// The operator's moderation service was not sure, or did not answer.
        Hook = "hook",
    }
}

named! {
    /// What is wrong with a message that is reported.
    ReportReason {
        /// Advertising, or the same again and again.
        Spam = "spam",
        /// Insults, threats, hate.
        Harassment = "harassment",
        /// It wants people's money or passwords.
        Scam = "scam",
        /// Against the law.
        Illegal = "illegal",
        /// Something else: the note says what.
        Other = "other",
    }
}

/// What holds for a show's chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChatRules {
    /// Seconds between two messages of one person; 0: no slow mode.
    pub slow_seconds: u32,
    /// Who may chat.
    pub audience: ChatAudience,
    /// Who may write links.
    pub links: Links,
    /// The longest message, in characters.
    pub max_chars: u32,
}

impl Default for ChatRules {
    fn default() -> Self {
        Self {
            slow_seconds: 0,
            audience: ChatAudience::Everyone,
            links: Links::Allow,
            max_chars: MAX_CHAT_CHARS as u32,
        }
    }
}

/// Changes a show's chat rules; what is absent stays.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ChatChange {
    /// Seconds between two messages of one person, at most 3,600; 0 ends slow mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_seconds: Option<u32>,
    /// Who may chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<ChatAudience>,
    /// Who may write links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Links>,
    /// The longest message in characters, 1 to 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_chars: Option<u32>,
}

impl ChatChange {
    /// Whether it can be made.
    ///
    /// # Errors
    /// `InvalidBody` for a value out of its range, or when nothing is changed.
    pub fn check(&self) -> Result<(), Refusal> {
        let refuse = |field: &'static str, detail: String| Err(Refusal::new(ErrorCode::InvalidBody, detail).at(field));
        if *self == Self::default() {
            return Err(Refusal::new(ErrorCode::InvalidBody, "nothing is to be changed"));
        }
        if self.slow_seconds.is_some_and(|seconds| seconds > MAX_SLOW_SECONDS) {
            return refuse(
                "slow_seconds",
                format!("slow mode is at most {MAX_SLOW_SECONDS} seconds"),
            );
        }
        if self
            .max_chars
            .is_some_and(|chars| !(1..=MAX_CHAT_CHARS as u32).contains(&chars))
        {
            return refuse("max_chars", format!("max_chars must be from 1 to {MAX_CHAT_CHARS}"));
        }
        Ok(())
    }

    /// The rules after it.
    #[must_use]
    pub fn of(&self, rules: ChatRules) -> ChatRules {
        ChatRules {
            slow_seconds: self.slow_seconds.unwrap_or(rules.slow_seconds),
            audience: self.audience.unwrap_or(rules.audience),
            links: self.links.unwrap_or(rules.links),
            max_chars: self.max_chars.unwrap_or(rules.max_chars),
        }
    }
}

/// The message that another one answers, in short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Quote {
    /// Its author: the quote goes when what they have said is taken out of view.
    pub author: UserId,
    /// Its author's name.
    pub name: String,
    /// Its beginning.
    pub text: String,
}

impl Quote {
    /// The beginning of `text`, which `author` wrote, whose name is `name`.
    #[must_use]
    pub fn of(author: UserId, name: &str, text: &str) -> Self {
        let text = match text.char_indices().nth(MAX_QUOTE_CHARS) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        Self {
            author,
            name: name.to_owned(),
            text,
        }
    }
}

/// A message that waits for a moderator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldMessage {
    /// Its id.
    pub message: MessageId,
    /// Who wants to say it.
    pub author: Author,
    /// What.
    pub text: String,
    /// Why it was held.
    pub cause: HeldFor,
    /// The word, or what the moderation service said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// When.
    pub at: Millis,
}

/// A message that somebody reported.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reported {
    /// The report.
    pub report: ReportId,
    /// The message.
    pub message: MessageId,
    /// Its text when it was reported.
    pub text: String,
    /// What is wrong with it.
    pub reason: ReportReason,
    /// In the reporter's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}
