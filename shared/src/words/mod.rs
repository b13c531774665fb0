//! Blocked words: what a spelling can hide a word behind is folded away, and the words of
//! a list are found in a text in one pass. Pure, and the same for whoever stores a word
//! and whoever looks for it.
//!
//! What it is told to survive: case, diacritics, letters of other scripts that look alike,
//! digits and signs in the place of letters, invisible characters, repeated letters,
//! punctuation and spaces between letters. What it spares: words that merely contain a
//! blocked one ([`Matching::Word`]). The price of both is written at [`WordFilter`].

mod filter;
mod fold;

use serde::{Deserialize, Serialize};

pub use filter::{Hit, TooManyWords, WordFilter};
pub use fold::folded;

/// The most words of one shop.
pub const MAX_WORDS: usize = 1_000;
/// The longest word, in characters.
pub const MAX_WORD_CHARS: usize = 60;
/// The most letters that a word may fold to.
pub const MAX_FOLDED_CHARS: usize = 240;

/// Where a word counts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Matching {
    /// As a word of its own, not inside of another one.
    #[default]
    Word,
    /// Anywhere, also inside of other words and across them.
    Anywhere,
}

/// What becomes of a message that has the word.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum WordAction {
    /// It waits for a moderator.
    Hold,
    /// It is refused.
    Refuse,
}

impl Matching {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Anywhere => "anywhere",
        }
    }
}

impl WordAction {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Refuse => "refuse",
        }
    }
}

/// A word that a shop does not want in its chats.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockedWord {
    /// As the shop wrote it.
    pub word: String,
    /// Where it counts.
    pub matching: Matching,
    /// What follows.
    pub action: WordAction,
}

#[cfg(test)]
mod tests;
