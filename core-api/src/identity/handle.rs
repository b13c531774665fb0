//! Handles: the short name that is one person's alone. Small ASCII letters, digits and
//! single underscores between, so that two handles never look alike; and none that passes
//! for those who run the market.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// How long a handle that was chosen stays, in days.
pub(crate) const CHANGE_DAYS: i64 = 30;
/// How long a handle that was given up is nobody else's, in days.
pub(crate) const REST_DAYS: i32 = 90;

const MIN: usize = 3;
const MAX: usize = 30;

/// What nobody is called: whoever runs the market, whatever a program might take for
/// something else, and what stands for everybody.
const RESERVED: &[&str] = &[
    "about",
    "account",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "api",
    "auth",
    "billing",
    "bot",
    "buyer",
    "contact",
    "everyone",
    "everybody",
    "guest",
    "hawker",
    "help",
    "here",
    "host",
    "info",
    "legal",
    "live",
    "login",
    "logout",
    "mail",
    "me",
    "mod",
    "moderator",
    "nobody",
    "null",
    "official",
    "operator",
    "owner",
    "payments",
    "postmaster",
    "privacy",
    "register",
    "root",
    "security",
    "seller",
    "settings",
    "shop",
    "shops",
    "signin",
    "signup",
    "staff",
    "status",
    "studio",
    "support",
    "system",
    "team",
    "terms",
    "undefined",
    "user",
    "users",
    "webmaster",
    "you",
];

/// Beginnings that the service keeps for the names that it makes.
const KEPT: &[&str] = &["user_", "deleted_"];

/// A handle in its one spelling.
#[derive(Clone, PartialEq, Eq, Debug, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*$",
    min_length = 3,
    max_length = 30,
    example = "mug_fan"
)]
pub struct Handle(String);

impl Handle {
    /// The handle that `text` means: case does not count.
    ///
    /// # Errors
    /// In words, when it cannot be one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        if !(MIN..=MAX).contains(&text.len()) {
            return Err(format!("must have {MIN} to {MAX} characters"));
        }
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !text.split('_').all(is_part) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err("must be letters and digits with single underscores between, a letter first".to_owned());
        }
        if is_reserved(&text) {
            return Err("is kept for the service itself".to_owned());
        }
        Ok(Self(text))
    }

    /// The handle.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether it says, or looks as if it said, a reserved word: digits that stand for
/// letters and underscores change nothing.
fn is_reserved(handle: &str) -> bool {
    let plain: String = handle
        .chars()
        .filter_map(|c| match c {
            '_' => None,
            '0' => Some('o'),
            '1' => Some('i'),
            '3' => Some('e'),
            '4' => Some('a'),
            '5' => Some('s'),
            '7' => Some('t'),
            other => Some(other),
        })
        .collect();
    // A 1 may be meant for either letter.
    let slim = plain.replace('l', "i");
    KEPT.iter().any(|beginning| handle.starts_with(beginning))
        || RESERVED
            .iter()
            .any(|word| plain == *word || handle == *word || slim == word.replace('l', "i"))
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// By which a handle that was given up is known, without keeping it.
pub(super) fn fingerprint(handle: &str) -> Vec<u8> {
    Sha256::digest(handle.as_bytes()).to_vec()
}

/// How long a person still has to wait until they may take another handle; `None`: not at
/// all. The first choice, after the one that was made for them, is free.
pub(super) fn wait(changed_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<TimeDelta> {
    let free_at = changed_at? + TimeDelta::days(CHANGE_DAYS);
    (free_at > now).then(|| free_at - now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_small_and_plain() {
        for (written, found) in [("Mug_Fan", "mug_fan"), (" abc ", "abc"), ("a1_2_b3", "a1_2_b3")] {
            assert_eq!(Handle::parse(written).expect("a handle").as_str(), found);
        }
        let long = "a".repeat(31);
        for bad in [
            "",
            "ab",
            "1abc",
            "_abc",
            "abc_",
            "a__b",
            "a-b",
            "a b c",
            "m\u{fc}nze",
            &long,
        ] {
            assert!(Handle::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nobody_passes_for_the_service() {
        for bad in [
            "admin",
            "Admin",
            "adm1n",
            "a_d_m_i_n",
            "supp0rt",
            "he1p",
            "mod",
            "user_1234",
            "deleted_x",
            "1ive",
        ] {
            assert!(Handle::parse(bad).is_err(), "{bad}");
        }
        for good in ["admiral", "supporter", "user1", "moda"] {
            assert!(Handle::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_handle_stays_a_while_and_the_first_choice_is_free() {
        let now = Utc::now();
        assert_eq!(wait(None, now), None);
        assert_eq!(wait(Some(now - TimeDelta::days(CHANGE_DAYS)), now), None);
        assert_eq!(wait(Some(now - TimeDelta::days(10)), now), Some(TimeDelta::days(20)));
    }
}
