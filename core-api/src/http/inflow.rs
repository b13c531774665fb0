//! Bodies that are taken in whole: the memory that all of them under way share, and how
//! many one sender has under way. Whoever sends slowly holds as much as has come and no
//! more. What is done with a body is its feature's.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt as _, pin_mut};
use sha2::{Digest as _, Sha256};
use shared::error::{ErrorCode, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Result, in_time};

/// Memory is counted in pieces of so many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The bounds of one kind of bodies in one process, whose senders are `K`. Clones share
/// them.
#[derive(Clone)]
pub struct Inflow<K> {
    memory: Arc<Semaphore>,
    under_way: Arc<Mutex<HashMap<K, u32>>>,
    of_one: u32,
}

/// A body that is under way, for its sender's share.
pub struct Entry<K: Hash + Eq> {
    sender: K,
    under_way: Arc<Mutex<HashMap<K, u32>>>,
}

impl<K: Hash + Eq> Drop for Entry<K> {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = under_way.get_mut(&self.sender) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(&self.sender);
            }
        }
    }
}

/// A body that has arrived, and its share of the memory until it is dropped.
pub struct Arrived {
    bytes: Vec<u8>,
    hash: [u8; 32],
    _memory: Option<OwnedSemaphorePermit>,
}

impl Arrived {
    /// The SHA-256 of what was sent.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl AsRef<[u8]> for Arrived {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl<K: Hash + Eq + Copy> Inflow<K> {
    /// Bodies under way may take so many bytes together, and one sender has `of_one` under
    /// way at once.
    #[must_use]
    pub fn new(memory_bytes: usize, of_one: u32) -> Self {
        let pieces = memory_bytes.div_ceil(PIECE_BYTES).min(Semaphore::MAX_PERMITS);
        Self {
            memory: Arc::new(Semaphore::new(pieces)),
            under_way: Arc::default(),
            of_one,
        }
    }

    /// Begins a body of somebody's; to be held while anything is left of it.
    ///
    /// # Errors
    /// `RateLimited` while they have as many under way as one may.
    pub fn enter(&self, sender: K) -> Result<Entry<K>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let count = under_way.entry(sender).or_default();
        if *count >= self.of_one {
            let detail = format!("Nobody sends more than {} files at once", self.of_one);
            return Err(Refusal::new(ErrorCode::RateLimited, detail)
                .retry_after_ms(1_000)
                .into());
        }
        *count += 1;
        drop(under_way);
        Ok(Entry {
            sender,
            under_way: self.under_way.clone(),
        })
    }

    /// Reads a body of at most `max_bytes` whole, within `time`.
    ///
    /// # Errors
    /// `PayloadTooLarge`, `Malformed` when it breaks off, `RequestTimeout`, `Overloaded`
    /// when all bodies under way take too much.
    pub async fn read(
        &self,
        body: impl Stream<Item = std::result::Result<Bytes, PayloadError>>,
        max_bytes: usize,
        time: Duration,
    ) -> Result<Arrived> {
        in_time(time, self.read_all(body, max_bytes)).await?
    }

    async fn read_all(
        &self,
        body: impl Stream<Item = std::result::Result<Bytes, PayloadError>>,
        max_bytes: usize,
    ) -> Result<Arrived> {
        pin_mut!(body);
        let (mut bytes, mut memory) = (Vec::new(), None::<OwnedSemaphorePermit>);
        let mut hasher = Sha256::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| ErrorCode::Malformed)?;
            if bytes.len() + piece.len() > max_bytes {
                let detail = format!("The file has more than {max_bytes} bytes");
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
                let more = more.map_err(|_| Refusal::from(ErrorCode::Overloaded).retry_after_ms(2_000))?;
                match &mut memory {
                    Some(memory) => memory.merge(more),
                    None => memory = Some(more),
                }
            }
        }
        let hash = hasher.finalize().into();
        Ok(Arrived {
            bytes,
            hash,
            _memory: memory,
        })
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
    const LARGE: usize = 1 << 20;

    #[tokio::test]
    async fn a_file_has_so_many_bytes_and_no_more() {
        let inflow = Inflow::<u8>::new(LARGE, 1);
        let read = inflow.read(body(10, 100), 1_000, LONG).await;
        assert_eq!(read.map(|file| file.as_ref().len()).ok(), Some(1_000));
        let refused = inflow.read(body(11, 100), 1_000, LONG).await.err().expect("too large");
        assert_eq!(refused.code(), ErrorCode::PayloadTooLarge);
    }

    #[tokio::test]
    async fn all_files_under_way_share_one_memory_and_give_it_back() {
        let inflow = Inflow::<u8>::new(4 * PIECE_BYTES, 1);
        let read = async || inflow.read(body(3, PIECE_BYTES), LARGE, LONG).await;
        let first = read().await.expect("there is room");
        let refused = read().await.err().expect("no room");
        assert_eq!(refused.code(), ErrorCode::Overloaded);
        // A part of it that somebody still looks at is memory, too.
        let part = Bytes::from_owner(first).slice(..1);
        assert!(read().await.is_err());
        drop(part);
        assert!(read().await.is_ok());
    }

    #[tokio::test]
    async fn who_sends_too_slowly_is_given_up() {
        let inflow = Inflow::<u8>::new(4 * PIECE_BYTES, 1);
        let slow = body(1, 1).chain(stream::pending());
        let refused = inflow.read(slow, LARGE, Duration::ZERO).await.err().expect("too slow");
        assert_eq!(refused.code(), ErrorCode::RequestTimeout);
        assert_eq!(inflow.memory.available_permits(), 4);
    }

    #[test]
    fn one_account_has_so_many_under_way() {
        let inflow = Inflow::new(LARGE, 4);
        let entries: Vec<_> = (0..4).map(|_| inflow.enter(1).expect("let in")).collect();
        let refused = inflow.enter(1).err().map(|error| error.code());
        assert_eq!(refused, Some(ErrorCode::RateLimited));
        assert!(inflow.enter(2).is_ok());
        drop(entries);
        assert!(inflow.enter(1).is_ok());
        assert!(
            inflow.under_way.lock().expect("sound").is_empty(),
            "nobody is remembered"
        );
    }
}
