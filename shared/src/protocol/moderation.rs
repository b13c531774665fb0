//! Keeping order in a show: what the commands carry, and what those concerned are told.
//!
//! Three sanctions, each a step up. *Mute*: the person cannot chat in the show for a
//! while; only they are told. *Timeout*: the same, and what they have said so far is
//! taken out of everybody's view. *Ban*: besides, they are put out of all shows of the
//! shop, and its checkout is closed to them.

use serde::{Deserialize, Serialize};

use super::Millis;
use crate::ids::{GuestId, UserId};
use crate::rights::Rights;
use crate::token::REVOKED_SECONDS;

/// The longest mute, in seconds: a day.
pub const MAX_MUTE_SECONDS: u32 = 86_400;
/// The longest ban that ends by itself, in seconds: ten years.
pub const MAX_BAN_SECONDS: u32 = 315_360_000;
/// The longest reason, in characters.
pub const MAX_REASON_CHARS: usize = 200;

/// Mutes somebody in a show, or with `timeout` takes their messages out of view as well.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mute {
    /// Who.
    pub user: UserId,
    /// For how long, 1 to 86,400 s from now. It replaces what is left of an earlier one.
    pub seconds: u32,
    /// Why, for them to read: at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Who is banned: an account, or a guest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Person {
    /// An account.
    User(UserId),
    /// Somebody without one, for as long as their tokens last.
    Guest(GuestId),
}

impl Person {
    /// The account.
    #[must_use]
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(user) => Some(user),
            Self::Guest(_) => None,
        }
    }

    /// The guest.
    #[must_use]
    pub const fn guest(self) -> Option<GuestId> {
        match self {
            Self::User(_) => None,
            Self::Guest(guest) => Some(guest),
        }
    }
}

/// Bans somebody from a shop's shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ban {
    /// Who.
    #[serde(flatten)]
    pub who: Person,
    /// For how long, 1 to 315,360,000 s from now; for good without it. A guest's is
    /// 20 minutes at most: then none of their tokens is any good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Why, for them to read: at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Ban {
    /// For how many seconds it lasts; `None`: for good.
    #[must_use]
    pub fn lasts(&self) -> Option<u32> {
        // The next guest ticket is another guest's: longer would keep nobody out.
        let tokens = u32::try_from(REVOKED_SECONDS).unwrap_or(u32::MAX);
        match self.who {
            Person::User(_) => self.seconds,
            Person::Guest(_) => Some(self.seconds.unwrap_or(tokens).min(tokens)),
        }
    }
}

/// Lets somebody in again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Unban {
    /// Who.
    #[serde(flatten)]
    pub who: Person,
}

/// What one may do in a room beyond watching, and what not.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// Rights as a moderator; the host has them all.
    pub rights: Rights,
    /// Set while one may not chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub muted: Option<Muted>,
}

/// A mute, to whom it concerns.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Muted {
    /// Until when.
    pub until: Millis,
    /// Why; empty: nothing was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}
