//! Bodies of the moderation routes.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use shared::ids::{StreamId, UserId};
use shared::rights::{Right, Rights};
use utoipa::ToSchema;
use uuid::Uuid;

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
