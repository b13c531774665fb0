//! Bodies of the routes of dead letters.

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::http::rules::shown;

/// Which way it was on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum DeadLetterKind {
    /// Out of the house: a letter.
    Outbox,
    /// Into it: what a provider told.
    Webhook,
}

impl DeadLetterKind {
    /// Its name in the database and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Outbox => "outbox",
            Self::Webhook => "webhook",
        }
    }
}

/// What came to nothing however often it was tried. Without what it says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// Its id.
    pub id: Uuid,
    /// Which way it was on.
    pub kind: DeadLetterKind,
    /// The topic, or the provider.
    pub source: String,
    /// Which letter, or which kind of event.
    pub what: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What it came to the last time. No address and no secret is in it.
    pub last_error: String,
    /// When it was written, or came.
    pub created_at: DateTime<Utc>,
    /// Since when nobody tries it any more.
    pub dead_at: DateTime<Utc>,
}

/// Which dead letters.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeadLetterFilter {
    /// Of this kind.
    pub kind: Option<DeadLetterKind>,
}

/// Why one is discarded.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[schema(example = json!({"reason": "the account is gone"}))]
pub struct Discard {
    /// For the audit log.
    #[garde(custom(shown(1, 500)))]
    pub reason: String,
}
