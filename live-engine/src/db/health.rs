//! Whether the database answers, and what its failures mean. Knows no caller and no table.

use std::sync::atomic::{AtomicBool, Ordering};

use shared::error::ErrorCode;

/// What a failure of the database means for whoever asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It does not answer: try again later.
    Away,
    /// A lock or a time limit was in the way: try again.
    Busy,
    /// It refuses this data (a constraint, a value it cannot store): never try again.
    Data,
    /// A defect or a fault of the machine.
    Fault,
}

impl Failure {
    /// Reads it off an error, by SQLSTATE class where the server sent one.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::of_sqlstate(error.code().as_deref().unwrap_or_default()),
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Away,
            sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Self::Data,
            _ => Self::Fault,
        }
    }

    /// Postgres, Appendix A: error codes.
    fn of_sqlstate(code: &str) -> Self {
        match code {
            // Lock not available, query cancelled by a time limit, deadlock, serialization.
            "55P03" | "57014" | "40P01" | "40001" => Self::Busy,
            // Read-only: the server that answers is not (or no longer) the primary.
            "25006" => Self::Away,
            _ => match code.get(..2) {
                Some("08" | "57" | "53") => Self::Away,
                Some("22" | "23" | "54") => Self::Data,
                _ => Self::Fault,
            },
        }
    }

    /// What the caller hears.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Away => ErrorCode::DatabaseUnavailable,
            Self::Busy => ErrorCode::Overloaded,
            Self::Data | Self::Fault => ErrorCode::Internal,
        }
    }
}

/// Whether the database answers, and the one place that logs when it does not: an
/// outage is logged when it begins and when it ends, any other fault each time.
#[derive(Debug, Default)]
pub struct Health {
    away: AtomicBool,
}

impl Health {
    /// Notes a failure met while doing `what`.
    pub fn failed(&self, what: &'static str, error: &sqlx::Error) -> Failure {
        let failure = Failure::of(error);
        match failure {
            Failure::Away if !self.away.swap(true, Ordering::Relaxed) => {
                tracing::error!(%error, what, "the database does not answer");
            }
            Failure::Away => tracing::debug!(%error, what, "the database still does not answer"),
            Failure::Busy => tracing::warn!(%error, what, "the database is busy"),
            Failure::Data | Failure::Fault => tracing::error!(%error, what, "the database refused"),
        }
        failure
    }

    /// Notes that it answered.
    pub fn answered(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the database answers again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_database_refuses_for_good_is_given_up() {
        for (code, failure) in [
            ("23503", Failure::Data),
            ("23514", Failure::Data),
            ("22021", Failure::Data),
            ("22P05", Failure::Data),
            ("57P01", Failure::Away),
            ("57P03", Failure::Away),
            ("53300", Failure::Away),
            ("08006", Failure::Away),
            ("57014", Failure::Busy),
            ("55P03", Failure::Busy),
            ("40P01", Failure::Busy),
            ("42P01", Failure::Fault),
            ("XX000", Failure::Fault),
        ] {
            assert_eq!(Failure::of_sqlstate(code), failure, "{code}");
        }
    }
}
