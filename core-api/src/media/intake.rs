//! What uploads may use at once: memory for what has arrived, cores for what is read and
//! written anew, and of both only a share for one account. Whoever sends slowly holds as
//! much as has come and no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _, pin_mut};
use sha2::{Digest as _, Sha256};
use shared::error::{ErrorCode, Refusal};
use shared::ids::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::config::MediaConfig;
use super::develop::{Developed, develop};
use super::model::{Kind, Unfit};
use crate::http::{Result, in_time};

/// Memory is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 64 << 10;
/// Uploads of one account at once.
const OF_ONE_ACCOUNT: u32 = 4;
/// Pictures that wait for their turn to be read; the next is refused at once.
const QUEUE: usize = 32;
/// How long a picture waits for its turn.
const TURN_WAIT: Duration = Duration::from_secs(30);

/// The bounds of one process. Clones share them.
#[derive(Clone)]
pub struct Intake {
    memory: Arc<Semaphore>,
    /// One for each picture that is read or waits.
    places: Arc<Semaphore>,
    /// One for each picture that is read.
    turns: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<UserId, u32>>>,
    file_max_bytes: usize,
    pixels_max: u64,
}

/// An upload that is under way, for its account's share.
pub struct Entry {
    user: UserId,
    under_way: Arc<Mutex<HashMap<UserId, u32>>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.user);
            }
        }
    }
}

/// A file that has arrived, and its share of the memory.
pub struct File {
    bytes: Vec<u8>,
    hash: [u8; 32],
    memory: Option<OwnedSemaphorePermit>,
}

impl File {
    /// The SHA-256 of what was sent.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

fn too_busy() -> Refusal {
    Refusal::from(ErrorCode::Overloaded).retry_after_ms(2_000)
}

impl Intake {
    /// As the settings have it.
    #[must_use]
    pub fn new(config: &MediaConfig) -> Self {
        let pieces = config.memory_bytes.div_ceil(PIECE_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            memory: Arc::new(Semaphore::new(pieces)),
            places: Arc::new(Semaphore::new(config.at_once + QUEUE)),
            turns: Arc::new(Semaphore::new(config.at_once)),
            under_way: Arc::default(),
            file_max_bytes: config.file_max_bytes,
            pixels_max: config.pixels_max,
        }
    }

    /// Begins an upload of somebody's.
    ///
    /// # Errors
    /// `RateLimited` while they have as many under way as one may.
    pub fn enter(&self, user: UserId) -> Result<Entry> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(user).or_default();
        if *count >= OF_ONE_ACCOUNT {
            let detail = format!("An account uploads {OF_ONE_ACCOUNT} pictures at once");
            return Err(Refusal::new(ErrorCode::RateLimited, detail)
                .retry_after_ms(1_000)
                .into());
        }
        *count += 1;
        drop(under_way);
        Ok(Entry {
            user,
            under_way: self.under_way.clone(),
        })
    }

    /// Reads a body whole, within `time`.
    ///
    /// # Errors
    /// `PayloadTooLarge`, `Malformed` when it breaks off, `RequestTimeout`, `Overloaded`
    /// when all files under way take too much.
    pub async fn read(
        &self,
        body: impl Stream<Item = std::result::Result<Bytes, PayloadError>>,
        time: Duration,
    ) -> Result<File> {
        in_time(time, self.read_all(body)).await?
    }

    async fn read_all(&self, body: impl Stream<Item = std::result::Result<Bytes, PayloadError>>) -> Result<File> {
        pin_mut!(body);
        let (mut bytes, mut memory) = (Vec::new(), None::<OwnedSemaphorePermit>);
        let mut hasher = Sha256::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| ErrorCode::Malformed)?;
            if bytes.len() + piece.len() > self.file_max_bytes {
                let detail = format!("A picture has at most {} bytes", self.file_max_bytes);
                return Err(Refusal::new(ErrorCode::PayloadTooLarge, detail).into());
            }
            bytes.extend_from_slice(&piece);
            hasher.update(&piece);
            let held = memory.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            // What the buffer has set aside, which is more than is in it.
            let more = bytes.capacity().div_ceil(PIECE_BYTES).saturating_sub(held);
            if more > 0 {
                let more = u32::try_from(more).unwrap_or(u32::MAX);
                let more = self.memory.clone().try_acquire_many_owned(more);
                let more = more.map_err(|_| too_busy())?;
                match &mut memory {
                    Some(memory) => memory.merge(more),
                    None => memory = Some(more),
                }
            }
        }
        let hash = hasher.finalize().into();
        Ok(File { bytes, hash, memory })
    }

    /// Reads the picture of a file and writes it in all its sizes, on a thread for such
    /// work, when its turn has come.
    ///
    /// # Errors
    /// What is wrong with it; `Overloaded` when too many wait.
    pub async fn develop(&self, kind: Kind, file: File) -> Result<Developed> {
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
            let File { bytes, memory, .. } = file;
            // Given back when the work ends, also when its request has gone away.
            let _held = (place, turn, memory);
            develop(kind, &bytes, pixels_max)
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

    fn body(pieces: usize, bytes: usize) -> impl Stream<Item = std::result::Result<Bytes, PayloadError>> {
        stream::iter((0..pieces).map(move |_| Ok(Bytes::from(vec![0; bytes]))))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_file_has_so_many_bytes_and_no_more() {
        let intake = Intake::new(&MediaConfig {
            file_max_bytes: 1_000,
            ..MediaConfig::default()
        });
        assert_eq!(
            intake.read(body(10, 100), LONG).await.map(|file| file.bytes.len()).ok(),
            Some(1_000)
        );
        let refused = intake.read(body(11, 100), LONG).await.err().expect("too large");
        assert_eq!(refused.code(), ErrorCode::PayloadTooLarge);
    }

    #[tokio::test]
    async fn all_files_under_way_share_one_memory_and_give_it_back() {
        let intake = Intake::new(&MediaConfig {
            memory_bytes: 4 * PIECE_BYTES,
            ..MediaConfig::default()
        });
        let first = intake.read(body(3, PIECE_BYTES), LONG).await.expect("there is room");
        let refused = intake.read(body(3, PIECE_BYTES), LONG).await.err().expect("no room");
        assert_eq!(refused.code(), ErrorCode::Overloaded);
        drop(first);
        assert!(intake.read(body(3, PIECE_BYTES), LONG).await.is_ok());
    }

    #[tokio::test]
    async fn who_sends_too_slowly_is_given_up() {
        let intake = Intake::new(&MediaConfig::default());
        let slow = body(1, 1).chain(stream::pending());
        let refused = intake.read(slow, Duration::ZERO).await.err().expect("too slow");
        assert_eq!(refused.code(), ErrorCode::RequestTimeout);
        assert_eq!(
            intake.memory.available_permits(),
            MediaConfig::default().memory_bytes / PIECE_BYTES
        );
    }

    #[test]
    fn one_account_has_so_many_under_way() {
        let intake = Intake::new(&MediaConfig::default());
        let (one, other) = (UserId::new(), UserId::new());
        let entries: Vec<_> = (0..OF_ONE_ACCOUNT)
            .map(|_| intake.enter(one).expect("let in"))
            .collect();
        assert_eq!(
            intake.enter(one).err().map(|error| error.code()),
            Some(ErrorCode::RateLimited)
        );
        assert!(intake.enter(other).is_ok());
        drop(entries);
        assert!(intake.enter(one).is_ok());
        assert!(
            intake.under_way.lock().expect("sound").is_empty(),
            "nobody is remembered"
        );
    }

    #[tokio::test]
    async fn so_many_wait_for_their_turn_and_the_next_is_refused_at_once() {
        let intake = Intake::new(&MediaConfig::default());
        let all = u32::try_from(intake.places.available_permits()).expect("few");
        let _taken = intake.places.clone().acquire_many_owned(all).await.expect("open");
        let file = File {
            bytes: Vec::new(),
            hash: [0; 32],
            memory: None,
        };
        let refused = intake.develop(Kind::Avatar, file).await.expect_err("no place");
        assert_eq!(refused.code(), ErrorCode::Overloaded);
    }
}
