//! What uploads may use at once: memory for what has arrived, cores for what is read and
//! written anew, and of both only a share for one account.

use std::sync::Arc;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use anyhow::Context as _;
use futures_util::Stream;
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::config::MediaConfig;
use super::develop::{Developed, develop};
use super::model::{Kind, Unfit};
use crate::http::{Arrived, Entry, Inflow, Result};

/// Uploads of one account at once.
const OF_ONE_ACCOUNT: u32 = 4;
/// Pictures that wait for their turn to be read; the next is refused at once.
const QUEUE: usize = 32;
/// How long a picture waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// The bounds of one process. Clones share them.
#[derive(Clone)]
pub struct Intake {
    files: Inflow<UserId>,
    /// One for each picture that is read or waits.
    places: Arc<Semaphore>,
    /// One for each picture that is read.
    turns: Arc<Semaphore>,
    file_max_bytes: usize,
    pixels_max: u64,
}

fn too_busy() -> Refusal {
    Refusal::from(ErrorCode::Overloaded).retry_after_ms(2_000)
}

impl Intake {
    /// As the settings have it.
    #[must_use]
    pub fn new(config: &MediaConfig) -> Self {
        Self {
            files: Inflow::new(config.memory_bytes, OF_ONE_ACCOUNT),
            places: Arc::new(Semaphore::new(config.at_once + QUEUE)),
            turns: Arc::new(Semaphore::new(config.at_once)),
            file_max_bytes: config.file_max_bytes,
            pixels_max: config.pixels_max,
        }
    }

    /// Begins an upload of somebody's.
    ///
    /// # Errors
    /// Those of [`Inflow::enter`].
    pub fn enter(&self, user: UserId) -> Result<Entry<UserId>> {
        self.files.enter(user)
    }

    /// Reads a body whole, within `time`.
    ///
    /// # Errors
    /// Those of [`Inflow::read`].
    pub async fn read(
        &self,
        body: impl Stream<Item = std::result::Result<Bytes, PayloadError>>,
        time: Duration,
    ) -> Result<Arrived> {
        self.files.read(body, self.file_max_bytes, time).await
    }

    /// Reads the picture of a file and writes it in all its sizes, on a thread for such
    /// work, when its turn has come.
    ///
    /// # Errors
    /// What is wrong with it; `Overloaded` when too many wait.
    pub async fn develop(&self, kind: Kind, file: Arrived) -> Result<Developed> {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            return Err(too_busy().into());
        };
        let turn = timeout(TURN_WAIT, self.turns.clone().acquire_owned()).await;
        let Ok(turn) = turn else {
            return Err(too_busy().into());
        };
        let turn = turn.context("the turns of pictures are never closed")?;
        let pixels_max = self.pixels_max;
        let developed = tokio::task::spawn_blocking(move || {
            // Given back when the work ends, as the file's memory is, also when its request
            // has gone away.
            let _held = (place, turn);
            develop(kind, file.as_ref(), pixels_max)
        });
        let developed = developed.await.unwrap_or_else(|gone| {
            // A file that a decoder stumbles over is its sender's; the fault is ours to see.
            tracing::error!(error = %gone, "reading a picture panicked");
            Err(Unfit::Broken("it is damaged"))
        });
        developed.map_err(|unfit| Refusal::from(unfit).into())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn so_many_wait_for_their_turn_and_the_next_is_refused_at_once() {
        let intake = Intake::new(&MediaConfig::default());
        let all = u32::try_from(intake.places.available_permits()).expect("few");
        let _taken = intake.places.clone().acquire_many_owned(all).await.expect("open");
        let file = intake.read(stream::empty(), TURN_WAIT).await.expect("nothing");
        let refused = intake.develop(Kind::Avatar, file).await.expect_err("no place");
        assert_eq!(refused.code(), ErrorCode::Overloaded);
    }
}
