//! What goes wrong, as REST says it: RFC 9457 problem details.
//!
//! A refusal tells the caller what they can do. A fault is ours: its cause is logged
//! once, with the request's id, and never sent. Both become responses in one place,
//! [`problem`], so that every error of the service has one shape.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};
use shared::error::{ErrorCode, Refusal};

/// The media type of problem details.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What the database calls its refusal to write anything for an account that is gone: it
/// was there when the request began.
const ACCOUNT_IS_THERE: &str = "account_is_there";

/// Why a request was not done.
#[derive(Debug)]
pub enum Error {
    /// The caller can do something about it.
    Refused(Refusal),
    /// It is ours.
    Fault(anyhow::Error),
}

/// What handlers and use cases return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What the caller is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal.clone(),
            Self::Fault(_) => ErrorCode::Internal.into(),
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Fault(_) => ErrorCode::Internal,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Fault(cause) => write!(f, "{cause:#}"),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::Refused(code.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let constraint = error.as_database_error().and_then(|cause| cause.constraint());
        if constraint == Some(ACCOUNT_IS_THERE) {
            return Self::Refused(ErrorCode::Unauthenticated.into());
        }
        let Some(code) = trouble(&error) else {
            return Self::Fault(anyhow::Error::new(error).context("the database refused a statement"));
        };
        tracing::warn!(%error, %code, "the database is in trouble");
        Self::Refused(Refusal::from(code).retry_after_ms(1_000))
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<sqlx::Error>() {
            Ok(sql) => sql.into(),
            Err(other) => Self::Fault(other),
        }
    }
}

/// Which trouble of the database's own an error tells of; `None`: the statement was at fault.
fn trouble(error: &sqlx::Error) -> Option<ErrorCode> {
    match error {
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => {
            Some(ErrorCode::DatabaseUnavailable)
        }
        sqlx::Error::Database(cause) => match cause.code()?.as_ref() {
            // query_canceled (statement_timeout), lock_not_available, deadlock, serialisation.
            "57014" | "55P03" | "40P01" | "40001" => Some(ErrorCode::Overloaded),
            // admin_shutdown, crash_shutdown, cannot_connect_now, too_many_connections.
            "57P01" | "57P02" | "57P03" | "53300" => Some(ErrorCode::DatabaseUnavailable),
            _ => None,
        },
        _ => None,
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        status(self.code())
    }

    /// Without the request's id, which [`super::answer`] adds.
    fn error_response(&self) -> HttpResponse {
        problem(&self.refusal(), None)
    }
}

fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Problem details (RFC 9457).
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:hawker:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in a few words, the same for every occurrence.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence in words.
    pub detail: String,
    /// The stable name of what was refused: decide by this one.
    pub code: ErrorCode,
    /// The field at fault, with dots: `items.0.quantity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The request, as the logs know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// After how many milliseconds to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// `refusal` as the request of this id is told.
    #[must_use]
    pub fn of(refusal: &Refusal, request_id: Option<String>) -> Self {
        let code = refusal.code;
        Self {
            kind: format!("urn:hawker:problem:{code}"),
            title: code.title().to_owned(),
            status: code.http_status(),
            detail: refusal.detail.clone().into_owned(),
            code,
            field: refusal.field.clone().map(std::borrow::Cow::into_owned),
            request_id,
            retry_after_ms: refusal.retry_after_ms,
        }
    }
}

/// The response that tells of `refusal`.
#[must_use]
pub fn problem(refusal: &Refusal, request_id: Option<String>) -> HttpResponse {
    let code = refusal.code;
    let mut response = HttpResponse::build(status(code));
    response.content_type(PROBLEM_JSON);
    if code.http_status() == 401 {
        // RFC 9110, 11.6.1: a 401 names a scheme.
        response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    }
    if refusal.field.as_deref() == Some(header::CONTENT_ENCODING.as_str()) {
        // RFC 9110, 12.5.3: a 415 for the coding's sake names the codings that are taken.
        response.insert_header((header::ACCEPT_ENCODING, HeaderValue::from_static("identity")));
    }
    if let Some(ms) = refusal.retry_after_ms {
        response.insert_header((header::RETRY_AFTER, ms.div_ceil(1_000).max(1).to_string()));
    }
    response.json(Problem::of(refusal, request_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_of_ours_is_never_told() {
        let error = Error::from(anyhow::anyhow!("password of the database is hunter2"));
        let told = serde_json::to_string(&error.refusal()).expect("a refusal is JSON");
        assert!(!told.contains("hunter2"));
        assert_eq!(error.code(), ErrorCode::Internal);
    }

    #[test]
    fn a_database_that_is_away_is_not_our_callers_fault() {
        let error = Error::from(sqlx::Error::PoolTimedOut);
        assert_eq!(error.code(), ErrorCode::DatabaseUnavailable);
        let wrapped = Error::from(anyhow::Error::new(sqlx::Error::PoolTimedOut).context("while placing an order"));
        assert_eq!(wrapped.code(), ErrorCode::DatabaseUnavailable);
    }
}
