//! Whether the parts of a process can do their work, each by its own word, and what that
//! comes to for the whole. Decides nothing about what a part is.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// How well a part does, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does all of its work.
    Ok,
    /// It does most of it.
    Degraded,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It can do nothing of use.
    Unavailable,
}

/// What a part says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// It takes nothing new.
    pub is_draining: bool,
    /// Its database answers.
    pub has_database: bool,
    /// Its bus carries messages.
    pub has_bus: bool,
}

impl Standing {
    /// In a word.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self { is_draining: true, .. } => Status::Draining,
            Self {
                has_database: false, ..
            } => Status::Unavailable,
            Self { has_bus: false, .. } => Status::Degraded,
            Self { .. } => Status::Ok,
        }
    }

    fn told(self) -> Value {
        let up = |is_up| if is_up { "up" } else { "away" };
        json!({ "status": self.status(), "database": up(self.has_database), "bus": up(self.has_bus) })
    }
}

/// A part of the process that can be asked how it is.
#[async_trait]
pub trait Probe: Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// How it is, within some seconds.
    async fn standing(&self) -> Standing;
}

/// Asks all parts: the status, and what is told.
pub(super) async fn readiness(parts: &[Arc<dyn Probe>]) -> (StatusCode, Value) {
    let asked = parts
        .iter()
        .map(|part| async move { (part.name(), part.standing().await) });
    let standings = futures_util::future::join_all(asked).await;
    let worst = standings.iter().map(|(_, standing)| standing.status()).max();
    let worst = worst.unwrap_or(Status::Ok);
    let mut told = Map::from_iter([("status".to_owned(), json!(worst))]);
    told.extend(
        standings
            .into_iter()
            .map(|(name, standing)| (name.to_owned(), standing.told())),
    );
    let status = match worst {
        Status::Ok | Status::Degraded => StatusCode::OK,
        Status::Draining | Status::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Value::Object(told))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str, Standing);

    #[async_trait]
    impl Probe for Fixed {
        fn name(&self) -> &'static str {
            self.0
        }

        async fn standing(&self) -> Standing {
            self.1
        }
    }

    #[tokio::test]
    async fn a_process_is_as_ready_as_the_worst_of_its_parts() {
        let well = Standing {
            is_draining: false,
            has_database: true,
            has_bus: true,
        };
        let ask = async |standing| {
            let parts: [Arc<dyn Probe>; 2] = [Arc::new(Fixed("one", well)), Arc::new(Fixed("two", standing))];
            let (status, told) = readiness(&parts).await;
            assert_eq!(told["one"]["status"], "ok");
            (status.as_u16(), told["status"].as_str().map(str::to_owned))
        };
        let said = |status, word: &str| (status, Some(word.to_owned()));
        assert_eq!(ask(well).await, said(200, "ok"));
        assert_eq!(ask(Standing { has_bus: false, ..well }).await, said(200, "degraded"));
        assert_eq!(
            ask(Standing {
                has_database: false,
                ..well
            })
            .await,
            said(503, "unavailable")
        );
        assert_eq!(
            ask(Standing {
                is_draining: true,
                ..well
            })
            .await,
            said(503, "draining")
        );
    }
}
