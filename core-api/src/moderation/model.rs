//! Bodies of the moderation routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{GuestId, MessageId, StreamId, UserId};
use shared::protocol::{Ban, MAX_BAN_SECONDS, MAX_REASON_CHARS, Mute};
use shared::rights::{Right, Rights};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::rules::shown;

/// Somebody who moderates a shop's shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Moderator {
    /// The appointment.
    pub id: Uuid,
    /// Who.
    pub user_id: UserId,
    /// Their name now.
    pub name: String,
    /// The one show; null: all of the shop's.
    pub stream_id: Option<StreamId>,
    /// What they may do. Rights for all shows and for one add up.
    pub rights: Rights,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Appoints a moderator.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewModerator {
    /// An account.
    #[garde(skip)]
    pub user_id: UserId,
    /// What they may do.
    #[garde(custom(some))]
    #[schema(value_type = Vec<Right>, min_items = 1)]
    pub rights: Rights,
}

/// Gives a moderator other rights.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct NewRights {
    /// What they may do from now on.
    #[garde(custom(some))]
    #[schema(value_type = Vec<Right>, min_items = 1)]
    pub rights: Rights,
}

fn some(rights: &Rights, (): &()) -> garde::Result {
    if rights.is_empty() {
        return Err(garde::Error::new("must name one right at least"));
    }
    Ok(())
}

/// Bans somebody from all shows of the caller's shop, and from its checkout.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
pub struct NewBan(#[garde(custom(sensible))] pub Ban);

fn sensible(ban: &Ban, (): &()) -> garde::Result {
    if ban
        .seconds
        .is_some_and(|seconds| !(1..=MAX_BAN_SECONDS).contains(&seconds))
    {
        return Err(garde::Error::new(format_args!(
            "seconds must be from 1 to {MAX_BAN_SECONDS}"
        )));
    }
    shown(0, MAX_REASON_CHARS)(&ban.reason, &())
}

/// Somebody who is kept out of a shop's shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct BannedViewer {
    /// The ban.
    pub id: Uuid,
    /// The account; null: a guest.
    pub user_id: Option<UserId>,
    /// The guest; null: an account.
    pub guest_id: Option<GuestId>,
    /// The account's name now; empty: a guest.
    pub name: String,
    /// Until when; null: for good.
    pub until: Option<DateTime<Utc>>,
    /// Why, as the person is told.
    pub reason: String,
    /// Who has banned them.
    pub banned_by: UserId,
    /// When they were banned first.
    pub created_at: DateTime<Utc>,
}

/// Keeps somebody from chatting in a show. The room checks the ranges of this and of what
/// follows: one place for both ways there.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
pub struct MuteBody(#[garde(skip)] pub Mute);

/// Bans somebody from the shop's shows.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(transparent)]
pub struct BanBody(#[garde(skip)] pub Ban);

/// Pins a message.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct Pin {
    /// One of the show's.
    #[garde(skip)]
    pub message: MessageId,
}

/// Tells everybody something.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
pub struct Announcement {
    /// 1 to 500 characters.
    #[garde(skip)]
    pub text: String,
}
