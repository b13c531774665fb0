//! Bodies of the audit routes.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::UserId;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// What somebody did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its id.
    pub id: Uuid,
    /// Who; null: the service.
    pub actor_id: Option<UserId>,
    /// What: `seller.suspend`, `payout.created` and the like.
    pub action: String,
    /// To what.
    pub subject_id: Uuid,
    /// What was before and after, and why, as far as it goes with the action.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// Which entries.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AuditFilter {
    /// By this account.
    pub actor_id: Option<UserId>,
    /// To this.
    pub subject_id: Option<Uuid>,
    /// This action.
    pub action: Option<String>,
}
